//! Kernels of [`tinymlp::arch::armv6m`].

mod gemm;
mod gemm_packed;
mod list;
mod offset;

pub use gemm::{Gemm, Skip, Time, multiplier_shifts};
pub use gemm_packed::{GemmPacked, Storage, Written};
pub use list::List;
pub use offset::Offset;
