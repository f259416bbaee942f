//! RV32 with sixteen registers and without multiplication (RV32EC): CH32V003. The code runs on any RV32 core.
//!
//! Activations stay int8, one after the other. Products are looked up in a table of triangular numbers
//! `t(n) = n (n - 1) / 2`, as `x w = t(x + w) - t(x) - t(w)`: an addition and a look-up for every weight, a sum over
//! the row's inputs once for all outputs, and a constant that is part of the bias.

mod gemm;
mod gemm_packed;

pub use crate::arch::riscv32m::{groups, step};
pub use gemm::{Gemm, largest, stream_len};
pub use gemm_packed::{GemmPacked, GemmPackedSums, packed_rows};

/// `n (n - 1) / 2`, which for a sum of two int8 fits 16 bits.
pub const fn triangle(n: i32) -> i32 {
    n.wrapping_mul(n.wrapping_sub(1)) >> 1
}

/// The portable loops over slices, for the host simulation.
#[cfg(all(feature = "dynamic", not(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e"))))]
pub mod dynamic {
    pub use super::gemm::portable::gemm;
    pub use super::gemm_packed::portable::{gemm_packed, gemm_packed_sums};
}
