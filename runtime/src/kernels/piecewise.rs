//! A function of one number in straight pieces, whose slopes are shifts.

use crate::{Clamp, Element, requantize::shift_right};

/// A function of an activation in `S` straight segments, without table and without multiplication.
///
/// `y = clamp(floor((offset[s] + slope(s) * x) / 2^shift))` for the last segment `s` with `from[s] <= x`
///
/// A slope is the sum of two terms `t` of `slope[s]`, each a signed power of two or nothing: `2^(t - 1)` for `t > 0`,
/// `-2^(-t - 1)` for `t < 0`, 0 for `t = 0`. That is the shift-based approximation of Amin, Curtis and Hayes-Gill,
/// "Piecewise linear approximation applied to nonlinear function of a neural network" (1997), with segments, slopes and
/// offsets that the code generator fits to the function at hand. It evaluates the error at all inputs and states the
/// largest. The code generator proves that no sum leaves an `i32`.
#[derive(Clone, Debug)]
pub struct Piecewise<X, Y, const S: usize> {
    /// The smallest input of each segment, ascending; the first is the smallest of all.
    pub from: [X; S],
    /// By segment, with half a step and the output's zero point.
    pub offset: [i32; S],
    /// By segment, the two terms of its slope.
    pub slope: [[i8; 2]; S],
    /// Binary places of offsets and slopes.
    pub shift: u32,
    /// Output limits; the zero point is part of the offsets.
    pub output: Clamp<Y>,
}

impl<X: Element, Y: Element, const S: usize> Piecewise<X, Y, S> {
    /// Computes all elements.
    #[inline(always)]
    pub fn run<const N: usize>(&self, x: &[X; N], y: &mut [Y; N]) {
        piecewise(x, (&self.from, &self.offset, &self.slope), self.shift, self.output, y);
    }
}

/// [`Piecewise`] over slices of equal length; `segments` are from, offset and slope.
#[inline(never)]
pub fn piecewise<X: Element, Y: Element>(
    x: &[X],
    segments: (&[X], &[i32], &[[i8; 2]]),
    shift: u32,
    output: Clamp<Y>,
    y: &mut [Y],
) {
    let (from, offset, slope) = segments;
    for (&x, y) in x.iter().zip(y) {
        let (mut sum, mut terms) = (0, [0; 2]);
        for ((&from, &offset), &slope) in from.iter().zip(offset).zip(slope) {
            if x < from {
                break;
            }
            (sum, terms) = (offset, slope);
        }
        let x: i32 = x.into();
        for term in terms {
            // One less than the magnitude is the exponent; nothing is added for 0.
            let shifted = x.wrapping_shl(u32::from(term.unsigned_abs()).wrapping_sub(1));
            if term > 0 {
                sum = sum.wrapping_add(shifted);
            } else if term < 0 {
                sum = sum.wrapping_sub(shifted);
            }
        }
        *y = output.limit(shift_right(sum, shift));
    }
}
