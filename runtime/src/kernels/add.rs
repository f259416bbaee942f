//! Sum or difference of two tensors: ONNX `Add` and `Sub`.

use crate::{Clamp, Element, shift_right};

/// `y = a + b` or `a - b`, element by element, each operand with a scale of its own.
///
/// `y[i] = limit((a[i] * multiplier[0] + b[i] * multiplier[1] + offset) >> shift)`
///
/// `offset` holds the three zero points and half a step, so there is one rounding, half up. The multipliers
/// carry at least 20 bits for int8 and 13 for int16 operands; the result is at most 0.51 (int8) or 2 (int16)
/// steps from the real sum.
#[derive(Clone, Copy, Debug)]
pub struct Add<Y> {
    /// `round(operand scale / output scale * 2^shift)`; negative for a subtracted operand.
    pub multiplier: [i32; 2],
    /// `2^shift * output zero point + 2^(shift - 1) - sum of operand zero point * multiplier`.
    pub offset: i32,
    /// Binary places of the multipliers.
    pub shift: u32,
    /// Limits of the output.
    pub output: Clamp<Y>,
}

impl<Y: Element> Add<Y> {
    /// Computes all elements.
    #[inline(always)]
    pub fn run<A: Element, B: Element, const N: usize>(&self, a: &[A; N], b: &[B; N], y: &mut [Y; N]) {
        add(a, b, *self, y);
    }
}

/// [`Add`] over slices of equal length.
pub fn add<A: Element, B: Element, Y: Element>(a: &[A], b: &[B], layer: Add<Y>, y: &mut [Y]) {
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        let a = a.into().wrapping_mul(layer.multiplier[0]);
        let b = b.into().wrapping_mul(layer.multiplier[1]);
        let acc = a.wrapping_add(b).wrapping_add(layer.offset);
        *y = layer.output.limit(shift_right(acc, layer.shift));
    }
}
