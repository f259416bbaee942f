//! `tinymlp inspect`.

use super::out::outln;
use super::table::{table, thousands};
use super::{Precision, Target, cost};
use std::path::PathBuf;
use tinymlp_codegen::graph::{Graph, Kind, Node, Op};
use tinymlp_codegen::{Builder, Problem, Result};

/// Arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    /// Model file (.onnx).
    model: PathBuf,
    /// Representative inputs, one a row (.npy, .npz or .csv): what a target's prediction rests on.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    precision: Precision,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: &Options) -> Result<()> {
    if options.target.target.is_some() {
        return predict(options);
    }
    let graph = Builder::new(&options.model).graph()?;
    outln!("{}", graph.name);
    for &id in &graph.inputs {
        let t = &graph.tensors[id];
        let what = match (&graph.text, t.batched) {
            (Some(_), _) => "  (words, and a bucket for each hash function)",
            (None, true) => "  (the first axis is the batch)",
            (None, false) => "",
        };
        outln!("  input   {} {:?}{what}", t.name, t.shape);
    }
    for output in &graph.outputs {
        let t = &graph.tensors[output.tensor];
        let labels = match (&output.labels, t.kind) {
            (None, _) => String::new(),
            (Some(labels), Kind::Index) => format!("  index of {labels:?}"),
            (Some(labels), Kind::Real) => format!("  of {labels:?}"),
        };
        outln!("  output  {} {:?}{labels}", output.name, t.shape);
    }
    let rows = graph.nodes.iter().map(|node| {
        vec![
            node.name.clone(),
            node.origin.clone(),
            format!("{:?}", graph.tensors[node.output].shape),
            thousands(macs(&graph, node)),
            thousands(parameters(&graph, node)),
        ]
    });
    outln!("{}", table(&["layer", "operator", "shape", "MACs", "parameters"], &[3, 4], rows));
    let total = |f: fn(&Graph, &Node) -> u64| thousands(graph.nodes.iter().map(|n| f(&graph, n)).sum());
    outln!("{} MACs, {} parameters", total(macs), total(parameters));
    Ok(())
}

/// What the model costs on the target.
fn predict(options: &Options) -> Result<()> {
    let Some(calibration) = &options.calibration else {
        // Nothing is made up instead: the weights' and activations' ranges decide which kernels are exact, and the zeros
        // among the activations which are fastest.
        return Err(Problem::new("--target", "needs representative inputs: they decide which kernels are taken")
            .help("pass --calibration FILE, a .npy, .npz or .csv file with a few hundred inputs")
            .into());
    };
    let builder = Builder::new(&options.model).calibration(calibration);
    let report = options.target.of(options.precision.of(builder)).compile()?.report;
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    outln!("{}: {}", report.model, report.quantization);
    outln!("{}", cost::table(&report));
    cost::totals(&report).iter().for_each(|line| outln!("{line}"));
    Ok(())
}

fn macs(graph: &Graph, node: &Node) -> u64 {
    let out = graph.tensors[node.output].len() as u64;
    match &node.op {
        Op::Gemm { weight, bias } => out * (weight.len() / bias.len().max(1)) as u64,
        Op::GemmColumns { weight, bias, .. } => out * (weight.len() / bias.len().max(1)) as u64,
        Op::MatMul => out * graph.tensors[node.inputs[0]].shape.last().copied().unwrap_or(1) as u64,
        _ => 0,
    }
}

fn parameters(graph: &Graph, node: &Node) -> u64 {
    let constants: usize =
        node.inputs.iter().filter(|&&i| graph.tensors[i].is_constant()).map(|&i| graph.tensors[i].len()).sum();
    let own = match &node.op {
        Op::Gemm { weight, bias } | Op::GemmColumns { weight, bias, .. } | Op::Projection { weight, bias, .. } => {
            weight.len() + bias.len()
        }
        Op::LayerNormalization { scale, bias, .. } => scale.len() + bias.len(),
        _ => 0,
    };
    (own + constants) as u64
}
