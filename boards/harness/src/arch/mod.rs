//! What differs between processors: start-up, faults, the timer, and a call between two readings of it.
//!
//! Each module has the same items; the target chooses one.

#[cfg_attr(target_arch = "arm", path = "cortex_m.rs")]
#[cfg_attr(target_arch = "avr", path = "avr.rs")]
#[cfg_attr(target_arch = "riscv32", path = "riscv.rs")]
mod target;

pub use target::*;

use core::ffi::c_void;

/// A function to measure: up to three pointers in, nothing back.
pub type Function = unsafe extern "C" fn(*const c_void, *mut c_void, *mut c_void);

/// What it is called with.
pub type Arguments = (*const c_void, *mut c_void, *mut c_void);
