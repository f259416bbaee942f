//! Fully connected layer over pairs of rows.

use super::multiplier_shifts;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::armv6m::{ROUND, THREE, dynamic, pair_words, pairs_stream_len};

/// See [`tinymlp::arch::armv6m::GemmPairs`].
#[derive(Clone, Debug)]
pub struct GemmPairs {
    rows: usize,
    inputs: usize,
    outputs: usize,
    stream: Vec<u32>,
    /// Whether time may depend on whether results are limited.
    branches: bool,
}

/// Significant bits of a multiplier.
const BITS: u32 = 16;

impl GemmPairs {
    /// The layer `from`, of an even number of rows. Its multipliers have [`multiplier_shifts`].
    pub fn new(from: &kernels::Gemm, branches: bool) -> Self {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, .. } = *from;
        let shifts = multiplier_shifts(multiplier).unwrap_or_default();
        let shift = |o: usize| shifts.get(o).or(shifts.first()).copied().unwrap_or_default();
        let padded = inputs.next_multiple_of(ROUND);
        // Every two inputs add half of 2^16 to whole sums.
        let halves = (padded as i32 / 2).wrapping_mul(1 << 15);
        let mut stream = Vec::with_capacity(pairs_stream_len(inputs, outputs));
        stream.push((from.limits.zero_point + 128) as u32);
        for first in (0..outputs).step_by(THREE) {
            let bias = |o: usize| bias.get(o).copied().unwrap_or_default();
            let whole = |o: usize| bias(o).wrapping_add(bias(o) << 16).wrapping_sub(halves) as u32;
            stream.extend((first..first + THREE).map(whole));
            stream.extend((first..first + THREE).map(|o| bias(o) as u32));
            let byte = |o: usize, i: usize| {
                let weight = if o < outputs && i < inputs { weight[o * inputs + i] } else { 0 };
                (weight as u8).wrapping_add(128)
            };
            let two = |i: usize| (first..first + THREE).flat_map(move |o| [byte(o, i), byte(o, i + 1)]);
            let weights: Vec<u8> = (0..padded).step_by(2).flat_map(two).collect();
            stream.extend(weights.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)));
            let scale = |o: usize| match multiplier.get(o) {
                Some(m) => (m >> shift(o)) as u32 | (BITS - shift(o)) << 16,
                None => 1 << 16,
            };
            stream.extend((first..first + THREE).map(scale));
        }
        Self { rows, inputs, outputs, stream, branches }
    }

    /// Instructions of two rows of whose results this share is limited. Counted from the assembly.
    fn instructions(&self, limited: f64) -> f64 {
        let n = |count: usize| count as f64;
        let groups = self.outputs.div_ceil(THREE);
        let rounds = self.inputs.div_ceil(ROUND);
        let begin = 6 + 11;
        let products = 4 * (1 + THREE * 9) + 3;
        let group = 1 + 6 + 2 + rounds * products + 2;
        let limit = if self.branches { 2.0 + 2.0 * limited } else { 6.0 };
        let results = 6.0 + 2.0 * (9.0 + limit) + 4.0 + 3.0;
        n(begin) + n(groups * group + 3 * (groups - 1)) + n(self.outputs) * results + 7.0
    }

    /// Instructions of two rows in the mean of what was seen.
    pub fn mean(&self, seen: &Seen) -> f64 {
        self.instructions(seen.lowest + seen.highest)
    }

    /// Bytes of the code.
    fn code(&self) -> usize {
        let limit = if self.branches { 4 } else { 6 };
        let results = 6 + 2 * (9 + limit) + 4 + 3;
        2 * (6 + 11 + 9 + 115 + 2 + 3 * results + 3 + 7)
    }

    /// Bytes of constants and of code.
    pub fn flash(&self) -> usize {
        4 * self.stream.len() + self.code()
    }
}

impl Kernel for GemmPairs {
    fn op(&self) -> &'static str {
        "GemmPairs"
    }

    fn module(&self) -> &'static str {
        "arch::armv6m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::Words(x), Buffer::I8(y)) = (x[0], y) else { unreachable!("the layer takes words to int8") };
        for (x, y) in x.chunks_exact(pair_words(self.inputs)).zip(y.chunks_exact_mut(2 * self.outputs)) {
            dynamic::gemm_pairs(&self.stream, x, y);
        }
    }

    fn constant(&self) -> Constant {
        let (i, o, n) = (self.inputs, self.outputs, self.stream.len());
        let stream = Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect());
        Constant {
            ty: format!("GemmPairs<{i}, {o}, {n}, {}>", self.branches),
            fields: Fields::Named(vec![("stream", stream)]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows / 2, pair_words(self.inputs)], vec![self.rows, self.outputs]]
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let instructions = Instructions { mean: self.mean(seen), max: self.instructions(1.0) };
        let name = format!("armv6m::GemmPairs<{}>", self.branches);
        Some(Cost {
            instructions: instructions.times(self.rows / 2),
            code: vec![Function { name, bytes: self.code() }],
            stack: 36 + 24,
            head: 8,
            fixed: !self.branches,
            ..Cost::default()
        })
    }

    fn calls(&self) -> usize {
        self.rows / 2
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
