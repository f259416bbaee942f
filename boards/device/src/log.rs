//! The report by defmt.

use crate::{Time, record};
use tinymlp::{Difference, Info};

/// Logs how the self-test went and what an inference takes; gives whether all outputs were the host's.
///
/// The lines end in `PASS` or begin with `FAIL`: `cargo xtask flash` waits for them.
pub fn report(info: &Info, vectors: usize, result: Result<(), Difference>, time: Time) -> bool {
    defmt::info!(
        "{=str}: {=u32} bytes of constants, {=u32} of scratch",
        info.name,
        info.constant_bytes,
        info.scratch_bytes
    );
    match time {
        Time::Cycles(count) => defmt::info!("one inference: {=u32} cycles", count),
        Time::Microseconds(count) => defmt::info!("one inference: {=u32} us", count),
    }
    match result {
        Ok(()) => defmt::info!("self-test of {=usize} golden vectors: PASS", vectors),
        Err(difference) => {
            let Difference { vector, element, expected, found } = difference;
            defmt::error!(
                "self-test: FAIL: vector {=usize}, element {=usize}: the host has {=i32}, this device {=i32}",
                vector,
                element,
                expected,
                found
            );
        }
    }
    record(result.is_ok());
    result.is_ok()
}
