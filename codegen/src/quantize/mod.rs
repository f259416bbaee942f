//! From the float graph and its calibration to an integer plan.
//!
//! The driver decides what the tensors have in common (which share a scale, which clamps join the layer before,
//! which affine functions are an input's quantization) and chooses every tensor's numbers; the rules, one file an
//! operator, turn nodes into steps.

mod arg_max;
mod clamp;
mod concat;
mod gemm;
mod map;
mod mat_mul;
mod movement;
mod reduce;
mod scale;
mod softmax;

use crate::calibrate::{Calibration, Observer, Range};
use crate::error::{Problem, Problems, Result};
use crate::graph::simplify::affine_of;
use crate::graph::{Expr, Graph, Kind, Node, Op, TensorId, show_shape};
use crate::plan::kernels::{Kernel, Limits};
use crate::plan::{Features, Input, Output, Place, Plan, Quant, Step, Type, Value, ValueId};
use std::collections::HashMap;
use std::sync::Arc;

/// What the user decides.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How ranges are chosen.
    pub observer: Observer,
    /// How much further than that ranges reach, as a share; `None` for [`headroom`] of the calibration rows. 0 suits data
    /// whose limits are known.
    pub headroom: Option<f64>,
    /// Nodes, inputs or tensors whose values are int16; `all` for all.
    pub int16: Vec<String>,
}

/// The share by which ranges reach beyond what `rows` rows show. The fewer rows, the likelier is a value beyond the
/// largest of them, and one that saturates costs more than a coarser step. `cargo xtask observers` compares it with
/// fixed shares.
pub fn headroom(rows: usize) -> f64 {
    (5.0 / rows.max(1) as f64).min(0.25)
}

/// Quantizes a simplified graph.
///
/// # Errors
/// Every node that has no integer form, with what to do instead.
pub fn quantize(graph: &Graph, calibration: &Calibration, options: &Options) -> Result<Plan> {
    let mut problems = Problems::default();
    let decisions = Decisions::new(graph, options, &mut problems);
    let quants = choose_quants(graph, calibration, options, &decisions);
    let mut q = Quantizer {
        graph,
        calibration,
        decisions,
        quants,
        values: Vec::new(),
        steps: Vec::new(),
        value_of: HashMap::new(),
    };
    let inputs = q.add_inputs();
    // What failed, and what only fails because of that.
    let mut failed = vec![false; graph.tensors.len()];
    for (k, node) in graph.nodes.iter().enumerate() {
        if node.inputs.iter().any(|&i| failed[i]) {
            failed[node.output] = true;
        } else if !q.decisions.absorbed[k]
            && let Err(problem) = q.lower(k, node)
        {
            failed[node.output] = true;
            problems.push(problem);
        }
    }
    if !problems.is_empty() {
        return problems.finish(()).and_then(|()| unreachable_plan());
    }
    let outputs = q.add_outputs(&mut problems);
    let int16 = q.values.iter().filter(|v| v.quant.ty == Type::I16).count();
    let quantization = format!(
        "int8 weights per output channel, int32 bias, {} activations, {}",
        if int16 == 0 { "int8".to_owned() } else { format!("int8 ({int16} of {} tensors int16)", q.values.len()) },
        match options.observer {
            Observer::MinMax => "min-max ranges".to_owned(),
            Observer::Percentile(p) => format!("{p} % ranges"),
            Observer::Mse => "least-squares ranges".to_owned(),
        }
    );
    let Quantizer { values, steps, .. } = q;
    let mut plan = Plan {
        name: graph.name.clone(),
        sha256: String::new(),
        quantization,
        values,
        steps,
        inputs,
        outputs,
        arena_bytes: 0,
    };
    plan.place_values();
    problems.finish(plan)
}

/// `finish` of noted problems is always an error.
fn unreachable_plan() -> Result<Plan> {
    Err(Problem::new("quantization", "failed without a reason; please report this").into())
}

/// What follows from the structure of the graph alone.
#[derive(Debug)]
struct Decisions {
    /// Nodes that are part of another step.
    absorbed: Vec<bool>,
    /// By node: the clamp that joins it, and the node the clamp was.
    clamp: Vec<Option<(clamp::Bounds, usize)>>,
    /// By graph input: the node whose affine function is its quantization.
    scaler: Vec<Option<usize>>,
    /// By tensor: the tensor whose quantization it shares.
    shares: Vec<TensorId>,
    /// By tensor: number type.
    types: Vec<Type>,
}

impl Decisions {
    fn new(graph: &Graph, options: &Options, problems: &mut Problems) -> Self {
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
    fn is_scaled_input(&self, graph: &Graph, tensor: TensorId) -> bool {
        self.scaler.iter().flatten().any(|&k| graph.nodes[k].output == tensor)
    }

    /// The tensor a node's step computes: its own, or the clamp's that joined it.
    fn result(&self, graph: &Graph, k: usize) -> TensorId {
        self.clamp[k].map_or(graph.nodes[k].output, |(_, c)| graph.nodes[c].output)
    }
}

/// The numbers of every tensor.
fn choose_quants(
    graph: &Graph,
    calibration: &Calibration,
    options: &Options,
    decisions: &Decisions,
) -> Vec<Option<Quant>> {
    let mut quants: Vec<Option<Quant>> = vec![None; graph.tensors.len()];
    // In the order of computation: what a function can reach depends on the numbers of its operand.
    let order: Vec<TensorId> = graph.inputs.iter().copied().chain(graph.nodes.iter().map(|n| n.output)).collect();
    for id in order {
        let ty = decisions.types[id];
        if ty == Type::U16 {
            quants[id] = Some(Quant { ty, scale: 1.0, zero_point: 0 });
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
        let wide = 1.0 + options.headroom.unwrap_or_else(|| headroom(calibration.rows));
        let range = Range { low: range.low * wide, high: range.high * wide };
        let reach = producer.map_or(EVERYTHING, |node| reach(graph, decisions, node, &quants));
        let range = Range { low: range.low.max(reach.low.min(0.0)), high: range.high.min(reach.high.max(0.0)) };
        quants[id] = Some(scale::quant(ty, range));
    }
    for id in 0..graph.tensors.len() {
        if quants[id].is_none() {
            quants[id] = quants[decisions.shares[id]];
        }
    }
    quants
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
    let (min, max) = x.ty.limits();
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

/// The plan in the making.
struct Quantizer<'a> {
    graph: &'a Graph,
    calibration: &'a Calibration,
    decisions: Decisions,
    quants: Vec<Option<Quant>>,
    values: Vec<Value>,
    steps: Vec<Step>,
    value_of: HashMap<TensorId, ValueId>,
}

impl Quantizer<'_> {
    fn add_inputs(&mut self) -> Vec<Input> {
        let graph = self.graph;
        let mut inputs = Vec::new();
        for (k, &id) in graph.inputs.iter().enumerate() {
            let affine = self.decisions.scaler[k].and_then(|n| Some((n, affine_of(graph, &graph.nodes[n])?)));
            let tensor = affine.as_ref().map_or(id, |(n, _)| graph.nodes[*n].output);
            // An input that nothing reads has no calibrated node behind it, but values all the same.
            let quant = self.quants[tensor].unwrap_or(Quant { ty: Type::I8, scale: 1.0, zero_point: 0 });
            let value = self.value(tensor, quant, Place::Input(k));
            self.value_of.insert(id, value);
            self.value_of.insert(tensor, value);
            let features = affine.map(|(_, a)| Features {
                offset: a.factor.iter().zip(&a.term).map(|(f, t)| -t / f).collect(),
                scale: a.factor.iter().map(|f| quant.scale / f).collect(),
            });
            let shape = &graph.tensors[id].shape;
            let shape = if graph.tensors[id].batched || shape.first() == Some(&1) && shape.len() > 1 {
                &shape[1..]
            } else {
                shape
            };
            inputs.push(Input { name: graph.tensors[id].name.clone(), value, shape: shape.to_vec(), features });
        }
        inputs
    }

    fn add_outputs(&mut self, problems: &mut Problems) -> Vec<Output> {
        let graph = self.graph;
        let mut outputs = Vec::new();
        for (k, output) in graph.outputs.iter().enumerate() {
            let Some(&value) = self.value_of.get(&output.tensor) else {
                problems.push(
                    Problem::new(format!("output '{}'", output.name), "does not depend on any input")
                        .help("remove it from the exported model"),
                );
                continue;
            };
            let place = Place::Output(k);
            let value = if matches!(self.values[value].place, Place::Arena(_)) {
                self.values[value].place = place;
                value
            } else {
                // Already the caller's: an input, or another output.
                let quant = self.values[value].quant;
                let copy = self.value(output.tensor, quant, place);
                let kernel = movement::copy(self.values[value].len());
                self.push_step(&output.name, "Identity", Arc::new(kernel), vec![value], copy, None);
                copy
            };
            let shape = &graph.tensors[output.tensor].shape;
            let shape = if shape.first() == Some(&1) && shape.len() > 1 { &shape[1..] } else { shape };
            outputs.push(Output {
                name: output.name.clone(),
                value,
                shape: shape.to_vec(),
                labels: output.labels.clone(),
            });
        }
        outputs
    }

    fn lower(&mut self, k: usize, node: &Node) -> std::result::Result<(), Problem> {
        match &node.op {
            Op::Gemm { weight, bias } => gemm::lower(self, k, node, weight, bias),
            Op::MatMul => mat_mul::lower(self, k, node),
            Op::Map(expr) => map::lower(self, k, node, expr),
            Op::Concat { axis } => concat::lower(self, k, node, *axis),
            Op::Slice { start, step } => movement::slice(self, k, node, start, step),
            Op::Transpose { perm } => movement::transpose(self, k, node, perm),
            Op::Reshape => movement::reshape(self, node),
            Op::Softmax { axis } => softmax::lower(self, k, node, *axis, false),
            Op::LogSoftmax { axis } => softmax::lower(self, k, node, *axis, true),
            Op::ArgMax { axis, last } => arg_max::lower(self, k, node, *axis, *last),
            Op::Reduce { kind, axis } => reduce::lower(self, k, node, *kind, *axis),
        }
    }

    /// A problem with a node.
    fn problem(&self, node: &Node, reason: impl Into<String>) -> Problem {
        Problem::new(format!("node '{}' ({})", node.name, node.origin), reason)
    }

    /// The value of a computed operand.
    fn operand(&self, node: &Node, index: usize) -> std::result::Result<ValueId, Problem> {
        let tensor = node.inputs[index];
        self.value_of.get(&tensor).copied().ok_or_else(|| {
            let t = &self.graph.tensors[tensor];
            let what = if t.is_constant() { "is a constant here" } else { "could not be compiled" };
            self.problem(node, format!("its operand '{}' {} {what}", t.name, show_shape(&t.shape)))
                .help("this operator takes computed operands; fold the constant into the layer before it")
        })
    }

    /// An activation operand; indices are none.
    fn activation(&self, node: &Node, index: usize) -> std::result::Result<(ValueId, Quant), Problem> {
        let value = self.operand(node, index)?;
        let quant = self.values[value].quant;
        if quant.ty == Type::U16 {
            return Err(self
                .problem(node, format!("computes with the index '{}'", self.values[value].name))
                .help("make the index an output of the model and compute with it in your program"));
        }
        Ok((value, quant))
    }

    fn value(&mut self, tensor: TensorId, quant: Quant, place: Place) -> ValueId {
        let t = &self.graph.tensors[tensor];
        self.values.push(Value { name: t.name.clone(), shape: t.shape.clone(), quant, place, tensor });
        self.values.len() - 1
    }

    /// A new value in the arena for the result of node `k`, and its limits with the clamp that joined the node.
    fn result(&mut self, k: usize) -> (ValueId, Quant, Limits) {
        let tensor = self.decisions.result(self.graph, k);
        let quant = self.quants[tensor].unwrap_or(Quant { ty: Type::I8, scale: 1.0, zero_point: 0 });
        let value = self.value(tensor, quant, Place::Arena(0));
        self.value_of.insert(tensor, value);
        let (min, max) = quant.ty.limits();
        let mut limits = Limits { ty: quant.ty, zero_point: quant.zero_point, min, max };
        if let Some((bounds, _)) = self.decisions.clamp[k] {
            (limits.min, limits.max) = (quant.quantize(bounds.low), quant.quantize(bounds.high));
        }
        (value, quant, limits)
    }

    /// A value of the same tensor in another arrangement.
    fn temporary(&mut self, tensor: TensorId, quant: Quant) -> ValueId {
        self.value(tensor, quant, Place::Arena(0))
    }

    /// Appends the step of node `k`.
    fn push(
        &mut self,
        k: usize,
        kernel: impl Kernel + 'static,
        inputs: Vec<ValueId>,
        output: ValueId,
        bound: Option<i64>,
    ) {
        let node = &self.graph.nodes[k];
        let origin = match self.decisions.clamp[k] {
            Some((_, c)) => format!("{}+{}", node.origin, self.graph.nodes[c].origin),
            None => node.origin.clone(),
        };
        self.push_step(&node.name.clone(), &origin, Arc::new(kernel), inputs, output, bound);
    }

    fn push_step(
        &mut self,
        name: &str,
        origin: &str,
        kernel: Arc<dyn Kernel>,
        inputs: Vec<ValueId>,
        output: ValueId,
        bound: Option<i64>,
    ) {
        let (name, origin) = (name.to_owned(), origin.to_owned());
        self.steps.push(Step { name, origin, kernel, inputs, output, bound, in_place: false });
    }

    /// The largest magnitude of the integers of a value, from its type.
    fn reach(&self, value: ValueId) -> i64 {
        let (min, max) = self.values[value].quant.ty.limits();
        i64::from(max.max(-min))
    }
}
