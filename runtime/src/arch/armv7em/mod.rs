//! Cores with the DSP extension of Armv7E-M and Armv8-M: Cortex-M4, M7, M33.
//!
//! Activations between fully connected layers are pairs of 16-bit integers ([`words`]), so that one `smlad`
//! multiplies and adds two of them.

mod gemm;
mod gemm_bytes;
mod gemm_nonzero;
mod gemm_packed;
mod gemm_wide;
mod nonzero;
mod widen;

pub use gemm::{Gemm, GemmPairs, fours, pair, stream_len};
pub use gemm_bytes::{GemmBytes, block_start, bytes_stream_len};
pub use gemm_nonzero::{GemmNonzero, GemmNonzeroPairs, nonzero_stream_len};
pub use gemm_packed::{GemmPacked, GemmPackedSums, packed_group, packed_stream_len};
pub use gemm_wide::{GemmWide, wide_stream_len};
pub use nonzero::{Listed, Nonzero, NonzeroBytes, list_words};
pub use widen::Widen;

/// Words of a row of `elements` activations: two 16-bit integers a word, padded to a multiple of 8 elements with
/// anything, as the weights of the padding are zero.
pub const fn words(elements: usize) -> usize {
    elements.next_multiple_of(8) / 2
}

/// The portable loops over slices, for the host simulation.
#[cfg(all(feature = "dynamic", not(tinymlp_arch = "armv7em")))]
pub mod dynamic {
    pub use super::gemm::portable::{gemm, gemm_pairs};
    pub use super::gemm_bytes::portable::gemm_bytes;
    pub use super::gemm_nonzero::portable::{gemm as gemm_nonzero, gemm_pairs as gemm_nonzero_pairs};
    pub use super::gemm_packed::portable::{gemm_packed, gemm_packed_sums};
    pub use super::gemm_wide::portable::gemm_wide;
    pub use super::nonzero::portable::{bytes as nonzero_bytes, pairs as nonzero_pairs};
    pub use super::widen::widen;
}
