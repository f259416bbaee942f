//! Code generator for [tinymlp](https://docs.rs/tinymlp): reads a trained MLP-family network, quantizes it with
//! representative inputs and writes it as a Rust module of constants and kernel calls.
//!
//! [`Builder`] is the way in, from a build script or a program:
//!
//! ```no_run
//! let compiled = tinymlp_codegen::Builder::new("digits.onnx").calibration("calibration.npy").compile()?;
//! println!("{} bytes of constants, {} of scratch", compiled.report.flash_bytes, compiled.report.ram_bytes);
//! compiled.write("generated".as_ref())?;
//! # Ok::<(), tinymlp_codegen::Error>(())
//! ```
//!
//! The modules are the phases of the path: [`import`] reads the file into a float [`graph`], [`calibrate`] observes
//! it over the inputs, [`quantize`] makes it an integer [`plan`], which [`emit`] prints, [`plan::simulate`] executes with
//! the runtime's own kernels, and [`report`] describes.
//!
//! What approximations there are beyond int8, how far each is off and when it pays is in `docs/approximation.md` of this
//! package, with pictures and measurements.

#![forbid(unsafe_code)]

pub mod approximate;
pub mod bespoke;
mod builder;
pub mod calibrate;
pub mod data;
pub mod emit;
pub mod error;
pub mod graph;
pub mod import;
pub mod plan;
#[cfg(feature = "plot")]
pub mod plot;
#[cfg(feature = "project")]
pub mod project;
pub mod quantize;
pub mod report;
#[cfg(feature = "search")]
pub mod search;
pub mod target;
pub mod text;
#[cfg(feature = "tune")]
pub mod tune;

pub use builder::{Builder, Compiled};
pub use calibrate::Observer;
pub use emit::Io;
pub use error::{Error, Problem, Result};
pub use quantize::format::Format;
pub use target::{Core, Emission, Mode, Target};
