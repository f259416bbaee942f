//! Product of two tensors: ONNX `Mul`.

use crate::{Clamp, Element, requantize};

/// `y = a * b`, element by element.
///
/// `y[i] = clamp(requantize((a[i] - zero_point[0]) * (b[i] - zero_point[1]), multiplier, shift))`
#[derive(Clone, Copy, Debug)]
pub struct Mul<Y> {
    /// Zero points of the operands (0 for int16).
    pub zero_point: [i32; 2],
    /// `round(scale of a * scale of b / output scale * 2^(32 - shift))`.
    pub multiplier: i32,
    /// See [`requantize`].
    pub shift: u32,
    /// Output zero point and limits.
    pub output: Clamp<Y>,
}

impl<Y: Element> Mul<Y> {
    /// Computes all elements.
    #[inline(always)]
    pub fn run<A: Element, B: Element, const N: usize>(&self, a: &[A; N], b: &[B; N], y: &mut [Y; N]) {
        mul(a, b, *self, y);
    }
}

/// [`Mul`] over slices of equal length.
pub fn mul<A: Element, B: Element, Y: Element>(a: &[A], b: &[B], layer: Mul<Y>, y: &mut [Y]) {
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        let a = a.into().wrapping_sub(layer.zero_point[0]);
        let b = b.into().wrapping_sub(layer.zero_point[1]);
        *y = layer.output.apply(requantize(a.wrapping_mul(b), layer.multiplier, layer.shift));
    }
}
