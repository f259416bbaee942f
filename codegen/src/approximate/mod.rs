//! Approximations of a trained network: what they compute over a data set, and what they cost as circuits.

pub mod adders;
pub mod arg_max;
pub(crate) mod digits;
pub mod network;
pub mod piecewise;
