//! Layer normalization as exporters spell it before opset 17, in parts.

use super::affine::affine_of;
use super::fuse_softmax::{binary, keeps_axis, reduction};
use crate::graph::expr::Binary;
use crate::graph::{Expr, Graph, Op, Reduction, TensorId};
use std::sync::Arc;

/// Recognizes `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)` over the last axis, and takes factors and terms behind it
/// into the operator; true if anything was.
pub(super) fn fuse(graph: &mut Graph) -> bool {
    let mut changed = false;
    for k in 0..graph.nodes.len() {
        let fused = normalized(graph, k).or_else(|| scaled(graph, k));
        if let Some((op, x)) = fused {
            let node = &mut graph.nodes[k];
            (node.op, node.inputs, node.origin) = (op, vec![x], "LayerNormalization".into());
            changed = true;
        }
    }
    changed
}

fn normalized(graph: &Graph, k: usize) -> Option<(Op, TensorId)> {
    let quotient = binary(graph, k, Binary::Div).map(|(a, b)| (a, b, false));
    let product = || binary(graph, k, Binary::Mul).map(|(a, b)| (a, b, true));
    let (centred, root, reciprocal) = quotient.or_else(product)?;
    let found = parts(graph, centred, root, reciprocal);
    let (x, epsilon) = if reciprocal { found.or_else(|| parts(graph, root, centred, true))? } else { found? };
    let n = *graph.tensors[x].shape.last()?;
    let (scale, bias) = (vec![1.0; n].into(), vec![0.0; n].into());
    Some((Op::LayerNormalization { scale, bias, epsilon }, x))
}

/// `x` and epsilon, if `centred` is `x - mean(x)` and `root` the root of its variance and epsilon, or one over that.
fn parts(graph: &Graph, centred: TensorId, root: TensorId, reciprocal: bool) -> Option<(TensorId, f64)> {
    let last = graph.tensors[centred].shape.len().checked_sub(1)?;
    let (x, mean) = binary(graph, graph.producer(centred)?, Binary::Sub)?;
    if reduction(graph, mean, Reduction::Mean)? != (x, last) || !keeps_axis(graph, x, mean, last) {
        return None;
    }
    let (variance, f) = function(graph, root)?;
    let (squares, axis) = reduction(graph, variance, Reduction::Mean)?;
    let (squared, square) = function(graph, squares)?;
    if axis != last || squared != centred || !keeps_axis(graph, x, root, last) {
        return None;
    }
    // Whatever operators they are made of: by their values.
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    let root = |v: f64| if reciprocal { 1.0 / f.eval(&[v]) } else { f.eval(&[v]) };
    let epsilon = root(0.0).powi(2);
    let probes = [1e-6, 0.01, 0.7, 3.0, 400.0, 1e6];
    let is = probes.iter().all(|&p| near(root(p).powi(2), p + epsilon) && near(square.eval(&[-p]), p * p));
    (is && epsilon.is_finite()).then_some((x, epsilon))
}

/// The operand and the function of a tensor that is a function of one other.
fn function(graph: &Graph, tensor: TensorId) -> Option<(TensorId, &Expr)> {
    let node = &graph.nodes[graph.producer(tensor)?];
    match (&node.op, &node.inputs[..]) {
        (Op::Map(f), &[x]) if graph.tensors[x].shape == graph.tensors[tensor].shape => Some((x, f)),
        _ => None,
    }
}

/// A factor and a term for each element of a normalization that nothing else reads.
fn scaled(graph: &Graph, k: usize) -> Option<(Op, TensorId)> {
    let affine = affine_of(graph, &graph.nodes[k])?;
    let producer = &graph.nodes[graph.producer(affine.source)?];
    let Op::LayerNormalization { scale, bias, epsilon } = &producer.op else { return None };
    if graph.consumers(affine.source) != [k]
        || graph.is_output(affine.source)
        || !scale.len().is_multiple_of(affine.factor.len())
    {
        return None;
    }
    let both = || affine.factor.iter().zip(&affine.term).cycle();
    let scale: Arc<[f32]> = scale.iter().zip(both()).map(|(s, (f, _))| (f64::from(*s) * f) as f32).collect();
    let bias = bias.iter().zip(both()).map(|(b, (f, t))| (f64::from(*b) * f + t) as f32).collect();
    Some((Op::LayerNormalization { scale, bias, epsilon: *epsilon }, producer.inputs[0]))
}
