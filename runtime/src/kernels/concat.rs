//! One operand of an ONNX `Concat`: a block in every row of the output.

use crate::{Clamp, Element, shift_right};

/// Copies `R` rows of `A` elements to elements `AT..AT + A` of rows of `W`, changing the scale on the way.
///
/// `y[r][AT + i] = limit((x[r][i] * multiplier + offset) >> shift)`; equal scales give `multiplier` 1,
/// `offset` 0 and `shift` 0.
#[derive(Clone, Copy, Debug)]
pub struct Concat<Y, const AT: usize> {
    /// `round(input scale / output scale * 2^shift)`.
    pub multiplier: i32,
    /// `2^shift * output zero point + 2^(shift - 1) - input zero point * multiplier`.
    pub offset: i32,
    /// Binary places of the multiplier.
    pub shift: u32,
    /// Limits of the output.
    pub output: Clamp<Y>,
}

impl<Y: Element, const AT: usize> Concat<Y, AT> {
    /// Writes the block.
    #[inline(always)]
    pub fn run<X: Element, const A: usize, const W: usize, const R: usize>(
        &self,
        x: &[[X; A]; R],
        y: &mut [[Y; W]; R],
    ) {
        const { assert!(AT + A <= W, "the block lies outside the row") };
        let scaling = [self.multiplier, self.offset];
        concat(x.as_flattened(), A, scaling, self.shift, self.output, AT, W, y.as_flattened_mut());
    }
}

/// [`Concat`] over slices: rows of `block` elements into rows of `width`; `scaling` is multiplier and offset.
#[allow(clippy::too_many_arguments, reason = "scalars of one layer, in registers")]
pub fn concat<X: Element, Y: Element>(
    mut x: &[X],
    block: usize,
    scaling: [i32; 2],
    shift: u32,
    output: Clamp<Y>,
    at: usize,
    width: usize,
    mut y: &mut [Y],
) {
    let (block, width) = (block.max(1), width.max(1));
    while let (Some(x), Some(y)) = (x.split_off(..block), y.split_off_mut(..width)) {
        for (&x, y) in x.iter().zip(y.iter_mut().skip(at)) {
            let acc = x.into().wrapping_mul(scaling[0]).wrapping_add(scaling[1]);
            *y = output.limit(shift_right(acc, shift));
        }
    }
}
