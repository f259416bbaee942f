//! Kernels of [`tinymlp::arch::riscv32e`].

mod gemm;

pub use gemm::{Gemm, bits, instructions, product, top};
