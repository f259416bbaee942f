//! The numbers of every tensor: the range it covers, and the scale and zero point for that.

use super::config::InputConfig;
use super::decisions::Decisions;
use super::{Options, clamp, scale, softmax};
use crate::calibrate::{Calibration, Observer, Range};
use crate::error::{Problem, Problems};
use crate::graph::{Expr, Graph, Node, Op, TensorId};
use crate::plan::{Quant, Type};

/// The numbers of every tensor.
pub(super) fn choose_quants(
    graph: &Graph,
    calibration: &Calibration,
    options: &Options,
    decisions: &Decisions,
    problems: &mut Problems,
) -> Vec<Option<Quant>> {
    let mut quants: Vec<Option<Quant>> = vec![None; graph.tensors.len()];
    // In the order of computation: what a function can reach depends on the numbers of its operand.
    let order: Vec<TensorId> = graph.inputs.iter().copied().chain(graph.nodes.iter().map(|n| n.output)).collect();
    for id in order {
        let ty = decisions.types[id];
        if ty == Type::U16 {
            quants[id] = Some(Quant::new(ty, 1.0, 0));
            continue;
        }
        let Some(statistics) = &calibration.tensors[id] else { continue };
        if decisions.shares[id] != id {
            continue;
        }
        let producer = graph.producer(id).map(|k| &graph.nodes[k]);
        if matches!(producer.map(|n| &n.op), Some(Op::Softmax { .. })) {
            quants[id] = Some(softmax::quant(ty));
            continue;
        }
        let (min, max) = ty.limits();
        let function = only_function(graph, decisions, id);
        let f = function.map(|expr| move |x: f64| expr.eval(&[x]));
        let through = f.as_ref().map(|f| f as &dyn Fn(f64) -> f64);
        // What the caller gives and gets is not clipped: a saturated reading or logit is an error one can see.
        let observer = if is_port(graph, decisions, id) { Observer::MinMax } else { options.observer };
        let range = observer.range(statistics, (max - min + 1) as u32, through);
        let wide = 1.0 + options.headroom;
        let range = Range { low: range.low * wide, high: range.high * wide };
        let reach = producer.map_or(EVERYTHING, |node| reach(graph, decisions, node, &quants));
        let range = Range { low: range.low.max(reach.low.min(0.0)), high: range.high.min(reach.high.max(0.0)) };
        quants[id] = match input_of(graph, decisions, id).and_then(|name| options.config.input(name)) {
            Some(input) if ty == Type::I8 => Some(input_quant(&input, range)),
            Some(_) => {
                let name = &graph.tensors[id].name;
                problems.push(
                    Problem::new(format!("input '{name}'"), "has both int16 activations and a number of bits")
                        .help("leave one of the two out"),
                );
                Some(scale::quant(ty, range))
            }
            None => Some(scale::quant(ty, range)),
        };
    }
    for id in 0..graph.tensors.len() {
        if quants[id].is_none() {
            quants[id] = quants[decisions.shares[id]];
        }
    }
    quants
}

/// The input whose quantized values a tensor holds.
fn input_of<'g>(graph: &'g Graph, decisions: &Decisions, id: TensorId) -> Option<&'g str> {
    let holds = |(&input, scaler): (&TensorId, &Option<usize>)| {
        let tensor = scaler.map_or(input, |k| graph.nodes[k].output);
        (tensor == id).then_some(graph.tensors[input].name.as_str())
    };
    graph.inputs.iter().zip(&decisions.scaler).find_map(holds)
}

/// The numbers of an input of a few bits.
fn input_quant(config: &InputConfig, range: Range) -> Quant {
    let lowest = Type::I8.limits().0;
    let max = lowest + (1 << config.bits) - 1;
    if let Some(scale) = config.scale {
        return Quant { ty: Type::I8, scale, zero_point: config.zero_point.unwrap_or(lowest), max };
    }
    let scale = f64::from(((range.high - range.low) / f64::from(max - lowest)) as f32);
    if !scale.is_normal() {
        return Quant { max, ..Quant::new(Type::I8, 1.0, lowest) };
    }
    let zero_point = (f64::from(lowest) - range.low / scale).round() as i32;
    Quant { ty: Type::I8, scale, zero_point: zero_point.clamp(lowest, max), max }
}

const EVERYTHING: Range = Range { low: f64::NEG_INFINITY, high: f64::INFINITY };

/// What a node can compute at all: between a clamp's bounds, and between the least and the largest result that a
/// function has for the integers of its operand.
fn reach(graph: &Graph, decisions: &Decisions, node: &Node, quants: &[Option<Quant>]) -> Range {
    if let Some(bounds) = clamp::bounds_of(graph, node) {
        return Range { low: bounds.low, high: bounds.high };
    }
    let (Op::Map(expr), &[operand]) = (&node.op, node.inputs.as_slice()) else { return EVERYTHING };
    let Some(x) = quants[decisions.shares[operand]] else { return EVERYTHING };
    let (min, max) = x.limits();
    let step = if x.ty == Type::I16 { 16 } else { 1 };
    let values = (min..=max).step_by(step).map(|q| expr.eval(&[x.real(q)])).filter(|v| v.is_finite());
    let reached = values.fold(Range { low: f64::INFINITY, high: f64::NEG_INFINITY }, |r, v| Range {
        low: r.low.min(v),
        high: r.high.max(v),
    });
    if reached.low <= reached.high { reached } else { EVERYTHING }
}

/// Whether a tensor, or one with the same numbers, is the caller's.
fn is_port(graph: &Graph, decisions: &Decisions, id: TensorId) -> bool {
    let mut same = (0..graph.tensors.len()).filter(|&t| decisions.shares[t] == id);
    same.any(|t| graph.is_output(t) || graph.inputs.contains(&t) || decisions.is_scaled_input(graph, t))
}

/// The function, if a tensor's values go through one function of one number and nowhere else.
fn only_function<'g>(graph: &'g Graph, decisions: &Decisions, tensor: TensorId) -> Option<&'g Expr> {
    let consumers = graph.consumers(tensor);
    let &[k] = consumers.as_slice() else { return None };
    let node = &graph.nodes[k];
    let Op::Map(expr) = &node.op else { return None };
    let function = node.inputs.len() == 1 && !decisions.absorbed[k];
    let same_shape = graph.tensors[node.output].shape == graph.tensors[tensor].shape;
    (function && !graph.is_output(tensor) && same_shape).then_some(expr)
}
