//! `cargo xtask approximations`: what approximations of shipped models cost on emulated boards, for
//! `codegen/docs/approximation.md`.

use crate::artifact::{self, Files};
use crate::bench::grouped;
use crate::board::{self, Board};
use crate::emulate::{self, Options, Report};
use crate::error::Result;
use crate::firmware::Opt;
use crate::out::outln;
use crate::{markers, setup, workspace};
use clap::Args;
use std::fmt::Write;
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
}

const fn way(name: &'static str, configure: fn(Builder) -> Builder) -> Way {
    Way { name, file: "model.onnx", configure }
}

/// Inputs of four bits, powers of two, and the class alone.
fn small(builder: Builder) -> Builder {
    builder.weights(Format::PowerOfTwo).input_bits(4).arg_max()
}

const COMPARISONS: &[Comparison] = &[
    Comparison {
        title: "**Weights**: digits, 64-32-10",
        folder: "digits",
        ways: &[
            way("int8", |b| b),
            way("int4", |b| b.weights(Format::Int4)),
            way("pow2", |b| b.weights(Format::PowerOfTwo)),
            way("ternary", |b| b.weights(Format::Ternary)),
        ],
    },
    Comparison {
        title: "**Weights, trained for their integers**: mnist16, 256-64-64-64-10 and the class",
        folder: "mnist16",
        ways: &[way("int4", |b| b), Way { name: "pow2", file: "model_pow2.onnx", configure: |b| b }],
    },
    Comparison {
        title: "**Straight-line code**: wdbc, 30-10-2",
        folder: "wdbc",
        ways: &[
            way("int8", Builder::arg_max),
            way("pow2, inputs of 4 bits", small),
            way("pow2, inputs of 4 bits, straight-line", |b| small(b).emission(Emission::Bespoke)),
        ],
    },
    Comparison {
        title: "**Activation**: wine, 13-16-16-3 with a skip and SiLU",
        folder: "wine",
        ways: &[way("tables", |b| b), way("straight segments within 2 steps", |b| b.piecewise(2))],
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
        "Instructions (mean of {ROWS} rows) and bytes of flash of the model, mode `size` at opt-level `s`, by `cargo xtask \
         approximations --update-page`.\n"
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
    let configure = |builder: Builder| (way.configure)(builder.target(board.kernels()).mode(Mode::Size));
    let artifact = artifact::simulate(&files, configure, Some(ROWS))?.artifact;
    let report = emulate::run(board, &artifact, Options { opt: Opt::Size, limit: Duration::from_secs(300) });
    artifact::discard(&artifact)?;
    match report {
        Ok(report) => report.verdict().map(|()| Some(report)),
        Err(error) if error.is_too_big() => Ok(None),
        Err(error) => Err(error),
    }
}

fn cell(report: Option<Report>) -> String {
    let Some(report) = report else { return "too large".into() };
    let instructions = grouped(report.instructions_mean.round() as u64);
    format!("{instructions}; {} B", grouped(report.flash_bytes.unsigned_abs()))
}
