//! Cores without a multiply-accumulate instruction or a wide product: Cortex-M0, M0+, M23; and M3, until it has kernels
//! of its own.
//!
//! Activations between fully connected layers are unsigned bytes, the integer plus 128, behind a word that holds their
//! sum ([`words`]). Weights are stored plus 128 as well: only unsigned bytes can be loaded with an offset. The sum takes
//! that back: `sum of x * w = sum of x * (w + 128) - 128 * sum of x`.

mod gemm;
mod gemm_packed;
mod gemm_pairs;
mod list;
mod offset;
mod operand;
mod pairs;

pub use gemm::{EIGHT, Gemm, GemmBytes, LIST, eights, last, left_out, stream_len};
pub use gemm_packed::{Form, GemmPacked, GemmPackedBytes};
pub use gemm_pairs::{GemmPairs, THREE, pairs_stream_len};
pub use list::{List, Listed};
pub use offset::Offset;
pub use operand::Operand;
pub use pairs::{Pairs, ROUND, pair_words};

/// Words of a row of `elements` activations: their sum, then four bytes a word.
pub const fn words(elements: usize) -> usize {
    1 + elements.div_ceil(4)
}

/// Words of a row of `elements` activations as a [`List`]: their sum, the bytes of the list, and at most as many pairs.
pub const fn list_words(elements: usize) -> usize {
    2 + 2 * elements
}

/// Stores results plus 128, with the output's number, as the integers they are.
#[cfg(not(tinymlp_arch = "armv6m"))]
fn integers(y: &mut [i8]) -> impl FnMut(usize, i32) {
    |o, value| {
        if let Some(y) = y.get_mut(o) {
            *y = (value - 128) as i8;
        }
    }
}

/// Stores results plus 128, with the output's number, as a row for the next layer. None for a row of no words.
#[cfg(not(tinymlp_arch = "armv6m"))]
fn bytes(y: &mut [i32]) -> Option<impl FnMut(usize, i32)> {
    let (sum, y) = y.split_first_mut()?;
    *sum = 0;
    y.fill(0);
    Some(|o, value: i32| {
        *sum = sum.wrapping_add(value);
        if let Some(y) = y.get_mut(o / 4) {
            *y |= value << (8 * (o % 4));
        }
    })
}

/// The portable loops over slices, for the host simulation.
#[cfg(all(feature = "dynamic", not(tinymlp_arch = "armv6m")))]
pub mod dynamic {
    pub use super::gemm::portable::{gemm, gemm_bytes};
    pub use super::gemm_packed::portable::{gemm_packed, gemm_packed_bytes};
    pub use super::gemm_pairs::portable::gemm_pairs;
    pub use super::list::list;
    pub use super::offset::offset;
    pub use super::pairs::pairs;
}
