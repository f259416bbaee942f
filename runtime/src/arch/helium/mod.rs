//! Cores with Helium, the vector extension of Armv8.1-M: Cortex-M55 and M85.
//!
//! Activations stay arrays of int8 or int16, as everywhere. Inputs are read sixteen bytes at a time and multiplied with the weights of
//! four outputs, with as many lanes in the last vector as there are inputs left. The instructions of a layer do not
//! depend on its data.

mod gemm;

pub use gemm::{Content, Gemm, GemmPacked, GemmPackedSums, GemmSums, lanes, last};

/// The portable loops over slices, for the host simulation.
#[cfg(all(feature = "dynamic", not(tinymlp_arch = "armv8m")))]
pub mod dynamic {
    pub use super::gemm::portable::{gemm, gemm_sums};
}
