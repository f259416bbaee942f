//! Fully connected layer of which some bits of the summands are left out.

use crate::{Clamp, requantize};

/// A fully connected layer over the last axis, `R` rows of `I` non-negative features to `R` rows of `O`.
///
/// `y[r][o] = clamp(requantize(bias[o] + sum over i of weight[o][i] * ((x[r][i] + 128) & mask[o][i]), multiplier[o], shift))`
///
/// The zero point of `x` is -128. A mask keeps bits of the activation before the weight is applied, which for a power
/// of two is to leave bits of the summand out: the approximate accumulation of "Bespoke Approximation of
/// Multiplication-Accumulation and Activation Targeting Printed Multilayer Perceptrons" (ICCAD 2023). Error of a sum: at
/// most the sum of `|weight| * !mask`. The code generator proves for every layer that no partial sum leaves an `i32`.
#[derive(Clone, Debug)]
pub struct GemmMasked<const I: usize, const O: usize> {
    /// One row an output.
    pub weight: [[i8; I]; O],
    /// One row an output: the bits that count.
    pub mask: [[u8; I]; O],
    /// `round(real bias / (input scale * weight scale))`.
    pub bias: [i32; O],
    /// `round(input scale * weight scale / output scale * 2^(32 - shift))`.
    pub multiplier: [i32; O],
    /// See [`requantize`].
    pub shift: u32,
    /// Output zero point and fused activation.
    pub output: Clamp<i8>,
}

impl<const I: usize, const O: usize> GemmMasked<I, O> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i8; O]; R]) {
        let weight = (self.weight.as_flattened(), self.mask.as_flattened(), &self.bias[..]);
        let scale = (&self.multiplier[..], self.shift);
        gemm_masked(x.as_flattened(), I, weight, scale, self.output, y.as_flattened_mut());
    }
}

/// [`GemmMasked`] whose sums are the result: `y[r][o] = bias[o] + sum over i of weight[o][i] * ((x[r][i] + 128) & mask[o][i])`.
#[derive(Clone, Debug)]
pub struct GemmMaskedSums<const I: usize, const O: usize> {
    /// One row an output.
    pub weight: [[i8; I]; O],
    /// One row an output: the bits that count.
    pub mask: [[u8; I]; O],
    /// `round(real bias / (input scale * weight scale))`.
    pub bias: [i32; O],
}

impl<const I: usize, const O: usize> GemmMaskedSums<I, O> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i32; O]; R]) {
        let weight = (self.weight.as_flattened(), self.mask.as_flattened(), &self.bias[..]);
        gemm_masked_sums(x.as_flattened(), I, weight, y.as_flattened_mut());
    }
}

/// [`GemmMasked`] over slices: rows of `inputs` elements; `constants` are weight and mask (`outputs x inputs`), and bias.
#[inline(never)]
pub fn gemm_masked(
    mut x: &[i8],
    inputs: usize,
    constants: (&[i8], &[u8], &[i32]),
    (multiplier, shift): (&[i32], u32),
    output: Clamp<i8>,
    mut y: &mut [i8],
) {
    let (weight, mask, bias) = constants;
    while let (Some(x), Some(y)) = (x.split_off(..inputs), y.split_off_mut(..bias.len())) {
        if y.is_empty() {
            return;
        }
        let (mut weight, mut mask) = (weight, mask);
        for ((&bias, &multiplier), y) in bias.iter().zip(multiplier).zip(y) {
            let acc = sum(x, &mut weight, &mut mask, bias);
            *y = output.apply(requantize(acc, multiplier, shift));
        }
    }
}

/// [`GemmMaskedSums`] over slices, as [`gemm_masked`].
#[inline(never)]
pub fn gemm_masked_sums(mut x: &[i8], inputs: usize, constants: (&[i8], &[u8], &[i32]), mut y: &mut [i32]) {
    let (weight, mask, bias) = constants;
    while let (Some(x), Some(y)) = (x.split_off(..inputs), y.split_off_mut(..bias.len())) {
        if y.is_empty() {
            return;
        }
        let (mut weight, mut mask) = (weight, mask);
        for (&bias, y) in bias.iter().zip(y) {
            *y = sum(x, &mut weight, &mut mask, bias);
        }
    }
}

/// The sum of an output, whose weights and masks it takes.
fn sum(x: &[i8], weight: &mut &[i8], mask: &mut &[u8], bias: i32) -> i32 {
    let weight = weight.split_off(..x.len()).unwrap_or_default();
    let mask = mask.split_off(..x.len()).unwrap_or_default();
    weight.iter().zip(mask).zip(x).fold(bias, |acc, ((&w, &mask), &x)| {
        // The integer plus 128, as the zero point is -128.
        let kept = (x as u8 ^ 0x80) & mask;
        acc.wrapping_add(i32::from(w).wrapping_mul(i32::from(kept)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_formula_over_wide_integers(
            x: [[i8; 5]; 2], weight: [[i8; 5]; 3], mask: [[u8; 5]; 3], bias: [i16; 3],
            multiplier in [0..i32::MAX, 0..1_000_000i32, 0..9_000_000i32], shift in 0u32..8,
        ) {
            let bias = bias.map(i32::from);
            let output = Clamp { zero_point: -128, min: -128, max: 127i8 };
            let (mut y, mut sums) = ([[0i8; 3]; 2], [[0; 3]; 2]);
            GemmMasked { weight, mask, bias, multiplier, shift, output }.run(&x, &mut y);
            GemmMaskedSums { weight, mask, bias }.run(&x, &mut sums);
            for r in 0..2 {
                for o in 0..3 {
                    let kept = |i: usize| (x[r][i] as i128 + 128) & mask[o][i] as i128;
                    let sum = (0..5).map(|i| weight[o][i] as i128 * kept(i)).sum::<i128>() + bias[o] as i128;
                    let scaled = ((sum << shift) * multiplier[o] as i128 + (1 << 31)).div_euclid(1 << 32);
                    prop_assert_eq!(sums[r][o] as i128, sum);
                    prop_assert_eq!(y[r][o] as i128, (scaled - 128).clamp(-128, 127));
                }
            }
        }
    }
}
