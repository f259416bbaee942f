//! Kernels of [`tinymlp::arch::armv6m`].

mod gemm;
mod offset;

pub use gemm::{Gemm, Skip, Time, multiplier_shifts};
pub use offset::Offset;
