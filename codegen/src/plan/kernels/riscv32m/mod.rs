//! Kernels of [`tinymlp::arch::riscv32m`].

mod gemm;

pub use gemm::{Code, Gemm};
