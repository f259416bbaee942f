//! `tinymlp evaluate`.

use super::Quantization;
use super::out::outln;
use indicatif::{ProgressBar, ProgressStyle};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::report::{Evaluation, classes, evaluate};
use tinymlp_codegen::text::{self, TextEvaluation, TextModel, Utterances};
use tinymlp_codegen::{Compiled, Problem, Result};

/// Arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    quantization: Quantization,
    /// Inputs to evaluate on, one a row (.npy, .npz or .csv); for a text model, label, text and, where it has slots, a tag a
    /// word, with tabs between the three and spaces between the tags (.tsv, .tsv.gz).
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
    if let Some(text) = &plan.text {
        return evaluate_text(options, &compiled, text);
    }
    let mut rows = Rows::new(graph, &data::load(&options.inputs)?, &options.inputs)?;
    let labels = match &options.labels {
        Some(file) => Some(data::load_labels(file, rows.len(), classes(graph))?),
        None => None,
    };
    if let Some(limit) = options.limit {
        rows = rows.limited(limit.get());
    }
    let bar = progress(options, rows.len());
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

/// The bar that shows how many rows are done.
fn progress(options: &Options, rows: usize) -> ProgressBar {
    let bar = if options.json { ProgressBar::hidden() } else { ProgressBar::new(rows as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// A text model's part: the labels are in the file of the texts.
fn evaluate_text(options: &Options, compiled: &Compiled, model: &TextModel) -> Result<()> {
    for (option, given) in [("--labels", &options.labels), ("--outputs", &options.outputs)] {
        if given.is_some() {
            return Err(Problem::new(option, "is not for text models")
                .help("labels are the first column of --inputs")
                .into());
        }
    }
    let mut utterances = Utterances::load(&options.inputs)?;
    if let Some(limit) = options.limit {
        utterances = utterances.limited(limit.get());
    }
    let bar = progress(options, utterances.rows.len());
    let (graph, plan) = (&compiled.graph, &compiled.plan);
    let found = text::evaluate(graph, plan, model, &utterances, &mut |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&found).unwrap_or_default());
    } else {
        print_text(&found);
    }
    Ok(())
}

fn print_text(f: &TextEvaluation) {
    outln!("utterances          {}", f.rows);
    outln!("                       float  quantized");
    let line = |what: &str, a: f64, b: f64| outln!("{what:<20}{:>6.2} %   {:>6.2} %", 100.0 * a, 100.0 * b);
    line("intent", f.float.intent, f.quantized.intent);
    for (what, a, b) in [("slots", f.float.slots, f.quantized.slots), ("exact match", f.float.exact, f.quantized.exact)]
    {
        if let (Some(a), Some(b)) = (a, b) {
            line(what, a, b);
        }
    }
    outln!("agreement           {}", percent(f.agreement));
    outln!("words               {}, {} of them cut, in {} utterances", f.words, f.words_cut, f.utterances_cut);
    outln!("no UTF-8            {} parts", f.invalid);
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn print(f: &Evaluation) {
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
