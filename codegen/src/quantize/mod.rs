//! From the float graph and its calibration to an integer plan.
//!
//! `decisions` finds what the tensors have in common (which share a scale, which clamps join the layer before, which
//! affine functions are an input's quantization), `ranges` chooses every tensor's numbers, and the rules, one file an
//! operator, turn nodes into steps.

mod arg_max;
pub(crate) mod clamp;
mod concat;
pub mod config;
mod decisions;
pub mod format;
pub(crate) mod gemm;
mod gemm_columns;
mod layer_normalization;
mod map;
mod mat_mul;
mod movement;
pub mod projection;
mod ranges;
mod reduce;
mod scale;
mod softmax;
#[cfg(test)]
mod tests;

use crate::calibrate::{Calibration, Observer, Range};
use crate::error::{Problem, Problems, Result};
use crate::graph::simplify::affine_of;
use crate::graph::{Graph, Node, Op, TensorId, show_shape};
use crate::plan::kernels::{Kernel, Limits};
use crate::plan::layout::Layout;
use crate::plan::{Features, Input, Output, Place, Plan, Quant, Step, Type, Value, ValueId};
use crate::target::Target;
use config::{Config, Scale};
use decisions::Decisions;
use format::Format;
pub use gemm::weight_scale;
use ranges::choose_quants;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What the user decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// How ranges are chosen.
    pub observer: Observer,
    /// How much further than that ranges reach, as a share. A few hundred rows do not show the extremes, and a value that
    /// saturates costs more than a coarser step. The default did best in cross-validation (`cargo xtask observers`); 0
    /// suits data whose limits are known.
    pub headroom: f64,
    /// Nodes, inputs or tensors whose values are int16; `all` for all.
    pub int16: Vec<String>,
    /// Formats and widths by layer. A layer's name is its node's.
    pub config: Config,
}

impl Default for Options {
    fn default() -> Self {
        Self { observer: Observer::default(), headroom: 0.05, int16: Vec::new(), config: Config::default() }
    }
}

/// Quantizes a simplified graph.
///
/// # Errors
/// Every node that has no integer form, with what to do instead.
pub fn quantize(graph: &Graph, calibration: &Calibration, options: &Options) -> Result<Plan> {
    let mut problems = Problems::default();
    let decisions = Decisions::new(graph, options, &mut problems);
    options.config.check(graph, &mut problems);
    // The rules rely on what was checked.
    std::mem::take(&mut problems).finish(())?;
    let quants = choose_quants(graph, calibration, options, &decisions, &mut problems);
    let mut q = Quantizer {
        graph,
        calibration,
        config: &options.config,
        decisions,
        quants,
        values: Vec::new(),
        steps: Vec::new(),
        value_of: HashMap::new(),
        notes: Vec::new(),
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
    let outputs = if problems.is_empty() { q.add_outputs(&mut problems) } else { Vec::new() };
    let int16 = q.values.iter().filter(|v| v.quant.ty == Type::I16).count();
    let quantization = format!(
        "{} weights, int32 bias, {} activations, {}",
        weights(graph, &options.config),
        if int16 == 0 { "int8".to_owned() } else { format!("int8 ({int16} of {} tensors int16)", q.values.len()) },
        match options.observer {
            Observer::MinMax => "min-max ranges".to_owned(),
            Observer::Percentile(p) => format!("{p} % ranges"),
            Observer::Mse => "least-squares ranges".to_owned(),
        }
    );
    let Quantizer { values, steps, notes, .. } = q;
    let mut plan = Plan {
        name: graph.name.clone(),
        sha256: String::new(),
        quantization,
        target: Target::default(),
        text: None,
        values,
        steps,
        inputs,
        outputs,
        arena_bytes: 0,
        notes,
    };
    plan.place_values();
    problems.finish(plan)
}

/// The formats of the layers' weights, and whether their scales are those of a layer or of an output.
fn weights(graph: &Graph, config: &Config) -> String {
    let layer = |node: &Node| {
        let layer = config.layer(&node.name);
        let one = layer.shift.is_some() || matches!(layer.scale, Some(Scale::Layer(_)));
        format!("{} per {}", layer.weights.unwrap_or_default(), if one { "layer" } else { "output channel" })
    };
    let layers = graph.nodes.iter().filter_map(|node| match node.op {
        Op::Gemm { .. } | Op::GemmColumns { .. } => Some(layer(node)),
        Op::Projection { .. } => Some(format!("{} per output channel", Format::Int8)),
        _ => None,
    });
    let all: BTreeSet<String> = layers.collect();
    if all.is_empty() { "no".into() } else { all.into_iter().collect::<Vec<_>>().join(" and ") }
}

/// The plan in the making.
struct Quantizer<'a> {
    graph: &'a Graph,
    calibration: &'a Calibration,
    config: &'a Config,
    decisions: Decisions,
    quants: Vec<Option<Quant>>,
    values: Vec<Value>,
    steps: Vec<Step>,
    value_of: HashMap<TensorId, ValueId>,
    notes: Vec<String>,
}

impl Quantizer<'_> {
    fn add_inputs(&mut self) -> Vec<Input> {
        let graph = self.graph;
        let mut inputs = Vec::new();
        for (k, &id) in graph.inputs.iter().enumerate() {
            let affine = self.decisions.scaler[k].and_then(|n| Some((n, affine_of(graph, &graph.nodes[n])?)));
            let tensor = affine.as_ref().map_or(id, |(n, _)| graph.nodes[*n].output);
            // An input that nothing reads has no calibrated node behind it, but values all the same.
            let quant = self.quants[tensor].unwrap_or(Quant::new(Type::I8, 1.0, 0));
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
            Op::GemmColumns { weight, bias, axis } => gemm_columns::lower(self, k, node, weight, bias, *axis),
            Op::Projection { weight, bias, buckets, span } => {
                projection::lower(self, k, node, weight, bias, (*buckets, *span))
            }
            Op::LayerNormalization { scale, bias, epsilon } => {
                layer_normalization::lower(self, k, node, scale, bias, *epsilon)
            }
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

    /// An activation operand, which may be a constant; indices are none.
    fn activation(&mut self, node: &Node, index: usize) -> std::result::Result<(ValueId, Quant), Problem> {
        if let Some(elements) = self.graph.tensors[node.inputs[index]].value.clone() {
            return Ok(self.constant(node, node.inputs[index], &elements));
        }
        let value = self.operand(node, index)?;
        let quant = self.values[value].quant;
        if quant.ty == Type::U16 {
            return Err(self
                .problem(node, format!("computes with the index '{}'", self.values[value].name))
                .help("make the index an output of the model and compute with it in your program"));
        }
        Ok((value, quant))
    }

    /// A constant operand of a node that has no other place for it, over its own range.
    fn constant(&mut self, node: &Node, tensor: TensorId, elements: &[f32]) -> (ValueId, Quant) {
        if let Some(&value) = self.value_of.get(&tensor) {
            return (value, self.values[value].quant);
        }
        // Products of two int16 tensors do not fit.
        let ty = if matches!(node.op, Op::MatMul) { Type::I8 } else { self.decisions.types[node.output] };
        let range = elements.iter().fold(Range { low: 0.0, high: 0.0 }, |r, &v| Range {
            low: r.low.min(v.into()),
            high: r.high.max(v.into()),
        });
        let quant = scale::quant(ty, range);
        let value = self.value(tensor, quant, Place::Constant);
        self.values[value].constant = Some(elements.iter().map(|&v| quant.quantize(v.into())).collect());
        self.value_of.insert(tensor, value);
        (value, quant)
    }

    fn value(&mut self, tensor: TensorId, quant: Quant, place: Place) -> ValueId {
        let t = &self.graph.tensors[tensor];
        let (name, shape) = (t.name.clone(), t.shape.clone());
        self.values.push(Value {
            name,
            shape,
            quant,
            place,
            tensor,
            layout: Layout::Plain,
            order: None,
            constant: None,
        });
        self.values.len() - 1
    }

    /// A new value in the arena for the result of node `k`, and its limits with the clamp that joined the node.
    fn result(&mut self, k: usize) -> (ValueId, Quant, Limits) {
        let tensor = self.decisions.result(self.graph, k);
        let quant = self.quants[tensor].unwrap_or(Quant::new(Type::I8, 1.0, 0));
        let value = self.value(tensor, quant, Place::Arena(0));
        self.value_of.insert(tensor, value);
        let (min, max) = quant.limits();
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
        self.steps.push(Step {
            name,
            origin,
            kernel,
            inputs,
            output,
            bound,
            table_error: None,
            in_place: false,
            scratch: None,
        });
    }

    /// The largest magnitude of the integers of a value, from its type.
    fn reach(&self, value: ValueId) -> i64 {
        let (min, max) = self.values[value].quant.limits();
        i64::from(max.max(-min))
    }
}
