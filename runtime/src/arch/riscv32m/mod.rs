//! RV32 with multiplication and compressed instructions (RV32IMC): ESP32-C3, BL602, GD32VF103, Ibex and many more.
//!
//! Activations stay int8, one after the other, so no step has to pack them.

mod gemm;

pub use gemm::{Gemm, LARGEST, groups, stream_len};

/// The portable loops over slices, for the host simulation.
#[cfg(all(feature = "dynamic", not(tinymlp_arch = "riscv32m")))]
pub mod dynamic {
    pub use super::gemm::portable::gemm;
}
