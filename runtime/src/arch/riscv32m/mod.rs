//! RV32 with multiplication and compressed instructions (RV32IMC): ESP32-C3, BL602, GD32VF103, Ibex and many more.
//!
//! Activations are bytes, one after the other: int8, or between fully connected layers unsigned, each 128 larger, in
//! words that they fill from their lowest bits. So the zero of a layer with a ReLU is the byte 0.

mod gemm;
mod gemm_packed;
mod row;

pub use gemm::{Gemm, LARGEST, groups, step, stream_len};
pub use gemm_packed::{
    GemmPacked, GemmPackedSums, PACKED_GROUP, packed_offset, packed_stream_len, packed_weight_words,
};
pub use row::Row;

/// The portable loops over slices, for the host simulation.
#[cfg(all(feature = "dynamic", not(tinymlp_arch = "riscv32m")))]
pub mod dynamic {
    pub use super::gemm::portable::gemm;
    pub use super::gemm_packed::portable::{gemm_packed, gemm_packed_sums};
    pub use super::row::{byte, set_byte};
}
