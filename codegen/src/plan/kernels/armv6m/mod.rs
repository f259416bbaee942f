//! Kernels of [`tinymlp::arch::armv6m`].

mod gemm;
mod gemm_packed;
mod gemm_pairs;
mod list;
mod offset;
mod pairs;

pub use gemm::{Gemm, Skip, Time, multiplier_shifts};
pub use gemm_packed::{GemmPacked, Storage};
pub use gemm_pairs::GemmPairs;
pub use list::List;
pub use offset::Offset;
pub use pairs::Pairs;
