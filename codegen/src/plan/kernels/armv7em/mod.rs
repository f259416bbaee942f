//! Kernels of [`tinymlp::arch::armv7em`].

mod gemm;
mod gemm_bytes;
mod gemm_nonzero;
mod gemm_packed;
mod gemm_wide;
mod nonzero;
mod widen;

pub use gemm::{Gemm, Sizes};
pub use gemm_bytes::GemmBytes;
pub use gemm_nonzero::GemmNonzero;
pub use gemm_packed::GemmPacked;
pub use gemm_wide::GemmWide;
pub use nonzero::Nonzero;
use nonzero::nonzero_pairs;
pub use widen::Widen;
