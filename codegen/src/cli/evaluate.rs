//! `tinymlp evaluate`.

use super::Quantization;
use super::out::outln;
use indicatif::{ProgressBar, ProgressStyle};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::report::{Evaluation, classes, evaluate};
use tinymlp_codegen::{Problem, Result};

/// Arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    quantization: Quantization,
    /// Inputs to evaluate on, one a row (.npy, .npz or .csv).
    #[arg(long, value_name = "FILE")]
    inputs: PathBuf,
    /// Class of each row, counted from 0 (.npy or .csv).
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Only the first rows.
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Save the dequantized outputs.
    #[arg(long, value_name = "FILE.npy")]
    outputs: Option<PathBuf>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let compiled = options.quantization.builder().compile()?;
    let (graph, plan) = (&compiled.graph, &compiled.plan);
    for note in &plan.notes {
        eprintln!("note: {note}");
    }
    let mut rows = Rows::new(graph, &data::load(&options.inputs)?, &options.inputs)?;
    let labels = match &options.labels {
        Some(file) => Some(data::load_labels(file, rows.len(), classes(graph))?),
        None => None,
    };
    if let Some(limit) = options.limit {
        rows = rows.limited(limit.get());
    }
    let bar = if options.json { ProgressBar::hidden() } else { ProgressBar::new(rows.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {eta} left") {
        bar.set_style(style);
    }
    let found = evaluate(graph, plan, &rows, labels.as_deref(), &mut |n| bar.set_position(n as u64));
    bar.finish_and_clear();
    if let Some(file) = &options.outputs {
        let bytes = data::write_npy(found.outputs.len() / rows.len().max(1), &found.outputs);
        std::fs::write(file, bytes)
            .map_err(|e| Problem::new(file.display().to_string(), format!("cannot be written: {e}")))?;
    }
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&found.figures).unwrap_or_default());
    } else {
        print(&found.figures);
    }
    Ok(())
}

fn print(f: &Evaluation) {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    outln!("rows                {}", f.rows);
    if let (Some(float), Some(quantized)) = (f.float_accuracy, f.quantized_accuracy) {
        outln!("float accuracy      {}", percent(float));
        outln!("quantized accuracy  {}", percent(quantized));
    }
    if let Some(agreement) = f.agreement {
        outln!("agreement           {}", percent(agreement));
    }
    outln!("max. abs. error     {:.6}", f.max_abs_error);
    outln!("SQNR                {}", f.sqnr_db.map_or("-".into(), |db| format!("{db:.2} dB")));
}
