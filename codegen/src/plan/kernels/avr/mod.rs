//! Kernels of [`tinymlp::arch::avr`].

mod gemm;
mod lookup;

pub use gemm::Gemm;
pub use lookup::Lookup;
