//! Kernels of [`tinymlp::arch::armv7em`].

mod gemm;
mod gemm_nonzero;
mod nonzero;
mod widen;

pub use gemm::{Gemm, Sizes};
pub use gemm_nonzero::GemmNonzero;
pub use nonzero::Nonzero;
use nonzero::nonzero_pairs;
pub use widen::Widen;
