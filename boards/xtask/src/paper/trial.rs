//! One set with one seed: the network trained, tuned and searched by the command `tinymlp` on the training rows, then
//! everything measured on the test rows and on emulated boards.

use super::sets::{Part, Set};
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
use tinymlp_codegen::report::{classes, evaluate};
use tinymlp_codegen::{Builder, Emission};

/// What may be lost, of which the search names a design each.
pub const BUDGETS: [f64; 3] = [0.01, 0.02, 0.05];

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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Design {
    /// `int8`, `power of two`, or a budget.
    pub name: String,
    /// Of a budget that no point keeps to: this is the nearest point.
    pub missed: bool,
    /// Share of the test rows with the right class.
    pub accuracy: f64,
    /// Full adders of the sums, by the ones of the weights, as the printed networks are counted. Of `int8` with inputs
    /// of four bits.
    pub adders: usize,
    /// The same by signed digits, which are fewer where weights have many ones.
    pub adders_signed: usize,
    /// Measured on boards.
    pub boards: Vec<Measured>,
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
    points: Vec<Point>,
    budgets: Vec<Budget>,
}

#[derive(Deserialize)]
struct Point {
    name: String,
    file: String,
}

#[derive(Deserialize)]
struct Budget {
    max_drop: f64,
    point: Option<String>,
    nearest: Option<String>,
}

impl Bench {
    /// Trains, tunes, searches and measures. What the folder already holds is not made again.
    pub fn run(&self, set: &Set, seed: u64, folder: &Path, measured: bool) -> Result<Trial> {
        let rows = set.rows()?;
        let files = |part: &str| [folder.join(format!("{part}.npy")), folder.join(format!("{part}-labels.npy"))];
        fs::create_dir_all(folder).context(|| format!("cannot create {}", folder.display()))?;
        let save = |part: &Part, [features, labels]: &[PathBuf; 2]| -> Result<()> {
            for (path, width, values) in [(features, set.topology[0], &part.features), (labels, 1, &part.labels)] {
                fs::write(path, write_npy(width, values)).context(|| format!("cannot write {}", path.display()))?;
            }
            Ok(())
        };
        let (training, test) = (files("training"), files("test"));
        save(&rows.training, &training)?;
        save(&rows.test, &test)?;
        let [float, tuned, found] = ["float.onnx", "tuned.onnx", "search"].map(|name| folder.join(name));
        let seed_text = seed.to_string();
        let common = |command: &mut Command| {
            command.arg("--data").arg(&training[0]).arg("--labels").arg(&training[1]).args(["--seed", &seed_text]);
        };
        if !tuned.is_file() {
            self.command(folder, "tune", |tune| {
                common(tune);
                tune.args(["--topology", &set.shape(), "--weights", "pow2", "--input-bits", "4", "--truncate", "8"]);
                tune.arg("--allow-missing-classes").arg("--float-output").arg(&float).arg("--output").arg(&tuned);
            })?;
        }
        if !found.join("front.json").is_file() {
            let searched = self.command(folder, "search", |search| {
                common(search);
                search.args(["--target", "cortex-m0", "--objective", "adders"]).args(&self.effort);
                BUDGETS.iter().for_each(|drop| {
                    search.args(["--max-accuracy-drop", &drop.to_string()]);
                });
                search.arg("--reference").arg(&float).arg("--out").arg(&found).arg(&tuned);
            });
            // It also fails where a budget is not met, after it wrote all files.
            if !found.join("front.json").is_file() {
                searched?;
            }
        }
        let path = found.join("front.json");
        let text = fs::read(&path).context(|| format!("cannot read {}", path.display()))?;
        let front: Front = serde_json::from_slice(&text).context(|| format!("cannot read {}", path.display()))?;

        let files = |model: &Path| Files {
            model: model.into(),
            calibration: training[0].clone(),
            inputs: test[0].clone(),
            labels: Some(test[1].clone()),
        };
        let (float_files, tuned_files) = (files(&float), files(&tuned));
        let usual = |builder: Builder| builder.arg_max().allow_constant_columns();
        let boards: &[Board] = if measured { &self.boards } else { &[] };
        let (mut int8, float_accuracy) = self.design("int8", &float_files, &usual, boards)?;
        let narrow = |builder: Builder| usual(builder).input_bits(4);
        let (exact, _) = self.design("int8", &float_files, &narrow, &[])?;
        (int8.adders, int8.adders_signed) = (exact.adders, exact.adders_signed);
        let mut designs = vec![int8, self.design("power of two", &tuned_files, &usual, boards)?.0];
        // Budgets may name one point several times.
        let mut points: Vec<(&str, Design)> = Vec::new();
        for budget in &front.budgets {
            let name = budget.point.as_deref().or(budget.nearest.as_deref());
            let point = name.and_then(|name| front.points.iter().find(|point| point.name == name));
            let Some(point) = point else {
                return Err(Error::new(format!("{} names no point for a budget", path.display())));
            };
            let known = points.iter().find(|(name, _)| *name == point.name).map(|(_, design)| design.clone());
            let design = match known {
                Some(design) => design,
                None => {
                    let file = found.join(&point.file);
                    let builder = |builder: Builder| usual(builder).quantization(&file);
                    self.design("", &tuned_files, &builder, boards)?.0
                }
            };
            points.push((&point.name, design.clone()));
            let title = format!("{:.0} %", 100.0 * budget.max_drop);
            designs.push(Design { name: title, missed: budget.point.is_none(), ..design });
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

    /// Runs `tinymlp`; what it prints goes into a file.
    fn command(&self, folder: &Path, name: &str, arguments: impl FnOnce(&mut Command)) -> Result<()> {
        let mut command = Command::new(&self.tinymlp);
        command.arg(name);
        arguments(&mut command);
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

    /// Compiles a network and measures it; also gives the accuracy of the float network.
    fn design(
        &self,
        name: &str,
        files: &Files,
        builder: &dyn Fn(Builder) -> Builder,
        boards: &[Board],
    ) -> Result<(Design, f64)> {
        let message = |error: tinymlp_codegen::Error| Error::new(error.to_string());
        let compiled =
            builder(Builder::new(&files.model).calibration(&files.calibration)).compile().map_err(message)?;
        let (graph, plan) = (&compiled.graph, &compiled.plan);
        let network = Network::new(plan).context(|| format!("{} is no chain of layers", files.model.display()))?;
        let adders = |digits| Adders::new(&network, digits).accumulation();
        let inputs = data::load(&files.inputs).map_err(message)?;
        let rows = data::Rows::new(graph, &inputs, &files.inputs).map_err(message)?;
        let labels = files.labels.as_ref().map(|file| data::load_labels(file, rows.len(), classes(graph)));
        let labels = labels.transpose().map_err(message)?;
        let found = evaluate(graph, plan, &rows, labels.as_deref(), &mut |_| {}).figures;
        let measured = boards.iter().map(|board| self.measure(files, builder, board)).collect::<Result<_>>()?;
        let design = Design {
            name: name.into(),
            missed: false,
            accuracy: found.quantized_accuracy.unwrap_or_default(),
            adders: adders(Digits::Binary),
            adders_signed: adders(Digits::Signed),
            boards: measured,
        };
        Ok((design, found.float_accuracy.unwrap_or_default()))
    }

    /// Runs a network on a board, in whichever emission is predicted to be better there.
    fn measure(&self, files: &Files, builder: &dyn Fn(Builder) -> Builder, board: &Board) -> Result<Measured> {
        let configure = |b: Builder| builder(b).target(board.kernels()).emission(Emission::Auto);
        let simulated = artifact::simulate(files, configure, Some(self.rows))?;
        let options = Options { opt: Opt::Speed, limit: Duration::from_secs(600) };
        let report = emulate::run(board, &simulated.artifact, options);
        artifact::discard(&simulated.artifact)?;
        let report = report?;
        report.verdict()?;
        let layers = &simulated.compiled.report.layers;
        Ok(Measured {
            core: board.core.clone(),
            straight_line: layers.iter().any(|layer| layer.kernel == "Bespoke"),
            instructions: report.instructions_mean,
            flash_bytes: report.flash_bytes,
            ram_bytes: report.ram_bytes + i64::from(report.stack_bytes),
        })
    }
}

/// The boards that are measured: small cores with and without a multiplier, and one that is not small.
pub fn boards() -> Result<Vec<Board>> {
    let all = board::all()?;
    let of = |core: &&str| all.iter().find(|board| board.core == *core && board.emulator.is_some()).cloned();
    Ok(CORES.iter().filter_map(|core| of(core)).collect())
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
