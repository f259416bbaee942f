//! End-to-end tests.

pub mod npy;
pub mod onnx;
