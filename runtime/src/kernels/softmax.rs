//! ONNX `Softmax` over the last axis.

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
        for (&x, y) in x.iter().zip(y) {
            let e = exponential.of(largest.wrapping_sub(x.into()) as u32);
            let scaled = e.wrapping_mul(levels).wrapping_add(sum / 2).checked_div(sum).unwrap_or(0);
            *y = output.apply(scaled as i32);
        }
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
