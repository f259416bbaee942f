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
