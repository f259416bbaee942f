//! Between real numbers and quantized activations. Only here, and only with a feature, does the crate touch
//! `f32` or `fixed` types.

#[cfg(feature = "fixed")]
mod fixed_point;
#[cfg(feature = "float")]
mod float;

#[cfg(feature = "fixed")]
pub use fixed_point::{FromFixed, ToFixed, from_fixed, to_fixed};
#[cfg(feature = "float")]
pub use float::{from_f32, from_f32_each, to_f32};

/// Limits integers of fewer bits than their type has: what converts to more is `max`.
#[cfg(any(feature = "fixed", feature = "float"))]
pub fn at_most<T: crate::Element>(max: T, q: &mut [T]) {
    for q in q {
        *q = max.min(*q);
    }
}
