//! Kernels of [`tinymlp::arch::riscv32m`].

mod gemm;

pub use gemm::{Case, Code, Gemm, Skip};
