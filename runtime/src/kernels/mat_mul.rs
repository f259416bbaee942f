//! Product of two computed matrices: ONNX `MatMul` without constant operands.

use crate::{Clamp, Element, requantize};

/// `B` products of an `M x K` and a `K x N` matrix.
///
/// `y[m][n] = clamp(requantize(sum over k of (a[m][k] - zero_point[0]) * (b[k][n] - zero_point[1]), multiplier, shift))`
#[derive(Clone, Copy, Debug)]
pub struct MatMul<Y> {
    /// Zero points of the operands.
    pub zero_point: [i32; 2],
    /// `round(scale of a * scale of b / output scale * 2^(32 - shift))`.
    pub multiplier: i32,
    /// See [`requantize`].
    pub shift: u32,
    /// Output zero point and limits.
    pub output: Clamp<Y>,
}

impl<Y: Element> MatMul<Y> {
    /// Computes all products.
    #[inline(always)]
    pub fn run<A: Element, B: Element, const M: usize, const K: usize, const N: usize, const BATCH: usize>(
        &self,
        a: &[[[A; K]; M]; BATCH],
        b: &[[[B; N]; K]; BATCH],
        y: &mut [[[Y; N]; M]; BATCH],
    ) {
        for ((a, b), y) in a.iter().zip(b).zip(y) {
            mat_mul(a.as_flattened(), b.as_flattened(), K, N, *self, y.as_flattened_mut());
        }
    }
}

/// One product of [`MatMul`] over slices: `a` has rows of `inner`, `b` and `y` have rows of `columns` elements.
pub fn mat_mul<A: Element, B: Element, Y: Element>(
    mut a: &[A],
    b: &[B],
    inner: usize,
    columns: usize,
    layer: MatMul<Y>,
    mut y: &mut [Y],
) {
    let (inner, columns) = (inner.max(1), columns.max(1));
    while let (Some(a), Some(y)) = (a.split_off(..inner), y.split_off_mut(..columns)) {
        for (n, y) in y.iter_mut().enumerate() {
            let mut acc = 0i32;
            // Column n of b.
            for (&a, &b) in a.iter().zip(b.iter().skip(n).step_by(columns)) {
                let a = a.into().wrapping_sub(layer.zero_point[0]);
                acc = acc.wrapping_add(a.wrapping_mul(b.into().wrapping_sub(layer.zero_point[1])));
            }
            *y = layer.output.apply(requantize(acc, layer.multiplier, layer.shift));
        }
    }
}
