//! Fully connected layer with weights of four or two bits.

use crate::{Clamp, Element, requantize};

/// Weights of -8 to 7, in two's complement of four bits.
pub const INT4: u8 = 0;

/// Weights of 0 and both signs of 1, 2, 4, ... 64, in four bits: the highest is the sign, the others are the exponent,
/// 7 for 0.
pub const POWER_OF_TWO: u8 = 1;

/// Weights of -1, 0 and 1, in two's complement of two bits.
pub const TERNARY: u8 = 2;

/// Exponent that stands for 0.
const ZERO: u8 = 7;

/// Bits of a weight of a format.
pub const fn weight_bits(format: u8) -> usize {
    if format == TERNARY { 2 } else { 4 }
}

/// Bytes of `weights` weights of a format.
pub const fn packed_len(format: u8, weights: usize) -> usize {
    weights.div_ceil(8 / weight_bits(format))
}

/// The bits that stand for a weight of a format, which has to hold it.
pub const fn weight_code(format: u8, weight: i8) -> u8 {
    match format {
        POWER_OF_TWO if weight == 0 => ZERO,
        POWER_OF_TWO => (weight.trailing_zeros() as u8 & 7) | if weight < 0 { 8 } else { 0 },
        TERNARY => weight as u8 & 3,
        _ => weight as u8 & 15,
    }
}

/// The product of `x` and the weight that the low bits of `code` stand for. Powers of two and ternary weights take no
/// multiplication.
#[inline(always)]
pub(crate) const fn product(format: u8, code: u8, x: i32) -> i32 {
    match (format, code & 15) {
        (POWER_OF_TWO, ZERO | 15) => 0,
        (POWER_OF_TWO, code) => {
            let shifted = x.wrapping_shl(code as u32 & 7);
            if code & 8 == 0 { shifted } else { shifted.wrapping_neg() }
        }
        (TERNARY, code) => match code & 3 {
            1 => x,
            3 => x.wrapping_neg(),
            _ => 0,
        },
        (_, code) => x.wrapping_mul(((code << 4) as i8 >> 4) as i32),
    }
}

/// [`Gemm`](super::Gemm) with weights of a `FORMAT`: [`INT4`], [`POWER_OF_TWO`] or [`TERNARY`].
///
/// `y[r][o] = clamp(requantize(bias[o] + sum over i of weight[o][i] * x[r][i], multiplier[o], shift))`
///
/// Of the `N` bytes of a row of weights, each has those of two inputs (four, if ternary), the first in the lowest bits.
/// The input's zero point is part of `bias`. The code generator proves for every layer that no partial sum leaves an
/// `i32`.
#[derive(Clone, Debug)]
pub struct GemmPacked<Y, const FORMAT: u8, const I: usize, const O: usize, const N: usize> {
    /// One row an output.
    pub weight: [[u8; N]; O],
    /// As of [`Gemm`](super::Gemm).
    pub bias: [i32; O],
    /// As of [`Gemm`](super::Gemm).
    pub multiplier: [i32; O],
    /// See [`requantize`].
    pub shift: u32,
    /// Output zero point and fused activation.
    pub output: Clamp<Y>,
}

impl<Y: Element, const FORMAT: u8, const I: usize, const O: usize, const N: usize> GemmPacked<Y, FORMAT, I, O, N> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<X: Element, const R: usize>(&self, x: &[[X; I]; R], y: &mut [[Y; O]; R]) {
        const { assert!(N == packed_len(FORMAT, I)) };
        let constants = (self.weight.as_flattened(), &self.bias[..], &self.multiplier[..], self.shift);
        gemm_packed::<FORMAT, X, Y>(x.as_flattened(), I, constants, self.output, y.as_flattened_mut());
    }
}

/// [`GemmPacked`] whose sums are the result: `y[r][o] = bias[o] + sum over i of weight[o][i] * x[r][i]`.
#[derive(Clone, Debug)]
pub struct GemmPackedSums<const FORMAT: u8, const I: usize, const O: usize, const N: usize> {
    /// One row an output.
    pub weight: [[u8; N]; O],
    /// As of [`GemmSums`](super::GemmSums).
    pub bias: [i32; O],
}

impl<const FORMAT: u8, const I: usize, const O: usize, const N: usize> GemmPackedSums<FORMAT, I, O, N> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<X: Element, const R: usize>(&self, x: &[[X; I]; R], y: &mut [[i32; O]; R]) {
        const { assert!(N == packed_len(FORMAT, I)) };
        let weight = self.weight.as_flattened();
        gemm_packed_sums::<FORMAT, X>(x.as_flattened(), I, weight, &self.bias, y.as_flattened_mut());
    }
}

/// [`GemmPacked`] over slices: rows of `inputs` elements; `constants` are weight (`outputs` rows of bytes), bias,
/// multiplier and shift.
#[inline(never)]
pub fn gemm_packed<const FORMAT: u8, X: Element, Y: Element>(
    mut x: &[X],
    inputs: usize,
    constants: (&[u8], &[i32], &[i32], u32),
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    let (weight, bias, multiplier, shift) = constants;
    while let (Some(x), Some(y)) = (x.split_off(..inputs), y.split_off_mut(..bias.len())) {
        if y.is_empty() {
            return;
        }
        let mut weight = weight;
        for ((&bias, &multiplier), y) in bias.iter().zip(multiplier).zip(y) {
            let acc = sum::<FORMAT, X>(x, &mut weight, bias);
            *y = output.apply(requantize(acc, multiplier, shift));
        }
    }
}

/// [`GemmPackedSums`] over slices, as [`gemm_packed`].
#[inline(never)]
pub fn gemm_packed_sums<const FORMAT: u8, X: Element>(
    mut x: &[X],
    inputs: usize,
    weight: &[u8],
    bias: &[i32],
    mut y: &mut [i32],
) {
    while let (Some(x), Some(y)) = (x.split_off(..inputs), y.split_off_mut(..bias.len())) {
        if y.is_empty() {
            return;
        }
        let mut weight = weight;
        for (&bias, y) in bias.iter().zip(y) {
            *y = sum::<FORMAT, X>(x, &mut weight, bias);
        }
    }
}

/// The sum of an output, whose weights it takes.
#[inline(always)]
fn sum<const FORMAT: u8, X: Element>(x: &[X], weight: &mut &[u8], bias: i32) -> i32 {
    let row = weight.split_off(..packed_len(FORMAT, x.len())).unwrap_or_default();
    x.chunks(8 / weight_bits(FORMAT)).zip(row).fold(bias, |acc, (x, &codes)| {
        let mut codes = codes;
        x.iter().fold(acc, |acc, &x| {
            let product = product(FORMAT, codes, x.into());
            codes >>= weight_bits(FORMAT);
            acc.wrapping_add(product)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the documentation of the formats says of a code.
    fn meaning(format: u8, code: u8) -> i64 {
        match format {
            INT4 => [0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1][code as usize],
            POWER_OF_TWO => [1, 2, 4, 8, 16, 32, 64, 0, -1, -2, -4, -8, -16, -32, -64, 0][code as usize],
            _ => [0, 1, 0, -1][code as usize],
        }
    }

    #[test]
    fn every_product_is_that_of_the_weight() {
        for format in [INT4, POWER_OF_TWO, TERNARY] {
            for code in 0..1u8 << weight_bits(format) {
                let weight = meaning(format, code);
                for x in [-32768, -255, -128, -1, 0, 1, 127, 255, 32767] {
                    assert_eq!(product(format, code, x) as i64, weight * x as i64, "{format} {code} {x}");
                }
                assert_eq!(meaning(format, weight_code(format, weight as i8)), weight);
            }
        }
    }

    fn check<const FORMAT: u8, const N: usize>(
        x: [[i8; 5]; 2],
        weight: [[u8; N]; 3],
        (bias, multiplier): ([i16; 3], i32),
    ) {
        let bias = bias.map(i32::from);
        let output = Clamp { zero_point: -7i8, min: -128, max: 127 };
        let (mut y, mut sums) = ([[0i8; 3]; 2], [[0; 3]; 2]);
        let (multiplier, shift) = ([multiplier, multiplier / 2, 3], 1);
        GemmPacked::<i8, FORMAT, 5, 3, N> { weight, bias, multiplier, shift, output }.run(&x, &mut y);
        GemmPackedSums::<FORMAT, 5, 3, N> { weight, bias }.run(&x, &mut sums);
        for r in 0..2 {
            for o in 0..3 {
                let bits = weight_bits(FORMAT);
                let code = |i: usize| weight[o][i * bits / 8] >> (i * bits % 8) & ((1 << bits) - 1);
                let sum = (0..5).map(|i| meaning(FORMAT, code(i)) * x[r][i] as i64).sum::<i64>() + bias[o] as i64;
                let scaled = (((sum as i128) << shift) * multiplier[o] as i128 + (1 << 31)).div_euclid(1 << 32);
                assert_eq!(sums[r][o] as i64, sum);
                assert_eq!(y[r][o] as i128, (scaled - 7).clamp(-128, 127));
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_formula_over_wide_integers(
            x: [[i8; 5]; 2], weight: [[u8; 3]; 3], ternary: [[u8; 2]; 3], bias: [i16; 3],
            multiplier in prop_oneof![0..i32::MAX, 0..100_000_000i32],
        ) {
            check::<INT4, 3>(x, weight, (bias, multiplier));
            check::<POWER_OF_TWO, 3>(x, weight, (bias, multiplier));
            check::<TERNARY, 2>(x, ternary, (bias, multiplier));
        }
    }
}
