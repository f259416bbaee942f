//! Kernels of [`tinymlp::arch::riscv32e`].

mod gemm;

pub use gemm::{Code, Gemm, bits, instructions, product, top};
