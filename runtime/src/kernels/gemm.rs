//! Fully connected layer: ONNX `Gemm`, or `MatMul` with constant weights.

use crate::{Clamp, Element, requantize};

/// A fully connected layer over the last axis, `R` rows of `I` features to `R` rows of `O`.
///
/// `y[r][o] = clamp(requantize(bias[o] + sum over i of weight[o][i] * x[r][i], multiplier[o], shift))`
///
/// Weights are symmetric int8 with one scale an output. The input's zero point is part of `bias`. The code
/// generator proves for every layer that no partial sum leaves an `i32`.
#[derive(Clone, Debug)]
pub struct Gemm<Y, const I: usize, const O: usize> {
    /// One row an output.
    pub weight: [[i8; I]; O],
    /// `round(real bias / (input scale * weight scale)) - input zero point * sum of the row's weights`.
    pub bias: [i32; O],
    /// `round(input scale * weight scale / output scale * 2^(32 - shift))`.
    pub multiplier: [i32; O],
    /// See [`requantize`].
    pub shift: u32,
    /// Output zero point and fused activation.
    pub output: Clamp<Y>,
}

impl<Y: Element, const I: usize, const O: usize> Gemm<Y, I, O> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<X: Element, const R: usize>(&self, x: &[[X; I]; R], y: &mut [[Y; O]; R]) {
        let constants = (self.weight.as_flattened(), &self.bias[..], &self.multiplier[..], self.shift);
        gemm(x.as_flattened(), I, constants, self.output, y.as_flattened_mut());
    }
}

/// [`Gemm`] over slices: rows of `inputs` elements; `constants` are weight (`outputs x inputs`), bias, multiplier and
/// shift.
// Not inlined: layers share it, and it is not unrolled for one layer's sizes.
#[inline(never)]
pub fn gemm<X: Element, Y: Element>(
    mut x: &[X],
    inputs: usize,
    constants: (&[i8], &[i32], &[i32], u32),
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
            let mut acc = bias;
            let row = weight.split_off(..inputs).unwrap_or_default();
            for (&w, &x) in row.iter().zip(x) {
                acc = acc.wrapping_add(i32::from(w).wrapping_mul(x.into()));
            }
            *y = output.apply(requantize(acc, multiplier, shift));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_formula_over_wide_integers(
            x: [[i8; 5]; 2], weight: [[i8; 5]; 3], bias in [-1_000_000i32..1_000_000, -1_000_000i32..1_000_000, -9i32..9],
            multiplier in [0..i32::MAX, 0..1_000_000i32, 0..9_000_000i32], shift in 0u32..8, zero_point: i8, relu: bool,
        ) {
            let min = if relu { zero_point } else { -128 };
            let layer = Gemm { weight, bias, multiplier, shift, output: Clamp { zero_point, min, max: 127i8 } };
            let mut y = [[0i8; 3]; 2];
            layer.run(&x, &mut y);
            for r in 0..2 {
                for o in 0..3 {
                    let sum: i128 = (0..5).map(|i| weight[o][i] as i128 * x[r][i] as i128).sum::<i128>() + bias[o] as i128;
                    let scaled = ((sum << shift) * multiplier[o] as i128 + (1 << 31)).div_euclid(1 << 32);
                    let expected = (scaled + zero_point as i128).max(min as i128).min(127);
                    prop_assert_eq!(y[r][o] as i128, expected);
                }
            }
        }

        #[test]
        fn int16_activations(x: [[i16; 4]; 1], weight: [[i8; 4]; 2], multiplier in 0..400_000i32) {
            let output = Clamp { zero_point: 0i16, min: i16::MIN, max: i16::MAX };
            let layer = Gemm { weight, bias: [7, -7], multiplier: [multiplier; 2], shift: 0, output };
            let mut y = [[0i16; 2]];
            layer.run(&x, &mut y);
            for o in 0..2 {
                let sum: i64 = (0..4).map(|i| weight[o][i] as i64 * x[0][i] as i64).sum::<i64>() + [7, -7][o];
                let expected = (sum * multiplier as i64 + (1 << 31)).div_euclid(1 << 32).clamp(-32768, 32767);
                prop_assert_eq!(y[0][o] as i64, expected);
            }
        }
    }
}
