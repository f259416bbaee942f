//! One file an operator. Each holds the constants of one layer in a struct whose sizes are in its type, a `run`
//! that cannot be called with a wrong length, and the portable loop over slices that is the operator's
//! specification: architecture-specific loops have to equal it bit for bit.
//!
//! The constants come from the code generator. Zero points, rounding and activation limits are folded into
//! them wherever that is exact; the formulas in the structs' documentation are the contract.

mod add;
mod affine;
mod arg_max;
mod arg_max_bits;
mod concat;
mod div;
mod gemm;
mod gemm_columns;
mod gemm_masked;
mod gemm_packed;
mod gemm_sums;
mod layer_normalization;
mod log_softmax;
mod lookup;
mod mat_mul;
mod mul;
mod p_relu;
mod piecewise;
mod reduce;
mod softmax;
mod softmax_columns;
mod strided;
mod tiles;

pub use add::Add;
pub use affine::Affine;
pub use arg_max::ArgMax;
pub use arg_max_bits::ArgMaxBits;
pub use concat::Concat;
pub use div::Div;
pub use gemm::Gemm;
pub use gemm_columns::GemmColumns;
pub use gemm_masked::{GemmMasked, GemmMaskedSums};
pub(crate) use gemm_packed::product;
pub use gemm_packed::{GemmPacked, GemmPackedSums, INT4, POWER_OF_TWO, TERNARY, packed_len, weight_bits, weight_code};
pub use gemm_sums::GemmSums;
pub use layer_normalization::LayerNormalization;
#[cfg(feature = "text")]
pub(crate) use layer_normalization::layer_normalization;
pub use log_softmax::LogSoftmax;
pub use lookup::{Interpolate, Lookup};
pub use mat_mul::MatMul;
pub use mul::Mul;
pub use p_relu::PRelu;
pub use piecewise::Piecewise;
pub use reduce::{ReduceMax, ReduceSum};
pub use softmax::{Exponential, Softmax};
pub use softmax_columns::SoftmaxColumns;
pub use strided::Strided;
pub use tiles::{Columns, Rows};

/// The same loops over slices, for tools that learn the shapes at run time.
///
/// Nothing here panics: with lengths that do not fit each other, elements are left out.
#[cfg(feature = "dynamic")]
pub mod dynamic {
    pub use super::add::add;
    pub use super::affine::affine;
    pub use super::arg_max::arg_max;
    pub use super::arg_max_bits::arg_max_bits;
    pub use super::concat::concat;
    pub use super::div::div;
    pub use super::gemm::gemm;
    pub use super::gemm_columns::gemm_columns;
    pub use super::gemm_masked::{gemm_masked, gemm_masked_sums};
    pub use super::gemm_packed::{gemm_packed, gemm_packed_sums};
    pub use super::gemm_sums::gemm_sums;
    pub use super::layer_normalization::layer_normalization;
    pub use super::log_softmax::log_softmax;
    pub use super::lookup::{interpolate, lookup};
    pub use super::mat_mul::mat_mul;
    pub use super::mul::mul;
    pub use super::p_relu::p_relu;
    pub use super::piecewise::piecewise;
    pub use super::reduce::{reduce_max, reduce_sum};
    pub use super::softmax::softmax;
    pub use super::softmax_columns::softmax_columns;
    pub use super::strided::strided;
}
