//! Files and exit by Arm semihosting: an emulator or a debug probe serves them on the host.

use core::ffi::CStr;
use cortex_m_semihosting::{debug, syscall, syscall1};

/// An open file of the host.
pub struct File(usize);

/// How many bytes a read has delivered.
pub enum Read {
    /// All that were asked for.
    Full,
    /// None: the file has ended.
    End,
    /// Some, but not all.
    Short,
}

impl File {
    const READ_BINARY: usize = 1;
    const WRITE_BINARY: usize = 5;

    fn with_mode(name: &CStr, mode: usize) -> Option<Self> {
        // SAFETY: OPEN reads the name and its length, which are those of a C string.
        let handle = unsafe { syscall!(OPEN, name.as_ptr(), mode, name.count_bytes()) };
        (handle != usize::MAX).then_some(Self(handle))
    }

    /// Opens a file for reading.
    pub fn open(name: &CStr) -> Option<Self> {
        Self::with_mode(name, Self::READ_BINARY)
    }

    /// Creates a file, or empties it.
    pub fn create(name: &CStr) -> Option<Self> {
        Self::with_mode(name, Self::WRITE_BINARY)
    }

    /// Fills `buffer`.
    pub fn read(&mut self, buffer: &mut [u8]) -> Read {
        let mut filled = 0;
        // The host may deliver a row in pieces; a call that delivers nothing is the end.
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let wanted = rest.len();
            // SAFETY: READ writes at most `wanted` bytes to `rest` and returns how many it did not.
            let missing = unsafe { syscall!(READ, self.0, rest.as_mut_ptr(), wanted) };
            match wanted.checked_sub(missing) {
                None | Some(0) if filled == 0 => return Read::End,
                None | Some(0) => return Read::Short,
                Some(delivered) => filled = filled.wrapping_add(delivered),
            }
        }
        Read::Full
    }

    /// Writes all of `bytes`; false where the host did not take them.
    #[must_use]
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        // SAFETY: WRITE reads `bytes` and returns how many it did not write.
        unsafe { syscall!(WRITE, self.0, bytes.as_ptr(), bytes.len()) == 0 }
    }
}

/// Shows a message on the host and ends the run.
pub fn finish(result: Result<(), &'static CStr>) -> ! {
    match result {
        Ok(()) => debug::exit(debug::EXIT_SUCCESS),
        Err(message) => {
            // SAFETY: WRITE0 reads a C string.
            unsafe { syscall1!(WRITE0, message.as_ptr()) };
            debug::exit(debug::EXIT_FAILURE);
        }
    }
    // A debug probe may let the processor continue.
    loop {
        cortex_m::asm::wfi();
    }
}
