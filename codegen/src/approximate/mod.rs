//! Approximations of a trained network, and what they cost as circuits.

pub mod arg_max;
pub mod piecewise;
