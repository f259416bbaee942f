//! A network to train from scratch.

use super::ends;
use crate::graph::expr::Unary;
use crate::graph::{Expr, Graph, Kind, Node, Op};

/// A multilayer perceptron with ReLUs between its layers, of the given numbers of inputs, hidden units and outputs. Its
/// input `x` is scaled, each feature by itself, so that all but the lowest and the highest 3 % of `rows` is 0 to 1; its
/// output is `logits`. The layers `fc1`, `fc2` .. have weights of 0, for
/// [`Tuner::from_scratch`](super::Tuner::from_scratch).
///
/// # Panics
/// If the topology has fewer than two numbers.
pub fn mlp(topology: &[usize], rows: &[&[f32]]) -> Graph {
    assert!(topology.len() >= 2, "a network has inputs and outputs");
    let mut graph = Graph { name: "mlp".into(), ..Graph::default() };
    let input = graph.tensor("x", vec![1, topology[0]], Kind::Real);
    graph.tensors[input].batched = true;
    graph.inputs = vec![input];
    let ends: Vec<(f32, f32)> = (0..topology[0]).map(|k| ends(rows.iter().map(|row| row[k]))).collect();
    let low: Vec<f32> = ends.iter().map(|(low, _)| *low).collect();
    // A column that never changes says nothing, whatever its size.
    let width: Vec<f32> = ends.iter().map(|(low, high)| if high > low { high - low } else { 1.0 }).collect();
    let low = graph.constant("x_low", vec![1, topology[0]], low);
    let width = graph.constant("x_width", vec![1, topology[0]], width);
    let add = |graph: &mut Graph, name: &str, origin: &str, op, inputs, outputs| {
        let output = graph.tensor(name, vec![1, outputs], Kind::Real);
        graph.nodes.push(Node { name: name.into(), origin: origin.into(), op, inputs, output });
        output
    };
    let scaler = Op::Map((Expr::Input(0) - Expr::Input(1)) / Expr::Input(2));
    let mut last = add(&mut graph, "scaled", "Sub+Div", scaler, vec![input, low, width], topology[0]);
    for (k, pair) in topology.windows(2).enumerate() {
        let op = Op::Gemm { weight: vec![0.0; pair[0] * pair[1]].into(), bias: vec![0.0; pair[1]].into() };
        last = add(&mut graph, &format!("fc{}", k + 1), "Gemm", op, vec![last], pair[1]);
        if k + 2 < topology.len() {
            let relu = Op::Map(Expr::unary(Unary::Relu, Expr::Input(0)));
            last = add(&mut graph, &format!("relu{}", k + 1), "Relu", relu, vec![last], pair[1]);
        }
    }
    graph.outputs = vec![crate::graph::Output { name: "logits".into(), tensor: last, labels: None }];
    graph
}
