//! Layer normalization of an encoder's rows.

use crate::kernels::layer_normalization;
use crate::{Clamp, Element};

/// [`LayerNormalization`](crate::kernels::LayerNormalization) of the rows that an [`Encoder`](super::Encoder) writes. Those
/// without a word are all alike, and their result is a constant: it costs no time, and the code generator computes it from the
/// real row, as a row that is almost constant keeps little of itself in integers.
#[derive(Clone, Debug)]
pub struct WordNormalization<X, Y, const N: usize> {
    /// As [`LayerNormalization`](crate::kernels::LayerNormalization) has it.
    pub epsilon: u64,
    /// Likewise.
    pub multiplier: [i32; N],
    /// Likewise.
    pub bias: [i32; N],
    /// Likewise.
    pub shift: u32,
    /// Limits of the output.
    pub output: Clamp<Y>,
    /// The row without a word: [`Projection::empty`](super::Projection::empty).
    pub empty: [X; N],
    /// What becomes of it, and of a word's row that equals it.
    pub result: [Y; N],
}

impl<X: Element, Y: Element, const N: usize> WordNormalization<X, Y, N> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[X; N]; R], y: &mut [[Y; N]; R]) {
        let constants = (self.epsilon, &self.multiplier[..], &self.bias[..], self.shift);
        let known = (&self.empty[..], &self.result[..]);
        word_normalization(x.as_flattened(), constants, known, self.output, y.as_flattened_mut());
    }
}

/// [`WordNormalization`] over slices: `constants` are epsilon, multiplier, bias and shift, `known` are a row and its result.
#[inline(never)]
pub fn word_normalization<X: Element, Y: Element>(
    mut x: &[X],
    constants: (u64, &[i32], &[i32], u32),
    (empty, result): (&[X], &[Y]),
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    while let (Some(x), Some(y)) = (x.split_off(..empty.len()), y.split_off_mut(..result.len())) {
        if y.is_empty() {
            return;
        }
        if x == empty {
            y.iter_mut().zip(result).for_each(|(y, &result)| *y = result);
        } else {
            layer_normalization(x, constants, output, y);
        }
    }
}
