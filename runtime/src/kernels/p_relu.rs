//! Leaky rectifier with a slope per channel: ONNX `PRelu`.

use crate::{Clamp, Element, shift_right};

/// `y = x` where `x >= 0`, `slope[c] * x` elsewhere, channel `c` the position in a period of `C` elements.
///
/// `y[i] = limit(((x[i] - zero_point) * m + offset) >> shift)`, `m` either `positive` or `negative[i % C]`.
#[derive(Clone, Copy, Debug)]
pub struct PRelu<Y, const C: usize> {
    /// Zero point of the input.
    pub zero_point: i32,
    /// `round(input scale / output scale * 2^shift)`.
    pub positive: i32,
    /// `round(slope * input scale / output scale * 2^shift)`.
    pub negative: [i32; C],
    /// `2^shift * output zero point + 2^(shift - 1)`.
    pub offset: i32,
    /// Binary places of the multipliers.
    pub shift: u32,
    /// Limits of the output.
    pub output: Clamp<Y>,
}

impl<Y: Element, const C: usize> PRelu<Y, C> {
    /// Computes all elements of `R` periods.
    #[inline(always)]
    pub fn run<X: Element, const R: usize>(&self, x: &[[X; C]; R], y: &mut [[Y; C]; R]) {
        let scalars = [self.zero_point, self.positive, self.offset];
        p_relu(x.as_flattened(), scalars, &self.negative, self.shift, self.output, y.as_flattened_mut());
    }
}

/// [`PRelu`] over slices; `scalars` are `zero_point`, `positive` and `offset`.
pub fn p_relu<X: Element, Y: Element>(
    mut x: &[X],
    scalars: [i32; 3],
    negative: &[i32],
    shift: u32,
    output: Clamp<Y>,
    mut y: &mut [Y],
) {
    let [zero_point, positive, offset] = scalars;
    let period = negative.len().max(1);
    while let (Some(x), Some(y)) = (x.split_off(..period), y.split_off_mut(..period)) {
        for ((&x, &negative), y) in x.iter().zip(negative).zip(y) {
            let x = x.into().wrapping_sub(zero_point);
            let multiplier = if x < 0 { negative } else { positive };
            *y = output.limit(shift_right(x.wrapping_mul(multiplier).wrapping_add(offset), shift));
        }
    }
}
