//! End-to-end tests.

pub mod files;
pub mod models;
pub mod npy;
pub mod onnx;
pub mod program;
pub mod project;
