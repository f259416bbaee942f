//! AVR cores with a multiplier (ATmega; not ATtiny): sums of three bytes, or two, in registers, weights straight from
//! flash.
//!
//! Activations stay as they are, `i8` in a row. Constants stay in program memory: the code generator places them in
//! the section `.progmem.data` of the firmware, where only `lpm` reads them. The types here therefore keep what they
//! hold to themselves; nothing but the kernel can read it. `lpm` reaches the first 64 KiB of flash, and constants
//! beyond are not supported.
//!
//! What the kernels of [`kernels`](crate::kernels) read is data, which the start-up code copies to RAM: a layer that
//! stays with them takes its size in RAM. Interrupts may come at any time, from code that keeps to the convention of
//! clearing r1: the assembly only reads the stack pointer, and keeps nothing below it.

mod gemm;
mod gemm_packed;
mod lookup;
mod result;

pub use gemm::{Form, Gemm, first, group};
pub use gemm_packed::{GemmPacked, GemmPackedSums, PackedForm};
pub use lookup::Lookup;

/// The portable loop over slices, for the host simulation.
#[cfg(all(feature = "dynamic", not(tinymlp_arch = "avr")))]
pub mod dynamic {
    pub use super::gemm::portable::gemm;
    pub use super::gemm_packed::portable::{gemm_packed, gemm_packed_sums};
}
