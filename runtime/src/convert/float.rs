//! `f32` inputs and outputs.

use crate::{Element, Quantization};

/// `floor(v)` as an integer, saturating; not-a-number gives 0.
#[inline(always)]
fn floor(v: f32) -> i32 {
    let i = v as i32;
    if (i as f32) > v { i.saturating_sub(1) } else { i }
}

#[inline(always)]
fn to_step<T: Element>(v: f32, per_unit: f32, zero_point: i32) -> T {
    let q = floor(v * per_unit + 0.5).saturating_add(zero_point);
    T::truncate(q.max(T::MIN).min(T::MAX))
}

/// Quantizes a tensor: `saturate(floor(v * per_unit + 1/2) + zero_point)`, `per_unit` one over the scale.
///
/// Values out of range saturate; not-a-number becomes zero. The arithmetic is IEEE single precision, so host and
/// device agree bit for bit.
pub fn from_f32<T: Element>(values: &[f32], per_unit: f32, zero_point: i32, q: &mut [T]) {
    for (&v, q) in values.iter().zip(q) {
        *q = to_step(v, per_unit, zero_point);
    }
}

/// Quantizes a tensor whose features have scales of their own: feature `i` by `per_unit[i % n]` and `offset[i % n]`,
/// `saturate(floor((v - offset) * per_unit + 1/2) + zero_point)`.
pub fn from_f32_each<T: Element>(values: &[f32], offset: &[f32], per_unit: &[f32], zero_point: i32, q: &mut [T]) {
    let n = per_unit.len().max(1);
    for (values, q) in values.chunks_exact(n).zip(q.chunks_exact_mut(n)) {
        for (((&v, &offset), &per_unit), q) in values.iter().zip(offset).zip(per_unit).zip(q) {
            *q = to_step(v - offset, per_unit, zero_point);
        }
    }
}

/// `scale * (q - zero_point)` for every element.
pub fn to_f32<T: Element>(q: &[T], quantization: Quantization, values: &mut [f32]) {
    for (&q, v) in q.iter().zip(values) {
        let steps: i32 = q.into();
        *v = quantization.scale * (steps - quantization.zero_point) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_half_up_and_saturates() {
        let mut q = [0i8; 8];
        let values = [0.5, -0.5, 1.49, -1.51, 1e30, -1e30, f32::NAN, f32::INFINITY];
        from_f32(&values, 1.0, 0, &mut q);
        assert_eq!(q, [1, 0, 1, -2, 127, -128, 0, 127]);
    }

    #[test]
    fn features_have_their_own_scale() {
        let mut q = [0i8; 4];
        from_f32_each(&[10.0, 0.2, 12.0, 0.3], &[10.0, 0.0], &[1.0, 10.0], -5, &mut q);
        assert_eq!(q, [-5, -3, -3, -2]);
        let mut v = [0.0; 2];
        to_f32(&q[1..3], Quantization { scale: 0.5, zero_point: -5 }, &mut v);
        assert_eq!(v, [1.0, 1.0]);
    }
}
