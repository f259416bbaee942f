//! Small networks as straight-line code: the weights are instructions, as in the circuits of "Bespoke Approximation of
//! Multiplication-Accumulation and Activation Targeting Printed Multilayer Perceptrons" (ICCAD 2023).
//!
//! A chain of fully connected layers becomes one [`Program`] without loops: [`lower`] writes it, [`Program::run`] is its
//! simulation, [`Program::text`] its function in Rust, [`Program::cost`] what that takes on a core. A weight that is zero
//! costs nothing, a power of two one addition.

mod cost;
mod ir;
mod lower;
mod rescale;
#[cfg(test)]
mod tests;
mod text;

pub use cost::Cost;
pub use ir::{Op, Program, Var};
pub use lower::{End, Layer, Network, Scaling, Search, Style, lower};
