//! Code generator (being assembled).
pub mod data;
pub mod error;
pub mod graph;
pub use error::{Error, Problem, Result};
