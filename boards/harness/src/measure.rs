//! Time and stack of one call, measured from outside of it.
//!
//! Stack is found by painting the memory below the stack pointer before the call and looking for the lowest
//! word that has changed after it.

use crate::arch::{self, Arguments, Function, Word};
use crate::protocol::{CALIBRATION_ROUNDS, Failure, Row, Span};
use core::ptr;

const PAINT: Word = 0xc0de_57ac_u32 as Word;
const WORD: usize = size_of::<Word>();

/// Measures with a painted area that grows to what the calls need and is kept for the next one.
pub struct Meter {
    depth: usize,
}

impl Meter {
    /// Starts with more than networks commonly use: a call that leaves a gap in its frame just where a small area
    /// ends would go unnoticed.
    pub const fn new() -> Self {
        Self { depth: 8192 }
    }

    /// Calls `function` with these arguments and measures it.
    ///
    /// It may be called several times: it must give the same result each time.
    ///
    /// # Safety
    /// Calling `function` with these arguments is sound.
    pub unsafe fn measure(&mut self, function: Function, arguments: Arguments) -> Result<Row, Failure> {
        loop {
            // SAFETY: as the caller promises.
            if let Some(row) = unsafe { painted_call(self.depth, function, arguments)? } {
                return Ok(row);
            }
            self.depth = self.depth.wrapping_mul(2);
        }
    }
}

/// One measured call; none where it used all of the `depth` bytes that were painted for it, and an error where there
/// is no memory to paint more.
///
/// Nothing but `function` is called between painting and looking, and it is not inlined, so the stack pointer
/// at the call is the one that it reads.
///
/// # Safety
/// Calling `function` with these arguments is sound.
#[inline(never)]
unsafe fn painted_call(depth: usize, function: Function, arguments: Arguments) -> Result<Option<Row>, Failure> {
    let limit = arch::end_of_statics();
    let top = arch::stack_pointer();
    let bottom = top.saturating_sub(depth).max(limit);
    let mut at = bottom;
    while at < top {
        // SAFETY: between the statics and the stack pointer: free memory, and words that are aligned as both ends are.
        unsafe { ptr::with_exposed_provenance_mut::<Word>(at).write_volatile(PAINT) };
        at = at.wrapping_add(WORD);
    }
    // SAFETY: as the caller promises.
    let span = unsafe { arch::timed_call(function, arguments) };
    let mut at = bottom;
    // SAFETY: the memory that was painted.
    while at < top && unsafe { ptr::with_exposed_provenance::<Word>(at).read_volatile() } == PAINT {
        at = at.wrapping_add(WORD);
    }
    if at != bottom {
        let used = top.wrapping_sub(at).saturating_sub(arch::CALL_STACK);
        Ok(Some(Row { span, stack_bytes: used as u32 }))
    } else if bottom != limit {
        Ok(None)
    } else {
        Err(Failure::StackOverflow)
    }
}

/// The times of a function that does nothing and of a loop whose length is known.
pub fn calibrate() -> [Span; 2] {
    let none = (ptr::null(), ptr::null_mut(), ptr::null_mut());
    // The rounds travel in the first argument's register.
    let rounds = (ptr::without_provenance(CALIBRATION_ROUNDS as usize), ptr::null_mut(), ptr::null_mut());
    // SAFETY: neither function touches memory.
    unsafe { [arch::timed_call(arch::empty, none), arch::timed_call(arch::spin, rounds)] }
}
