//! ONNX `Softmax` along another axis than the last: what attention pooling does over positions.

use super::Exponential;
use super::softmax::Whole;
use crate::{Clamp, Element};

/// [`Softmax`](super::Softmax) over the columns of matrices, with the same results and the same error: `B` matrices of `N` rows
/// and `C` columns, none of which is transposed.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxColumns<Y, const FINE: usize, const COARSE: usize> {
    /// See [`Exponential::fine`].
    pub fine: [u16; FINE],
    /// See [`Exponential::coarse`].
    pub coarse: [u16; COARSE],
    /// See [`Softmax::levels`](super::Softmax::levels).
    pub levels: u32,
    /// Output zero point and limits.
    pub output: Clamp<Y>,
}

impl<Y: Element, const FINE: usize, const COARSE: usize> SoftmaxColumns<Y, FINE, COARSE> {
    /// Computes all columns.
    #[inline(always)]
    pub fn run<X: Element, const C: usize, const N: usize, const B: usize>(
        &self,
        x: &[[[X; C]; N]; B],
        y: &mut [[[Y; C]; N]; B],
    ) {
        let exponential = Exponential { fine: &self.fine, coarse: &self.coarse };
        let (x, y) = (x.as_flattened().as_flattened(), y.as_flattened_mut().as_flattened_mut());
        softmax_columns(x, N, C, exponential, self.levels, self.output, y);
    }
}

/// [`SoftmaxColumns`] over slices: matrices of `rows` rows and `columns` columns.
pub fn softmax_columns<X: Element, Y: Element>(
    mut x: &[X],
    rows: usize,
    columns: usize,
    exponential: Exponential<'_>,
    levels: u32,
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    let columns = columns.max(1);
    let matrix = rows.max(1).wrapping_mul(columns);
    while let (Some(x), Some(y)) = (x.split_off(..matrix), y.split_off_mut(..matrix)) {
        for c in 0..columns {
            let column = x.iter().skip(c).step_by(columns);
            let mut largest = X::MIN;
            for &x in column.clone() {
                largest = largest.max(x.into());
            }
            let exponential = |x: X| exponential.of(largest.wrapping_sub(x.into()) as u32);
            let mut sum = 0u32;
            for &x in column.clone() {
                sum = sum.wrapping_add(exponential(x));
            }
            let whole = Whole::new(sum);
            for (&x, y) in column.zip(y.iter_mut().skip(c).step_by(columns)) {
                *y = output.apply(whole.share(exponential(x), levels));
            }
        }
    }
}
