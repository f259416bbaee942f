//! Kernels of [`tinymlp::arch::helium`].

mod gemm;

pub use gemm::Gemm;
