//! ONNX `LogSoftmax` over the last axis.

use super::softmax::{Exponential, sum_of_exponentials};
use crate::{Clamp, Element, shift_right};

/// `log2(1 + k / 32)` in units of 2^-16, `k = 0, 1, .. 32`.
const LOG2: [u32; 33] = [
    0, 2909, 5732, 8473, 11136, 13727, 16248, 18704, 21098, 23433, 25711, 27936, 30109, 32234, 34312, 36346, 38336,
    40286, 42196, 44068, 45904, 47705, 49472, 51207, 52911, 54584, 56229, 57845, 59434, 60997, 62534, 64047, 65536,
];

/// `log2(value)` in units of 2^-16, for `value >= 1`, within 13 units (0.0002): a table of 33 nodes, linear in between.
#[inline]
const fn log2(value: u32) -> u32 {
    let integer = 31 - (value | 1).leading_zeros();
    // The bits below the leading one, as 32 bits: 5 of them choose the node, 16 interpolate.
    let fraction = if integer == 0 { 0 } else { value << (32 - integer) };
    let (k, f) = ((fraction >> 27) as usize & 31, (fraction >> 11) & 0xffff);
    (integer << 16) + LOG2[k] + (((LOG2[k + 1] - LOG2[k]) * f + (1 << 15)) >> 16)
}

/// Logarithm of the softmax over rows of `N` elements.
///
/// `y[i] = limit((x[i] - max) * multiplier[0] - log * multiplier[1] + offset >> shift)`, `e` as in
/// [`Softmax`](super::Softmax), `log` the logarithm of the sum of `e` / 65535 to base 2 in units of 2^-12.
///
/// Error against the real function of the quantized input: 0.51 steps of the output, and 0.0005 (plus, for rows of
/// `N` elements, `N` / 131072, from the rounding of `e`).
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax<Y, const FINE: usize, const COARSE: usize> {
    /// See [`Exponential::fine`].
    pub fine: [u16; FINE],
    /// See [`Exponential::coarse`].
    pub coarse: [u16; COARSE],
    /// `round(input scale / output scale * 2^shift)` and `round(ln 2 / 4096 / output scale * 2^shift)`.
    pub multiplier: [i32; 2],
    /// `2^shift * output zero point + 2^(shift - 1)`.
    pub offset: i32,
    /// Binary places of the multipliers.
    pub shift: u32,
    /// Limits of the output.
    pub output: Clamp<Y>,
}

impl<Y: Element, const FINE: usize, const COARSE: usize> LogSoftmax<Y, FINE, COARSE> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<X: Element, const N: usize, const R: usize>(&self, x: &[[X; N]; R], y: &mut [[Y; N]; R]) {
        let exponential = Exponential { fine: &self.fine, coarse: &self.coarse };
        let scalars = (self.multiplier, self.offset, self.shift);
        log_softmax(x.as_flattened(), N, exponential, scalars, self.output, y.as_flattened_mut());
    }
}

/// [`LogSoftmax`] over slices; `scalars` are its `multiplier`, `offset` and `shift`.
pub fn log_softmax<X: Element, Y: Element>(
    mut x: &[X],
    row: usize,
    exponential: Exponential<'_>,
    scalars: ([i32; 2], i32, u32),
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    let row = row.max(1);
    let (multiplier, offset, shift) = scalars;
    while let (Some(x), Some(y)) = (x.split_off(..row), y.split_off_mut(..row)) {
        let (largest, sum) = sum_of_exponentials(x, exponential);
        // In units of 2^-12: leaves the multiplier four more bits.
        let log = (log2(sum).saturating_sub(const { log2(65535) }).wrapping_add(8) >> 4) as i32;
        let term = offset.wrapping_sub(log.wrapping_mul(multiplier[1]));
        for (&x, y) in x.iter().zip(y) {
            let acc = x.into().wrapping_sub(largest).wrapping_mul(multiplier[0]).wrapping_add(term);
            *y = output.limit(shift_right(acc, shift));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log2_is_within_its_bound() {
        for value in
            (1..200_000).chain((0..4_000_000u32).map(|k| k.wrapping_mul(1_073).wrapping_add(1))).filter(|&v| v > 0)
        {
            let error = f64::from(log2(value)) - f64::from(value).log2() * 65536.0;
            assert!(error.abs() <= 13.0, "{value}: {error}");
        }
    }
}
