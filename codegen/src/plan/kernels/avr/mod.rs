//! Kernels of [`tinymlp::arch::avr`].

mod gemm;
mod gemm_packed;
mod lookup;
mod result;

pub use gemm::Gemm;
pub use gemm_packed::{GemmPacked, Storage};
pub use lookup::Lookup;
