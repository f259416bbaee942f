//! Fully connected layer over unsigned bytes.

use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::armv6m::{dynamic, eights, last, left_out, words};

/// See [`tinymlp::arch::armv6m::Gemm`] and `GemmBytes`.
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    stream: Vec<u32>,
    /// Results in bytes for the next layer.
    bytes: bool,
    skip: Skip,
    time: Time,
}

/// Which inputs of zero are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// None.
    None,
    /// Each.
    Each,
    /// Four at once, and each.
    Words,
}

/// How far the time of the epilogue may depend on the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Not at all.
    Constant,
    /// It may branch.
    Branches,
    /// A negative sum is not scaled: only for layers whose zero point is the smallest result.
    Relu,
}

/// Significant bits of a multiplier.
const BITS: u32 = 16;

/// The number of bits that multipliers are shifted right to have [`BITS`] bits, if that loses none of them and
/// leaves a bit to round by.
pub fn multiplier_shift(multiplier: &[i32]) -> Option<u32> {
    let used = multiplier.iter().fold(0, |bits, m| bits | m);
    let shift = (32 - used.leading_zeros()).saturating_sub(BITS);
    (used >= 0 && used & ((1 << shift) - 1) == 0 && shift < BITS).then_some(shift)
}

impl Gemm {
    /// The layer `from`. Its multipliers have a [`multiplier_shift`].
    pub fn new(from: &kernels::Gemm, bytes: bool, skip: Skip, time: Time) -> Self {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, .. } = *from;
        let shift = multiplier_shift(multiplier).unwrap_or(0);
        let sum = |o: usize| weight[o * inputs..(o + 1) * inputs].iter().map(|&w| i32::from(w)).sum::<i32>();
        // For operands that are 128 larger.
        let bias_of = |o: usize| bias[o].wrapping_sub(sum(o) * 128) as u32;
        let mut stream = Vec::new();
        let mut first = 0;
        for (groups, size) in [(eights(outputs), 8), (usize::from(last(outputs) > 0), last(outputs))] {
            if groups == 0 {
                continue;
            }
            // Half a step and the zero point, before the shift.
            let rounding = (1 << (BITS - shift - 1)) + ((from.limits.zero_point + 128) << (BITS - shift));
            stream.extend([BITS - shift, rounding as u32]);
            for _ in 0..groups {
                stream.extend((first + 4..first + size).map(bias_of));
                stream.extend((first..first + size.min(4)).map(bias_of));
                let mut weights = vec![128u8; left_out(inputs) * size];
                let byte = |k: usize| (weight[(first + k % size) * inputs + k / size] as u8).wrapping_add(128);
                weights.extend((0..inputs * size).map(byte));
                stream.extend(weights.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)));
                let short = |o: usize| if o < first + size { (multiplier[o] >> shift) as u32 } else { 0 };
                stream.extend((first..first + size).step_by(2).map(|o| short(o) | short(o + 1) << 16));
                first += size;
            }
        }
        Self { rows, inputs, outputs, stream, bytes, skip, time }
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        if self.bytes { "GemmBytes" } else { "Gemm" }
    }

    fn module(&self) -> &'static str {
        "arch::armv6m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::Words(x) = x[0] else { unreachable!("the layer takes words") };
        for (r, x) in x.chunks_exact(words(self.inputs)).enumerate() {
            match y {
                Buffer::Words(y) => {
                    let width = words(self.outputs);
                    let size = [self.inputs, self.outputs];
                    dynamic::gemm_bytes(&self.stream, x, size, &mut y[r * width..(r + 1) * width]);
                }
                Buffer::I8(y) => {
                    let y = &mut y[r * self.outputs..(r + 1) * self.outputs];
                    dynamic::gemm(&self.stream, x, self.inputs, y);
                }
                _ => unreachable!("the layer gives words or int8"),
            }
        }
    }

    fn constant(&self) -> Constant {
        let (i, o, n, last) = (self.inputs, self.outputs, self.stream.len(), last(self.outputs));
        let (skip, time) = (self.skip as usize, self.time as usize);
        Constant {
            ty: format!("{}<{i}, {o}, {n}, {last}, {skip}, {time}>", self.op()),
            fields: Fields::Named(vec![(
                "stream",
                Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect()),
            )]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let y = if self.bytes { words(self.outputs) } else { self.outputs };
        vec![vec![self.rows, words(self.inputs)], vec![self.rows, y]]
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
