//! Layers between transpositions that undo each other: they run along another axis instead, and nothing is transposed.

use crate::graph::{Graph, Op, TensorId};

/// Takes away pairs of transpositions with nothing but fully connected layers and functions of one number between them; true
/// if there were any.
pub(super) fn find(graph: &mut Graph) -> bool {
    let mut changed = false;
    for k in 0..graph.nodes.len() {
        if let Some((source, perm, chain)) = between(graph, k) {
            apply(graph, k, source, &perm, &chain);
            changed = true;
        }
    }
    changed
}

/// What is transposed, how, and the nodes until node `k` transposes it back.
fn between(graph: &Graph, k: usize) -> Option<(TensorId, Vec<usize>, Vec<usize>)> {
    let Op::Transpose { perm: back } = &graph.nodes[k].op else { return None };
    let mut chain = Vec::new();
    let mut tensor = graph.nodes[k].inputs[0];
    loop {
        let producer = graph.producer(tensor)?;
        if graph.consumers(tensor).len() != 1 || graph.is_output(tensor) {
            return None;
        }
        let node = &graph.nodes[producer];
        match &node.op {
            Op::Gemm { .. } => {}
            Op::Map(_) if matches!(node.inputs[..], [x] if graph.tensors[x].shape == graph.tensors[tensor].shape) => {}
            Op::Transpose { perm } => {
                let undone = back.iter().enumerate().all(|(axis, &from)| perm[from] == axis);
                let moves = perm.last() != Some(&(perm.len() - 1));
                let layers = chain.iter().any(|&k: &usize| matches!(graph.nodes[k].op, Op::Gemm { .. }));
                chain.reverse();
                return (undone && moves && layers).then(|| (node.inputs[0], perm.clone(), chain));
            }
            _ => return None,
        }
        chain.push(producer);
        tensor = node.inputs[0];
    }
}

fn apply(graph: &mut Graph, k: usize, source: TensorId, perm: &[usize], chain: &[usize]) {
    let axis = perm[perm.len() - 1];
    let mut input = source;
    for &p in chain {
        let node = &mut graph.nodes[p];
        node.inputs[0] = input;
        if let Op::Gemm { weight, bias } = &node.op {
            node.op = Op::GemmColumns { weight: weight.clone(), bias: bias.clone(), axis };
        }
        let shape = &mut graph.tensors[node.output].shape;
        let transposed = shape.clone();
        perm.iter().zip(transposed).for_each(|(&axis, extent)| shape[axis] = extent);
        input = node.output;
    }
    graph.nodes[k].op = Op::Reshape;
}
