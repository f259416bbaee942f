//! The layer that reads counting Bloom filters: pNLP-Mixer's bottleneck.

use super::Window;
use crate::{Clamp, Element, requantize};

/// A fully connected layer over features that are almost all zero: a sum of rows of weights.
///
/// `y[o] = clamp(requantize(bias[o] + sum over counted features f of weight[f][o], multiplier[o], shift))`
///
/// The features are counts, exactly: they have no scale and no zero point. A window of `SPAN` words with `N` hashes each adds
/// at most `SPAN * N` weights, and the code generator proves that no sum of as many leaves an `i32`.
#[derive(Clone, Debug)]
pub struct Projection<Y, const FEATURES: usize, const O: usize> {
    /// One row a feature.
    pub weight: [[i8; O]; FEATURES],
    /// `round(real bias / weight scale)`.
    pub bias: [i32; O],
    /// `round(weight scale / output scale * 2^(32 - shift))`.
    pub multiplier: [i32; O],
    /// See [`requantize`].
    pub shift: u32,
    /// Output zero point and limits.
    pub output: Clamp<Y>,
    /// The row of a window without words, which nothing needs to compute.
    pub empty: [Y; O],
}

impl<Y: Element, const FEATURES: usize, const O: usize> Projection<Y, FEATURES, O> {
    /// Computes one row. Words have `FEATURES / SPAN` buckets.
    #[inline(always)]
    pub fn run<const N: usize, const SPAN: usize>(&self, window: &Window<N, SPAN>, y: &mut [Y; O]) {
        let constants = (self.weight.as_flattened(), &self.bias[..], &self.multiplier[..], self.shift);
        projection(window.features((FEATURES / SPAN) as u16), constants, self.output, y);
    }
}

/// [`Projection`] over slices: `features` are indices of rows, one for each count; `constants` are weight (`features x
/// outputs`), bias, multiplier and shift. Features without a row add nothing.
#[inline(never)]
pub fn projection<Y: Element>(
    features: impl Iterator<Item = usize> + Clone,
    constants: (&[i8], &[i32], &[i32], u32),
    output: Clamp<Y>,
    y: &mut [Y],
) {
    let (weight, bias, multiplier, shift) = constants;
    // So many sums that walking the features costs little beside them.
    const BLOCK: usize = 16;
    let outputs = bias.len();
    let blocks = bias.chunks(BLOCK).zip(multiplier.chunks(BLOCK)).zip(y.chunks_mut(BLOCK)).enumerate();
    for (block, ((bias, multiplier), y)) in blocks {
        let mut acc = [0i32; BLOCK];
        for (acc, &bias) in acc.iter_mut().zip(bias) {
            *acc = bias;
        }
        // Not `for`: a window's own loop over its words and their buckets is one of loops in this.
        features.clone().for_each(|feature| {
            let first = feature.wrapping_mul(outputs).wrapping_add(block * BLOCK);
            let row = weight.get(first..).unwrap_or_default();
            match row.first_chunk::<BLOCK>() {
                // Of a last block that is shorter, what is too much goes nowhere.
                Some(row) => acc.iter_mut().zip(row).for_each(|(acc, &w)| *acc = acc.wrapping_add(w.into())),
                None => acc.iter_mut().zip(row).for_each(|(acc, &w)| *acc = acc.wrapping_add(w.into())),
            }
        });
        for ((&acc, &multiplier), y) in acc.iter().zip(multiplier).zip(y) {
            *y = output.apply(requantize(acc, multiplier, shift));
        }
    }
}
