//! What follows from the structure of the graph alone, before any range is looked at.

use super::{Options, clamp, movement};
use crate::error::{Problem, Problems};
use crate::graph::simplify::affine_of;
use crate::graph::{Graph, Kind, TensorId};
use crate::plan::Type;

/// Which nodes join others, which tensors share their numbers, and of what type these are.
#[derive(Debug)]
pub(super) struct Decisions {
    /// Nodes that are part of another step.
    pub(super) absorbed: Vec<bool>,
    /// By node: the clamp that joins it, and the node the clamp was.
    pub(super) clamp: Vec<Option<(clamp::Bounds, usize)>>,
    /// By graph input: the node whose affine function is its quantization.
    pub(super) scaler: Vec<Option<usize>>,
    /// By tensor: the tensor whose quantization it shares.
    pub(super) shares: Vec<TensorId>,
    /// By tensor: number type.
    pub(super) types: Vec<Type>,
}

impl Decisions {
    pub(super) fn new(graph: &Graph, options: &Options, problems: &mut Problems) -> Self {
        let mut absorbed = vec![false; graph.nodes.len()];
        let mut clamps = vec![None; graph.nodes.len()];
        for (k, node) in graph.nodes.iter().enumerate() {
            let Some(bounds) = clamp::bounds_of(graph, node) else { continue };
            let source = node.inputs[0];
            let Some(producer) = graph.producer(source) else { continue };
            let alone = graph.consumers(source) == [k] && !graph.is_output(source);
            if alone && clamps[producer].is_none() && clamp::joins(graph, &graph.nodes[producer]) {
                clamps[producer] = Some((bounds, k));
                absorbed[k] = true;
            }
        }
        let scaler: Vec<Option<usize>> = graph
            .inputs
            .iter()
            .map(|&input| {
                let consumers = graph.consumers(input);
                let &[only] = consumers.as_slice() else { return None };
                let affine = affine_of(graph, &graph.nodes[only])?;
                let usable =
                    affine.factor.iter().all(|&f| f != 0.0) && !graph.is_output(input) && clamps[only].is_none();
                usable.then_some(only)
            })
            .collect();
        for &k in scaler.iter().flatten() {
            absorbed[k] = true;
        }
        let mut shares: Vec<TensorId> = (0..graph.tensors.len()).collect();
        for (k, node) in graph.nodes.iter().enumerate() {
            if movement::keeps_values(graph, node) && clamps[k].is_none() {
                shares[node.output] = shares[node.inputs[0]];
            }
        }
        let mut types = vec![Type::I8; graph.tensors.len()];
        for name in &options.int16 {
            let mut found = name == "all";
            let mut mark = |tensor: TensorId| types[shares[tensor]] = Type::I16;
            for (k, node) in graph.nodes.iter().enumerate() {
                if name == "all" || node.name == *name || graph.tensors[node.output].name == *name {
                    found = true;
                    mark(clamps[k].map_or(node.output, |(_, c): (_, usize)| graph.nodes[c].output));
                }
            }
            for (&input, scaler) in graph.inputs.iter().zip(&scaler) {
                if name == "all" || graph.tensors[input].name == *name {
                    found = true;
                    mark(scaler.map_or(input, |k| graph.nodes[k].output));
                }
            }
            if !found {
                let names: Vec<_> = graph.nodes.iter().map(|n| n.name.as_str()).collect();
                problems.push(
                    Problem::new(format!("int16 '{name}'"), "names no node, tensor or input of the model")
                        .help(format!("one of {names:?}, an input's name, or 'all'")),
                );
            }
        }
        for id in 0..types.len() {
            types[id] = if graph.tensors[id].kind == Kind::Index { Type::U16 } else { types[shares[id]] };
        }
        Self { absorbed, clamp: clamps, scaler, shares, types }
    }

    /// Whether a tensor is an input after the affine function that is its quantization.
    pub(super) fn is_scaled_input(&self, graph: &Graph, tensor: TensorId) -> bool {
        self.scaler.iter().flatten().any(|&k| graph.nodes[k].output == tensor)
    }

    /// The tensor a node's step computes: its own, or the clamp's that joined it.
    pub(super) fn result(&self, graph: &Graph, k: usize) -> TensorId {
        self.clamp[k].map_or(graph.nodes[k].output, |(_, c)| graph.nodes[c].output)
    }
}
