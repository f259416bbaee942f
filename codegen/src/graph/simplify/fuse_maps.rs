//! Fusion of elementwise functions: whatever is a function of one tensor becomes one node, and so one table.

use super::affine::affine_of;
use crate::graph::{Expr, Graph, Op, TensorId};

/// Above this many operators an expression is left alone: shared subexpressions are copied into it.
const LARGEST: usize = 400;

/// Brings operands into a normal form, then fuses until nothing changes; true if anything did.
pub(super) fn fuse(graph: &mut Graph) -> bool {
    let mut changed = false;
    for k in 0..graph.nodes.len() {
        changed |= normalize_operands(graph, k);
        let fused = function_of_one(graph, k).or_else(|| affine_pair(graph, k));
        if let Some((expr, inputs, origin)) = fused {
            let node = &mut graph.nodes[k];
            (node.op, node.inputs, node.origin) = (Op::Map(expr), inputs, origin);
            changed = true;
        }
    }
    changed
}

/// Every operand once, none unused, and constants of equal elements as numbers.
fn normalize_operands(graph: &mut Graph, k: usize) -> bool {
    let node = &graph.nodes[k];
    let Op::Map(expr) = &node.op else { return false };
    let shape = &graph.tensors[node.output].shape;
    let number = |id: TensorId| -> Option<f64> {
        let values = graph.tensors[id].value.as_deref()?;
        let (first, rest) = values.split_first()?;
        rest.iter().all(|v| v == first).then_some(f64::from(*first))
    };
    // A constant must not be what gives the result its shape.
    let shaped = node.inputs.iter().any(|&i| !graph.tensors[i].is_constant() && graph.tensors[i].shape == *shape);
    let mut inputs: Vec<TensorId> = Vec::new();
    let used = uses(expr, node.inputs.len());
    for (j, &id) in node.inputs.iter().enumerate() {
        let replaced = shaped && number(id).is_some();
        if used[j] && !replaced && !inputs.contains(&id) {
            inputs.push(id);
        }
    }
    // Something must remain that carries the shape.
    if inputs.is_empty() || inputs == node.inputs {
        return false;
    }
    let place = |j: usize| match inputs.iter().position(|&i| i == node.inputs[j]) {
        Some(at) => Expr::Input(at),
        None => number(node.inputs[j]).map_or(Expr::Input(0), Expr::Const),
    };
    let expr = expr.substitute(&place);
    let node = &mut graph.nodes[k];
    (node.op, node.inputs) = (Op::Map(expr), inputs);
    true
}

/// Which operands an expression mentions.
fn uses(expr: &Expr, operands: usize) -> Vec<bool> {
    let mut used = vec![false; operands];
    let mut open = vec![expr];
    while let Some(e) = open.pop() {
        match e {
            Expr::Input(j) => used[*j] = true,
            Expr::Const(_) => {}
            Expr::Unary(_, x) => open.push(x),
            Expr::Binary(_, a, b) => open.extend([&**a, &**b]),
            Expr::Select(c, a, b) => open.extend([&**c, &**a, &**b]),
        }
    }
    used
}

/// Node `k` as a function of the earliest tensor of which it is one.
///
/// `Where(x > 0, x, exp(x) - 1)` has three operands, none of which alone leads to `x`: all producers that are maps of
/// the same shape are expanded together, down to each candidate in turn.
fn function_of_one(graph: &Graph, k: usize) -> Option<(Expr, Vec<TensorId>, String)> {
    let node = &graph.nodes[k];
    let Op::Map(_) = &node.op else { return None };
    let shape = &graph.tensors[node.output].shape;
    // All tensors that are reached through maps, and the nodes passed.
    let (mut reached, mut open) = (Vec::new(), node.inputs.clone());
    while let Some(tensor) = open.pop() {
        if graph.tensors[tensor].is_constant() || reached.contains(&tensor) {
            continue;
        }
        reached.push(tensor);
        if let Some(p) = expandable(graph, tensor, shape) {
            open.extend(&graph.nodes[p].inputs);
        }
    }
    let order = |&tensor: &TensorId| graph.producer(tensor).map_or(0, |p| p + 1);
    reached.sort_by_key(order);
    for source in reached {
        if graph.tensors[source].shape != *shape || node.inputs == [source] {
            continue;
        }
        let mut passed = Vec::new();
        if let Some(expr) = expand(graph, node.output, source, shape, &mut passed) {
            passed.sort_unstable();
            passed.dedup();
            // People know the operators, however often they occur.
            let mut names: Vec<&str> = Vec::new();
            for &p in &passed {
                names.extend(graph.nodes[p].origin.split('+').filter(|n| !names.contains(n)).collect::<Vec<_>>());
            }
            return Some((expr, vec![source], names.join("+")));
        }
    }
    None
}

/// The map that computes a tensor, if it can be part of an expression for tensors of `shape`.
fn expandable(graph: &Graph, tensor: TensorId, shape: &[usize]) -> Option<usize> {
    let producer = graph.producer(tensor)?;
    let map = matches!(graph.nodes[producer].op, Op::Map(_)) && graph.tensors[tensor].shape == shape;
    map.then_some(producer)
}

/// `tensor` as an expression of `source` alone.
fn expand(graph: &Graph, tensor: TensorId, source: TensorId, shape: &[usize], passed: &mut Vec<usize>) -> Option<Expr> {
    if tensor == source {
        return Some(Expr::Input(0));
    }
    let producer = expandable(graph, tensor, shape)?;
    let node = &graph.nodes[producer];
    let Op::Map(expr) = &node.op else { return None };
    let operands: Option<Vec<Expr>> = node
        .inputs
        .iter()
        .map(
            |&input| {
                if graph.tensors[input].is_constant() { None } else { expand(graph, input, source, shape, passed) }
            },
        )
        .collect();
    let operands = operands?;
    passed.push(producer);
    let expr = expr.substitute(&|j| operands[j].clone());
    (expr.size() <= LARGEST).then_some(expr)
}

/// Two functions with a factor and a term per channel, of which nobody else reads the first, as one.
fn affine_pair(graph: &Graph, k: usize) -> Option<(Expr, Vec<TensorId>, String)> {
    let node = &graph.nodes[k];
    let Op::Map(expr) = &node.op else { return None };
    let affine = affine_of(graph, node)?;
    let producer = &graph.nodes[graph.producer(affine.source)?];
    let Op::Map(inner) = &producer.op else { return None };
    affine_of(graph, producer)?;
    if graph.consumers(affine.source) != [k] || graph.is_output(affine.source) {
        return None;
    }
    let mut inputs: Vec<TensorId> = node.inputs.iter().copied().filter(|&i| i != affine.source).collect();
    for &input in &producer.inputs {
        if !inputs.contains(&input) {
            inputs.push(input);
        }
    }
    let place = |tensor: TensorId| Expr::Input(inputs.iter().position(|&i| i == tensor).unwrap_or(0));
    let inner = inner.substitute(&|j| place(producer.inputs[j]));
    let combined =
        expr.substitute(&|j| if node.inputs[j] == affine.source { inner.clone() } else { place(node.inputs[j]) });
    (combined.size() <= LARGEST).then(|| (combined, inputs, node.origin.clone()))
}
