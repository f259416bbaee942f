//! Constants, copies and what nobody reads.

use crate::graph::{Expr, Graph, Node, Op, TensorId, eval};

/// Evaluates the nodes all of whose operands are constants.
pub(super) fn fold_constants(graph: &mut Graph) -> bool {
    let mut changed = false;
    for k in 0..graph.nodes.len() {
        let node = &graph.nodes[k];
        let operands: Option<Vec<_>> = node.inputs.iter().map(|&i| graph.tensors[i].value.as_deref()).collect();
        if let Some(operands) = operands
            && graph.tensors[node.output].value.is_none()
        {
            let value = eval::evaluate_node(graph, node, &operands);
            graph.tensors[graph.nodes[k].output].value = Some(value.into());
            changed = true;
        }
    }
    let Graph { nodes, tensors, .. } = graph;
    nodes.retain(|n| tensors[n.output].value.is_none());
    changed
}

/// Lets the readers of a copy read the original, and turns transpositions that move no element into `Reshape`s.
pub(super) fn forward_copies(graph: &mut Graph) -> bool {
    let mut changed = false;
    for k in 0..graph.nodes.len() {
        let node = &graph.nodes[k];
        let (from, to) = (node.inputs[0], node.output);
        let shapes = (&graph.tensors[from].shape, &graph.tensors[to].shape);
        if let Op::Transpose { perm } = &node.op {
            let moving: Vec<_> = perm.iter().filter(|&&axis| shapes.0[axis] != 1).collect();
            if moving.is_sorted() {
                graph.nodes[k].op = Op::Reshape;
                changed = true;
            }
        } else if let Op::Slice { start, step } = &node.op
            && start.iter().all(|&s| s == 0)
            && step.iter().zip(shapes.1).all(|(&s, &n)| s == 1 || n == 1)
            && shapes.0 == shapes.1
        {
            graph.nodes[k].op = Op::Reshape;
            changed = true;
        } else if let Op::Concat { .. } = &node.op
            && node.inputs.len() == 1
        {
            graph.nodes[k].op = Op::Reshape;
            changed = true;
        }
        let node = &graph.nodes[k];
        let copies = match &node.op {
            Op::Map(expr) => *expr == Expr::Input(0),
            Op::Reshape => true,
            _ => false,
        };
        let same = graph.tensors[from].shape == graph.tensors[to].shape;
        if copies && same {
            changed |= redirect(graph, k, from, to);
        }
        // A reshape of a reshape is one.
        if matches!(graph.nodes[k].op, Op::Reshape)
            && let Some(before) = graph.producer(graph.nodes[k].inputs[0])
            && matches!(graph.nodes[before].op, Op::Reshape)
        {
            graph.nodes[k].inputs[0] = graph.nodes[before].inputs[0];
            changed = true;
        }
    }
    changed
}

/// Lets `ArgMax` search the logits instead of their softmax, whose largest elements quantization may make equal.
pub(super) fn search_logits(graph: &mut Graph) -> bool {
    let mut changed = false;
    for k in 0..graph.nodes.len() {
        let Op::ArgMax { axis, .. } = graph.nodes[k].op else { continue };
        let Some(before) = graph.producer(graph.nodes[k].inputs[0]) else { continue };
        if let Op::Softmax { axis: along } | Op::LogSoftmax { axis: along } = graph.nodes[before].op
            && along == axis
        {
            graph.nodes[k].inputs[0] = graph.nodes[before].inputs[0];
            changed = true;
        }
    }
    changed
}

/// Readers of `to` read `from`, as far as that keeps outputs apart from inputs and from each other.
fn redirect(graph: &mut Graph, node: usize, from: TensorId, to: TensorId) -> bool {
    let mut changed = false;
    for (k, reader) in graph.nodes.iter_mut().enumerate() {
        for input in reader.inputs.iter_mut().filter(|i| k != node && **i == to) {
            (*input, changed) = (from, true);
        }
    }
    let computed = graph.nodes.iter().any(|n| n.output == from);
    if graph.is_output(to) && computed && !graph.is_output(from) {
        for output in graph.outputs.iter_mut().filter(|o| o.tensor == to) {
            (output.tensor, changed) = (from, true);
        }
    }
    changed
}

/// Removes nodes without readers, from the back.
pub(super) fn remove_unused(graph: &mut Graph) {
    let mut used = vec![false; graph.tensors.len()];
    for output in &graph.outputs {
        used[output.tensor] = true;
    }
    let mut kept: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for node in graph.nodes.drain(..).rev() {
        if used[node.output] {
            for &input in &node.inputs {
                used[input] = true;
            }
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
}
