//! Sum, mean and maximum over one axis: ONNX `ReduceSum`, `ReduceMean`, `ReduceMax`.

use crate::{Clamp, Element, requantize};

/// Sum or mean over the middle axis of `OUTER x AXIS x INNER`.
///
/// `y[o][i] = clamp(requantize(offset + sum over a of x[o][a][i], multiplier, shift))`
#[derive(Clone, Copy, Debug)]
pub struct ReduceSum<Y> {
    /// `-AXIS * input zero point`.
    pub offset: i32,
    /// `round(input scale / output scale * 2^(32 - shift))`, divided by `AXIS` for a mean.
    pub multiplier: i32,
    /// See [`requantize`].
    pub shift: u32,
    /// Output zero point and limits.
    pub output: Clamp<Y>,
}

impl<Y: Element> ReduceSum<Y> {
    /// Computes all sums.
    #[inline(always)]
    pub fn run<X: Element, const INNER: usize, const AXIS: usize, const OUTER: usize>(
        &self,
        x: &[[[X; INNER]; AXIS]; OUTER],
        y: &mut [[Y; INNER]; OUTER],
    ) {
        reduce_sum(x.as_flattened().as_flattened(), AXIS, INNER, *self, y.as_flattened_mut());
    }
}

/// [`ReduceSum`] over slices.
pub fn reduce_sum<X: Element, Y: Element>(
    mut x: &[X],
    axis: usize,
    inner: usize,
    layer: ReduceSum<Y>,
    mut y: &mut [Y],
) {
    let (axis, inner) = (axis.max(1), inner.max(1));
    let block = axis.wrapping_mul(inner);
    while let (Some(x), Some(y)) = (x.split_off(..block), y.split_off_mut(..inner)) {
        for (i, y) in y.iter_mut().enumerate() {
            let mut acc = layer.offset;
            for &x in x.iter().skip(i).step_by(inner) {
                acc = acc.wrapping_add(x.into());
            }
            *y = layer.output.apply(requantize(acc, layer.multiplier, layer.shift));
        }
    }
}

/// Maximum over the middle axis of `OUTER x AXIS x INNER`. Input and output have the same quantization.
#[derive(Clone, Copy, Debug)]
pub struct ReduceMax;

impl ReduceMax {
    /// Computes all maxima.
    #[inline(always)]
    pub fn run<X: Element, const INNER: usize, const AXIS: usize, const OUTER: usize>(
        &self,
        x: &[[[X; INNER]; AXIS]; OUTER],
        y: &mut [[X; INNER]; OUTER],
    ) {
        reduce_max(x.as_flattened().as_flattened(), AXIS, INNER, y.as_flattened_mut());
    }
}

/// [`ReduceMax`] over slices.
pub fn reduce_max<X: Element>(mut x: &[X], axis: usize, inner: usize, mut y: &mut [X]) {
    let (axis, inner) = (axis.max(1), inner.max(1));
    let block = axis.wrapping_mul(inner);
    while let (Some(x), Some(y)) = (x.split_off(..block), y.split_off_mut(..inner)) {
        for (i, y) in y.iter_mut().enumerate() {
            let mut largest = X::truncate(X::MIN);
            for &x in x.iter().skip(i).step_by(inner) {
                largest = largest.max(x);
            }
            *y = largest;
        }
    }
}
