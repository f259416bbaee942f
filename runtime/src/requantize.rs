//! The one rounding of the crate: every kernel on every target ends in one of these functions.

use crate::Element;

/// Scales an accumulator: `floor((acc * 2^shift * multiplier + 2^31) / 2^32)`.
///
/// That is `acc * m` rounded once, half up, for the real factor `m = multiplier / 2^(32 - shift)`.
/// It is one instruction (`smmulr`) on an Armv7E-M core when `shift` is 0, which the code generator
/// arranges for every factor below 1/2.
///
/// Requires `acc * 2^shift` to fit in an `i32`; the code generator proves it for every layer.
///
/// Error: the generator rounds `m * 2^(32 - shift)` to the nearest integer, so the result differs
/// from `acc * m` by at most `1/2 + |acc| * 2^(shift - 33)` steps.
#[inline(always)]
pub const fn requantize(acc: i32, multiplier: i32, shift: u32) -> i32 {
    high(acc.wrapping_shl(shift), multiplier as i64, true)
}

/// `floor(a * b / 2^32)`, or rounded half up, for a `b` from `-2^31` to `2^31`.
///
/// A core without a wide product gets it from four narrow ones: a call of the compiler's takes five times as long.
#[inline(always)]
pub(crate) const fn high(a: i32, b: i64, rounded: bool) -> i32 {
    if cfg!(tinymlp_arch = "armv6m") {
        return high_of_halves(a, b, rounded);
    }
    ((a as i64 * b).wrapping_add(if rounded { 1 << 31 } else { 0 }) >> 32) as i32
}

#[inline(always)]
const fn high_of_halves(a: i32, b: i64, rounded: bool) -> i32 {
    let (a_high, a_low) = (a >> 16, a & 0xffff);
    let (b_high, b_low) = ((b >> 16) as i32, b as i32 & 0xffff);
    let (first, second) = (a_high.wrapping_mul(b_low), a_low.wrapping_mul(b_high));
    let low = (a_low as u32).wrapping_mul(b_low as u32) >> 16;
    let carry = low as i32 + (first & 0xffff) + (second & 0xffff) + if rounded { 1 << 15 } else { 0 };
    a_high.wrapping_mul(b_high).wrapping_add(first >> 16).wrapping_add(second >> 16).wrapping_add(carry >> 16)
}

/// Arithmetic shift right, `floor(acc / 2^shift)`, for `shift` in `0..32`.
///
/// Kernels that use it keep half a step (`2^(shift - 1)`) and the zero points in a constant that is
/// already part of `acc`, so that it rounds half up.
#[inline(always)]
pub const fn shift_right(acc: i32, shift: u32) -> i32 {
    acc.wrapping_shr(shift)
}

/// The end of a kernel: adds the output's zero point and saturates to `[min, max]`.
///
/// `min` and `max` are the type's own limits, or narrower where an activation of the ReLU family
/// (or any other clamp) is fused into the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Clamp<T> {
    /// The quantized value that stands for real zero.
    pub zero_point: T,
    /// Smallest output.
    pub min: T,
    /// Largest output.
    pub max: T,
}

impl<T: Element> Clamp<T> {
    /// `min(max(value + zero_point, min), max)`, in `T`, for a `value` that [`requantize`] returned
    /// (at most 2^30 in magnitude, so the sum cannot overflow).
    #[inline(always)]
    pub fn apply(&self, value: i32) -> T {
        self.limit(value.wrapping_add(self.zero_point.into()))
    }

    /// `min(max(value, min), max)`, in `T`, for sums that already contain the zero point.
    #[inline(always)]
    pub fn limit(&self, value: i32) -> T {
        T::truncate(value.max(self.min.into()).min(self.max.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition in the documentation, over integers that cannot overflow.
    fn wide(acc: i32, multiplier: i32, shift: u32) -> i128 {
        let product = ((acc as i128) << shift) * multiplier as i128;
        (product + (1 << 31)).div_euclid(1 << 32)
    }

    proptest! {
        #[test]
        fn requantize_is_its_definition(acc: i32, multiplier in 0..=i32::MAX, shift in 0u32..=30) {
            let acc = acc >> shift;
            prop_assert_eq!(requantize(acc, multiplier, shift) as i128, wide(acc, multiplier, shift));
        }

        #[test]
        fn halves_give_the_same_product(
            a in prop_oneof![any::<i32>(), Just(i32::MIN), Just(i32::MAX), -70_000..70_000i32],
            b in prop_oneof![-(1i64 << 31)..=1 << 31, Just(-(1i64 << 31)), Just(1i64 << 31), -70_000..70_000i64],
            rounded: bool,
        ) {
            let exact = i128::from(a) * i128::from(b) + if rounded { 1 << 31 } else { 0 };
            prop_assert_eq!(i128::from(high_of_halves(a, b, rounded)), exact >> 32);
            prop_assert_eq!(i128::from(high(a, b, rounded)), exact >> 32);
        }

        #[test]
        fn requantize_error_is_bounded(acc: i32, m in 1e-9f64..0.499_999) {
            let multiplier = (m * 4_294_967_296.0).round() as i32;
            let exact = acc as f64 * m;
            let error = (requantize(acc, multiplier, 0) as f64 - exact).abs();
            prop_assert!(error <= 0.5 + (acc as f64).abs() / 8_589_934_592.0 + 1e-6, "{error}");
        }

        #[test]
        fn requantize_is_monotonic(a: i32, b: i32, multiplier in 0..=i32::MAX) {
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(requantize(a, multiplier, 0) <= requantize(b, multiplier, 0));
        }
    }

    #[test]
    fn ties_round_up() {
        // m = 1/4: accumulators 2 and -2 are exactly half a step.
        assert_eq!(requantize(2, 1 << 30, 0), 1);
        assert_eq!(requantize(-2, 1 << 30, 0), 0);
        assert_eq!(requantize(i32::MIN, i32::MAX, 0), -1_073_741_824 + 1);
    }

    #[test]
    fn clamp_saturates_in_both_types() {
        let c = Clamp::<i8> { zero_point: -128, min: -128, max: 127 };
        assert_eq!(c.apply(-(1 << 30)), -128);
        assert_eq!(c.apply(1 << 30), 127);
        assert_eq!(c.apply(130), 2);
        let c = Clamp::<i16> { zero_point: 0, min: 0, max: 300 };
        assert_eq!((c.apply(-1), c.apply(299), c.apply(40_000)), (0, 299, 300));
    }
}
