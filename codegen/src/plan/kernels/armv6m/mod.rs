//! Kernels of [`tinymlp::arch::armv6m`].

mod gemm;
mod list;
mod offset;

pub use gemm::{Gemm, Skip, Time, multiplier_shifts};
pub use list::List;
pub use offset::Offset;
