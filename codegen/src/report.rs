//! What a compiled model costs and how well it does, layer by layer and on a data set.

use crate::data::Rows;
use crate::graph::eval::Evaluator;
use crate::graph::{Graph, Kind, Op, TensorId};
use crate::plan::simulate::Simulator;
use crate::plan::{Place, Plan, Type};
use crate::target::Target;
use crate::target::cost::{Prediction, StepCost};
use serde::Serialize;

/// The content of `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// SHA-256 of the model file, followed by its files of weights.
    pub sha256: String,
    /// Version of the generator.
    pub generator: String,
    /// One line on the quantization.
    pub quantization: String,
    /// Bytes of constants in flash (weights, biases, multipliers, tables). The code of the kernels comes on top:
    /// `cargo xtask emulate` measures it.
    pub flash_bytes: usize,
    /// Bytes of scratch memory: the size of the generated `Scratch` type.
    pub ram_bytes: usize,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// What it costs on the core it is for, predicted; absent for portable modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Predicted>,
    /// The steps, in order.
    pub layers: Vec<Layer>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// The predicted cost of one inference.
#[derive(Clone, Debug, Serialize)]
pub struct Predicted {
    /// The core.
    pub target: String,
    /// What came first: size, balanced or speed.
    pub mode: String,
    /// Only kernels whose time does not depend on the data were allowed.
    pub constant_time: bool,
    /// Instructions, in the mean over the calibration data.
    pub instructions_mean: f64,
    /// Instructions for the worst input: none of its elements zero, every branch the dearest.
    pub instructions_max: u64,
    /// Bytes of constants and code.
    pub flash_bytes: usize,
    /// Bytes of scratch memory, and of constants that the core cannot read in flash.
    pub ram_bytes: usize,
    /// Bytes of stack at the deepest.
    pub stack_bytes: usize,
    /// The time of an inference is the same whatever the input.
    pub data_independent: bool,
}

/// The predicted cost of one step.
#[derive(Clone, Debug, Serialize)]
pub struct LayerCost {
    /// Instructions, in the mean over the calibration data.
    pub instructions_mean: f64,
    /// Instructions for the worst input.
    pub instructions_max: u64,
    /// Bytes of code that no layer before it needs.
    pub code_bytes: usize,
    /// Bytes of the result in the scratch memory.
    pub ram_bytes: usize,
    /// Bytes of stack.
    pub stack_bytes: usize,
    /// The kernel's instructions were counted; else it is a portable loop, whose figures are estimates.
    pub counted: bool,
}

/// An input or output.
#[derive(Clone, Debug, Serialize)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Extents, without a batch axis.
    pub shape: Vec<usize>,
    /// Number type.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// Real size of one step; absent where every feature has its own.
    pub scale: Option<f64>,
    /// The integer that stands for zero.
    pub zero_point: i32,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Name in the model.
    pub name: String,
    /// ONNX operators.
    pub op: String,
    /// Kernel of the runtime.
    pub kernel: &'static str,
    /// Extents of the result.
    pub shape: Vec<usize>,
    /// Number type of the result.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Bytes of constants.
    pub flash_bytes: usize,
    /// Byte of the scratch memory at which the result begins; absent in the caller's memory.
    pub scratch_offset: Option<usize>,
    /// Signal to quantization noise of the result against the float model, over the calibration data, in dB. Absent
    /// for indices and where the signal is zero.
    pub sqnr_db: Option<f64>,
    /// Share of the results at the ends of the number type, in percent.
    pub saturated_percent: f64,
    /// Real size of one step of the result.
    pub scale: f64,
    /// The integer that stands for zero.
    pub zero_point: i32,
    /// Largest error of an interpolated table or of straight segments against the rounded function, over all inputs, in
    /// steps of the result.
    pub table_error: Option<i32>,
    /// Of an approximate choice of the largest element: how far the chosen one can be below it, in steps of the operand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice_error: Option<i64>,
    /// Proved bound of the accumulators' magnitude.
    pub accumulator_bound: Option<i64>,
    /// What it costs on the core the module is for, predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<LayerCost>,
}

impl Predicted {
    fn new(plan: &Plan, prediction: &Prediction) -> Self {
        let Target { core, mode, constant_time } = plan.target;
        Self {
            target: core.to_string(),
            mode: mode.to_string(),
            constant_time,
            instructions_mean: tenths(prediction.instructions.mean),
            instructions_max: prediction.instructions.max.ceil() as u64,
            flash_bytes: prediction.flash_bytes(),
            ram_bytes: prediction.ram_bytes,
            stack_bytes: prediction.stack_bytes,
            data_independent: plan.varying().next().is_none(),
        }
    }
}

impl LayerCost {
    fn new(step: &StepCost) -> Self {
        Self {
            instructions_mean: tenths(step.instructions.mean),
            instructions_max: step.instructions.max.ceil() as u64,
            code_bytes: step.code_bytes,
            ram_bytes: step.ram_bytes,
            stack_bytes: step.stack_bytes,
            counted: step.counted,
        }
    }
}

/// Rounded to one digit behind the point.
fn tenths(x: f64) -> f64 {
    (10.0 * x).round() / 10.0
}

/// Signal and noise of one value.
#[derive(Clone, Copy, Debug, Default)]
struct Noise {
    signal: f64,
    noise: f64,
    saturated: u64,
    count: u64,
}

impl Noise {
    fn add(&mut self, real: f64, quantized: f64) {
        self.signal += real * real;
        self.noise += (real - quantized).powi(2);
    }

    fn sqnr_db(&self) -> Option<f64> {
        // Exact results have no finite figure; 200 dB is beyond any of these types.
        (self.signal > 0.0)
            .then(|| (10.0 * (self.signal / self.noise.max(self.signal * 1e-20)).log10() * 100.0).round() / 100.0)
    }
}

/// Runs the calibration rows through the float graph and the plan, and describes the plan.
pub fn report(graph: &Graph, plan: &Plan, rows: &Rows) -> Report {
    let mut float = Evaluator::new(graph);
    let mut simulator = Simulator::new(plan);
    let mut noise = vec![Noise::default(); plan.values.len()];
    for row in 0..rows.len() {
        let inputs = rows.row(row);
        float.run(&inputs);
        simulator.run_real(&inputs);
        for (id, (value, noise)) in plan.values.iter().zip(&mut noise).enumerate() {
            if value.quant.ty == Type::U16 || float.value(value.tensor).len() != value.len() {
                continue;
            }
            let (min, max) = value.quant.limits();
            for (&real, q) in float.value(value.tensor).iter().zip(simulator.integers(id)) {
                noise.add(real.into(), value.quant.real(q));
                noise.saturated += u64::from(q == min || q == max);
                noise.count += 1;
            }
        }
    }
    let prediction = plan.predict(rows);
    let layers = plan
        .steps
        .iter()
        .enumerate()
        .map(|(k, step)| {
            let (value, noise) = (&plan.values[step.output], &noise[step.output]);
            Layer {
                name: step.name.clone(),
                op: step.origin.clone(),
                kernel: step.kernel.op(),
                shape: value.shape.clone(),
                ty: value.quant.ty.name(),
                macs: step.kernel.macs(),
                flash_bytes: step.kernel.constant_bytes(),
                scratch_offset: if let Place::Arena(at) = value.place { Some(at) } else { None },
                sqnr_db: noise.sqnr_db(),
                saturated_percent: (1e4 * noise.saturated as f64 / noise.count.max(1) as f64).round() / 100.0,
                scale: value.quant.scale,
                zero_point: value.quant.zero_point,
                table_error: step.table_error,
                choice_error: step.kernel.choice_error(),
                accumulator_bound: step.bound,
                predicted: prediction.as_ref().and_then(|p| p.steps.get(k)).map(LayerCost::new),
            }
        })
        .collect();
    let port = |name: &str, shape: &[usize], value: usize, scale: bool| {
        let quant = plan.values[value].quant;
        Port {
            name: name.to_owned(),
            shape: shape.to_vec(),
            ty: quant.ty.name(),
            scale: scale.then_some(quant.scale),
            zero_point: quant.zero_point,
        }
    };
    Report {
        model: plan.name.clone(),
        sha256: plan.sha256.clone(),
        generator: format!("tinymlp-codegen {}", env!("CARGO_PKG_VERSION")),
        quantization: plan.quantization.clone(),
        flash_bytes: plan.constant_bytes(),
        ram_bytes: plan.arena_bytes,
        macs: plan.macs(),
        inputs: plan.inputs.iter().map(|i| port(&i.name, &i.shape, i.value, i.features.is_none())).collect(),
        outputs: plan.outputs.iter().map(|o| port(&o.name, &o.shape, o.value, true)).collect(),
        predicted: prediction.map(|p| Predicted::new(plan, &p)),
        layers,
        notes: plan.notes.clone(),
    }
}

/// How a plan does on a data set, beside the float model.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Rows.
    pub rows: usize,
    /// Share of rows the float model classifies as the labels say.
    pub float_accuracy: Option<f64>,
    /// The same for the plan.
    pub quantized_accuracy: Option<f64>,
    /// Share of rows in which both choose the same class; of all classes in an output, for several rows a sample.
    /// Absent where no output is a choice.
    pub agreement: Option<f64>,
    /// Largest difference of an output, in real units.
    pub max_abs_error: f64,
    /// Signal to quantization noise of the outputs, in dB.
    pub sqnr_db: Option<f64>,
}

/// What [`evaluate`] found.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The figures.
    pub figures: Evaluation,
    /// The dequantized real outputs, row after row; indices where there is no real output.
    pub outputs: Vec<f32>,
    /// Class of each row by the plan, where an output is a choice.
    pub classes: Vec<usize>,
}

/// The number of classes that labels may name; `None` where no output is a choice.
pub fn classes(graph: &Graph) -> Option<usize> {
    let index = choice(graph)?;
    let tensor = graph.outputs[index].tensor;
    match graph.tensors[tensor].kind {
        Kind::Real => Some(graph.tensors[tensor].len().max(2)),
        Kind::Index => match &graph.outputs[index].labels {
            Some(crate::graph::Labels::Integers(l)) => Some(l.len()),
            Some(crate::graph::Labels::Strings(l)) => Some(l.len()),
            None => searched(graph, tensor),
        },
    }
}

/// Extent of the axis that the `ArgMax` behind an index searches; what stands between them moves data at most.
fn searched(graph: &Graph, mut index: TensorId) -> Option<usize> {
    loop {
        let node = &graph.nodes[graph.producer(index)?];
        if let Op::ArgMax { axis, .. } = node.op {
            return graph.tensors[node.inputs[0]].shape.get(axis).copied();
        }
        index = *node.inputs.first()?;
    }
}

/// The output that names a class: the first real one whose largest element does, else an index.
fn choice(graph: &Graph) -> Option<usize> {
    let kind = |k: usize| graph.tensors[graph.outputs[k].tensor].kind;
    let real = (0..graph.outputs.len()).find(|&k| kind(k) == Kind::Real);
    real.or_else(|| (0..graph.outputs.len()).find(|&k| kind(k) == Kind::Index))
}

/// The class an output names: its largest element; above one half (or zero, if it can be negative) for a single one.
fn class(values: &[f64], probability: bool) -> usize {
    if let &[single] = values {
        return usize::from(single > if probability { 0.5 } else { 0.0 });
    }
    let mut best = 0;
    for (k, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = k;
        }
    }
    best
}

/// Runs `rows` through the float graph and the plan.
///
/// `progress` is called after every row.
pub fn evaluate(
    graph: &Graph,
    plan: &Plan,
    rows: &Rows,
    labels: Option<&[usize]>,
    progress: &mut dyn FnMut(usize),
) -> Evaluated {
    let mut float = Evaluator::new(graph);
    let mut simulator = Simulator::new(plan);
    let chosen = choice(graph);
    let index = chosen.is_some_and(|k| graph.tensors[graph.outputs[k].tensor].kind == Kind::Index);
    let probability = chosen.is_some_and(|k| plan.values[plan.outputs[k].value].quant.zero_point == -128);
    let of =
        |values: &[f64]| if index { values.first().map_or(0, |&v| v as usize) } else { class(values, probability) };
    let mut found = Evaluated {
        figures: Evaluation {
            rows: rows.len(),
            float_accuracy: None,
            quantized_accuracy: None,
            agreement: None,
            max_abs_error: 0.0,
            sqnr_db: None,
        },
        outputs: Vec::new(),
        classes: Vec::new(),
    };
    let mut noise = Noise::default();
    let (mut float_right, mut right, mut same) = (0usize, 0usize, 0usize);
    for row in 0..rows.len() {
        let inputs = rows.row(row);
        float.run(&inputs);
        simulator.run_real(&inputs);
        for (k, output) in plan.outputs.iter().enumerate() {
            let quantized = simulator.real(output.value);
            let real: Vec<f64> = float.output(k).iter().map(|&v| v.into()).collect();
            if plan.values[output.value].quant.ty != Type::U16 {
                for (&r, &q) in real.iter().zip(&quantized) {
                    noise.add(r, q);
                    found.figures.max_abs_error = found.figures.max_abs_error.max((r - q).abs());
                }
            }
            if chosen == Some(k) {
                found.outputs.extend(quantized.iter().map(|&v| v as f32));
                let (f, q) = (of(&real), of(&quantized));
                same += usize::from(f == q);
                if let Some(labels) = labels {
                    float_right += usize::from(f == labels[row]);
                    right += usize::from(q == labels[row]);
                }
                found.classes.push(q);
            }
        }
        progress(row + 1);
    }
    let share = |n: usize| n as f64 / rows.len().max(1) as f64;
    found.figures.sqnr_db = noise.sqnr_db();
    found.figures.agreement = chosen.map(|_| share(same));
    if labels.is_some() {
        (found.figures.float_accuracy, found.figures.quantized_accuracy) =
            (Some(share(float_right)), Some(share(right)));
    }
    found
}
