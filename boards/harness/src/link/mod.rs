//! How rows come from the host and results go to it.
//!
//! Each module has the same items; the target chooses one.

#[cfg_attr(target_arch = "avr", path = "serial.rs")]
#[cfg_attr(not(target_arch = "avr"), path = "semihosting.rs")]
mod transport;

pub use transport::*;
