//! Networks whose arithmetic is approximated, as numbers: what they compute over a data set, and what they cost as a
//! circuit.

pub mod adders;
pub mod network;
