//! `tinymlp search`.

use super::Share;
use super::out::outln;
use super::table::{table, thousands};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::error::Problems;
use tinymlp_codegen::graph::{Graph, Kind};
use tinymlp_codegen::quantize::config::Config;
use tinymlp_codegen::report::classes;
use tinymlp_codegen::search::{Device, Front, Objective, Point, Rate, Search};
use tinymlp_codegen::{Builder, Core, Emission, Format, Mode, Problem, Result, Target};

/// Arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    /// Model file (.onnx): float, or written by `tune`. What its quantization fixes stays as it is.
    model: PathBuf,
    /// Inputs to search with, one a row (.npy, .npz or .csv). Keep the test rows out of it.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Class of each row, counted from 0 (.npy or .csv).
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// What it is for: a core, a chip or a Rust target, or `printed` for a circuit.
    #[arg(long, value_name = "CORE")]
    target: For,
    /// What is minimized beside the error: instructions, flash, ram or adders. For circuits it is adders, else instructions,
    /// if not given.
    #[arg(long, value_name = "COST")]
    objective: Option<Objective>,
    /// The most that accuracy may be below the float reference, such as 1% (repeatable): the cheapest point for each is
    /// named.
    #[arg(long, value_name = "SHARE", default_values = ["1%", "2%", "5%"])]
    max_accuracy_drop: Vec<Share>,
    /// Float model that the drop is relative to; the given one, if not said.
    #[arg(long, value_name = "FILE.onnx")]
    reference: Option<PathBuf>,
    /// Folder for the front, its picture and its points, and the state that an interrupted search goes on from.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A JSON file that says how inputs and layers are quantized, instead of what the model file says of it.
    #[arg(long, value_name = "FILE")]
    quantization: Option<PathBuf>,
    /// A format that layers may have whose format is open (repeatable, the most exact first).
    #[arg(long, value_name = "FORMAT", default_values = ["int8", "int4", "pow2", "ternary"])]
    weights: Vec<Format>,
    /// What comes first where kernels can be either fast or small: size, balanced or speed.
    #[arg(long, default_value = "balanced", value_name = "MODE")]
    mode: Mode,
    /// How fully connected layers become code: tables, bespoke (weights as instructions), or auto for what is cheaper.
    #[arg(long, default_value = "auto", value_name = "EMISSION")]
    emission: Emission,
    /// Part of the rows of each class that is held out of the search and tells the accuracy.
    #[arg(long, value_name = "SHARE", default_value = "20%")]
    validation: Share,
    /// Accept classes of the model with less than two rows.
    #[arg(long)]
    allow_missing_classes: bool,
    /// What all that is random follows from: the same seed gives the same files. With the seed and the validation share of
    /// `tune`, the rows are those that were held out there.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Candidates of a generation.
    #[arg(long, value_name = "N", default_value_t = 200)]
    population: usize,
    /// Generations.
    #[arg(long, value_name = "N", default_value_t = 100)]
    generations: usize,
    /// Candidates that are evaluated side by side; as many as there are cores, if not given. It changes no result.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Begin anew where the folder holds an interrupted search, or another one.
    #[arg(long)]
    restart: bool,
}

/// A core or a circuit.
#[derive(Clone, Copy, Debug)]
enum For {
    Core(Core),
    Printed,
}

impl FromStr for For {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "printed" { Ok(Self::Printed) } else { Ok(Self::Core(text.parse()?)) }
    }
}

pub(super) fn run(options: &Options) -> Result<()> {
    let mut problems = Problems::default();
    let model = problems.take(model(&options.model, options.quantization.as_deref()));
    let reference = options.reference.as_ref().and_then(|file| problems.take(self::model(file, None)));
    let data = problems.take(data::load(&options.data));
    let rows = model
        .as_ref()
        .zip(data)
        .and_then(|((_, graph, _), data)| problems.take(Rows::new(graph, &data, &options.data)));
    let labels = model.as_ref().zip(rows.as_ref()).and_then(|((_, graph, _), rows)| {
        problems.take(data::load_labels(&options.labels, rows.len(), classes(graph)))
    });
    let config = model.as_ref().and_then(|(builder, graph, _)| problems.take(builder.config(graph)));
    let made = !options.out.exists();
    problems.take(check_folder(&options.out));
    let found = problems.finish(()).and_then(|()| searched(options, (model, reference), (rows, labels), config));
    if found.is_err() && made {
        // Only if nothing is in it.
        let _ = std::fs::remove_dir(&options.out);
    }
    let (front, rate, appended) = found?;
    front.write(&options.out)?;
    print(options, &front, rate, appended);
    unmet(&front)
}

/// Everything was found to be there.
fn searched(
    options: &Options,
    (model, reference): (Option<Model>, Option<Model>),
    (rows, labels): (Option<Rows>, Option<Vec<usize>>),
    config: Option<Config>,
) -> Result<(Front, Rate, bool)> {
    let (Some((_, graph, appended)), Some(rows), Some(labels), Some(config)) = (model, rows, labels, config) else {
        unreachable!("what is missing was a problem")
    };
    let state = options.out.join("state.json");
    if options.restart && state.exists() {
        std::fs::remove_file(&state).map_err(|e| cannot_write(&state, e))?;
    }
    let mut search = search(options, &graph, config);
    if let Some((_, reference, _)) = &reference {
        search = search.reference(reference);
    }
    if options.allow_missing_classes {
        search = search.allow_missing_classes();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    let stage = RefCell::new("");
    let found = search.run(&rows, &labels, Some(&state), &|progress| {
        if *stage.borrow() != progress.stage {
            *stage.borrow_mut() = progress.stage;
            bar.reset();
            bar.set_message(progress.stage);
        }
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
    });
    bar.finish_and_clear();
    let (front, rate) = found.map_err(|e| e.in_file(&options.model))?;
    Ok((front, rate, appended))
}

/// A model with its builder; with the class as its result, and whether that had to be appended.
type Model = (Builder, Graph, bool);

/// Reads a model.
fn model(file: &Path, quantization: Option<&Path>) -> Result<Model> {
    let mut builder = Builder::new(file);
    if let Some(file) = quantization {
        builder = builder.quantization(file);
    }
    let graph = builder.graph()?;
    let appended = graph.outputs.iter().any(|output| graph.tensors[output.tensor].kind == Kind::Real);
    if !appended {
        return Ok((builder, graph, false));
    }
    let builder = builder.arg_max();
    let graph = builder.graph()?;
    Ok((builder, graph, true))
}

fn search<'g>(options: &Options, graph: &'g Graph, config: Config) -> Search<'g> {
    let (target, usual) = match options.target {
        For::Printed => (Device::Circuit, Objective::Adders),
        For::Core(core) => {
            let target = Target { core, mode: options.mode, constant_time: false };
            (Device::Core(target), Objective::Instructions)
        }
    };
    let drops: Vec<f64> = options.max_accuracy_drop.iter().map(|share| share.0).collect();
    let search = Search::new(graph, config)
        .target(target)
        .objective(options.objective.unwrap_or(usual))
        .emission(options.emission)
        .formats(&options.weights)
        .budgets(&drops)
        .validation(options.validation.0)
        .seed(options.seed)
        .population(options.population)
        .generations(options.generations);
    if let Some(count) = options.threads { search.threads(count) } else { search }
}

fn cannot_write(path: &Path, reason: impl std::fmt::Display) -> Problem {
    Problem::new(path.display().to_string(), format!("cannot be written: {reason}"))
}

/// Whether files can be written to a folder, before hours of searching. It is made, if needed.
fn check_folder(folder: &Path) -> Result<()> {
    let trial = folder.join(format!(".trial.{}", std::process::id()));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&trial, ""));
    let removed = written.and_then(|()| std::fs::remove_file(&trial));
    removed.map_err(|e| cannot_write(folder, e).into())
}

fn print(options: &Options, front: &Front, rate: Rate, appended: bool) {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    if front.grouped {
        eprintln!(
            "note: the network has more than 4,096 weights: each output leaves out sixteenths of its summands, the least \
             important first, instead of one by one"
        );
    }
    outln!(
        "{}: {} rows steered the search, {} were held out",
        front.model,
        thousands(front.steering_rows as u64),
        thousands(front.held_out_rows as u64)
    );
    outln!(
        "float reference: {} % on the rows held out, {} % on those that steered; points lose {} points more there in the mean",
        percent(front.reference_accuracy),
        percent(front.reference_steering_accuracy),
        percent(front.optimism)
    );
    if rate.candidates > 0 {
        outln!(
            "{} candidates, {:.0} a second; one takes {:.3} ms on one core",
            thousands(rate.candidates),
            rate.per_second,
            1e3 * rate.seconds_each
        );
    }
    let count = |count: Option<usize>| count.map_or("-".into(), |count| thousands(count as u64));
    let row = |point: &Point| {
        vec![
            point.name.clone(),
            percent(point.accuracy),
            percent(point.expected_accuracy),
            percent(point.steering_accuracy),
            thousands(point.cost.full_adders as u64),
            thousands(point.cost.comparator_bits as u64),
            point.cost.instructions.map_or("-".into(), |count| thousands(count as u64)),
            count(point.cost.flash_bytes),
            count(point.cost.ram_bytes),
            thousands(point.left_out as u64),
            point.formats.values().cloned().collect::<Vec<_>>().join(" "),
        ]
    };
    let header = [
        "",
        "held out [%]",
        "expected [%]",
        "steering [%]",
        "full adders",
        "comparator bits",
        "instructions",
        "flash [B]",
        "RAM [B]",
        "left out",
        "weights",
    ];
    let rows = [&front.exact].into_iter().chain(&front.points).map(row);
    outln!("{}", table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9], rows));
    for budget in &front.budgets {
        let drop = format!("{} %", (1e4 * budget.max_drop).round() / 100.0);
        match &budget.point {
            Some(name) => outln!("at most {drop} below the reference: {name} is the cheapest"),
            None => {
                outln!("at most {drop} below the reference: none; {} comes nearest", nearest(budget.nearest.as_ref()))
            }
        }
    }
    outln!();
    for point in &front.points {
        outln!("{}", command(options, front, point, appended));
    }
    outln!("wrote front.json, front.svg and the points to {}", options.out.display());
}

/// How a point is built.
fn command(options: &Options, front: &Front, point: &Point, appended: bool) -> String {
    let path = |path: &Path| {
        let text = path.display().to_string();
        if text.contains(|c: char| c.is_whitespace() || "\"'\\$&;()*?[]<>|`!#~".contains(c)) {
            format!("'{}'", text.replace('\'', "'\\''"))
        } else {
            text
        }
    };
    let mut command = format!(
        "cargo tinymlp build {} --calibration {} --quantization {}",
        path(&options.model),
        path(&options.out.join("calibration.npy")),
        path(&options.out.join(&point.file))
    );
    if appended {
        command += " --argmax";
    }
    if front.constant_columns {
        command += " --allow-constant-columns";
    }
    if let For::Core(core) = options.target {
        command += &format!(" --target {core}");
        if options.mode != Mode::default() {
            command += &format!(" --mode {}", options.mode);
        }
    }
    command + &format!(" --out {}", path(&options.out.join(&point.name)))
}

fn nearest(name: Option<&String>) -> &str {
    name.map_or("no point", String::as_str)
}

/// An error, if some budget is kept by no point. All files are there.
fn unmet(front: &Front) -> Result<()> {
    let unmet = front.budgets.iter().filter(|budget| budget.point.is_none());
    let drops: Vec<String> = unmet.clone().map(|b| format!("{} %", (1e4 * b.max_drop).round() / 100.0)).collect();
    let Some(budget) = unmet.clone().next() else { return Ok(()) };
    let near = budget.nearest.as_ref().and_then(|name| front.point(name));
    let near = near.map_or("no point".to_owned(), |point| {
        let lost = |accuracy: f64| 100.0 * (front.reference_accuracy - accuracy);
        let (held, expected) = (lost(point.accuracy), lost(point.expected_accuracy));
        format!(
            "{}, which loses {held:.2} points on the rows held out and is expected to lose {expected:.2}",
            point.name
        )
    });
    Err(Problem::new("budget", format!("no point loses at most {}; the nearest is {near}", drops.join(" or ")))
        .help("tune the model first, search longer (--generations), or allow more; the front was written all the same")
        .into())
}
