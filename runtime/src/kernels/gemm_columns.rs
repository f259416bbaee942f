//! Fully connected layer along another axis than the last: what a mixer does to tokens.

use crate::{Clamp, Element, requantize};

/// Columns that share a load of each weight.
const BLOCK: usize = 4;

/// A fully connected layer over the columns of matrices: `B` matrices of `I` rows and `C` columns to `B` of `O` rows.
///
/// `y[b][o][c] = clamp(requantize(bias[o] + sum over i of weight[o][i] * x[b][i][c], multiplier[o], shift))`
///
/// The same layer as [`Gemm`](super::Gemm) between two transpositions, none of which is made.
#[derive(Clone, Debug)]
pub struct GemmColumns<Y, const I: usize, const O: usize> {
    /// One row an output.
    pub weight: [[i8; I]; O],
    /// See [`Gemm::bias`](super::Gemm::bias).
    pub bias: [i32; O],
    /// See [`Gemm::multiplier`](super::Gemm::multiplier).
    pub multiplier: [i32; O],
    /// See [`requantize`].
    pub shift: u32,
    /// Output zero point and fused activation.
    pub output: Clamp<Y>,
}

impl<Y: Element, const I: usize, const O: usize> GemmColumns<Y, I, O> {
    /// Computes all matrices.
    #[inline(always)]
    pub fn run<X: Element, const C: usize, const B: usize>(&self, x: &[[[X; C]; I]; B], y: &mut [[[Y; C]; O]; B]) {
        let constants = (self.weight.as_flattened(), &self.bias[..], &self.multiplier[..], self.shift);
        let (x, y) = (x.as_flattened().as_flattened(), y.as_flattened_mut().as_flattened_mut());
        gemm_columns(x, I, C, constants, self.output, y);
    }
}

/// [`GemmColumns`] over slices: matrices of `inputs` rows and `columns` columns; `constants` are weight (`outputs x
/// inputs`), bias, multiplier and shift.
#[inline(never)]
pub fn gemm_columns<X: Element, Y: Element>(
    mut x: &[X],
    inputs: usize,
    columns: usize,
    constants: (&[i8], &[i32], &[i32], u32),
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    let (weight, bias, multiplier, shift) = constants;
    let (from, to) = (inputs.wrapping_mul(columns), bias.len().wrapping_mul(columns));
    if from == 0 || to == 0 {
        return;
    }
    while let (Some(x), Some(y)) = (x.split_off(..from), y.split_off_mut(..to)) {
        let mut weight = weight;
        for ((&bias, &multiplier), y) in bias.iter().zip(multiplier).zip(y.chunks_mut(columns)) {
            let row = weight.split_off(..inputs).unwrap_or_default();
            for (block, y) in y.chunks_mut(BLOCK).enumerate() {
                let mut acc = [bias; BLOCK];
                for (&w, x) in row.iter().zip(x.chunks(columns)) {
                    let x = x.get(block * BLOCK..).unwrap_or_default();
                    for (acc, &x) in acc.iter_mut().zip(x) {
                        *acc = acc.wrapping_add(i32::from(w).wrapping_mul(x.into()));
                    }
                }
                for (&acc, y) in acc.iter().zip(y) {
                    *y = output.apply(requantize(acc, multiplier, shift));
                }
            }
        }
    }
}
