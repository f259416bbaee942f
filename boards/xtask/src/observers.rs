//! `cargo xtask observers`: which way of choosing ranges does best, on data that the ranges were not taken from.
//!
//! Every model's calibration file is cut into folds: ranges come from all folds but one, the figures from that one, and
//! the mean over the folds is printed. No test set is read.

use crate::error::{Context, Error, Result};
use crate::out::{out, outln};
use crate::workspace;
use std::path::{Path, PathBuf};
use tinymlp_codegen::Builder;
use tinymlp_codegen::calibrate::{Observer, StuckColumns, calibrate};
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::graph::Graph;
use tinymlp_codegen::quantize::{Options, quantize};
use tinymlp_codegen::report::evaluate;

const OBSERVERS: [(&str, Observer); 5] = [
    ("min-max", Observer::MinMax),
    ("99.99 %", Observer::Percentile(99.99)),
    ("99.9 %", Observer::Percentile(99.9)),
    ("99 %", Observer::Percentile(99.0)),
    ("mse", Observer::Mse),
];

const HEADROOMS: [f64; 5] = [0.0, 0.05, 0.1, 0.2, 0.4];

const FOLDS: usize = 8;

/// Prints the output's signal to quantization noise by model and observer, and the mean.
pub fn run() -> Result<()> {
    outln!("SQNR of the outputs in dB on rows that the ranges were not taken from ({FOLDS}-fold cross-validation)");
    HEADROOMS.into_iter().try_for_each(table)
}

fn table(headroom: f64) -> Result<()> {
    let mut sums = [0.0; OBSERVERS.len()];
    let models = models();
    outln!("\nheadroom {headroom}");
    out!("{:<24}", "");
    OBSERVERS.iter().for_each(|(name, _)| out!("{name:>10}"));
    outln!();
    for folder in &models {
        let (graph, rows) = load(folder)?;
        out!("{:<24}", name(folder));
        for (sum, (_, observer)) in sums.iter_mut().zip(OBSERVERS) {
            let mut sqnr = 0.0;
            for fold in 0..FOLDS {
                let others = rows.filtered(|row| row % FOLDS != fold);
                let calibration = calibrate(&graph, &others, StuckColumns::Allowed).context(|| name(folder))?;
                let options = Options { observer, headroom, ..Options::default() };
                let plan = quantize(&graph, &calibration, &options).context(|| name(folder))?;
                let held_out = rows.filtered(|row| row % FOLDS == fold);
                let found = evaluate(&graph, &plan, &held_out, None, &mut |_| {}).figures;
                sqnr += found.sqnr_db.unwrap_or(f64::NAN) / FOLDS as f64;
            }
            *sum += sqnr / models.len() as f64;
            out!("{sqnr:>10.2}");
        }
        outln!();
    }
    out!("{:<24}", "mean");
    sums.iter().for_each(|sum| out!("{sum:>10.2}"));
    outln!();
    Ok(())
}

fn name(folder: &Path) -> String {
    let parts: Vec<_> = folder.components().rev().take(2).map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.iter().rev().map(AsRef::as_ref).collect::<Vec<_>>().join("/")
}

/// The folders of the shipped models, and of those beside the checkout where they are.
fn models() -> Vec<PathBuf> {
    let root = workspace::root();
    let own = ["digits", "wdbc", "wine"].map(|name| root.join("tests/models").join(name));
    let shared = ["digits", "mnist", "wdbc"].map(|name| root.join("../shared/data/bench").join(name));
    own.into_iter().chain(shared).filter(|folder| folder.join("model.onnx").is_file()).collect()
}

fn load(folder: &Path) -> Result<(Graph, Rows)> {
    let message = |error: tinymlp_codegen::Error| Error::new(error.to_string());
    let graph = Builder::new(folder.join("model.onnx")).graph().map_err(message)?;
    let file = folder.join("calibration.npy");
    let data = data::load(&file).map_err(message)?;
    let rows = Rows::new(&graph, &data, &file).map_err(message)?;
    Ok((graph, rows))
}
