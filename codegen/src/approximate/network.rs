//! Chains of fully connected layers, evaluated over all rows of a data set at once.
//!
//! The same integers as the plan's, without its calls: rows lie side by side, so that the compiler's vectors hold one
//! summand of many rows. That is what a search needs, which asks for nothing but classes, a million times.
//!
//! Measured in a release build for x86-64 without further features, on one core of a shared server: a 16-5-10 network with
//! power-of-two weights, of whose 130 summands none is left out, a truncated ReLU and sums that are compared takes 0.09 to
//! 0.14 ms for 7,000 rows, and its full adders 0.01 to 0.02 ms.

use super::arg_max::Tree;
use crate::data::Rows;
use crate::error::Problem;
use crate::plan::kernels::{Buffer, Dense};
use crate::plan::simulate::quantize;
use crate::plan::{Plan, Step, Type, Value};
use std::ops::Range;
use tinymlp::requantize;

/// Rows that are evaluated together: what all layers need of them fits the first cache.
const BLOCK: usize = 256;

/// Fully connected layers, each reading the one before, and the choice of the largest result.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// From the input on.
    pub layers: Vec<Layer>,
    /// Among equal results, whether the last class is chosen and not the first.
    pub last: bool,
    /// What chooses in the place of an exact comparison of all results, if anything does.
    pub tree: Option<Tree>,
}

/// A fully connected layer over unsigned activations `u = q + 128`:
/// `sum[o] = bias[o] + sum over i with masks[o][i] != 0 of weight[o][i] * ((u[i] & masks[o][i]) - zero)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name of its node.
    pub name: String,
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
    /// `outputs x inputs`.
    pub weight: Vec<i8>,
    /// By output.
    pub bias: Vec<i32>,
    /// `outputs x inputs`: the bits of the operand that count. A summand whose mask is 0 is left out.
    pub masks: Vec<u8>,
    /// The operand that stands for zero. Masks leave out some bits only where it is 0.
    pub zero: u8,
    /// The largest operand.
    pub largest: u8,
    /// What becomes of the sums.
    pub result: Activation,
}

/// What becomes of a layer's sums.
#[derive(Clone, Debug, PartialEq)]
pub enum Activation {
    /// Nothing: they are compared.
    Sums,
    /// `clamp(floor(sum / 2^shift), 0, max)`.
    Truncated {
        /// Bits that are cut off.
        shift: u32,
        /// Largest result.
        max: u8,
    },
    /// `clamp(requantize(sum, multiplier[o], shift) + zero, min, max)`.
    Rounded {
        /// By output.
        multiplier: Vec<i32>,
        /// See [`requantize`].
        shift: u32,
        /// The result that stands for zero.
        zero: u8,
        /// Smallest result.
        min: u8,
        /// Largest result.
        max: u8,
    },
}

/// Quantized inputs with their classes, a column a feature.
#[derive(Clone, Debug)]
pub struct Samples {
    columns: Vec<Vec<i16>>,
    labels: Vec<i32>,
}

impl Network {
    /// The layers of a portable plan.
    ///
    /// # Errors
    /// The first step that belongs to no such chain.
    pub fn new(plan: &Plan) -> Result<Self, Problem> {
        let refused = |step: &Step, why: &str| {
            Problem::new(format!("step '{}' ({})", step.name, step.origin), why.to_owned()).help(
                "the search takes chains of fully connected layers with ReLU between them, whose result is one class",
            )
        };
        let [input] = &plan.inputs[..] else {
            return Err(Problem::new("the model", format!("has {} inputs, not one", plan.inputs.len())));
        };
        let mut network = Network { layers: Vec::new(), last: false, tree: None };
        let mut value = input.value;
        let mut chosen = false;
        for step in &plan.steps {
            if step.inputs != [value] || chosen {
                return Err(refused(step, "does not follow the step before"));
            }
            let operand = &plan.values[value];
            if let Some(dense) = step.kernel.dense() {
                if dense.layer.rows != 1 || operand.quant.ty != Type::I8 {
                    return Err(refused(step, "is not a layer over one row of int8"));
                }
                network.layers.push(Layer::new(&step.name, dense, operand));
            } else if let Some(arg_max) = step.kernel.arg_max() {
                let classes = network.layers.last().map_or(0, |layer| layer.outputs);
                if arg_max.extents != [1, classes, 1] {
                    return Err(refused(step, "does not choose one class of the layer before"));
                }
                (network.last, chosen) = (arg_max.last, true);
            } else if let Some(arg_max) = step.kernel.arg_max_bits() {
                let classes = network.layers.last().map_or(0, |layer| layer.outputs);
                if arg_max.extents != [1, classes, 1]
                    || network.layers.last().is_none_or(|l| l.result != Activation::Sums)
                {
                    return Err(refused(step, "does not choose one class by the sums of the layer before"));
                }
                (network.tree, chosen) = (Some(arg_max.tree.clone()), true);
            } else {
                return Err(refused(step, "is no fully connected layer"));
            }
            value = step.output;
        }
        if !chosen {
            return Err(Problem::new("the model", "does not end in the choice of a class")
                .help("append an ArgMax: --argmax, or Builder::arg_max"));
        }
        Ok(network)
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// Rows whose class is their label.
    pub fn correct(&self, samples: &Samples) -> usize {
        let mut correct = 0;
        self.choose(samples, |rows, classes| correct += samples.matches(rows, classes));
        correct
    }

    /// Class of every row.
    pub fn classify(&self, samples: &Samples) -> Vec<usize> {
        let mut found = Vec::with_capacity(samples.len());
        self.choose(samples, |_, classes| found.extend(classes.iter().map(|&c| c as usize)));
        found
    }

    /// The mean of each sum over the rows, by layer and output.
    pub fn means(&self, samples: &Samples) -> Vec<Vec<f64>> {
        let mut means: Vec<Vec<f64>> = self.layers.iter().map(|layer| vec![0.0; layer.outputs]).collect();
        self.clone().walk(samples, &mut |layer, output, mean| {
            means[layer][output] = mean;
            0
        });
        means
    }

    /// Moves the biases, layer after layer, so that the means of the sums over the rows are those given, as
    /// [`Network::means`] has them: what is left out of a sum is then missed by what it varies alone.
    pub fn balance(&mut self, samples: &Samples, means: &[Vec<f64>]) {
        self.walk(samples, &mut |layer, output, mean| (means[layer][output] - mean).round() as i32);
    }

    /// Calls `bias` with every layer, output and mean sum, and adds what it gives to the bias.
    fn walk(&mut self, samples: &Samples, bias: &mut dyn FnMut(usize, usize, f64) -> i32) {
        let rows = samples.len();
        let mut operands = Vec::<Vec<i16>>::new();
        for l in 0..self.layers.len() {
            let mut results = Vec::new();
            for o in 0..self.layers[l].outputs {
                let x = if l == 0 { &samples.columns } else { &operands };
                let mut sums = vec![0; rows];
                for block in samples.blocks() {
                    self.layers[l].sums(o, |i| &x[i][block.clone()], &mut sums[block.clone()]);
                }
                let mean = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / rows.max(1) as f64;
                let moved = bias(l, o, mean);
                self.layers[l].bias[o] = self.layers[l].bias[o].saturating_add(moved);
                if l + 1 < self.layers.len() {
                    sums.iter_mut().for_each(|sum| *sum = sum.saturating_add(moved));
                    let mut y = vec![0; rows];
                    self.layers[l].activate(o, &sums, &mut y);
                    results.push(y);
                }
            }
            operands = results;
        }
    }

    /// The last layer's results, by output and row.
    pub fn results(&self, samples: &Samples) -> Vec<Vec<i32>> {
        let mut results = vec![vec![0; samples.len()]; self.classes()];
        let mut scratch = Scratch::new(self);
        for rows in samples.blocks() {
            self.block(samples, rows.clone(), &mut scratch, |o, sums| results[o][rows.clone()].copy_from_slice(sums));
        }
        results
    }

    /// Calls `found` with every block of rows and their classes.
    fn choose(&self, samples: &Samples, mut found: impl FnMut(Range<usize>, &[i32])) {
        let mut scratch = Scratch::new(self);
        if let Some(tree) = &self.tree {
            let classes = self.classes();
            let mut sums = vec![0; classes * BLOCK];
            for rows in samples.blocks() {
                let n = rows.len();
                self.block(samples, rows.clone(), &mut scratch, |o, own| {
                    own.iter().enumerate().for_each(|(row, &sum)| sums[row * classes + o] = sum);
                });
                let chosen: Vec<i32> = tree.choose(&sums[..n * classes]).into_iter().map(i32::from).collect();
                found(rows, &chosen);
            }
            return;
        }
        let mut choice = Choice::new(self.last);
        for rows in samples.blocks() {
            choice.start(rows.len());
            self.block(samples, rows.clone(), &mut scratch, |o, sums| choice.add(o, sums));
            found(rows, choice.classes());
        }
    }

    /// Calls `found` with the results of each output of the last layer.
    fn block(
        &self,
        samples: &Samples,
        rows: Range<usize>,
        scratch: &mut Scratch,
        found: impl FnMut(usize, &mut [i32]),
    ) {
        let Some((first, rest)) = self.layers.split_first() else { return };
        let n = rows.len();
        let column = |i: usize| &samples.columns[i][rows.clone()];
        if rest.is_empty() {
            return first.results(column, n, found);
        }
        first.activations(column, n, &mut scratch.x);
        self.from(1, n, scratch, found);
    }

    /// The layers from `first` on, whose operands are in `scratch.x`.
    fn from(&self, first: usize, n: usize, scratch: &mut Scratch, found: impl FnMut(usize, &mut [i32])) {
        let Some((last, hidden)) = self.layers[first..].split_last() else { return };
        for layer in hidden {
            let x = &scratch.x;
            layer.activations(|i| &x[i * BLOCK..i * BLOCK + n], n, &mut scratch.y);
            std::mem::swap(&mut scratch.x, &mut scratch.y);
        }
        let x = &scratch.x;
        last.results(|i| &x[i * BLOCK..i * BLOCK + n], n, found);
    }
}

/// Activations between layers, a column a feature.
struct Scratch {
    x: Vec<i16>,
    y: Vec<i16>,
}

impl Scratch {
    fn new(network: &Network) -> Self {
        let widest = network.layers.iter().map(|layer| layer.outputs).max().unwrap_or(0);
        Self { x: vec![0; widest * BLOCK], y: vec![0; widest * BLOCK] }
    }
}

impl Layer {
    fn new(name: &str, dense: Dense, operand: &Value) -> Self {
        let layer = dense.layer;
        let (zero, largest) = (operand.quant.zero_point + 128, operand.quant.max + 128);
        let masks = dense.masks.map_or(vec![u8::MAX; layer.weight.len()], <[u8]>::to_vec);
        // Without masks, the biases contain the operand's zero point.
        let sum =
            |o: usize| layer.weight[o * layer.inputs..][..layer.inputs].iter().map(|&w| i32::from(w)).sum::<i32>();
        let own = |o: usize| if dense.masks.is_some() { 0 } else { operand.quant.zero_point * sum(o) };
        let mut bias: Vec<i32> = layer.bias.iter().enumerate().map(|(o, b)| b + own(o)).collect();
        let limits = layer.limits;
        let [min, max] = [limits.min, limits.max].map(|q| (q + 128) as u8);
        let result = if dense.sums {
            Activation::Sums
        } else if let Some(shift) = layer.common_shift().filter(|_| limits.zero_point == -128) {
            bias.iter_mut().for_each(|b| *b += (1 << shift) >> 1);
            Activation::Truncated { shift, max }
        } else {
            let zero = (limits.zero_point + 128) as u8;
            Activation::Rounded { multiplier: layer.multiplier.clone(), shift: layer.shift, zero, min, max }
        };
        let mut layer = Self {
            name: name.to_owned(),
            inputs: layer.inputs,
            outputs: layer.outputs,
            weight: layer.weight.clone(),
            bias,
            masks,
            zero: zero as u8,
            largest: largest as u8,
            result,
        };
        let live = layer.live();
        layer.masks.iter_mut().for_each(|mask| *mask &= live);
        layer
    }

    /// All bits that an operand may have.
    pub fn live(&self) -> u8 {
        u8::MAX.checked_shr(self.largest.leading_zeros()).unwrap_or(0)
    }

    /// The weights of an output with the bits of the operand that count, summands that are left out skipped, with their
    /// inputs.
    pub fn summands(&self, output: usize) -> impl Iterator<Item = (usize, i8, u8)> {
        let row = output * self.inputs..(output + 1) * self.inputs;
        let each = self.weight[row.clone()].iter().zip(&self.masks[row]).enumerate();
        each.map(|(i, (&w, &mask))| (i, w, mask)).filter(|&(_, w, mask)| w != 0 && mask != 0)
    }

    /// The sum of an output whose operands are all the integer 0.
    pub fn constant(&self, output: usize) -> i32 {
        let zeros: i32 = self.summands(output).map(|(_, w, _)| i32::from(w) * i32::from(self.zero)).sum();
        self.bias[output] - zeros
    }

    /// The least and the largest sum of an output.
    pub fn bounds(&self, output: usize) -> (i64, i64) {
        let constant = i64::from(self.constant(output));
        self.summands(output).fold((constant, constant), |(low, high), (_, w, mask)| {
            let most = i64::from(w) * i64::from((mask & self.live()).min(self.largest));
            (low + most.min(0), high + most.max(0))
        })
    }

    /// The sums of an output over some rows.
    fn sums<'x>(&self, output: usize, column: impl Fn(usize) -> &'x [i16], sums: &mut [i32]) {
        // Summands gather in 16 bits, twice as many to a vector, as long as their sum is sure to fit.
        let mut narrow = [0i16; BLOCK];
        let narrow = &mut narrow[..sums.len()];
        let mut reach = 0;
        sums.fill(self.constant(output));
        for (i, w, mask) in self.summands(output) {
            let most = i32::from(w).abs() * i32::from(mask);
            if reach + most > i32::from(i16::MAX) {
                flush(narrow, sums);
                reach = 0;
            }
            reach += most;
            let (w, mask) = (i16::from(w), i16::from(mask));
            for (sum, &x) in narrow.iter_mut().zip(column(i)) {
                *sum = sum.wrapping_add((x & mask).wrapping_mul(w));
            }
        }
        flush(narrow, sums);
    }

    /// The results of an output as integers from 0.
    fn activate(&self, output: usize, sums: &[i32], y: &mut [i16]) {
        match &self.result {
            Activation::Sums => unreachable!("sums are compared, and no layer reads them"),
            &Activation::Truncated { shift, max } => {
                for (y, &sum) in y.iter_mut().zip(sums) {
                    *y = (sum >> shift).clamp(0, max.into()) as i16;
                }
            }
            Activation::Rounded { multiplier, shift, zero, min, max } => {
                for (y, &sum) in y.iter_mut().zip(sums) {
                    let rounded = requantize(sum, multiplier[output], *shift).saturating_add((*zero).into());
                    *y = rounded.clamp((*min).into(), (*max).into()) as i16;
                }
            }
        }
    }

    /// The activations of `n` rows, in columns.
    fn activations<'x>(&self, column: impl Fn(usize) -> &'x [i16], n: usize, y: &mut [i16]) {
        let mut sums = [0; BLOCK];
        for o in 0..self.outputs {
            self.sums(o, &column, &mut sums[..n]);
            self.activate(o, &sums[..n], &mut y[o * BLOCK..o * BLOCK + n]);
        }
    }

    /// Calls `found` with what is compared, output by output.
    fn results<'x>(&self, column: impl Fn(usize) -> &'x [i16], n: usize, mut found: impl FnMut(usize, &mut [i32])) {
        let mut sums = [0; BLOCK];
        for o in 0..self.outputs {
            self.sums(o, &column, &mut sums[..n]);
            self.compared(o, &mut sums[..n]);
            found(o, &mut sums[..n]);
        }
    }

    /// What is compared in place of the sums.
    fn compared(&self, output: usize, sums: &mut [i32]) {
        if self.result != Activation::Sums {
            let mut y = [0; BLOCK];
            self.activate(output, sums, &mut y);
            sums.iter_mut().zip(y).for_each(|(sum, y)| *sum = y.into());
        }
    }
}

/// Adds 16-bit sums to 32-bit ones.
fn flush(narrow: &mut [i16], sums: &mut [i32]) {
    for (sum, narrow) in sums.iter_mut().zip(narrow) {
        *sum = sum.wrapping_add((*narrow).into());
        *narrow = 0;
    }
}

/// The index of the largest result of each row, class by class.
struct Choice {
    last: bool,
    best: Vec<i32>,
    index: Vec<i32>,
}

impl Choice {
    fn new(last: bool) -> Self {
        Self { last, best: Vec::with_capacity(BLOCK), index: Vec::with_capacity(BLOCK) }
    }

    fn start(&mut self, rows: usize) {
        self.best.clear();
        self.best.resize(rows, i32::MIN);
        self.index.clear();
        self.index.resize(rows, 0);
    }

    fn add(&mut self, class: usize, results: &[i32]) {
        let class = class as i32;
        let each = self.best.iter_mut().zip(&mut self.index).zip(results);
        if self.last {
            for ((best, index), &result) in each {
                *index = if result >= *best { class } else { *index };
                *best = result.max(*best);
            }
        } else {
            for ((best, index), &result) in each {
                *index = if result > *best { class } else { *index };
                *best = result.max(*best);
            }
        }
    }

    fn classes(&self) -> &[i32] {
        &self.index
    }
}

impl Samples {
    /// The rows as the plan's only input takes them.
    pub fn new(plan: &Plan, rows: &Rows, labels: &[usize]) -> Self {
        let mut columns: Vec<Vec<i16>> = Vec::new();
        for row in 0..rows.len() {
            let quantized = quantize(plan, &plan.inputs[0], rows.row(row)[0]);
            let Buffer::I8(q) = quantized else { unreachable!("a network's operands are int8") };
            columns.resize_with(q.len(), || Vec::with_capacity(rows.len()));
            columns.iter_mut().zip(q).for_each(|(column, q)| column.push(i16::from(q) + 128));
        }
        Self { columns, labels: labels.iter().map(|&label| label as i32).collect() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.len();
        (0..rows).step_by(BLOCK).map(move |start| start..rows.min(start + BLOCK))
    }

    fn matches(&self, rows: Range<usize>, classes: &[i32]) -> usize {
        self.labels[rows].iter().zip(classes).map(|(label, class)| usize::from(label == class)).sum()
    }
}

/// A network that compares all its results exactly, with all its sums over a data set, to which the change of one summand is quickly made.
#[derive(Clone, Debug)]
pub struct Incremental<'s> {
    network: Network,
    samples: &'s Samples,
    /// By layer, output and row.
    sums: Vec<Vec<Vec<i32>>>,
    /// By layer, output and row; none of the last layer.
    activations: Vec<Vec<Vec<i16>>>,
    correct: usize,
    /// What the means of the sums are kept at.
    means: Option<Vec<Vec<f64>>>,
}

/// Another mask of a summand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the layer.
    pub layer: usize,
    /// Of its output.
    pub output: usize,
    /// Of its input.
    pub input: usize,
    /// The new mask.
    pub mask: u8,
}

impl<'s> Incremental<'s> {
    /// Evaluates the network.
    pub fn new(network: Network, samples: &'s Samples) -> Self {
        let rows = samples.len();
        let (mut sums, mut activations) = (Vec::new(), Vec::<Vec<Vec<i16>>>::new());
        for (l, layer) in network.layers.iter().enumerate() {
            let operands = l.checked_sub(1).map_or(&samples.columns, |before| &activations[before]);
            let mut own = vec![vec![0; rows]; layer.outputs];
            for (o, own) in own.iter_mut().enumerate() {
                for block in samples.blocks() {
                    layer.sums(o, |i| &operands[i][block.clone()], &mut own[block.clone()]);
                }
            }
            if l + 1 < network.layers.len() {
                let mut y = vec![vec![0; rows]; layer.outputs];
                y.iter_mut().zip(&own).enumerate().for_each(|(o, (y, own))| layer.activate(o, own, y));
                activations.push(y);
            }
            sums.push(own);
        }
        let correct = network.correct(samples);
        Self { network, samples, sums, activations, correct, means: None }
    }

    /// Evaluates a network whose biases follow every change: see [`Network::balance`].
    pub fn balanced(mut network: Network, samples: &'s Samples, means: Vec<Vec<f64>>) -> Self {
        network.balance(samples, &means);
        Self { means: Some(means), ..Self::new(network, samples) }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Rows whose class is their label.
    pub fn correct(&self) -> usize {
        self.correct
    }

    /// Rows whose class would be their label with a change.
    pub fn correct_with(&self, change: Change) -> usize {
        let network = &self.network;
        let mut scratch = Scratch::new(network);
        let mut choice = Choice::new(network.last);
        let (mut sums, mut y) = ([0; BLOCK], [0; BLOCK]);
        let last = network.layers.len() - 1;
        let mut correct = 0;
        let bias = if self.means.is_some() { -self.moved(change).0.round() as i32 } else { 0 };
        for rows in self.samples.blocks() {
            let n = rows.len();
            choice.start(n);
            if change.layer == last {
                for o in 0..network.classes() {
                    if o == change.output {
                        self.changed(change, bias, rows.clone(), &mut sums[..n]);
                    } else {
                        sums[..n].copy_from_slice(&self.sums[last][o][rows.clone()]);
                    }
                    network.layers[last].compared(o, &mut sums[..n]);
                    choice.add(o, &sums[..n]);
                }
            } else {
                let next = &network.layers[change.layer + 1];
                self.changed(change, bias, rows.clone(), &mut sums[..n]);
                network.layers[change.layer].activate(change.output, &sums[..n], &mut y[..n]);
                let before = &self.activations[change.layer][change.output][rows.clone()];
                for o in 0..next.outputs {
                    let at = o * next.inputs + change.output;
                    sums[..n].copy_from_slice(&self.sums[change.layer + 1][o][rows.clone()]);
                    add(&mut sums[..n], next.weight[at], (&y[..n], next.masks[at]), (before, next.masks[at]));
                    if change.layer + 1 == last {
                        next.compared(o, &mut sums[..n]);
                        choice.add(o, &sums[..n]);
                    } else {
                        next.activate(o, &sums[..n], &mut scratch.x[o * BLOCK..o * BLOCK + n]);
                    }
                }
                if change.layer + 1 < last {
                    network.from(change.layer + 2, n, &mut scratch, |o, sums| choice.add(o, sums));
                }
            }
            correct += self.samples.matches(rows, choice.classes());
        }
        correct
    }

    /// By layer, the variances of its sums over the rows, added up.
    pub fn power(&self) -> Vec<f64> {
        let variance = |sums: &Vec<i32>| {
            let rows = sums.len().max(1) as f64;
            let mean = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / rows;
            sums.iter().map(|&sum| (f64::from(sum) - mean).powi(2)).sum::<f64>() / rows
        };
        self.sums.iter().map(|layer| layer.iter().map(variance).sum()).collect()
    }

    /// By how much a change would move the sums of its output: the mean square over the rows, around the mean where biases
    /// follow.
    pub fn disturbance(&self, change: Change) -> f64 {
        let (mean, square) = self.moved(change);
        if self.means.is_some() { square - mean.powi(2) } else { square }
    }

    /// Mean and mean square of what a change adds to the sums of its output.
    fn moved(&self, change: Change) -> (f64, f64) {
        let layer = &self.network.layers[change.layer];
        let at = change.output * layer.inputs + change.input;
        let (w, mask, zero) = (f64::from(layer.weight[at]), layer.masks[at], i32::from(layer.zero));
        let x = &self.operands(change.layer)[change.input];
        let (less, more) = (i16::from(mask), i16::from(change.mask));
        // A summand that goes takes its part of the operand's zero with it.
        let zeros = (i32::from(mask != 0) - i32::from(change.mask != 0)) * zero;
        let (mut sum, mut square) = (0i64, 0i64);
        for x in x.chunks(BLOCK) {
            let moved = x.iter().map(|&x| i32::from((x & more) - (x & less)) + zeros);
            let (s, q) = moved.fold((0, 0), |(sum, square), moved| (sum + moved, square + moved * moved));
            sum += i64::from(s);
            square += i64::from(q);
        }
        let rows = x.len().max(1) as f64;
        (w * sum as f64 / rows, w.powi(2) * square as f64 / rows)
    }

    /// What a layer reads, by input and row.
    fn operands(&self, layer: usize) -> &[Vec<i16>] {
        layer.checked_sub(1).map_or(&self.samples.columns, |before| &self.activations[before])
    }

    /// Makes a change. Only what it reaches is computed anew.
    pub fn apply(&mut self, change: Change) {
        let Change { layer, output, input, mask } = change;
        let rows = self.samples.len();
        let mut sums = vec![0; rows];
        for block in self.samples.blocks() {
            self.changed(change, 0, block.clone(), &mut sums[block]);
        }
        let own = &mut self.network.layers[layer];
        own.masks[output * own.inputs + input] = mask;
        self.sums[layer][output] = sums;
        self.settle(layer, output);
        let mut next = layer + 1;
        if next < self.network.layers.len() {
            // One operand of the next layer is another.
            let mut y = vec![0; rows];
            self.network.layers[layer].activate(output, &self.sums[layer][output], &mut y);
            let before = std::mem::replace(&mut self.activations[layer][output], y);
            for o in 0..self.network.layers[next].outputs {
                let reader = &self.network.layers[next];
                let at = o * reader.inputs + output;
                let (w, mask) = (reader.weight[at], reader.masks[at]);
                add(&mut self.sums[next][o], w, (&self.activations[layer][output], mask), (&before, mask));
                self.settle(next, o);
            }
            next += 1;
        }
        // All operands of those behind it are.
        for l in next..self.network.layers.len() {
            for o in 0..self.network.layers[l - 1].outputs {
                self.network.layers[l - 1].activate(o, &self.sums[l - 1][o], &mut self.activations[l - 1][o]);
            }
            for o in 0..self.network.layers[l].outputs {
                let operands = &self.activations[l - 1];
                for block in self.samples.blocks() {
                    let own = &mut self.sums[l][o][block.clone()];
                    self.network.layers[l].sums(o, |i| &operands[i][block.clone()], own);
                }
                self.settle(l, o);
            }
        }
        self.correct = self.count();
    }

    /// Moves a bias so that the mean of the sums is kept, if it is to be.
    fn settle(&mut self, layer: usize, output: usize) {
        let Some(means) = &self.means else { return };
        let sums = &mut self.sums[layer][output];
        let mean = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / sums.len().max(1) as f64;
        let moved = (means[layer][output] - mean).round() as i32;
        if moved != 0 {
            let bias = &mut self.network.layers[layer].bias[output];
            *bias = bias.saturating_add(moved);
            sums.iter_mut().for_each(|sum| *sum = sum.saturating_add(moved));
        }
    }

    /// Rows whose class is their label, by the sums of the last layer.
    fn count(&self) -> usize {
        let Some((layer, sums)) = self.network.layers.last().zip(self.sums.last()) else { return 0 };
        let mut choice = Choice::new(self.network.last);
        let mut compared = [0; BLOCK];
        let mut correct = 0;
        for rows in self.samples.blocks() {
            let n = rows.len();
            choice.start(n);
            for (o, sums) in sums.iter().enumerate() {
                compared[..n].copy_from_slice(&sums[rows.clone()]);
                layer.compared(o, &mut compared[..n]);
                choice.add(o, &compared[..n]);
            }
            correct += self.samples.matches(rows, choice.classes());
        }
        correct
    }

    /// The sums of the changed output, with so much more of a bias.
    fn changed(&self, change: Change, bias: i32, rows: Range<usize>, sums: &mut [i32]) {
        let layer = &self.network.layers[change.layer];
        let at = change.output * layer.inputs + change.input;
        let (w, mask) = (layer.weight[at], layer.masks[at]);
        let x = &self.operands(change.layer)[change.input][rows.clone()];
        sums.copy_from_slice(&self.sums[change.layer][change.output][rows]);
        add(sums, w, (x, change.mask), (x, mask));
        // A summand that goes takes its part of the operand's zero with it.
        let zeros = i32::from(mask != 0) - i32::from(change.mask != 0);
        let zeros = bias + zeros * i32::from(w) * i32::from(layer.zero);
        sums.iter_mut().for_each(|sum| *sum += zeros);
    }
}

/// Adds a summand and takes another away, of one weight.
fn add(sums: &mut [i32], w: i8, (more, mask): (&[i16], u8), (less, less_mask): (&[i16], u8)) {
    let (w, mask, less_mask) = (i16::from(w), i16::from(mask), i16::from(less_mask));
    for ((sum, &more), &less) in sums.iter_mut().zip(more).zip(less) {
        *sum += i32::from(((more & mask) - (less & less_mask)).wrapping_mul(w));
    }
}
