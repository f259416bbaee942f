//! Quotient of two tensors: ONNX `Div`.

use crate::{Clamp, Element, shift_right};

/// `y = a / b`, element by element.
///
/// `y[i] = limit((trunc((a[i] - zero_point[0]) * multiplier / (b[i] - zero_point[1])) + offset) >> shift)`
///
/// A quantized divisor of zero gives the largest or smallest output by the sign of `a`, and zero for `0 / 0`.
#[derive(Clone, Copy, Debug)]
pub struct Div<Y> {
    /// Zero points of the operands (0 for int16).
    pub zero_point: [i32; 2],
    /// `round(scale of a / (scale of b * output scale) * 2^shift)`.
    pub multiplier: i32,
    /// `2^shift * output zero point + 2^(shift - 1)`.
    pub offset: i32,
    /// Binary places of the multiplier.
    pub shift: u32,
    /// Output zero point and limits.
    pub output: Clamp<Y>,
}

impl<Y: Element> Div<Y> {
    /// Computes all elements.
    #[inline(always)]
    pub fn run<A: Element, B: Element, const N: usize>(&self, a: &[A; N], b: &[B; N], y: &mut [Y; N]) {
        div(a, b, *self, y);
    }
}

/// [`Div`] over slices of equal length.
pub fn div<A: Element, B: Element, Y: Element>(a: &[A], b: &[B], layer: Div<Y>, y: &mut [Y]) {
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        let a = a.into().wrapping_sub(layer.zero_point[0]);
        let b = b.into().wrapping_sub(layer.zero_point[1]);
        *y = match a.wrapping_mul(layer.multiplier).checked_div(b) {
            // Saturating: a quotient by a small divisor may be too large to take the offset.
            Some(quotient) => layer.output.limit(shift_right(quotient.saturating_add(layer.offset), layer.shift)),
            None if a > 0 => layer.output.max,
            None if a < 0 => layer.output.min,
            None => layer.output.zero_point,
        };
    }
}
