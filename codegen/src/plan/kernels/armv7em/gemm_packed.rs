//! Fully connected layer from int8 with weights of four bits, or two.

use super::gemm::Sizes;
use super::gemm_bytes::blocks;
use crate::plan::Type;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{Buffer, Constant, Dense, Field, Fields, Kernel, packed_format};
use tinymlp::arch::armv7em::{dynamic, packed_group};
use tinymlp::kernels::{INT4, POWER_OF_TWO, weight_bits, weight_code};

/// See [`tinymlp::arch::armv7em::GemmPacked`] and `GemmPackedSums`.
#[derive(Clone, Debug)]
pub struct GemmPacked {
    sizes: Sizes,
    format: u8,
    /// Inputs of -128 are left out.
    skip: bool,
    /// Zero point and the bits that multipliers lack, if there are any.
    scale: Option<(i32, u32)>,
    stream: Vec<u32>,
}

impl GemmPacked {
    /// The layer on operands within these limits; none where it has masks, weights that need eight bits, sums that have no
    /// room, or results that the kernel does not compute bit for bit. `skip` leaves out inputs of -128 where that is
    /// faster.
    pub fn new(from: Dense, x: (i32, i32), skip: bool) -> Option<Self> {
        let Dense { layer, masks: None, sums } = from else { return None };
        let sizes = Sizes::of(layer);
        let format = packed_format(&layer.weight)?;
        let used = layer.multiplier.iter().fold(0, |bits, m| bits | m);
        let shift = (32 - used.leading_zeros()).saturating_sub(16);
        let limits = layer.limits;
        let scales = limits.ty == Type::I8
            && (limits.min, limits.max) == Type::I8.limits()
            && layer.shift == 0
            && used >= 0
            && used & ((1 << shift) - 1) == 0;
        if sizes.outputs == 0 || sizes.inputs < if format == POWER_OF_TWO { 1 } else { 4 } || !sums && !scales {
            return None;
        }
        let group = packed_group(format);
        let mut stream = Vec::new();
        for first in (0..sizes.outputs).step_by(group) {
            let (begin, weights) = match format {
                POWER_OF_TWO => powers(from, first),
                _ => digits(from, format, first, x)?,
            };
            stream.extend(begin);
            stream.extend(weights);
            let multiplier = |o: usize| layer.multiplier.get(o).map_or(0, |&m| (m >> shift) as u32);
            let pairs = (first..first + group).step_by(2).map(|o| multiplier(o) | multiplier(o + 1) << 16);
            stream.extend(pairs.filter(|_| !sums));
        }
        let scale = (!sums).then_some((limits.zero_point, shift));
        Some(Self { sizes, format, skip: skip && format == POWER_OF_TWO, scale, stream })
    }
}

/// Weight of an output for an input, where there are both.
fn weight(Dense { layer, .. }: Dense, o: usize, i: Option<usize>) -> i8 {
    i.filter(|_| o < layer.outputs).map_or(0, |i| layer.weight[o * layer.inputs + i])
}

/// What the accumulators of a group begin with, and its codes: those of 8 outputs a word.
fn powers(from: Dense, first: usize) -> (Vec<u32>, Vec<u32>) {
    let layer = from.layer;
    // For operands that are 128 larger.
    let bias = |o: usize| {
        let sum: i32 = (0..layer.inputs).map(|i| i32::from(weight(from, o, Some(i)))).sum();
        layer.bias.get(o).map_or(0, |&bias| bias.wrapping_sub(sum.wrapping_mul(128)) as u32)
    };
    let word = |i: usize| {
        let codes = (0..8).map(|k| u32::from(weight_code(POWER_OF_TWO, weight(from, first + k, Some(i)))) << (4 * k));
        codes.fold(0, |word, code| word | code)
    };
    ((first..first + 8).map(bias).collect(), (0..layer.inputs).map(word).collect())
}

/// What the accumulators of a group begin with, and its lanes of digits; none where a sum has no room.
fn digits(from: Dense, format: u8, first: usize, x: (i32, i32)) -> Option<(Vec<u32>, Vec<u32>)> {
    let (layer, bits, group) = (from.layer, weight_bits(format), packed_group(format));
    let last = group - 1;
    let offset = |k: usize| match (k == last, format) {
        (true, _) => 0,
        (false, INT4) => 8,
        (false, _) => 1,
    };
    let stored = |k: usize, i: Option<usize>| i32::from(weight(from, first + k, i)) + offset(k);
    let bias = |k: usize| layer.bias.get(first + k).copied().unwrap_or(0);
    // The proof that a sum, of the weights as they are stored, is what its shift leaves.
    let fits = |k: usize| {
        let terms = blocks(layer.inputs).flatten().map(|i| i64::from(stored(k, i)));
        let bias = i64::from(bias(k));
        let (low, high) = terms.fold((bias, bias), |(low, high), w| {
            let ends = [w * i64::from(x.0), w * i64::from(x.1)];
            (low + ends[0].min(ends[1]), high + ends[0].max(ends[1]))
        });
        let limit = 1i64 << (31 - bits * k);
        low >= -limit && high < limit
    };
    if !(0..group).all(fits) {
        return None;
    }
    let mut begin: Vec<u32> = (0..group).map(|k| (bias(k) as u32) << (bits * k)).collect();
    begin[last] = begin.iter().fold(0, |sum, &word| sum.wrapping_add(word));
    let lane = |i: Option<usize>| {
        let digits = (0..group).map(|k| stored(k, i) << (bits * k));
        digits.sum::<i32>() as u32 & 0xffff
    };
    let words = |[a, b, c, d]: [Option<usize>; 4]| [lane(a) | lane(c) << 16, lane(b) | lane(d) << 16];
    Some((begin, blocks(layer.inputs).flat_map(words).collect()))
}

impl GemmPacked {
    /// Instructions of a row, of whose inputs so many are not zero. Counted from the assembly.
    fn instructions(&self, nonzero: f64) -> f64 {
        let Sizes { inputs, outputs, .. } = self.sizes;
        let n = |count: usize| count as f64;
        let groups = outputs.div_ceil(packed_group(self.format));
        let blocks = inputs.div_ceil(4);
        let nonzero = if self.skip { nonzero } else { n(inputs) };
        let (before, sums) = match self.format {
            POWER_OF_TWO => (7, n(3 + 1) + n(inputs * (6 + usize::from(self.skip))) + nonzero * 24.0),
            INT4 => (13 + 6 * blocks, n(3 + 5 + 20 * blocks - 1 + 9)),
            _ => (13 + 6 * blocks, n(2 + 5 + 38 * blocks - 1 + 17)),
        };
        let (end, result) = if self.scale.is_some() { (12, 8) } else { (10, 4) };
        n(before) + n(groups) * (sums + n(end)) + n(outputs * result) + 2.0
    }

    /// Bytes of the code.
    fn code(&self) -> usize {
        let (begin, results) = if self.scale.is_some() { (18, 66) } else { (20, 48) };
        let sums = match self.format {
            POWER_OF_TWO => 4 + 10 + 10 + usize::from(self.skip) * 2 + 94 + 12 + 18,
            INT4 => 42 + 8 + 16 + 72 + 2 + 24,
            _ => 42 + 6 + 16 + 144 + 2 + 56 + 2,
        };
        begin + sums + results
    }
}

impl Kernel for GemmPacked {
    fn op(&self) -> &'static str {
        if self.scale.is_some() { "GemmPacked" } else { "GemmPackedSums" }
    }

    fn module(&self) -> &'static str {
        "arch::armv7em"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I8(x) = x[0] else { unreachable!("the layer takes int8") };
        let Sizes { inputs, outputs, .. } = self.sizes;
        for (row, x) in x.chunks_exact(inputs).enumerate() {
            let at = row * outputs..(row + 1) * outputs;
            match (&mut *y, self.scale) {
                (Buffer::I8(y), Some((zero_point, shift))) => {
                    dynamic::gemm_packed(self.format, &self.stream, x, [zero_point, shift as i32], &mut y[at]);
                }
                (Buffer::I32(y), None) => dynamic::gemm_packed_sums(self.format, &self.stream, x, &mut y[at]),
                _ => unreachable!("the layer gives int8 or sums"),
            }
        }
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let Sizes { rows, inputs, .. } = self.sizes;
        let instructions =
            Instructions { mean: self.instructions(seen.elements(inputs)), max: self.instructions(inputs as f64) };
        let name = format!("armv7em::{}<{}, {}>", self.op(), self.format, self.skip);
        Some(Cost {
            instructions: instructions.times(rows),
            code: vec![Function { name, bytes: self.code() }],
            head: 20,
            stack: 36 + 32 + 4 * packed_group(self.format),
            fixed: !self.skip,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let Sizes { inputs, outputs, .. } = self.sizes;
        let (n, format, skip) = (self.stream.len(), self.format, self.skip);
        let stream = ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect()));
        let fields = match self.scale {
            Some((zero_point, shift)) => {
                vec![("zero_point", Field::Integer(zero_point.into())), ("shift", Field::Integer(shift.into())), stream]
            }
            None => vec![stream],
        };
        let ty = format!("{}<{inputs}, {outputs}, {n}, {format}, {skip}>", self.op());
        Constant { ty, fields: Fields::New(fields) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let Sizes { rows, inputs, outputs } = self.sizes;
        vec![vec![rows, inputs], vec![rows, outputs]]
    }

    fn macs(&self) -> u64 {
        let Sizes { rows, inputs, outputs } = self.sizes;
        (rows * inputs * outputs) as u64
    }
}
