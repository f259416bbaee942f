//! `tinymlp new`.

use super::out::outln;
use std::path::PathBuf;
use tinymlp_codegen::project::{Project, Settings, board};
use tinymlp_codegen::{Format, Mode, Result};

/// Arguments.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Options {
    /// The folder to make; its name is the package's.
    #[arg(value_name = "NAME")]
    folder: PathBuf,
    /// The board, as `cargo xtask boards` lists them.
    #[arg(long)]
    board: String,
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Representative inputs, one a row (.npy, .npz or .csv).
    #[arg(long, value_name = "FILE")]
    calibration: PathBuf,
    /// Format of the weights: int8, int4, ternary, pow2 or pow2-nonzero.
    #[arg(long, value_name = "FORMAT")]
    weights: Option<Format>,
    /// What comes first: size, balanced or speed.
    #[arg(long, default_value = "balanced")]
    mode: Mode,
    /// Inputs of so many bits, 1 to 8.
    #[arg(long, value_name = "BITS")]
    input_bits: Option<u32>,
    /// Give the class, an index, instead of a number a class.
    #[arg(long)]
    argmax: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let Options { folder, board: name, model, calibration, weights, mode, input_bits, argmax } = options.clone();
    let board = board(&name)?;
    board.require_toolchain()?;
    let settings = Settings { weights, mode, input_bits, arg_max: argmax };
    let project = Project { folder, board, model, calibration, settings };
    for file in project.create()? {
        outln!("wrote {}", file.display());
    }
    outln!("read {}", project.folder.join("README.md").display());
    Ok(())
}
