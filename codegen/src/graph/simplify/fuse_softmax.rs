//! Softmax and its logarithm as JAX and older exporters spell them, in parts.

use crate::graph::expr::{Binary, Unary};
use crate::graph::{Expr, Graph, Op, Reduction, TensorId};

/// Recognizes `exp(x - max(x)) / sum(exp(x - max(x)))` and `x - max(x) - log(sum(exp(x - max(x))))`, with or without the
/// maximum; true if anything was.
pub(super) fn fuse(graph: &mut Graph) -> bool {
    let mut changed = false;
    for k in 0..graph.nodes.len() {
        if let Some((x, axis)) = softmax(graph, k) {
            rename(graph, k, Op::Softmax { axis }, x);
            changed = true;
        } else if let Some((x, axis)) = log_softmax(graph, k) {
            rename(graph, k, Op::LogSoftmax { axis }, x);
            changed = true;
        }
    }
    changed
}

fn rename(graph: &mut Graph, k: usize, op: Op, x: TensorId) {
    let node = &mut graph.nodes[k];
    node.origin = if matches!(op, Op::Softmax { .. }) { "Softmax".into() } else { "LogSoftmax".into() };
    (node.op, node.inputs) = (op, vec![x]);
}

/// Operands of a node that is `op` of two tensors, in order.
pub(super) fn binary(graph: &Graph, k: usize, op: Binary) -> Option<(TensorId, TensorId)> {
    let node = graph.nodes.get(k)?;
    let Op::Map(Expr::Binary(found, a, b)) = &node.op else { return None };
    match (&**a, &**b) {
        (Expr::Input(a), Expr::Input(b)) if *found == op => Some((node.inputs[*a], node.inputs[*b])),
        _ => None,
    }
}

/// Operand of a tensor that is `f` of another.
fn unary(graph: &Graph, tensor: TensorId, f: Unary) -> Option<TensorId> {
    let node = &graph.nodes[graph.producer(tensor)?];
    match &node.op {
        Op::Map(Expr::Unary(found, x)) if *found == f && **x == Expr::Input(0) => Some(node.inputs[0]),
        _ => None,
    }
}

/// What a tensor is the reduction of, behind shapes that do not matter, and the axis.
pub(super) fn reduction(graph: &Graph, mut tensor: TensorId, kind: Reduction) -> Option<(TensorId, usize)> {
    // Exporters drop the axis and put it back, and broadcast explicitly.
    for _ in 0..8 {
        let node = &graph.nodes[graph.producer(tensor)?];
        match &node.op {
            Op::Reduce { kind: found, axis } if *found == kind => return Some((node.inputs[0], *axis)),
            Op::Reshape => tensor = node.inputs[0],
            // A lower bound that JAX puts on the maximum, or a broadcast: `max(-inf, m)` is `m`.
            Op::Map(Expr::Input(0)) => tensor = node.inputs[0],
            Op::Map(Expr::Binary(Binary::Max, a, b)) => match (&**a, &**b) {
                (Expr::Input(j), Expr::Const(c)) | (Expr::Const(c), Expr::Input(j)) if *c == f64::NEG_INFINITY => {
                    tensor = node.inputs[*j];
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    None
}

/// `x`, if `tensor` is `x - max(x)` along `axis`; else `tensor` itself, of which the same softmax is taken.
fn unshifted(graph: &Graph, tensor: TensorId, axis: usize) -> TensorId {
    let shifted = graph.producer(tensor).and_then(|k| binary(graph, k, Binary::Sub));
    match shifted {
        Some((x, m)) if reduction(graph, m, Reduction::Max) == Some((x, axis)) && keeps_axis(graph, x, m, axis) => x,
        _ => tensor,
    }
}

/// Whether `reduced` broadcasts against `tensor` along `axis` and nowhere else.
pub(super) fn keeps_axis(graph: &Graph, tensor: TensorId, reduced: TensorId, axis: usize) -> bool {
    let (full, found) = (&graph.tensors[tensor].shape, &graph.tensors[reduced].shape);
    let mut expected = full.clone();
    expected[axis] = 1;
    *found == expected || found == full
}

fn softmax(graph: &Graph, k: usize) -> Option<(TensorId, usize)> {
    let (e, sum) = binary(graph, k, Binary::Div)?;
    let (summed, axis) = reduction(graph, sum, Reduction::Sum)?;
    if summed != e || !keeps_axis(graph, e, sum, axis) {
        return None;
    }
    let logits = unary(graph, e, Unary::Exp)?;
    Some((unshifted(graph, logits, axis), axis))
}

fn log_softmax(graph: &Graph, k: usize) -> Option<(TensorId, usize)> {
    let (logits, log) = binary(graph, k, Binary::Sub)?;
    // The logarithm may be taken before or after the axis is put back.
    let mut inner = log;
    let sum = loop {
        if let Some(sum) = unary(graph, inner, Unary::Log) {
            break sum;
        }
        let node = &graph.nodes[graph.producer(inner)?];
        match node.op {
            Op::Reshape | Op::Map(Expr::Input(0)) => inner = node.inputs[0],
            _ => return None,
        }
    };
    let (e, axis) = reduction(graph, sum, Reduction::Sum)?;
    if unary(graph, e, Unary::Exp) != Some(logits) || !keeps_axis(graph, logits, log, axis) {
        return None;
    }
    Some((unshifted(graph, logits, axis), axis))
}
