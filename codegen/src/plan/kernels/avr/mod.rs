//! Kernels of [`tinymlp::arch::avr`].

mod gemm;

pub use gemm::Gemm;
