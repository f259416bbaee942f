#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// AVR needs an unstable compiler in any case, as the standard library has to be built.
#![cfg_attr(tinymlp_arch = "avr", feature(asm_experimental_arch))]

#[cfg(test)]
extern crate std;

#[allow(unsafe_code)]
pub mod arch;
mod arena;
pub mod convert;
mod element;
mod golden;
pub mod kernels;
mod model;
mod requantize;
#[cfg(feature = "text")]
pub mod text;

#[cfg(feature = "fixed")]
pub use fixed;

pub use arena::{Arena, Part, Rest, RestOfTwo, Scratch, bytes, cast, cast_mut};
pub use element::{Activation, Element, Elementary};
pub use golden::{Difference, Elements, self_test};
pub use model::{Info, Model, Quantization};
pub use requantize::{Clamp, requantize, shift_right};
