//! Kernels of [`tinymlp::arch::armv7em`].

mod gemm;
mod widen;

pub use gemm::Gemm;
pub use widen::Widen;
