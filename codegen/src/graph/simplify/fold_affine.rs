//! Factors and terms (`BatchNormalization`, biases, scalers) folded into the fully connected layers beside them.

use super::affine::{Affine, affine_of};
use crate::graph::{Graph, Node, Op, TensorId};
use std::sync::Arc;

/// Folds what can be folded; true if anything was.
pub(super) fn fold(graph: &mut Graph) -> bool {
    let mut changed = false;
    for k in 0..graph.nodes.len() {
        let Some(affine) = affine_of(graph, &graph.nodes[k]) else { continue };
        changed |= into_producer(graph, k, &affine) || into_consumers(graph, k, &affine);
    }
    changed
}

/// `Gemm` then affine, where nobody else reads the `Gemm`.
fn into_producer(graph: &mut Graph, k: usize, affine: &Affine) -> bool {
    let source = affine.source;
    let Some(producer) = graph.producer(source) else { return false };
    let Op::Gemm { weight, bias } = &graph.nodes[producer].op else { return false };
    let outputs = bias.len();
    if outputs % affine.factor.len() != 0 || graph.consumers(source) != [k] || graph.is_output(source) {
        return false;
    }
    let inputs = weight.len() / outputs;
    let channel = |o: usize| (affine.factor[o % affine.factor.len()], affine.term[o % affine.factor.len()]);
    let scaled: Vec<f32> =
        weight.iter().enumerate().map(|(i, &w)| (f64::from(w) * channel(i / inputs).0) as f32).collect();
    let moved: Vec<f32> =
        bias.iter().enumerate().map(|(o, &b)| (f64::from(b) * channel(o).0 + channel(o).1) as f32).collect();
    let first = graph.nodes[producer].clone();
    let node = &mut graph.nodes[k];
    node.op = Op::Gemm { weight: scaled.into(), bias: moved.into() };
    node.inputs = first.inputs;
    // The layer keeps the name of the multiplication: that is the one people know.
    node.name = first.name;
    node.origin =
        if first.origin.contains("Gemm") || first.origin.contains("MatMul") { "Gemm".into() } else { first.origin };
    true
}

/// Affine then `Gemm`s only. An affine function of a model input with a factor per feature stays: it becomes the
/// input's quantization, where it costs nothing and each feature keeps its own resolution.
fn into_consumers(graph: &mut Graph, k: usize, affine: &Affine) -> bool {
    let output = graph.nodes[k].output;
    let consumers = graph.consumers(output);
    let uniform =
        affine.factor.iter().all(|f| f == &affine.factor[0]) && affine.term.iter().all(|t| t == &affine.term[0]);
    if graph.is_output(output) || consumers.is_empty() || (graph.inputs.contains(&affine.source) && !uniform) {
        return false;
    }
    let fits = |node: &Node| match &node.op {
        Op::Gemm { weight, bias } => (weight.len() / bias.len()).is_multiple_of(affine.factor.len()),
        _ => false,
    };
    if !consumers.iter().all(|&c| fits(&graph.nodes[c])) {
        return false;
    }
    for &c in &consumers {
        let node = &mut graph.nodes[c];
        if let Op::Gemm { weight, bias } = &node.op {
            node.op = absorb(affine, weight, bias);
            node.inputs = vec![affine.source as TensorId];
        }
    }
    true
}

/// `W (f x + t) + b` as one layer.
fn absorb(affine: &Affine, weight: &[f32], bias: &[f32]) -> Op {
    let (inputs, period) = (weight.len() / bias.len(), affine.factor.len());
    let scaled: Vec<f32> =
        weight.iter().enumerate().map(|(i, &w)| (f64::from(w) * affine.factor[i % inputs % period]) as f32).collect();
    let moved = |(o, &b): (usize, &f32)| {
        let row = weight[o * inputs..(o + 1) * inputs].iter().enumerate();
        (f64::from(b) + row.map(|(i, &w)| f64::from(w) * affine.term[i % period]).sum::<f64>()) as f32
    };
    let moved: Arc<[f32]> = bias.iter().enumerate().map(moved).collect();
    Op::Gemm { weight: scaled.into(), bias: moved }
}
