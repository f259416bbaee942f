//! Kernels of [`tinymlp::arch::riscv32m`].

mod gemm;
mod gemm_packed;

pub use gemm::{Case, Code, Gemm, Skip};
pub use gemm_packed::GemmPacked;
