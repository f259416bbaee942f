//! What a model was tuned for, or what its user asks for: formats of weights, widths of values, masks.
//!
//! Tuned models carry it as JSON in the ONNX file's metadata, under [`QUANTIZATION`](crate::import::QUANTIZATION); a file of the same form takes its place.

use super::clamp;
use super::format::Format;
use crate::approximate::arg_max::{Comparator, Tree};
use crate::error::{Problem, Problems};
use crate::graph::{Graph, Node, Op};
use crate::target::Emission;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the form.
const VERSION: u32 = 1;

/// Quantization by input and layer. What is not said is chosen from the calibration data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// 1.
    pub version: u32,
    /// Format of the weights of layers that say nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Format>,
    /// Bits of inputs that say nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bits: Option<u32>,
    /// By name of an input.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, InputConfig>,
    /// By name of a fully connected layer's node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, LayerConfig>,
    /// Of functions of one number that say nothing else: straight segments instead of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<ActivationConfig>,
    /// By name of a node that is a function of one number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub activations: BTreeMap<String, ActivationConfig>,
    /// Of the choice of a class: an approximate one instead of an exact one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argmax: Option<ArgMaxConfig>,
}

/// Of an input: `q = clamp(round(x / scale) + zero_point, -128, 2^bits - 129)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// 1 to 8.
    pub bits: u32,
    /// Real size of one step. Without it, scale and zero point come from the calibration data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// The integer that stands for zero: -128, if not given beside a scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_point: Option<i32>,
}

/// Of a fully connected layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// Format of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Format>,
    /// Real size of the weight 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Truncated ReLU (the paper's QReLU) instead of rounding to a calibrated range: the result is
    /// `clamp(floor(sum / 2^shift), 0, 2^bits - 1)`. A `Relu` has to follow, and all outputs have one scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<u32>,
    /// Bits of the result of a truncated ReLU, 1 to 8: 8, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// By output and input, the bits of the operand that count: `sum += w * ((q - zero_point) & mask)`. The zero point is
    /// -128. A summand whose mask is 0 is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<Vec<Vec<u8>>>,
    /// Biases by output, in units of the sums (real size: the operand's scale times that of the weights), instead of the
    /// model's. A scale has to be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<Vec<i32>>,
    /// Whether it reads a table of weights or is straight-line code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emission: Option<Emission>,
}

/// Scales of a layer's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scale {
    /// Of all outputs.
    Layer(f64),
    /// By output.
    Outputs(Vec<f64>),
}

impl Scale {
    /// Of an output.
    pub fn of(&self, output: usize) -> f64 {
        match self {
            Scale::Layer(scale) => *scale,
            Scale::Outputs(scales) => scales.get(output).copied().unwrap_or(1.0),
        }
    }
}

/// Of a function of one number: how many straight segments it becomes, or how far they may be off.
/// See [`tinymlp::kernels::Piecewise`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationConfig {
    /// So many segments, placed for the smallest error: 1 to 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<usize>,
    /// The fewest segments whose results are within so many steps of the rounded function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error: Option<u32>,
}

/// Of every `ArgMax`: comparators of some bits of `max(sum + offset, 0)`, by their number or one by one.
/// See [`tinymlp::kernels::ArgMaxBits`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgMaxConfig {
    /// Added to every sum. 0 is the ReLU of the paper's output layers. If not given, the least power of two with which no
    /// sum is below zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i32>,
    /// How many of the highest bits that the sums can have every comparator of a tree of neighbours compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// The comparators in their order: one less than classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparators: Option<Vec<Comparator>>,
}

impl Default for Config {
    fn default() -> Self {
        let (inputs, layers) = (BTreeMap::new(), BTreeMap::new());
        Self {
            version: VERSION,
            weights: None,
            input_bits: None,
            inputs,
            layers,
            activation: None,
            activations: BTreeMap::new(),
            argmax: None,
        }
    }
}

impl Config {
    /// From JSON.
    ///
    /// # Errors
    /// Text of another form or version.
    pub fn from_json(text: &str) -> Result<Self, Problem> {
        let problem = |reason: String| Problem::new("quantization", reason);
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| problem(format!("this is no JSON: {e}")))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                return Err(problem(format!("is of version {version}; this release reads version {VERSION}"))
                    .help("tune the model again with this release, or use the one that wrote it"));
            }
            None => {
                return Err(problem("has no \"version\"".into())
                    .help("write {\"version\": 1, \"layers\": {\"fc1\": {\"weights\": \"int4\"}}}"));
            }
        }
        serde_json::from_value(value).map_err(|e| problem(e.to_string()))
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What holds for a layer.
    pub fn layer(&self, name: &str) -> LayerConfig {
        let own = self.layers.get(name).cloned().unwrap_or_default();
        LayerConfig { weights: own.weights.or(self.weights), ..own }
    }

    /// What holds for a function of one number.
    pub fn activation(&self, name: &str) -> Option<ActivationConfig> {
        self.activations.get(name).copied().or(self.activation)
    }

    /// What holds for an input.
    pub fn input(&self, name: &str) -> Option<InputConfig> {
        let all = self.input_bits.map(|bits| InputConfig { bits, scale: None, zero_point: None });
        self.inputs.get(name).cloned().or(all)
    }

    /// Everything that does not fit the network.
    pub(super) fn check(&self, graph: &Graph, problems: &mut Problems) {
        let inputs: Vec<&str> = graph.inputs.iter().map(|&id| graph.tensors[id].name.as_str()).collect();
        for name in self.inputs.keys().filter(|name| !inputs.contains(&name.as_str())) {
            problems.push(
                Problem::new(format!("quantization of input '{name}'"), "the model has no such input")
                    .help(format!("one of {inputs:?}")),
            );
        }
        let bits = self.inputs.iter().map(|(name, input)| (format!("input '{name}'"), input.bits));
        let bits = bits.chain(self.input_bits.map(|bits| ("all inputs".to_owned(), bits)));
        let layers = self.layers.iter().filter_map(|(name, l)| Some((format!("layer '{name}'"), l.bits?)));
        for (of, bits) in bits.chain(layers).filter(|(_, bits)| !(1..=8).contains(bits)) {
            problems.push(Problem::new(format!("quantization of {of}"), format!("{bits} bits are not 1 to 8")));
        }
        for (name, input) in &self.inputs {
            if input.scale.is_some_and(|s| !s.is_normal() || s < 0.0) {
                problems
                    .push(Problem::new(format!("quantization of input '{name}'"), "its scale is no positive number"));
            }
            if input.zero_point.is_some_and(|z| !(-128..=127).contains(&z)) {
                problems.push(Problem::new(format!("quantization of input '{name}'"), "its zero point is no int8"));
            }
        }
        for (name, layer) in &self.layers {
            let mut wrong = |reason: String, help: &str| {
                problems.push(Problem::new(format!("quantization of layer '{name}'"), reason).help(help));
            };
            let node = graph.nodes.iter().find(|n| n.name == *name);
            let Some(Op::Gemm { weight, bias }) = node.map(|n| &n.op) else {
                let layers: Vec<&str> =
                    graph.nodes.iter().filter(|n| matches!(n.op, Op::Gemm { .. })).map(|n| n.name.as_str()).collect();
                wrong("the model has no such fully connected layer".into(), &format!("one of {layers:?}"));
                continue;
            };
            let (outputs, inputs) = (bias.len(), weight.len() / bias.len().max(1));
            let scales = match &layer.scale {
                None => &[][..],
                Some(Scale::Layer(s)) => std::slice::from_ref(s),
                Some(Scale::Outputs(s)) => {
                    if s.len() != outputs {
                        wrong(format!("has {} scales for {outputs} outputs", s.len()), "give one, or one an output");
                    }
                    if layer.shift.is_some() {
                        wrong("has a shift and a scale by output".into(), "a truncated ReLU needs one scale for all");
                    }
                    s
                }
            };
            if scales.iter().any(|s| !s.is_normal() || *s < 0.0) {
                wrong("a scale is no positive number".into(), "give the real size of the weight 1");
            }
            if layer.shift.is_some_and(|s| s > 24) {
                wrong("its shift is more than 24".into(), "no result would be left");
            }
            if layer.bits.is_some() && layer.shift.is_none() {
                wrong("has bits but no shift".into(), "only the results of a truncated ReLU have fewer bits");
            }
            if let Some(bias) = &layer.bias {
                if bias.len() != outputs {
                    wrong(format!("has {} biases for {outputs} outputs", bias.len()), "give one an output");
                }
                if layer.scale.is_none() {
                    wrong(
                        "has biases but no scale".into(),
                        "biases are in units of the sums, which follow from the scale",
                    );
                }
            }
            if let Some(masks) = &layer.masks
                && (masks.len() != outputs || masks.iter().any(|row| row.len() != inputs))
            {
                wrong(format!("its masks are not {outputs} rows of {inputs}"), "a row an output, an element an input");
            }
        }
        let all = self.activation.iter().map(|a| ("all functions".to_owned(), a));
        let named = self.activations.iter().map(|(name, a)| (format!("function '{name}'"), a));
        for (of, activation) in all.chain(named) {
            let place = format!("quantization of {of}");
            if activation.segments.is_some() == activation.max_error.is_some() {
                problems.push(
                    Problem::new(&place, "has not one of segments and max_error")
                        .help("write {\"segments\": 4} or {\"max_error\": 2}"),
                );
            }
            if activation.segments.is_some_and(|s| !(1..=64).contains(&s)) {
                problems.push(Problem::new(&place, "its segments are not 1 to 64"));
            }
            if activation.max_error.is_some_and(|e| e > 1 << 15) {
                problems.push(Problem::new(&place, "its largest error is more than 32768 steps"));
            }
        }
        let function = |node: &Node| {
            matches!(node.op, Op::Map(_))
                && node.inputs.len() == 1
                && clamp::bounds_of(graph, node).is_none()
                && graph.tensors[node.inputs[0]].shape == graph.tensors[node.output].shape
        };
        for name in self.activations.keys() {
            if !graph.nodes.iter().any(|node| node.name == *name && function(node)) {
                let functions: Vec<&str> =
                    graph.nodes.iter().filter(|&node| function(node)).map(|n| n.name.as_str()).collect();
                problems.push(
                    Problem::new(
                        format!("quantization of function '{name}'"),
                        "the model has no such function of one number that takes a table",
                    )
                    .help(format!("one of {functions:?}; clamps need none")),
                );
            }
        }
        if let Some(argmax) = &self.argmax {
            argmax.check(graph, problems);
        }
    }
}

impl ArgMaxConfig {
    /// Everything that does not fit the network.
    fn check(&self, graph: &Graph, problems: &mut Problems) {
        let mut wrong = |reason: String, help: &str| {
            problems.push(Problem::new("quantization of the argmax", reason).help(help));
        };
        if self.offset.is_some_and(|offset| !(0..=1 << 30).contains(&offset)) {
            wrong("its offset is not 0 to 2^30".into(), "leave it out for one that keeps all sums");
        }
        if self.bits.is_some_and(|bits| !(1..=32).contains(&bits)) {
            wrong("its comparators have not 1 to 32 bits".into(), "some bits decide");
        }
        if self.bits.is_some() == self.comparators.is_some() {
            wrong("has not one of bits and comparators".into(), "write {\"bits\": 4}, or a list of comparators");
        }
        let searches = graph.nodes.iter().filter_map(|node| match node.op {
            Op::ArgMax { axis, .. } => Some((node, graph.tensors[node.inputs[0]].shape[axis])),
            _ => None,
        });
        let mut searched = 0;
        for (node, classes) in searches {
            searched += 1;
            let comparators = self.comparators.clone();
            let problem = comparators.and_then(|comparators| Tree { offset: 0, comparators }.problem(classes));
            if let Some(reason) = problem {
                wrong(
                    format!("does not fit node '{}' ({}): {reason}", node.name, node.origin),
                    "every class but one loses once: it is the right operand of one comparator, and of no later one",
                );
            }
        }
        if searched == 0 {
            wrong("the model has no ArgMax".into(), "--argmax (`Builder::arg_max`) adds one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_as_it_was_written() {
        let layer = LayerConfig {
            weights: Some(Format::PowerOfTwo),
            scale: Some(Scale::Layer(0.125)),
            shift: Some(4),
            bits: None,
            masks: Some(vec![vec![15, 0], vec![12, 8]]),
            bias: Some(vec![-7, 300]),
            emission: Some(Emission::Bespoke),
        };
        let input = InputConfig { bits: 4, scale: Some(0.0625), zero_point: None };
        let config = Config {
            inputs: [("x".to_owned(), input)].into(),
            layers: [("fc1".to_owned(), layer)].into(),
            ..Config::default()
        };
        assert_eq!(Config::from_json(&config.to_json()), Ok(config));
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        let refused = |text: &str| Config::from_json(text).map_err(|p| p.to_string()).expect_err(text);
        assert!(refused("[").contains("no JSON"));
        assert!(refused("{}").contains("version"));
        assert!(refused(r#"{"version": 2}"#).contains("version 2"));
        assert!(refused(r#"{"version": 1, "layers": {"a": {"weights": "int5"}}}"#).contains("int5"));
        assert!(refused(r#"{"version": 1, "layer": {}}"#).contains("layer"));
    }
}
