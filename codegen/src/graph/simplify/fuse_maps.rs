//! Fusion of elementwise functions: whatever is a function of one tensor becomes one node, and so one table.

use super::affine::affine_of;
use crate::graph::{Expr, Graph, Op, TensorId};

/// Above this many operators an expression is left alone: shared subexpressions are copied into it.
const LARGEST: usize = 400;

/// Fuses one pair of maps after the other; true if any was.
pub(super) fn fuse(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut k = 0;
    while k < graph.nodes.len() {
        if let Some((expr, inputs, origin)) = fused(graph, k) {
            let node = &mut graph.nodes[k];
            (node.op, node.inputs, node.origin) = (Op::Map(expr), inputs, origin);
            changed = true;
        } else {
            k += 1;
        }
    }
    changed
}

/// Node `k` with one of its producers substituted, if that makes it simpler.
fn fused(graph: &Graph, k: usize) -> Option<(Expr, Vec<TensorId>, String)> {
    let node = &graph.nodes[k];
    let Op::Map(expr) = &node.op else { return None };
    for &operand in &node.inputs {
        let Some(before) = graph.producer(operand) else { continue };
        let producer = &graph.nodes[before];
        let Op::Map(inner) = &producer.op else { continue };
        let mut inputs: Vec<TensorId> = node.inputs.iter().copied().filter(|&i| i != operand).collect();
        for &input in &producer.inputs {
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
        let place = |tensor: TensorId| Expr::Input(inputs.iter().position(|&i| i == tensor).unwrap_or(0));
        let inner = inner.substitute(&|j| place(producer.inputs[j]));
        let combined =
            expr.substitute(&|j| if node.inputs[j] == operand { inner.clone() } else { place(node.inputs[j]) });
        if combined.size() > LARGEST {
            continue;
        }
        let one_tensor = inputs.len() == 1 && graph.tensors[inputs[0]].shape == graph.tensors[node.output].shape;
        let mut candidate = node.clone();
        (candidate.op, candidate.inputs) = (Op::Map(combined.clone()), inputs.clone());
        // Factors per channel are only worth combining with each other where nobody else reads what lies between.
        let alone = graph.consumers(operand) == [k] && !graph.is_output(operand);
        let affine = alone && affine_of(graph, &candidate).is_some();
        if one_tensor || affine {
            let origin =
                if alone && !affine { format!("{}+{}", producer.origin, node.origin) } else { node.origin.clone() };
            return Some((combined, inputs, origin));
        }
    }
    None
}
