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
        let s = from.iter().skip(1).take_while(|&&from| from <= x).count();
        let (Some(&offset), Some(&[first, second])) = (offset.get(s), slope.get(s)) else { continue };
        let x: i32 = x.into();
        let sum = offset.wrapping_add(term(x, first)).wrapping_add(term(x, second));
        *y = output.limit(shift_right(sum, shift));
    }
}

/// One term of a slope, times `x`.
#[inline(always)]
fn term(x: i32, term: i8) -> i32 {
    match term {
        0 => 0,
        1.. => x.wrapping_shl(term.wrapping_sub(1) as u32),
        _ => x.wrapping_shl(!i32::from(term) as u32).wrapping_neg(),
    }
}
