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
    /// A shift for every output.
    wide: bool,
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

/// The number of bits that multipliers are shifted right to have [`BITS`] bits: one number for all, or one each.
/// `None` where that loses bits, or leaves none to round by.
pub fn multiplier_shifts(multiplier: &[i32]) -> Option<Vec<u32>> {
    let shift = |bits: i32| (32 - bits.leading_zeros()).saturating_sub(BITS);
    let exact = |m: i32, shift: u32| m >= 0 && m & ((1 << shift) - 1) == 0 && shift < BITS;
    let common = shift(multiplier.iter().fold(0, |bits, m| bits | m));
    if multiplier.iter().all(|&m| exact(m, common)) {
        return Some(vec![common]);
    }
    multiplier.iter().all(|&m| exact(m, shift(m))).then(|| multiplier.iter().map(|&m| shift(m)).collect())
}

impl Gemm {
    /// The layer `from`. Its multipliers have [`multiplier_shifts`].
    pub fn new(from: &kernels::Gemm, bytes: bool, skip: Skip, time: Time) -> Self {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, .. } = *from;
        let shifts = multiplier_shifts(multiplier).unwrap_or_default();
        let wide = shifts.len() > 1;
        let shift = |o: usize| if wide { shifts[o] } else { shifts[0] };
        let sum = |o: usize| weight[o * inputs..(o + 1) * inputs].iter().map(|&w| i32::from(w)).sum::<i32>();
        // For operands that are 128 larger.
        let bias_of = |o: usize| bias[o].wrapping_sub(sum(o) * 128) as u32;
        let mut stream = Vec::new();
        let mut first = 0;
        for (groups, size) in [(eights(outputs), 8), (usize::from(last(outputs) > 0), last(outputs))] {
            if groups == 0 {
                continue;
            }
            let (right, zero_point) = (BITS - shift(0), from.limits.zero_point + 128);
            // Half a step and the zero point, before the shift.
            let rounding = (1 << (right - 1)) + (zero_point << right);
            stream.extend(if wide { [zero_point as u32, 0] } else { [right, rounding as u32] });
            for _ in 0..groups {
                stream.extend((first + 4..first + size).map(bias_of));
                stream.extend((first..first + size.min(4)).map(bias_of));
                let mut weights = vec![128u8; left_out(inputs) * size];
                let byte = |k: usize| (weight[(first + k % size) * inputs + k / size] as u8).wrapping_add(128);
                weights.extend((0..inputs * size).map(byte));
                stream.extend(weights.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)));
                let short = |o: usize| if o < first + size { (multiplier[o] >> shift(o)) as u32 } else { 0 };
                stream.extend((first..first + size).step_by(2).map(|o| short(o) | short(o + 1) << 16));
                if wide {
                    let byte = |o: usize| if o < first + size { BITS - shift(o) } else { 0 };
                    let word = |o: usize| (0..4).map(|k| byte(o + k) << (8 * k)).sum::<u32>();
                    stream.extend((first..first + size).step_by(4).map(word));
                }
                first += size;
            }
        }
        Self { rows, inputs, outputs, stream, wide, bytes, skip, time }
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
                    dynamic::gemm_bytes(&self.stream, self.wide, x, size, &mut y[r * width..(r + 1) * width]);
                }
                Buffer::I8(y) => {
                    let y = &mut y[r * self.outputs..(r + 1) * self.outputs];
                    dynamic::gemm(&self.stream, self.wide, x, self.inputs, y);
                }
                _ => unreachable!("the layer gives words or int8"),
            }
        }
    }

    fn constant(&self) -> Constant {
        let (i, o, n, last) = (self.inputs, self.outputs, self.stream.len(), last(self.outputs));
        let (skip, time) = (self.skip as usize, self.time as usize);
        Constant {
            ty: format!("{}<{i}, {o}, {n}, {last}, {skip}, {time}, {}>", self.op(), self.wide),
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
