//! Networks with a configuration against the formula that it stands for, over wide integers.

use super::config::{ActivationConfig, ArgMaxConfig, Config, InputConfig, LayerConfig, Scale};
use super::format::Format;
use super::{Options, quantize};
use crate::approximate::arg_max::{Comparator, Tree, highest, live_bits, offset};
use crate::approximate::network::{Change, Incremental, Network, Samples};
use crate::calibrate::{StuckColumns, calibrate};
use crate::data::{Array, Data, Rows};
use crate::error::Result;
use crate::graph::expr::Unary;
use crate::graph::{Expr, Graph, Kind, Node, Op, Output, TensorId};
use crate::plan::Plan;
use crate::plan::simulate::Simulator;
use proptest::prelude::*;
use std::path::Path;

/// Real size of the input's step, and of the weight 1 in both layers: powers of two, so that all numbers are exact.
const STEP: f64 = 0.125;
const WEIGHT: f64 = 0.25;

/// Fully connected layer over integers.
#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    weight: Vec<i8>,
    bias: Vec<i32>,
    masks: Option<Vec<u8>>,
}

impl Layer {
    fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The sums of non-negative operands.
    fn sums(&self, x: &[i64]) -> Vec<i64> {
        let mask = |k: usize| self.masks.as_ref().map_or(255, |m| m[k]);
        let term = |o: usize, i: usize| {
            let k = o * self.inputs + i;
            i64::from(self.weight[k]) * (x[i] & i64::from(mask(k)))
        };
        let sum = |o: usize| i64::from(self.bias[o]) + (0..self.inputs).map(|i| term(o, i)).sum::<i64>();
        (0..self.outputs()).map(sum).collect()
    }

    /// The operator whose operand has this step.
    fn op(&self, step: f64) -> Op {
        let weight: Vec<f32> = self.weight.iter().map(|&w| (f64::from(w) * WEIGHT) as f32).collect();
        let bias: Vec<f32> = self.bias.iter().map(|&b| (f64::from(b) * WEIGHT * step) as f32).collect();
        Op::Gemm { weight: weight.into(), bias: bias.into() }
    }

    fn config(&self) -> LayerConfig {
        let masks = self.masks.as_ref().map(|m| m.chunks(self.inputs).map(<[u8]>::to_vec).collect());
        LayerConfig { scale: Some(Scale::Layer(WEIGHT)), masks, ..LayerConfig::default() }
    }
}

/// Adds a node with a result of so many features.
fn add(graph: &mut Graph, name: &str, op: Op, input: TensorId, features: usize) -> TensorId {
    let kind = if matches!(op, Op::ArgMax { .. }) { Kind::Index } else { Kind::Real };
    let output = graph.tensor(format!("{name} result"), vec![1, features], kind);
    graph.nodes.push(Node { name: name.into(), origin: name.into(), op, inputs: vec![input], output });
    output
}

/// `x -> hidden -> relu -> last -> class`, without what is `None`.
fn network(hidden: &Layer, shift: u32, last: Option<&Layer>) -> Graph {
    let mut graph = Graph { name: "net".into(), ..Graph::default() };
    let x = graph.tensor("x", vec![1, hidden.inputs], Kind::Real);
    graph.inputs = vec![x];
    let h = add(&mut graph, "hidden", hidden.op(STEP), x, hidden.outputs());
    let mut y = add(&mut graph, "relu", Op::Map(Expr::unary(Unary::Relu, Expr::Input(0))), h, hidden.outputs());
    if let Some(last) = last {
        let step = STEP * WEIGHT * f64::from(shift).exp2();
        y = add(&mut graph, "last", last.op(step), y, last.outputs());
        y = add(&mut graph, "class", Op::ArgMax { axis: 1, last: false }, y, 1);
    }
    graph.outputs = vec![Output { name: "y".into(), tensor: y, labels: None }];
    graph
}

fn config(hidden: &Layer, (shift, bits): (u32, u32), input_bits: u32) -> Config {
    let layer = LayerConfig { shift: Some(shift), bits: Some(bits), ..hidden.config() };
    let input = InputConfig { bits: input_bits, scale: Some(STEP), zero_point: None };
    Config {
        inputs: [("x".to_owned(), input)].into(),
        layers: [("hidden".to_owned(), layer)].into(),
        ..Config::default()
    }
}

/// Calibrated with a few rows that do not matter: the configuration says all numbers.
fn plan(graph: &Graph, config: Config) -> Result<Plan> {
    let inputs = graph.tensors[graph.inputs[0]].len();
    let values: Vec<f32> = (0..8 * inputs).map(|k| (k * k % 23) as f32 * 0.25).collect();
    let array = Array { name: "x".into(), shape: vec![8, inputs], values };
    let rows = Rows::new(graph, &Data { arrays: vec![array], columns: vec![] }, Path::new("rows"))?;
    let calibration = calibrate(graph, &rows, StuckColumns::Allowed)?;
    quantize(graph, &calibration, &Options { config, ..Options::default() })
}

fn problems(graph: &Graph, config: Config) -> Vec<String> {
    let error = plan(graph, config).expect_err("the configuration does not fit");
    error.problems().iter().map(ToString::to_string).collect()
}

/// The integer of a real input: 128 less lies in memory.
fn input(x: f32, bits: u32) -> i64 {
    ((f64::from(x) / STEP + 0.5).floor() as i64).clamp(0, (1 << bits) - 1)
}

fn truncated(sum: i64, (shift, bits): (u32, u32)) -> i64 {
    sum.div_euclid(1 << shift).clamp(0, (1 << bits) - 1)
}

#[test]
fn truncated_relu_is_the_floor_of_every_sum() {
    // 127 a + b over all bytes a and all b below 127 is every integer from 0 on; biases bring it around zero.
    let hidden = Layer { inputs: 2, weight: [127, 1].repeat(2), bias: vec![-9000, 300], masks: None };
    for (shift, bits) in [(0, 8), (1, 8), (4, 8), (5, 3), (7, 8), (7, 1), (12, 4)] {
        let graph = network(&hidden, shift, None);
        let plan = plan(&graph, config(&hidden, (shift, bits), 8)).unwrap_or_else(|e| panic!("{e}"));
        let mut simulator = Simulator::new(&plan);
        let mut seen = std::collections::BTreeSet::new();
        for a in 0..256 {
            for b in 0..127 {
                simulator.run_real(&[&[(f64::from(a) * STEP) as f32, (f64::from(b) * STEP) as f32]]);
                let found = simulator.integers(plan.outputs[0].value);
                for (sum, y) in hidden.sums(&[a.into(), b.into()]).into_iter().zip(found) {
                    let y = i64::from(y) + 128;
                    assert_eq!(y, truncated(sum, (shift, bits)), "{sum} >> {shift} in {bits} bits");
                    seen.insert(sum);
                    // The documented error: less than a step, and never upwards.
                    let lost = sum as f64 / f64::from(shift).exp2() - y as f64;
                    assert!(sum < 0 || y == (1 << bits) - 1 || (0.0..1.0).contains(&lost), "{lost}");
                }
            }
        }
        let (first, last) = (seen.first().copied().unwrap_or(0), seen.last().copied().unwrap_or(0));
        assert_eq!((last - first + 1) as usize, seen.len(), "every sum between the least and the largest");
    }
}

fn layer(inputs: usize, outputs: usize, masked: bool) -> impl Strategy<Value = Layer> {
    let weight = prop::collection::vec(prop_oneof![-127i8..=127, -3i8..=3, Just(0)], inputs * outputs);
    let bias = prop::collection::vec(-4000..4000i32, outputs);
    let masks = prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255)], inputs * outputs);
    (weight, bias, masks).prop_map(move |(weight, bias, mask)| Layer {
        inputs,
        weight,
        bias,
        masks: masked.then_some(mask),
    })
}

/// The first of the largest.
fn arg_max(sums: &[i64]) -> i64 {
    let largest = sums.iter().max().copied().unwrap_or(0);
    sums.iter().position(|&s| s == largest).unwrap_or(0) as i64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Inputs of few bits, masks, truncated ReLU, and sums to the class, exact or of the highest bits.
    #[test]
    fn whole_networks_are_their_formula(
        (hidden, last) in (any::<bool>(), any::<bool>()).prop_flat_map(|(a, b)| (layer(4, 3, a), layer(3, 5, b))),
        input_bits in 1u32..=8, shift in 0u32..=9, bits in 1u32..=8, compared in prop::option::of(1u32..20),
        rows in prop::collection::vec(prop::array::uniform4(-2f32..40.0), 20),
    ) {
        let graph = network(&hidden, shift, Some(&last));
        let mut config = config(&hidden, (shift, bits), input_bits);
        config.layers.insert("last".into(), last.config());
        config.argmax = compared.map(|bits| ArgMaxConfig { bits: Some(bits), ..ArgMaxConfig::default() });
        let plan = plan(&graph, config).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let kernel = &plan.steps.last().expect("a step").kernel;
        prop_assert_eq!(kernel.choice_error().is_some(), compared.is_some());
        // What the sums can be at all, from the weights' signs.
        let most = |k: usize| last.masks.as_ref().map_or(255, |m| i64::from(m[k])) & ((1 << bits) - 1);
        let reach = |o: usize, sign: i64| {
            let terms = (3 * o..3 * o + 3).map(|k| i64::from(last.weight[k]) * most(k));
            i64::from(last.bias[o]) + terms.map(|t| sign * (sign * t).max(0)).sum::<i64>()
        };
        let low = (0..5).map(|o| reach(o, -1)).min().unwrap_or(0);
        let high = (0..5).map(|o| reach(o, 1)).max().unwrap_or(0);
        let mut simulator = Simulator::new(&plan);
        for row in &rows {
            simulator.run_real(&[&row[..]]);
            let x: Vec<i64> = row.iter().map(|&x| input(x, input_bits)).collect();
            let h: Vec<i64> = hidden.sums(&x).into_iter().map(|s| truncated(s, (shift, bits))).collect();
            let sums = last.sums(&h);
            let found = i64::from(simulator.integers(plan.outputs[0].value)[0]);
            match compared {
                None => prop_assert_eq!(found, arg_max(&sums)),
                Some(count) => {
                    let offset = offset(low);
                    let kept = i64::from(highest(live_bits(offset, high), count));
                    // Equal masks: the first of those whose kept bits are the largest.
                    let kept: Vec<i64> = sums.iter().map(|s| (s + i64::from(offset)) & kept).collect();
                    prop_assert_eq!(found, arg_max(&kept));
                    let lost = sums.iter().max().copied().unwrap_or(0) - sums[found as usize];
                    prop_assert!(Some(lost) <= kernel.choice_error(), "{} of {:?}", lost, kernel.choice_error());
                }
            }
        }
    }
}

/// The rows as they are loaded.
fn loaded(graph: &Graph, rows: &[[f32; 4]]) -> Result<Rows> {
    let values = rows.iter().flatten().copied().collect();
    let array = Array { name: "x".into(), shape: vec![rows.len(), 4], values };
    Rows::new(graph, &Data { arrays: vec![array], columns: Vec::new() }, Path::new("rows"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Evaluation of all rows at once, with truncated and with rounded activations, of more rows than a block has, and of
    /// a network one of whose masks changes.
    #[test]
    fn fast_evaluation_gives_the_plans_classes(
        (hidden, last) in (any::<bool>(), any::<bool>()).prop_flat_map(|(a, b)| (layer(4, 3, a), layer(3, 5, b))),
        input_bits in 1u32..=8, shift in 0u32..=9, bits in 1u32..=8, rounded: bool,
        rows in prop::collection::vec(prop::array::uniform4(-2f32..40.0), 300),
        (in_last, output, input, mask) in (any::<bool>(), 0usize..3, 0usize..3, any::<u8>()),
    ) {
        let graph = network(&hidden, shift, Some(&last));
        let mut config = config(&hidden, (shift, bits), input_bits);
        config.layers.insert("last".into(), last.config());
        if rounded {
            // A result that is always zero is not unsigned, and takes no masks.
            config.layers.entry("last".into()).or_default().masks = None;
            let own = config.layers.entry("hidden".into()).or_default();
            (own.shift, own.bits) = (None, None);
        }
        let failed = |e: crate::Error| TestCaseError::fail(e.to_string());
        let plan = plan(&graph, config).map_err(failed)?;
        let mut simulator = Simulator::new(&plan);
        let expected = rows.iter().map(|row| {
            simulator.run_real(&[&row[..]]);
            simulator.integers(plan.outputs[0].value)[0] as usize
        });
        let expected: Vec<usize> = expected.collect();
        let network = Network::new(&plan).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let labels: Vec<usize> = expected.iter().enumerate().map(|(k, &c)| if k % 3 == 0 { 4 - c } else { c }).collect();
        let samples = Samples::new(&plan, &loaded(&graph, &rows).map_err(failed)?, &labels);
        prop_assert_eq!(network.classify(&samples), expected.clone());
        let correct = expected.iter().zip(&labels).filter(|(a, b)| a == b).count();
        prop_assert_eq!(network.correct(&samples), correct);

        let incremental = Incremental::new(network.clone(), &samples);
        prop_assert_eq!(incremental.correct(), correct);
        let change = Change { layer: usize::from(in_last), output, input, mask };
        let mut changed = network;
        let layer = &mut changed.layers[change.layer];
        layer.masks[output * layer.inputs + input] = mask;
        prop_assert_eq!(incremental.correct_with(change), changed.correct(&samples));
        let mut incremental = incremental;
        incremental.apply(change);
        prop_assert_eq!(incremental.network(), &changed);
        prop_assert_eq!(incremental.correct(), changed.correct(&samples));
    }
}

#[test]
fn comparators_one_by_one() {
    let hidden = Layer { inputs: 2, weight: vec![1, 0, 0, 1], bias: vec![0, 0], masks: None };
    let last = Layer { inputs: 2, weight: vec![1, 0, 0, 1, 1, 1], bias: vec![0, 0, -6], masks: None };
    let comparators = vec![Comparator { left: 2, right: 0, bits: 0x0e }, Comparator { left: 1, right: 2, bits: 0xff }];
    let mut config = config(&hidden, (0, 4), 4);
    config.layers.insert("last".into(), last.config());
    config.argmax = Some(ArgMaxConfig { offset: Some(0), bits: None, comparators: Some(comparators.clone()) });
    let plan = plan(&network(&hidden, 0, Some(&last)), config).unwrap_or_else(|e| panic!("{e}"));
    let tree = Tree { offset: 0, comparators };
    let mut simulator = Simulator::new(&plan);
    for (a, b) in (0..16).flat_map(|a| (0..16).map(move |b| (a, b))) {
        simulator.run_real(&[&[a as f32 * STEP as f32, b as f32 * STEP as f32]]);
        let expected = tree.choose(&[a, b, a + b - 6]);
        assert_eq!(simulator.integers(plan.outputs[0].value), [i32::from(expected[0])], "{a} {b}");
    }
}

#[test]
fn every_problem_of_a_configuration_is_told() {
    let hidden = Layer { inputs: 2, weight: vec![1; 6], bias: vec![0; 3], masks: None };
    let graph = network(&hidden, 0, Some(&Layer { inputs: 3, weight: vec![1; 6], bias: vec![0; 2], masks: None }));
    let layer = LayerConfig {
        scale: Some(Scale::Outputs(vec![1.0, -1.0])),
        shift: Some(25),
        bits: Some(9),
        masks: Some(vec![vec![1, 2]]),
        ..LayerConfig::default()
    };
    let input = |bits, scale, zero_point| InputConfig { bits, scale, zero_point };
    let bad = Config {
        input_bits: Some(0),
        inputs: [("x".into(), input(9, Some(0.0), Some(-129))), ("z".into(), input(8, None, None))].into(),
        layers: [
            ("hidden".into(), layer),
            ("last".into(), LayerConfig { bits: Some(4), ..LayerConfig::default() }),
            ("relu".into(), LayerConfig { weights: Some(Format::Int4), ..LayerConfig::default() }),
        ]
        .into(),
        activation: Some(ActivationConfig { segments: Some(65), max_error: Some(40_000) }),
        activations: [("relu".into(), ActivationConfig { segments: None, max_error: Some(1) })].into(),
        argmax: Some(ArgMaxConfig {
            offset: Some(-1),
            bits: Some(33),
            comparators: Some(vec![Comparator { left: 0, right: 2, bits: 1 }]),
        }),
        ..Config::default()
    };
    let found = problems(&graph, bad);
    for (place, reason) in [
        ("input 'z'", "no such input"),
        ("input 'x'", "9 bits"),
        ("all inputs", "0 bits"),
        ("layer 'hidden'", "9 bits"),
        ("input 'x'", "its scale"),
        ("input 'x'", "its zero point"),
        ("layer 'hidden'", "2 scales for 3 outputs"),
        ("layer 'hidden'", "a shift and a scale by output"),
        ("layer 'hidden'", "a scale is no positive number"),
        ("layer 'hidden'", "more than 24"),
        ("layer 'hidden'", "masks are not 3 rows of 2"),
        ("layer 'last'", "bits but no shift"),
        ("layer 'relu'", "no such fully connected layer"),
        ("all functions", "not one of segments and max_error"),
        ("all functions", "not 1 to 64"),
        ("all functions", "more than 32768 steps"),
        ("function 'relu'", "no such function"),
        ("the argmax", "offset"),
        ("the argmax", "1 to 32 bits"),
        ("the argmax", "not one of bits and comparators"),
        ("the argmax", "slot 2 of 2"),
    ] {
        let told = found.iter().filter(|p| p.contains(place) && p.contains(reason)).count();
        assert_eq!(told, 1, "{place}: {reason} in {found:#?}");
    }
    assert_eq!(found.len(), 21, "{found:#?}");
}

#[test]
fn problems_of_a_layer() {
    let hidden = Layer { inputs: 2, weight: vec![1; 4], bias: vec![0; 2], masks: Some(vec![1; 4]) };
    let graph = network(&hidden, 0, None);
    // An operand whose zero point is not the least has no bits to mask.
    let mut masked = config(&hidden, (0, 8), 8);
    masked.inputs.insert("x".into(), InputConfig { bits: 8, scale: Some(STEP), zero_point: Some(0) });
    assert!(problems(&graph, masked)[0].contains("operand is not an unsigned 8-bit tensor"));
    // A truncated ReLU without one.
    let mut linear = graph.clone();
    linear.nodes.pop();
    linear.outputs[0].tensor = linear.nodes[0].output;
    assert!(problems(&linear, config(&hidden, (3, 8), 8))[0].contains("no Relu of its own follows"));
    // A bias that leaves half a step no room.
    let full = Layer { weight: vec![0; 4], bias: vec![-2_147_483_520; 2], masks: None, ..hidden.clone() };
    let found = problems(&network(&full, 0, None), config(&full, (9, 8), 8));
    assert!(found[0].contains("output range is too narrow"), "{found:?}");
    // A scale so fine that the bias leaves the sums no room.
    let mut fine = config(&hidden, (0, 8), 8);
    let biased = Layer { bias: vec![i32::MAX / 2; 2], ..hidden.clone() };
    let scale = Some(Scale::Layer(WEIGHT / 8.0));
    fine.layers.insert("hidden".into(), LayerConfig { scale, ..hidden.config() });
    assert!(problems(&network(&biased, 0, None), fine)[0].contains("32 bits do not hold"));
    // Int16 and a number of bits.
    let config = config(&hidden, (0, 8), 8);
    let options = Options { config, int16: vec!["x".into()], ..Options::default() };
    let array = Array { name: "x".into(), shape: vec![2, 2], values: vec![0.0, 1.0, 2.0, 3.0] };
    let rows = Rows::new(&graph, &Data { arrays: vec![array], columns: vec![] }, Path::new("rows")).expect("rows");
    let calibration = calibrate(&graph, &rows, StuckColumns::Allowed).expect("statistics");
    let error = quantize(&graph, &calibration, &options).expect_err("both").to_string();
    assert!(error.contains("both int16 activations and a number of bits"), "{error}");
    // Nothing to choose from.
    let argmax = Some(ArgMaxConfig { bits: Some(2), ..ArgMaxConfig::default() });
    assert!(problems(&graph, Config { argmax, ..Config::default() })[0].contains("no ArgMax"));
}
