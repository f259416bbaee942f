//! ONNX `LayerNormalization` over the last axis.

use crate::requantize::high;
use crate::{Clamp, Element, shift_right};

/// Binary places of `epsilon`, and of the variance while it is added.
const VARIANCE_PLACES: u32 = 8;

/// Binary places of an element before its factor.
const PLACES: u32 = 20;

/// Normalization of rows of `N` elements to mean 0 and variance 1, then a factor and a term for each element.
///
/// With `s = sum of x`, `v = N * sum of x^2 - s^2` (`N^2` times the variance) and `z[i] = (N * x[i] - s) / sqrt(v + epsilon)`
/// in 20 binary places,
///
/// `y[i] = limit((floor(z[i] * multiplier[i] / 2^32) + bias[i]) >> shift)`
///
/// The input's scale and zero point cancel out but for `epsilon`. One reciprocal square root a row, by Newton's iteration
/// with a relative error of at most 2^-23, and two wide products an element.
///
/// Error against the real normalization of the quantized input, in steps, for `g` steps of the output in a factor of 1: at
/// most `1/2 + 2^(1-shift) + g * 2^-20 + |y - zero point| * 2^-22`, and another `|y - zero point| / (512 * (N - 1))` where the
/// row's elements are almost equal. That is 0.52 for int8 outputs with a shift of 8.
#[derive(Clone, Debug)]
pub struct LayerNormalization<Y, const N: usize> {
    /// `round(real epsilon * N^2 / input scale^2 * 2^8)`.
    pub epsilon: u64,
    /// `round(real factor / output scale * 2^(12 + shift))`.
    pub multiplier: [i32; N],
    /// `round((real term / output scale + output zero point) * 2^shift) + 2^(shift - 1)`.
    pub bias: [i32; N],
    /// Binary places of `bias`.
    pub shift: u32,
    /// Limits of the output.
    pub output: Clamp<Y>,
}

impl<Y: Element, const N: usize> LayerNormalization<Y, N> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<X: Element, const R: usize>(&self, x: &[[X; N]; R], y: &mut [[Y; N]; R]) {
        let constants = (self.epsilon, &self.multiplier[..], &self.bias[..], self.shift);
        layer_normalization(x.as_flattened(), constants, self.output, y.as_flattened_mut());
    }
}

/// [`LayerNormalization`] over slices: `constants` are epsilon, multiplier, bias and shift.
#[inline(never)]
pub fn layer_normalization<X: Element, Y: Element>(
    mut x: &[X],
    constants: (u64, &[i32], &[i32], u32),
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    let (epsilon, multiplier, bias, shift) = constants;
    let row = bias.len();
    while let (Some(x), Some(y)) = (x.split_off(..row), y.split_off_mut(..row)) {
        if y.is_empty() {
            return;
        }
        let (mut sum, mut squares) = (0i32, 0u64);
        // So many squares of int8 fit 32 bits.
        for x in x.chunks(1 << 14) {
            let mut of_int8 = 0u32;
            for &x in x {
                let x: i32 = x.into();
                let square = x.wrapping_mul(x) as u32;
                sum = sum.wrapping_add(x);
                if X::MAX == i32::from(i8::MAX) {
                    of_int8 = of_int8.wrapping_add(square);
                } else {
                    squares = squares.wrapping_add(square.into());
                }
            }
            squares = squares.wrapping_add(of_int8.into());
        }
        let square = i64::from(sum).wrapping_mul(i64::from(sum)) as u64;
        let variance = squares.wrapping_mul(row as u64).wrapping_sub(square);
        let (root, half) = reciprocal_root(variance.wrapping_shl(VARIANCE_PLACES).saturating_add(epsilon));
        // `root` has 30 binary places, and the root of the variance's places is part of it.
        let places = 30 + half - PLACES - VARIANCE_PLACES / 2;
        let elements = x.iter().zip(multiplier).zip(bias).zip(y);
        let normalized = |x: X, multiplier: i32, bias: i32, z: &dyn Fn(i32) -> i32| {
            let centred = x.into().wrapping_mul(row as i32).wrapping_sub(sum);
            let scaled = high(z(centred), multiplier.into(), false);
            output.limit(shift_right(scaled.wrapping_add(bias), shift))
        };
        // The upper half of a product is what is needed where there are at most 32 places, as always of int8: z is at most the
        // root of N - 1 in 20 binary places and `root` at least 2^30, so that nothing is lost to the left.
        match 32u32.checked_sub(places).filter(|_| row as u64 <= 1 << 16) {
            Some(left) => {
                for (((&x, &multiplier), &bias), y) in elements {
                    *y = normalized(x, multiplier, bias, &|c| high(c.wrapping_shl(left), root.into(), true));
                }
            }
            None => {
                for (((&x, &multiplier), &bias), y) in elements {
                    *y = normalized(x, multiplier, bias, &|c| {
                        let product = i64::from(c).wrapping_mul(root.into());
                        product.wrapping_add((1 << places) >> 1).wrapping_shr(places) as i32
                    });
                }
            }
        }
    }
}

/// `root` and `half` with `1 / sqrt(x) = root / 2^(30 + half)`, `half` from 1 to 32; the largest of them for 0.
fn reciprocal_root(x: u64) -> (u32, u32) {
    let half = (64 - x.leading_zeros()).div_ceil(2).max(1);
    // x / 4^half, which is from 1/4 to 1, in 32 binary places.
    let a = if half >= 16 { x >> (2 * half - 32) } else { x << (32 - 2 * half) };
    // 2.132 - 1.218 a is within 9 % of the root, and every iteration squares that.
    let mut root = 2_289_217_569u64.wrapping_sub((1_307_817_541 * a) >> 32);
    for _ in 0..3 {
        let square = root.wrapping_mul(root) >> 32;
        let product = square.wrapping_mul(a) >> 32;
        root = root.wrapping_mul((3u64 << 28).wrapping_sub(product)) >> 29;
    }
    (root as u32, half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn roots_of_all_sizes(x: u64, cut in 0u32..64) {
            let x = (x >> cut).max(1);
            let (root, half) = reciprocal_root(x);
            let found = f64::from(root) / 2f64.powi(30 + half as i32);
            let exact = 1.0 / (x as f64).sqrt();
            prop_assert!((1..=32).contains(&half));
            prop_assert!((found / exact - 1.0).abs() < 2f64.powi(-23), "{x}: {found} {exact}");
        }
    }
}
