//! Activations of the ReLU family: a clamp costs nothing in the layer before it.

use crate::graph::{Graph, Node, Op, Reduction};

/// `min(max(x, low), high)`; infinite where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Lower limit.
    pub(crate) low: f64,
    /// Upper limit.
    pub(crate) high: f64,
}

/// The node as a clamp of its one operand, however it is spelled (`Relu`, `Clip`, `Max`, `Where(x > 0, x, 0)` ...):
/// its values are compared with those of a clamp over 40 binary orders of magnitude and around its limits.
pub(crate) fn bounds_of(graph: &Graph, node: &Node) -> Option<Bounds> {
    let Op::Map(expr) = &node.op else { return None };
    let &[source] = node.inputs.as_slice() else { return None };
    if graph.tensors[source].shape != graph.tensors[node.output].shape {
        return None;
    }
    const FAR: f64 = 1e30;
    let f = |x: f64| expr.eval(&[x]);
    let limit = |end: f64| if f(end) == end { end * f64::INFINITY } else { f(end) };
    let bounds = Bounds { low: limit(-FAR), high: limit(FAR) };
    if bounds.low.is_nan() || bounds.high.is_nan() || bounds.low >= bounds.high {
        return None;
    }
    if bounds.low.is_infinite() && bounds.high.is_infinite() {
        return None;
    }
    let mut probes = vec![0.0];
    for k in -20..=20 {
        let x = 1.37 * 2f64.powi(k);
        probes.extend([x, -x]);
    }
    for limit in [bounds.low, bounds.high].into_iter().filter(|l| l.is_finite()) {
        probes.extend([limit, limit + 0.01, limit - 0.01, limit * 0.5, limit * 0.99]);
    }
    probes.into_iter().all(|x| f(x) == x.max(bounds.low).min(bounds.high)).then_some(bounds)
}

/// Whether a node's step ends in a saturation that can be narrowed.
pub(super) fn joins(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Gemm { .. }
        | Op::GemmColumns { .. }
        | Op::MatMul
        | Op::Reduce { kind: Reduction::Sum | Reduction::Mean, .. } => true,
        // Functions of one number are tables: two of them would have been fused.
        Op::Map(_) => node.inputs.len() > 1 && graph.tensors[node.inputs[0]].shape == graph.tensors[node.output].shape,
        _ => false,
    }
}
