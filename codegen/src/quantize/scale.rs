//! Scales, zero points and multipliers.

use crate::calibrate::Range;
use crate::plan::{Quant, Type};

/// The numbers that cover a range: asymmetric for int8, symmetric for int16. Scales are `f32` values.
pub(super) fn quant(ty: Type, range: Range) -> Quant {
    let (min, max) = ty.limits();
    let width = if ty == Type::I16 { 2.0 * range.high.max(-range.low) } else { range.high - range.low };
    let steps = if ty == Type::I16 { 65534.0 } else { f64::from(max - min) };
    let scale = f64::from((width / steps) as f32);
    if scale <= 0.0 || !scale.is_normal() {
        // Always zero (or nearly): any scale will do.
        return Quant::new(ty, 1.0, 0);
    }
    let zero_point = if ty == Type::I16 { 0 } else { (f64::from(min) - range.low / scale).round() as i32 };
    Quant::new(ty, scale, zero_point.clamp(min, max))
}

/// Multipliers for [`tinymlp::requantize`] of accumulators of at most `bound`, and their common shift. `None` where
/// a factor is so large that the accumulator would have to leave an `i32`.
pub(super) fn multipliers(factors: &[f64], bound: i64) -> Option<(Vec<i32>, u32)> {
    let largest = factors.iter().copied().fold(0.0, f64::max);
    let shift = (0..=30).find(|&s| (largest * 2f64.powi(32 - s)).round() < 2_147_483_648.0)? as u32;
    if bound.checked_shl(shift)? > i64::from(i32::MAX) {
        return None;
    }
    let multiplier = |f: &f64| (f * 2f64.powi(32 - shift as i32)).round() as i32;
    Some((factors.iter().map(multiplier).collect(), shift))
}

/// Rounds multipliers to 16 significant bits and to multiples of 256, if no result moves by more than 1/16
/// step for that: targets without a wide multiply, and those that keep two sums in one register, are then exact. The
/// bits are those of the largest multiplier, which is the cheaper for targets, or else each multiplier's own. `bounds`
/// are those of the accumulators, `shift` is that of the multipliers, `steps` is the number of steps from the smallest
/// result to the largest.
pub(super) fn shorten(multipliers: &mut [i32], shift: u32, bounds: &[i64], steps: f64) {
    let largest = multipliers.iter().copied().max().unwrap_or(0);
    for own in [false, true] {
        let short = |m: i32| {
            let bits = 32 - if own { m } else { largest }.leading_zeros();
            let cut = bits.saturating_sub(16).max(8);
            ((i64::from(m) + (1 << (cut - 1))) >> cut) << cut
        };
        let moved = |m: i32, bound: i64| {
            let results = (bound as f64 * f64::from(m) * 2f64.powi(shift as i32 - 32)).min(steps);
            if m == 0 { 0.0 } else { results * (short(m) - i64::from(m)).abs() as f64 / f64::from(m) }
        };
        let fits = |(&m, &bound): (&i32, &i64)| moved(m, bound) <= 1.0 / 16.0 && short(m) <= i64::from(i32::MAX);
        if multipliers.iter().zip(bounds).all(fits) {
            return multipliers.iter_mut().for_each(|m| *m = short(*m) as i32);
        }
    }
}

/// The most binary places, at most 30, for which `constants` fit: it gets `2^shift` and gives the constants and the
/// largest magnitude the accumulator can reach, the magnitudes of all summands added up.
pub(super) fn binary_places<T>(constants: impl Fn(f64) -> (T, f64)) -> Option<(T, u32, i64)> {
    (1..=30u32).rev().find_map(|shift| {
        let (constants, bound) = constants(2f64.powi(shift as i32));
        (bound < 2_147_483_648.0).then_some((constants, shift, bound as i64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relu_outputs_have_their_zero_at_the_lowest_integer() {
        let q = quant(Type::I8, Range { low: 0.0, high: 2.55 });
        assert_eq!(q.zero_point, -128);
        assert!((q.scale - 0.01).abs() < 1e-9);
        assert_eq!(quant(Type::I16, Range { low: -1.0, high: 0.5 }).zero_point, 0);
        assert_eq!(quant(Type::I8, Range { low: 0.0, high: 0.0 }).scale, 1.0);
    }

    #[test]
    fn factors_of_a_half_and_more_take_a_shift_that_the_bound_must_allow() {
        assert_eq!(multipliers(&[0.25, 0.001], 1 << 30), Some((vec![1 << 30, 4_294_967], 0)));
        assert_eq!(multipliers(&[0.5], 1 << 20).map(|m| m.1), Some(1));
        assert_eq!(multipliers(&[3.0], 1 << 29), None);
    }
}
