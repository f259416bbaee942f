//! ONNX `Softmax` over the last axis.

use crate::requantize::high;
use crate::{Clamp, Element};

/// Exponentials of non-positive arguments: `exp(-scale * d)` in units of 1/65535, `d` the difference to the
/// largest element in steps of the input.
///
/// `fine` holds `d = 0, 1, ..`, up to where the value rounds to zero, at most 256 entries. Int16 inputs also
/// need `coarse`, at `d = 0, 256, ..`; it is empty for int8.
#[derive(Clone, Copy, Debug)]
pub struct Exponential<'a> {
    /// `round(65535 * exp(-scale * d))`.
    pub fine: &'a [u16],
    /// `round(65535 * exp(-scale * 256 * d))`.
    pub coarse: &'a [u16],
}

impl Exponential<'_> {
    /// `65535 * exp(-scale * d)`, within 1 (int8) or 2 (int16).
    #[inline(always)]
    pub fn of(&self, d: u32) -> u32 {
        let fine = |d: u32| self.fine.get(d as usize).copied().map_or(0, u32::from);
        if self.coarse.is_empty() {
            return fine(d);
        }
        let coarse = self.coarse.get((d >> 8) as usize).copied().map_or(0, u32::from);
        (coarse * fine(d & 255) + 32767) / 65535
    }
}

/// Softmax over rows of `N` elements.
///
/// With `e[i] = exponential.of(max - x[i])`, `y[i] = clamp((e[i] * levels + sum / 2) / sum)`, an unsigned
/// division an element.
///
/// Error against the real softmax of the quantized input: at most 0.51 steps of 1/256 for int8 rows of up to
/// 128 elements (the sum of `e` is at least 65535, every `e` is within 1/2 of exact).
#[derive(Clone, Copy, Debug)]
pub struct Softmax<Y, const FINE: usize, const COARSE: usize> {
    /// See [`Exponential::fine`].
    pub fine: [u16; FINE],
    /// See [`Exponential::coarse`].
    pub coarse: [u16; COARSE],
    /// Steps in an output of 1: 256 for int8 (scale 1/256, zero point -128), 32768 for int16.
    pub levels: u32,
    /// Output zero point and limits.
    pub output: Clamp<Y>,
}

impl<Y: Element, const FINE: usize, const COARSE: usize> Softmax<Y, FINE, COARSE> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<X: Element, const N: usize, const R: usize>(&self, x: &[[X; N]; R], y: &mut [[Y; N]; R]) {
        let exponential = Exponential { fine: &self.fine, coarse: &self.coarse };
        softmax(x.as_flattened(), N, exponential, self.levels, self.output, y.as_flattened_mut());
    }
}

/// [`Softmax`] over slices.
pub fn softmax<X: Element, Y: Element>(
    mut x: &[X],
    row: usize,
    exponential: Exponential<'_>,
    levels: u32,
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    let row = row.max(1);
    while let (Some(x), Some(y)) = (x.split_off(..row), y.split_off_mut(..row)) {
        let (largest, sum) = sum_of_exponentials(x, exponential);
        let whole = Whole::new(sum);
        for (&x, y) in x.iter().zip(y) {
            let e = exponential.of(largest.wrapping_sub(x.into()) as u32);
            *y = output.apply(whole.share(e, levels));
        }
    }
}

/// The sum of a row's exponentials, by which each is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    sum: u32,
    /// `floor((2^32 - 1) / sum)`.
    reciprocal: u32,
}

impl Whole {
    /// Of a sum.
    #[inline(always)]
    pub(super) fn new(sum: u32) -> Self {
        Self { sum, reciprocal: u32::MAX.checked_div(sum).unwrap_or(0) }
    }

    /// `floor((e * levels + sum / 2) / sum)`, the share of one of them; 0 of nothing.
    #[inline(always)]
    pub(super) fn share(&self, e: u32, levels: u32) -> i32 {
        let dividend = e.wrapping_mul(levels).wrapping_add(self.sum / 2);
        // Division takes a core without one some hundred instructions.
        if cfg!(tinymlp_arch = "armv6m") {
            return self.quotient(dividend) as i32;
        }
        dividend.checked_div(self.sum).unwrap_or(0) as i32
    }

    /// A quotient by the reciprocal, for a sum that is 0 or at least 4.
    #[inline(always)]
    fn quotient(&self, dividend: u32) -> u32 {
        if self.sum == 0 {
            return 0;
        }
        // At most two too small: the reciprocal is less than one too small, and the product loses less than one.
        let mut quotient = high((dividend >> 1) as i32, 2 * i64::from(self.reciprocal), false) as u32;
        let mut rest = dividend.wrapping_sub(quotient.wrapping_mul(self.sum));
        for _ in 0..2 {
            if rest >= self.sum {
                (quotient, rest) = (quotient.wrapping_add(1), rest.wrapping_sub(self.sum));
            }
        }
        quotient
    }
}

/// The largest element of a row, and the sum of the exponentials of the differences to it.
#[inline(always)]
pub(super) fn sum_of_exponentials<X: Element>(x: &[X], exponential: Exponential<'_>) -> (i32, u32) {
    let mut largest = X::MIN;
    for &x in x {
        largest = largest.max(x.into());
    }
    let mut sum = 0u32;
    for &x in x {
        sum = sum.wrapping_add(exponential.of(largest.wrapping_sub(x.into()) as u32));
    }
    (largest, sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reciprocals_give_quotients(sum in prop_oneof![4u32..1 << 20, 65_535u32..1 << 31, Just(0)], dividend: u32, k: u32, of in -1..2i32) {
            let multiple = (k % u32::MAX.checked_div(sum).unwrap_or(1)).wrapping_mul(sum).wrapping_add_signed(of);
            for dividend in [dividend, multiple, 0, u32::MAX] {
                prop_assert_eq!(Whole::new(sum).quotient(dividend), dividend.checked_div(sum).unwrap_or(0));
            }
        }
    }
}
