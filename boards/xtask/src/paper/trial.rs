//! One set with one seed: the network trained, tuned and searched by the command `tinymlp` on the training rows, then
//! everything measured on the test rows and on emulated boards.

use super::sets::Set;
use crate::artifact::{self, Files};
use crate::board::{self, Board};
use crate::emulate::{self, Options};
use crate::error::{Context, Error, Result};
use crate::firmware::Opt;
use crate::workspace;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tinymlp_codegen::approximate::adders::{Adders, Digits};
use tinymlp_codegen::approximate::network::Network;
use tinymlp_codegen::data::{self, write_npy};
use tinymlp_codegen::quantize::config::Config;
use tinymlp_codegen::report::{classes, evaluate};
use tinymlp_codegen::{Builder, Emission, Mode};

/// What may be lost, of which the search names a design each.
pub const BUDGETS: [f64; 3] = [0.01, 0.02, 0.05];

/// What a search makes small: full adders for what is printed, instructions for cores.
pub const OBJECTIVES: [(&str, &str); 2] = [("adders", "printed"), ("instructions", "core")];

/// The name of the design that a search by an objective found within a budget.
pub fn name(drop: f64, objective: (&str, &str)) -> String {
    format!("{:.0} %, {}", 100.0 * drop, objective.1)
}

/// What became of a set with a seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Name of the set.
    pub set: String,
    /// What all that is random followed from.
    pub seed: u64,
    /// Rows that trained and chose.
    pub training_rows: usize,
    /// Rows that did neither.
    pub test_rows: usize,
    /// Share of the test rows that the float network gets right.
    pub float_accuracy: f64,
    /// The network in the ways of the table.
    pub designs: Vec<Design>,
}

/// A network in integers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Design {
    /// `int8`, `power of two`, or of a budget.
    pub name: String,
    /// Of a budget that no point keeps to: this is the nearest point.
    pub missed: bool,
    /// Of a budget, what was made small and the file of its point.
    pub point: Option<(String, String)>,
    /// Share of the test rows with the right class.
    pub accuracy: f64,
    /// Full adders of the sums, by the ones of the weights, as the printed networks are counted. Of `int8` with inputs
    /// of four bits.
    pub adders: usize,
    /// The same by signed digits, which are fewer where weights have many ones.
    pub adders_signed: usize,
    /// Measured on boards.
    pub boards: Vec<Measured>,
    /// Cores of boards that have no room for it, its stack included.
    #[serde(default)]
    pub too_big: Vec<String>,
}

/// What a board says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Its core.
    pub core: String,
    /// Whether some layer is straight-line code.
    pub straight_line: bool,
    /// Instructions of an inference, mean over the rows.
    pub instructions: f64,
    /// Flash, less that of the same firmware without the model.
    pub flash_bytes: i64,
    /// RAM, likewise, and the deepest stack.
    pub ram_bytes: i64,
}

impl Measured {
    /// What is compared: time, flash and RAM.
    pub fn figures(&self) -> [f64; 3] {
        [self.instructions, self.flash_bytes as f64, self.ram_bytes as f64]
    }
}

/// What a trial needs beside its set.
#[derive(Debug)]
pub struct Bench {
    /// The command `tinymlp`.
    pub tinymlp: PathBuf,
    /// Boards to measure on.
    pub boards: Vec<Board>,
    /// Options of `tinymlp search` that say how long it takes.
    pub effort: Vec<String>,
    /// Test rows that run on boards: the first so many.
    pub rows: usize,
}

/// The part of `front.json` that is read here.
#[derive(Deserialize)]
struct Front {
    reference_accuracy: f64,
    points: Vec<Point>,
    budgets: Vec<Budget>,
}

#[derive(Deserialize)]
struct Point {
    name: String,
    file: String,
    accuracy: f64,
    expected_accuracy: f64,
    full_adders: usize,
    instructions: Option<f64>,
}

impl Front {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("front.json");
        let text = fs::read(&path).context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).context(|| format!("cannot read {}", path.display()))
    }

    /// The point that is named for a budget, whether it keeps to it or comes nearest.
    fn named(&self, budget: &Budget) -> Result<&Point> {
        let name = budget.point.as_deref().or(budget.nearest.as_deref());
        let point = name.and_then(|name| self.points.iter().find(|point| point.name == name));
        point.ok_or_else(|| Error::new("a front names no point for a budget"))
    }

    /// What a point loses.
    fn drop(&self, point: &Point) -> f64 {
        self.reference_accuracy - point.accuracy.min(point.expected_accuracy)
    }
}

impl Point {
    fn price(&self, objective: (&str, &str)) -> f64 {
        match objective.0 {
            "adders" => self.full_adders as f64,
            _ => self.instructions.unwrap_or(f64::MAX),
        }
    }
}

#[derive(Deserialize)]
struct Budget {
    max_drop: f64,
    point: Option<String>,
    nearest: Option<String>,
}

impl Bench {
    /// Trains, tunes and searches; gives accuracy and full adders. What the folder already holds is not made again.
    pub fn run(&self, set: &Set, seed: u64, folder: &Path) -> Result<Trial> {
        let rows = set.rows()?;
        fs::create_dir_all(folder).context(|| format!("cannot create {}", folder.display()))?;
        for (name, part) in [(TRAINING, &rows.training), (TEST, &rows.test)] {
            for (file, width, values) in [(name[0], set.topology[0], &part.features), (name[1], 1, &part.labels)] {
                let path = folder.join(file);
                fs::write(&path, write_npy(width, values)).context(|| format!("cannot write {}", path.display()))?;
            }
        }
        let [float, tuned] = [FLOAT, TUNED].map(|name| folder.join(name));
        let seed_text = seed.to_string();
        let common = |command: &mut Command| {
            let [data, labels] = TRAINING.map(|name| folder.join(name));
            command.arg("--data").arg(data).arg("--labels").arg(labels).args(["--seed", &seed_text]);
        };
        if !tuned.is_file() {
            self.command(folder, "tune", |tune| {
                common(tune);
                tune.args(["--topology", &set.shape(), "--weights", "pow2", "--input-bits", "4", "--truncate", "8"]);
                tune.arg("--allow-missing-classes").arg("--float-output").arg(&float).arg("--output").arg(&tuned);
            })?;
        }
        let (mut int8, float_accuracy) =
            Self::design(folder, Design { name: "int8".into(), ..Design::default() }, None)?;
        let (exact, _) = Self::design(folder, int8.clone(), Some(4))?;
        (int8.adders, int8.adders_signed) = (exact.adders, exact.adders_signed);
        let exact = Design { name: "power of two".into(), ..Design::default() };
        let mut designs = vec![int8, Self::design(folder, exact, None)?.0];
        for objective in OBJECTIVES {
            for round in 0..=again(objective) {
                let model = folder.join(model(objective, round));
                if !model.is_file() {
                    // With the masks of the cheapest point that the largest budget allows.
                    let before = folder.join(found(objective, round - 1));
                    let front = Front::read(&before)?;
                    let budget = front.budgets.iter().max_by(|a, b| a.max_drop.total_cmp(&b.max_drop));
                    let Some(budget) = budget else { return Err(Error::new("a front has no budget")) };
                    let point = before.join(&front.named(budget)?.file);
                    self.command(folder, "tune", |tune| {
                        common(tune);
                        tune.arg("--allow-missing-classes").arg("--quantization").arg(&point);
                        tune.arg("--output").arg(&model).arg(folder.join(self::model(objective, round - 1)));
                    })?;
                }
                let found = folder.join(found(objective, round));
                let path = found.join("front.json");
                if !path.is_file() {
                    let searched = self.command(folder, "search", |search| {
                        common(search);
                        search.args(["--target", "cortex-m0", "--objective", objective.0]).args(&self.effort);
                        search.arg("--allow-missing-classes");
                        BUDGETS.iter().for_each(|drop| {
                            search.args(["--max-accuracy-drop", &drop.to_string()]);
                        });
                        search.arg("--reference").arg(&float).arg("--out").arg(&found).arg(&model);
                    });
                    // It also fails where a budget is not met, after it wrote all files.
                    if !path.is_file() {
                        searched?;
                    }
                }
            }
            designs.extend(Self::budgets(folder, objective)?);
        }
        Ok(Trial {
            set: set.name.into(),
            seed,
            training_rows: rows.training.labels.len(),
            test_rows: rows.test.labels.len(),
            float_accuracy,
            designs,
        })
    }

    /// The designs of searches that are done: of each budget the cheapest that keeps to it, or the nearest to it.
    fn budgets(folder: &Path, objective: (&str, &str)) -> Result<Vec<Design>> {
        let searches: Vec<String> = (0..=again(objective)).map(|round| found(objective, round)).collect();
        let fronts = searches.iter().map(|search| Front::read(&folder.join(search))).collect::<Result<Vec<_>>>()?;
        let design = |(k, drop): (usize, &f64)| {
            let mut best: Option<((bool, f64), Design)> = None;
            for (search, front) in searches.iter().zip(&fronts) {
                let budget = front.budgets.get(k).ok_or_else(|| Error::new("a front has no such budget"))?;
                let (missed, point) = (budget.point.is_none(), front.named(budget)?);
                let rank = (missed, if missed { front.drop(point) } else { point.price(objective) });
                if best.as_ref().is_none_or(|(before, _)| rank < *before) {
                    let name = self::name(*drop, objective);
                    let point = Some((search.clone(), point.file.clone()));
                    best = Some((rank, Design { name, missed, point, ..Design::default() }));
                }
            }
            let Some((_, design)) = best else { return Err(Error::new("there was no search")) };
            if let Some((search, file)) = &design.point {
                Self::free_emission(&folder.join(search).join(file), &design.quantization(folder))?;
            }
            Ok(Self::design(folder, design, None)?.0)
        };
        BUDGETS.iter().enumerate().map(design).collect()
    }

    /// A point's quantization without the emission, which was chosen for the core of the search.
    fn free_emission(point: &Path, to: &Path) -> Result<()> {
        let text = fs::read_to_string(point).context(|| format!("cannot read {}", point.display()))?;
        let mut config = Config::from_json(&text).context(|| format!("cannot read {}", point.display()))?;
        config.layers.values_mut().for_each(|layer| layer.emission = None);
        fs::write(to, config.to_json()).context(|| format!("cannot write {}", to.display()))
    }

    /// Runs `tinymlp`; what it prints goes into a file.
    fn command(&self, folder: &Path, name: &str, arguments: impl FnOnce(&mut Command)) -> Result<()> {
        let mut command = Command::new(&self.tinymlp);
        command.arg(name);
        arguments(&mut command);
        // Restarts are side by side already: products of matrices as small as these gain nothing from threads.
        command.env("RAYON_NUM_THREADS", "1");
        let log = folder.join(format!("{name}.log"));
        let cannot = || format!("cannot run {} {name}", self.tinymlp.display());
        let start = Instant::now();
        let output = command.output().context(cannot)?;
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        fs::write(&log, text).context(|| format!("cannot write {}", log.display()))?;
        eprintln!("  {name}: {:.0} s", start.elapsed().as_secs_f64());
        if output.status.success() {
            return Ok(());
        }
        Err(Error::new(format!("tinymlp {name} failed:\n{}", String::from_utf8_lossy(&output.stderr))))
    }

    /// Compiles a design and fills in what the host knows of it; also gives the accuracy of the float network.
    fn design(folder: &Path, mut design: Design, input_bits: Option<u32>) -> Result<(Design, f64)> {
        let message = |error: tinymlp_codegen::Error| Error::new(error.to_string());
        let files = design.files(folder);
        let mut builder = design.builder(folder, Builder::new(&files.model).calibration(&files.calibration));
        if let Some(bits) = input_bits {
            builder = builder.input_bits(bits);
        }
        // The fast mode of an unknown core is that of the plain layers.
        let compiled = builder.mode(Mode::Speed).compile().map_err(message)?;
        let (graph, plan) = (&compiled.graph, &compiled.plan);
        let network = Network::new(plan).context(|| format!("{} is no chain of layers", files.model.display()))?;
        let adders = |digits| Adders::new(&network, digits).accumulation();
        (design.adders, design.adders_signed) = (adders(Digits::Binary), adders(Digits::Signed));
        let rows =
            data::Rows::new(graph, &data::load(&files.inputs).map_err(message)?, &files.inputs).map_err(message)?;
        let labels = files.labels.as_ref().map(|file| data::load_labels(file, rows.len(), classes(graph)));
        let labels = labels.transpose().map_err(message)?;
        let found = evaluate(graph, plan, &rows, labels.as_deref(), &mut |_| {}).figures;
        design.accuracy = found.quantized_accuracy.unwrap_or_default();
        Ok((design, found.float_accuracy.unwrap_or_default()))
    }

    /// Runs a design on the boards that it did not run on yet, in whichever emission is predicted to be better there.
    pub fn measure(&self, folder: &Path, design: &mut Design) -> Result<()> {
        for board in &self.boards {
            if design.boards.iter().any(|measured| measured.core == board.core) || design.too_big.contains(&board.core)
            {
                continue;
            }
            let files = design.files(folder);
            let configure = |b: Builder| design.builder(folder, b).target(board.kernels()).emission(Emission::Auto);
            let simulated = artifact::simulate(&files, configure, Some(self.rows))?;
            let options = Options { opt: Opt::Speed, limit: Duration::from_secs(600) };
            let report = emulate::run(board, &simulated.artifact, options);
            artifact::discard(&simulated.artifact)?;
            let report = match report {
                Err(error) if error.is_too_big() || error.is_stack_overflow() => {
                    design.too_big.push(board.core.clone());
                    continue;
                }
                report => report?,
            };
            report.verdict()?;
            let layers = &simulated.compiled.report.layers;
            design.boards.push(Measured {
                core: board.core.clone(),
                straight_line: layers.iter().any(|layer| layer.kernel == "Bespoke"),
                instructions: report.instructions_mean,
                flash_bytes: report.flash_bytes,
                ram_bytes: report.ram_bytes + i64::from(report.stack_bytes),
            });
        }
        Ok(())
    }
}

impl Design {
    /// Model and data in the trial's folder.
    fn files(&self, folder: &Path) -> Files {
        Files {
            model: match &self.point {
                Some((search, _)) if folder.join(format!("{search}.onnx")).is_file() => {
                    folder.join(format!("{search}.onnx"))
                }
                _ => folder.join(if self.name == "int8" { FLOAT } else { TUNED }),
            },
            calibration: match &self.point {
                Some((search, _)) => folder.join(search).join("calibration.npy"),
                None => folder.join(TRAINING[0]),
            },
            inputs: folder.join(TEST[0]),
            labels: Some(folder.join(TEST[1])),
        }
    }

    fn builder(&self, folder: &Path, builder: Builder) -> Builder {
        let builder = builder.arg_max().allow_constant_columns();
        if self.point.is_some() { builder.quantization(self.quantization(folder)) } else { builder }
    }

    /// Of a budget's design, its quantization with free emission.
    fn quantization(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.json", self.name.replace([' ', '%', ','], "")))
    }
}

/// Files of a trial: inputs and labels.
const TRAINING: [&str; 2] = ["training.npy", "training-labels.npy"];
const TEST: [&str; 2] = ["test.npy", "test-labels.npy"];
/// The float network, and the tuned one.
const FLOAT: &str = "float.onnx";
const TUNED: &str = "tuned.onnx";

/// How often a point is tuned again with its masks, and searched again: what is printed, whose bits have masks.
fn again(objective: (&str, &str)) -> usize {
    if objective.0 == "adders" { 2 } else { 0 }
}

/// The folder of a search; the first is of the tuned network.
fn found(objective: (&str, &str), round: usize) -> String {
    if round == 0 { objective.0.into() } else { format!("{}-{round}", objective.0) }
}

/// The model of a search.
fn model(objective: (&str, &str), round: usize) -> String {
    if round == 0 { TUNED.into() } else { found(objective, round) + ".onnx" }
}

/// The boards that are measured: small cores with and without a multiplier, and one that is not small.
pub fn boards() -> Result<Vec<Board>> {
    let all = board::all()?;
    let of = |core: &&str| all.iter().find(|board| board.core == *core && board.emulator.is_some()).cloned();
    Ok(CORES.iter().filter_map(of).collect())
}

/// Their cores.
pub const CORES: [&str; 3] = ["cortex-m0", "cortex-m4f", "rv32ec"];

/// The command `tinymlp`, built for speed.
pub fn tinymlp() -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--package", "tinymlp-codegen", "--features", "cli", "--bin", "tinymlp"]);
    let status = cargo.current_dir(workspace::root()).status().context(|| "cannot run cargo".into())?;
    if !status.success() {
        return Err(Error::new("the command tinymlp could not be built"));
    }
    Ok(workspace::target().join("release").join(format!("tinymlp{}", std::env::consts::EXE_SUFFIX)))
}
