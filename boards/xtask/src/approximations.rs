//! `cargo xtask approximations`: what approximations of shipped models cost on emulated boards, for
//! `codegen/docs/approximation.md`.

use crate::artifact::{self, Files};
use crate::bench::grouped;
use crate::board::{self, Board};
use crate::emulate::{self, Options, Report};
use crate::error::{Context, Result};
use crate::firmware::Opt;
use crate::out::outln;
use crate::{markers, setup, workspace};
use clap::Args;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tinymlp_codegen::{Builder, Emission, Format, Mode};

/// Options of the command.
#[derive(Args)]
pub struct Arguments {
    /// Write the tables of the page anew.
    #[arg(long)]
    update_page: bool,
}

/// A model in several ways.
struct Comparison {
    /// What the table is called.
    title: &'static str,
    /// Folder in `tests/models`.
    folder: &'static str,
    /// The ways, the one that the others are compared with first.
    ways: &'static [Way],
}

/// A way of generating it.
struct Way {
    name: &'static str,
    file: &'static str,
    configure: fn(Builder) -> Builder,
    /// JSON, instead of what the model file says of its quantization.
    quantization: Option<&'static str>,
    /// The compiler's option, with the mode that goes with it.
    opt: Opt,
}

/// For least flash.
const fn small(name: &'static str, configure: fn(Builder) -> Builder) -> Way {
    Way { name, file: "model.onnx", configure, quantization: None, opt: Opt::Size }
}

/// As a user gets it who asks for nothing.
const fn default(name: &'static str, configure: fn(Builder) -> Builder) -> Way {
    Way { opt: Opt::Speed, ..small(name, configure) }
}

/// Inputs of four bits, powers of two, and the class alone.
fn shifts(builder: Builder) -> Builder {
    builder.weights(Format::PowerOfTwo).input_bits(4).arg_max()
}

/// wdbc with a truncated ReLU, whose shift suits the calibration rows, and sums that are compared. It is not trained for it.
const TRUNCATED: Option<&str> =
    Some(r#"{"version": 1, "layers": {"/hidden/Gemm": {"shift": 4}, "/output/Gemm": {"scale": 0.0145}}}"#);

const COMPARISONS: &[Comparison] = &[
    Comparison {
        title: "**Weights**: digits, 64-32-10; mode `size`, opt-level `s`",
        folder: "digits",
        ways: &[
            small("int8", |b| b),
            small("int4", |b| b.weights(Format::Int4)),
            small("pow2", |b| b.weights(Format::PowerOfTwo)),
            small("ternary", |b| b.weights(Format::Ternary)),
        ],
    },
    Comparison {
        title: "**Weights, trained for their integers**: mnist16, 256-64-64-64-10 and the class; mode `size`, opt-level `s`",
        folder: "mnist16",
        ways: &[small("int4", |b| b), Way { file: "model_pow2.onnx", ..small("pow2", |b| b) }],
    },
    Comparison {
        title: "**Straight-line code**: wdbc, 30-10-2 and the class; mode `balanced`, opt-level `3`",
        folder: "wdbc",
        ways: &[
            default("int8", Builder::arg_max),
            Way { quantization: TRUNCATED, ..default("pow2, inputs of 4 bits, truncated ReLU", shifts) },
            Way {
                quantization: TRUNCATED,
                ..default("the same, straight-line", |b| shifts(b).emission(Emission::Bespoke))
            },
            default("straight-line with a rounded ReLU", |b| shifts(b).emission(Emission::Bespoke)),
        ],
    },
    Comparison {
        title: "**Activation**: wine, 13-16-16-3 with a skip and two SiLU of 16; mode `size`, opt-level `s`",
        folder: "wine",
        ways: &[small("tables", |b| b), small("straight segments within 2 steps", |b| b.piecewise(2))],
    },
];

/// Boards, one a kind of core.
const BOARDS: [&str; 5] = ["microbit", "mps2-an386", "riscv32imc", "riscv32ec", "arduino-uno"];

/// Rows that run on the boards.
const ROWS: usize = 20;

/// Measures and prints, and writes the page as asked.
pub fn run(arguments: &Arguments) -> Result<()> {
    let boards = BOARDS.into_iter().map(board::find).collect::<Result<Vec<_>>>()?;
    boards.iter().try_for_each(setup::require)?;
    let mut text = format!(
        "Instructions of an inference (mean of {ROWS} rows) and bytes of flash of the model, by `cargo xtask approximations \
         --update-page` with {}.\n",
        workspace::rustc_version()?.split(';').next().unwrap_or_default()
    );
    for comparison in COMPARISONS {
        let cores = boards.iter().map(|board| format!(" {} |", board.core)).collect::<String>();
        let _ = write!(text, "\n{}\n\n| |{cores}\n| --- |{}\n", comparison.title, " --- |".repeat(boards.len()));
        for way in comparison.ways {
            let cells = boards.iter().map(|board| Ok(format!(" {} |", cell(measure(comparison, way, board)?))));
            let _ = writeln!(text, "| {} |{}", way.name, cells.collect::<Result<String>>()?);
        }
    }
    outln!("{text}");
    if arguments.update_page {
        markers::update(&workspace::root().join("codegen/docs/approximation.md"), "costs", &text)?;
    }
    Ok(())
}

/// Runs a model on a board; none where it is too small for it.
fn measure(comparison: &Comparison, way: &Way, board: &Board) -> Result<Option<Report>> {
    eprintln!("{}: {} on {}", comparison.folder, way.name, board.name);
    let folder = workspace::root().join("tests/models").join(comparison.folder);
    let file = |name: &str| folder.join(name);
    let files =
        Files { model: file(way.file), calibration: file("calibration.npy"), inputs: file("test_x.npy"), labels: None };
    let mode = if way.opt == Opt::Speed { Mode::Balanced } else { Mode::Size };
    let given = way.quantization.map(|text| quantization(comparison.folder, text)).transpose()?;
    let configure = |builder: Builder| {
        let builder = builder.target(board.kernels()).mode(mode);
        (way.configure)(given.iter().fold(builder, |builder, file| builder.quantization(file)))
    };
    let artifact = artifact::simulate(&files, configure, Some(ROWS))?.artifact;
    let report = emulate::run(board, &artifact, Options { opt: way.opt, limit: Duration::from_secs(300) });
    artifact::discard(&artifact)?;
    match report {
        Ok(report) => report.verdict().map(|()| Some(report)),
        Err(error) if error.is_too_big() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file of this quantization.
fn quantization(model: &str, text: &str) -> Result<PathBuf> {
    let folder = workspace::target().join("bench");
    fs::create_dir_all(&folder).context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(format!("{model}-quantization.json"));
    fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn cell(report: Option<Report>) -> String {
    let Some(report) = report else { return "too large".into() };
    let instructions = grouped(report.instructions_mean.round() as u64);
    format!("{instructions}; {} B", grouped(report.flash_bytes.unsigned_abs()))
}
