//! What the firmware of every board shares: the report of a self-test, as a log, and as a byte for a debugger.
//!
//! A generated module with golden vectors (`Builder::golden`) has a function `self_test`. A firmware calls it, measures
//! one inference beside it, and hands both to [`report`], by defmt, or [`text::report`], on a serial line. Whoever has
//! neither reads [`TINYMLP_SELF_TEST`] with a debugger.

#![no_std]

#[cfg(target_arch = "arm")]
pub mod cycles;
#[cfg(feature = "defmt")]
mod log;
#[cfg(not(feature = "defmt"))]
pub mod text;

#[cfg(feature = "defmt")]
pub use log::report;

use core::sync::atomic::{AtomicU8, Ordering};

/// How the self-test went: 0 while it runs, [`PASS`] or [`FAIL`] after it.
#[used]
#[allow(unsafe_code, reason = "a name that a debugger finds")]
#[unsafe(no_mangle)]
pub static TINYMLP_SELF_TEST: AtomicU8 = AtomicU8::new(0);

/// Every output was the host's.
pub const PASS: u8 = 0x50;
/// An output was not.
pub const FAIL: u8 = 0x46;

/// The time of one inference.
#[derive(Clone, Copy, Debug)]
pub enum Time {
    /// Cycles of the processor.
    Cycles(u32),
    /// Microseconds.
    Microseconds(u32),
}

fn record(passed: bool) {
    TINYMLP_SELF_TEST.store(if passed { PASS } else { FAIL }, Ordering::Relaxed);
}
