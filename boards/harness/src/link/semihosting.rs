//! Files and exit by Arm semihosting, which RISC-V has taken over: an emulator or a debug probe serves them on the
//! host.

use crate::arch;
use crate::protocol::{self, Failure};
use core::ffi::CStr;

const INPUTS: &CStr = c"inputs.bin";
const OUTPUTS: &CStr = c"outputs.bin";
const METRICS: &CStr = c"metrics.bin";

const _: () = {
    const fn equal(a: &[u8], b: &[u8]) -> bool {
        let mut i = 0;
        while i < a.len() && i < b.len() && a[i] == b[i] {
            i += 1;
        }
        i == a.len() && i == b.len()
    }
    assert!(equal(INPUTS.to_bytes(), protocol::INPUTS.as_bytes()));
    assert!(equal(OUTPUTS.to_bytes(), protocol::OUTPUTS.as_bytes()));
    assert!(equal(METRICS.to_bytes(), protocol::METRICS.as_bytes()));
};

/// Operations, by the numbers that Arm has given them.
const OPEN: usize = 0x01;
const WRITE: usize = 0x05;
const READ: usize = 0x06;
const EXIT_EXTENDED: usize = 0x20;
/// Reason of an exit: the application has ended.
const APPLICATION_EXIT: usize = 0x20026;

/// The three files of a run.
pub struct Link {
    inputs: File,
    outputs: File,
    metrics: File,
}

impl Link {
    /// Opens the files.
    pub fn open() -> Result<Self, Failure> {
        Ok(Self {
            inputs: File::with_mode(INPUTS, File::READ_BINARY).ok_or(Failure::OpenInputs)?,
            outputs: File::with_mode(OUTPUTS, File::WRITE_BINARY).ok_or(Failure::CreateOutputs)?,
            metrics: File::with_mode(METRICS, File::WRITE_BINARY).ok_or(Failure::CreateMetrics)?,
        })
    }

    /// Reads the next row; false where there is none.
    pub fn read_row(&mut self, row: &mut [u8]) -> Result<bool, Failure> {
        let mut filled = 0;
        // The host may deliver a row in pieces; a call that delivers nothing is the end.
        while let Some(rest) = row.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.inputs.read(rest) {
                0 if filled == 0 => return Ok(false),
                0 => return Err(Failure::ShortRow),
                delivered => filled = filled.wrapping_add(delivered),
            }
        }
        Ok(true)
    }

    /// Writes a row of results.
    pub fn write_output(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.outputs.write(bytes).then_some(()).ok_or(Failure::WriteOutputs)
    }

    /// Writes measurements.
    pub fn write_metrics(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.metrics.write(bytes).then_some(()).ok_or(Failure::WriteMetrics)
    }
}

/// An open file of the host.
struct File(usize);

impl File {
    const READ_BINARY: usize = 1;
    const WRITE_BINARY: usize = 5;

    fn with_mode(name: &CStr, mode: usize) -> Option<Self> {
        // SAFETY: OPEN reads the name and its length, which are those of a C string.
        let handle = unsafe { call(OPEN, [name.as_ptr() as usize, mode, name.count_bytes()]) };
        (handle != usize::MAX).then_some(Self(handle))
    }

    /// Reads at most as much as `buffer` holds and says how much.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        // SAFETY: READ writes at most that many bytes to `buffer` and returns how many it did not.
        let missing = unsafe { call(READ, [self.0, buffer.as_mut_ptr() as usize, buffer.len()]) };
        buffer.len().saturating_sub(missing)
    }

    /// Writes all of `bytes`; false where the host did not take them.
    fn write(&mut self, bytes: &[u8]) -> bool {
        // SAFETY: WRITE reads `bytes` and returns how many it did not write.
        unsafe { call(WRITE, [self.0, bytes.as_ptr() as usize, bytes.len()]) == 0 }
    }
}

/// Ends the run with a code that says how it went.
pub fn finish(result: Result<(), Failure>) -> ! {
    let code = match result {
        Ok(()) => 0,
        Err(failure) => failure.code(),
    };
    // SAFETY: EXIT_EXTENDED reads two words.
    unsafe { call(EXIT_EXTENDED, [APPLICATION_EXIT, code.into()]) };
    // A debug probe may let the processor continue.
    arch::stop()
}

/// A call whose parameter is a block of words.
///
/// # Safety
/// The words are what the operation wants.
unsafe fn call<const N: usize>(operation: usize, words: [usize; N]) -> usize {
    // SAFETY: as the caller promises; the block outlives the call.
    unsafe { arch::semihosting(operation, (&raw const words) as usize) }
}
