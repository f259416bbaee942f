//! Kernels of [`tinymlp::arch::riscv32e`].

mod gemm;
mod gemm_packed;

pub use gemm::{Code, Gemm, bits, fits, instructions, product, top};
pub use gemm_packed::{GemmPacked, PackedCode};
