//! Broadcasts of computed tensors as nodes of their own, so that the kernels of two operands read equal shapes.

use crate::graph::{Expr, Graph, Kind, Node, Op};

/// Inserts a broadcasting copy before every operand whose shape differs from the result's.
pub(super) fn make_explicit(graph: &mut Graph) {
    let mut k = 0;
    while k < graph.nodes.len() {
        let node = graph.nodes[k].clone();
        let shape = graph.tensors[node.output].shape.clone();
        let elementwise = matches!(&node.op, Op::Map(expr) if *expr != Expr::Input(0));
        if elementwise {
            for (j, &input) in node.inputs.iter().enumerate() {
                let operand = &graph.tensors[input];
                if operand.is_constant() || operand.shape == shape {
                    continue;
                }
                let name = format!("{}/broadcast", operand.name);
                // The same elements under another rank need no copy.
                let op = if operand.len() == shape.iter().product::<usize>() {
                    Op::Reshape
                } else {
                    Op::Map(Expr::Input(0))
                };
                let wide = graph.tensor(name.clone(), shape.clone(), Kind::Real);
                graph.nodes[k].inputs[j] = wide;
                let copy = Node { name, origin: "Expand".into(), op, inputs: vec![input], output: wide };
                graph.nodes.insert(k, copy);
                k += 1;
            }
        }
        k += 1;
    }
}
