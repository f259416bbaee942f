//! `cargo xtask`: sets up, builds, emulates and measures the boards. `boards/boards.toml` says which there are.

mod approximations;
mod artifact;
mod bench;
mod board;
mod costs;
mod demo;
mod demos;
#[cfg(test)]
mod device_tests;
mod elf;
mod emulate;
#[cfg(test)]
mod emulated_tests;
mod emulator;
mod error;
mod firmware;
mod fixture;
mod flash;
mod list;
mod markers;
mod metrics;
mod observers;
mod out;
mod paper;
mod pictures;
#[path = "../../harness/src/protocol.rs"]
#[allow(dead_code, reason = "the firmware writes what is only read here")]
mod protocol;
mod qemu;
mod rp2040js;
mod setup;
mod simavr;
mod steps;
mod systick;
mod text;
mod uf2;
mod workspace;

use artifact::Files;
use clap::{Args, Parser, Subcommand};
use emulate::Options;
use error::{Context, Error, Result};
use firmware::Opt;
use out::{out, outln};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tinymlp_codegen::{Builder, Core, Emission, Format, Mode, Observer};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Sets up, builds, emulates and measures the boards")]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Install what is missing to build and emulate the boards, and say what was done.
    Setup,
    /// Recognise digits on the emulated boards: sets up, generates, runs, draws, measures. With a name: a demo with real
    /// peripherals, or with recordings in their place.
    Demo(demos::Arguments),
    /// Run everything that is checked; a missing emulator is a failure.
    Test,
    /// Run a model on an emulated board and compare every output with the host, bit for bit.
    Emulate(Box<Emulate>),
    /// Build a board's firmware, flash it, and wait for what its self-test reports.
    Flash(Box<flash::Arguments>),
    /// Measure the benchmark models on all emulated boards, beside recorded peers and targets.
    Bench(bench::Arguments),
    /// List the boards, what is installed for them and what can be emulated here.
    Boards(list::Arguments),
    /// Measure the shipped text models on all emulated boards, and compare their answers to utterances with the host's.
    Text(text::Arguments),
    /// Train, tune, approximate and measure the networks of the bespoke-MLP paper on its data sets.
    Paper(paper::Arguments),
    /// Compare the ways of choosing ranges on held-out calibration rows.
    Observers,
    /// Measure models with approximations on emulated boards.
    Approximations(approximations::Arguments),
    /// Draw the pictures of `codegen/docs`.
    Pictures,
    /// Say what a firmware file takes, and which symbols in it should not be there.
    CheckElf {
        /// The file.
        elf: PathBuf,
    },
}

#[derive(Args)]
struct Emulate {
    /// Name of the board: see `cargo xtask boards`.
    board: String,
    /// The model file; digits with its test set, if not given.
    #[arg(long, requires_all = ["calibration", "inputs"])]
    model: Option<PathBuf>,
    /// Representative inputs, for quantization.
    #[arg(long, requires = "model")]
    calibration: Option<PathBuf>,
    /// Inputs to run.
    #[arg(long, requires = "model")]
    inputs: Option<PathBuf>,
    /// The right answers.
    #[arg(long, requires = "model")]
    labels: Option<PathBuf>,
    /// How ranges are chosen: min-max, mse, percentile or percentile=99.9.
    #[arg(long, default_value = "min-max")]
    observer: Observer,
    /// How much further than the calibration data ranges reach, as a share.
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    headroom: f64,
    /// A layer or input that gets int16 activations (repeatable; `all` for all).
    #[arg(long, value_name = "NAME")]
    int16: Vec<String>,
    /// Format of the weights: int8, int4, ternary, pow2 or pow2-nonzero.
    #[arg(long, value_name = "FORMAT")]
    weights: Option<Format>,
    /// Inputs of so many bits, 1 to 8.
    #[arg(long, value_name = "BITS")]
    input_bits: Option<u32>,
    /// A JSON file that says how inputs and layers are quantized.
    #[arg(long, value_name = "FILE")]
    quantization: Option<PathBuf>,
    /// Give the class, an index, instead of a number a class.
    #[arg(long)]
    argmax: bool,
    /// How fully connected layers become code: tables, bespoke or auto.
    #[arg(long, default_value = "tables")]
    emission: Emission,
    /// Whose kernels to call; the board's, if not given.
    #[arg(long, value_name = "CORE")]
    target: Option<Core>,
    /// What comes first: size, balanced or speed.
    #[arg(long, default_value = "balanced")]
    mode: Mode,
    /// Only kernels whose instructions do not depend on the data.
    #[arg(long)]
    constant_time: bool,
    /// Run only the first rows.
    #[arg(long)]
    limit: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// The firmware's opt-level: speed (3), size (s), or size before everything (z).
    #[arg(long, value_enum, default_value = "3")]
    opt: Opt,
    /// Seconds until the emulator is stopped.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// Instead of a model: a hand-written module, with arbitrary inputs.
    #[arg(long, hide = true, conflicts_with_all = ["model", "calibration", "inputs", "labels"])]
    fixture: Option<String>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Subcommands::Setup => setup::run(),
        Subcommands::Demo(arguments) => demos::run(&arguments),
        Subcommands::Test => steps::run(),
        Subcommands::Emulate(arguments) => emulate(&arguments),
        Subcommands::Flash(arguments) => flash::run(&arguments),
        Subcommands::Bench(arguments) => bench::run(&arguments),
        Subcommands::Boards(arguments) => list::run(&arguments),
        Subcommands::Text(arguments) => text::run(&arguments),
        Subcommands::Paper(arguments) => paper::run(&arguments),
        Subcommands::CheckElf { elf } => check_elf(&elf),
        Subcommands::Observers => observers::run(),
        Subcommands::Approximations(arguments) => approximations::run(&arguments),
        Subcommands::Pictures => pictures::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn emulate(arguments: &Emulate) -> Result<()> {
    let board = board::find(&arguments.board)?;
    let options = Options { opt: arguments.opt, limit: Duration::from_secs(arguments.timeout) };
    let report = match &arguments.fixture {
        Some(name) => emulate::run(&board, &fixture::named(name, arguments.limit.unwrap_or(100))?, options)?,
        None => {
            let Emulate { model, calibration, inputs, labels, .. } = arguments;
            let files = match (model, calibration, inputs) {
                (Some(model), Some(calibration), Some(inputs)) => Files {
                    model: model.clone(),
                    calibration: calibration.clone(),
                    inputs: inputs.clone(),
                    labels: labels.clone(),
                },
                _ => Files::digits(),
            };
            let configure = |mut builder: Builder| {
                builder = builder.observer(arguments.observer).headroom(arguments.headroom);
                builder = builder.target(arguments.target.unwrap_or(board.kernels())).mode(arguments.mode);
                builder = builder.emission(arguments.emission);
                if let Some(format) = arguments.weights {
                    builder = builder.weights(format);
                }
                if let Some(bits) = arguments.input_bits {
                    builder = builder.input_bits(bits);
                }
                if let Some(file) = &arguments.quantization {
                    builder = builder.quantization(file);
                }
                if arguments.argmax {
                    builder = builder.arg_max();
                }
                if arguments.constant_time {
                    builder = builder.constant_time();
                }
                arguments.int16.iter().fold(builder, |b, layer| b.int16(layer))
            };
            let artifact = artifact::simulate(&files, configure, arguments.limit)?.artifact;
            let report = emulate::run(&board, &artifact, options);
            artifact::discard(&artifact)?;
            report?
        }
    };
    if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&report).context(|| "cannot write JSON".into())?);
    } else {
        out!("{}", emulate::table(std::slice::from_ref(&report)));
        outln!("{}", report.rustc);
    }
    report.verdict()
}

fn check_elf(path: &std::path::Path) -> Result<()> {
    let image = elf::inspect(path)?;
    outln!("flash {} B, RAM {} B without the stack", image.flash_bytes, image.ram_bytes);
    for forbidden in &image.forbidden {
        outln!("{}: {}", forbidden.reason, forbidden.symbol);
    }
    match image.forbidden.len() {
        0 => Ok(()),
        n => Err(Error::new(format!("{n} symbols should not be in {}", path.display()))),
    }
}
