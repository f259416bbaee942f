//! A factor and an offset per channel: what remains of `Mul`, `Add`, `BatchNormalization` with constants where
//! they cannot be folded into a neighbour, and every change of scale or type.

use crate::{Clamp, Element, shift_right};

/// `y = factor[c] * x + term[c]`, channel `c` the position in a period of `C` elements.
///
/// `y[i] = limit((x[i] * multiplier[i % C] + offset[i % C]) >> shift)`
///
/// With `C = 1` it changes scale, zero point or type of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Affine<Y, const C: usize> {
    /// `round(factor * input scale / output scale * 2^shift)`.
    pub multiplier: [i32; C],
    /// `2^shift * (output zero point + term / output scale) + 2^(shift - 1) - input zero point * multiplier`.
    pub offset: [i32; C],
    /// Binary places of the multipliers.
    pub shift: u32,
    /// Limits of the output.
    pub output: Clamp<Y>,
}

impl<Y: Element, const C: usize> Affine<Y, C> {
    /// Computes all elements of `R` periods.
    #[inline(always)]
    pub fn run<X: Element, const R: usize>(&self, x: &[[X; C]; R], y: &mut [[Y; C]; R]) {
        affine(x.as_flattened(), &self.multiplier, &self.offset, self.shift, self.output, y.as_flattened_mut());
    }
}

/// [`Affine`] over slices.
pub fn affine<X: Element, Y: Element>(
    mut x: &[X],
    multiplier: &[i32],
    offset: &[i32],
    shift: u32,
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    let period = multiplier.len().max(1);
    while let (Some(x), Some(y)) = (x.split_off(..period), y.split_off_mut(..period)) {
        for (((&x, &multiplier), &offset), y) in x.iter().zip(multiplier).zip(offset).zip(y) {
            let acc = x.into().wrapping_mul(multiplier).wrapping_add(offset);
            *y = output.limit(shift_right(acc, shift));
        }
    }
}
