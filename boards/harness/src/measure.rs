//! Instructions and stack of one call, measured from outside of it.
//!
//! Time is SysTick's, which an emulator that counts instructions advances by a fixed amount an instruction.
//! The two readings and the call between them are one block of assembly, so that nothing of the
//! measurement lies between them: what is counted is the call, everything until its return, and the second reading.
//!
//! Stack is found by painting the memory below the stack pointer before the call and looking for the lowest
//! word that has changed after it.

use crate::protocol::{CALIBRATION_ROUNDS, Row};
use core::arch::{asm, naked_asm};
use core::ffi::{CStr, c_void};
use core::ptr;
use cortex_m::peripheral::SYST;

/// A function to measure: up to three pointers in, nothing back.
pub type Function = unsafe extern "C" fn(*const c_void, *mut c_void, *mut c_void);

/// Largest value of the timer.
const TIMER_MAX: u32 = 0x00ff_ffff;
const TIMER_ENABLE: u32 = 1 << 0;
const TIMER_CORE_CLOCK: u32 = 1 << 2;
const TIMER_WRAPPED: u32 = 1 << 16;

const PAINT: u32 = 0xc0de_57ac;
const WORD: usize = size_of::<u32>();

/// Starts the timer. No interrupt: the flag tells that it wrapped.
pub fn start_timer() {
    // SAFETY: the only code that uses SysTick is in this module; these are plain register writes.
    unsafe {
        let timer = &*SYST::PTR;
        timer.rvr.write(TIMER_MAX);
        timer.cvr.write(0);
        timer.csr.write(TIMER_CORE_CLOCK | TIMER_ENABLE);
    }
}

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
    pub unsafe fn measure(
        &mut self,
        function: Function,
        arguments: (*const c_void, *mut c_void, *mut c_void),
    ) -> Result<Row, &'static CStr> {
        loop {
            // SAFETY: as the caller promises.
            if let Some(row) = unsafe { painted_call(self.depth, function, arguments)? } {
                return Ok(row);
            }
            self.depth = self.depth.wrapping_mul(2);
        }
    }
}

/// The first address after all statics: the stack must not come below it.
fn end_of_statics() -> usize {
    unsafe extern "C" {
        // Defined by cortex-m-rt's linker script.
        static __sheap: u32;
    }
    &raw const __sheap as usize
}

#[inline(always)]
fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
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
unsafe fn painted_call(
    depth: usize,
    function: Function,
    arguments: (*const c_void, *mut c_void, *mut c_void),
) -> Result<Option<Row>, &'static CStr> {
    let limit = end_of_statics();
    let top = stack_pointer();
    let bottom = top.saturating_sub(depth).max(limit);
    let mut at = bottom;
    while at < top {
        // SAFETY: between the statics and the stack pointer: free memory, and words that are aligned as both ends are.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(at).write_volatile(PAINT) };
        at = at.wrapping_add(WORD);
    }
    // SAFETY: as the caller promises.
    let (ticks, wrapped) = unsafe { timed_call(function, arguments) };
    let mut at = bottom;
    // SAFETY: the memory that was painted.
    while at < top && unsafe { ptr::with_exposed_provenance::<u32>(at).read_volatile() } == PAINT {
        at = at.wrapping_add(WORD);
    }
    if at != bottom {
        Ok(Some(Row { ticks, wrapped, stack_bytes: top.wrapping_sub(at) as u32 }))
    } else if bottom != limit {
        Ok(None)
    } else {
        Err(c"stack overflow: the inference used all the memory that statics leave free\n")
    }
}

/// Ticks (modulo 2^24) between two readings around one call, and whether the timer wrapped between them.
///
/// # Safety
/// Calling `function` with these arguments is sound.
#[inline(always)]
unsafe fn timed_call(function: Function, arguments: (*const c_void, *mut c_void, *mut c_void)) -> (u32, bool) {
    // SAFETY: the register block of the timer, which only this module uses.
    let timer = unsafe { &*SYST::PTR };
    // SAFETY: a plain register write: restarts the timer from its largest value.
    unsafe { timer.cvr.write(0) };
    // The value stays 0 until the next tick. Reading the flag clears it.
    while timer.cvr.read() == 0 {}
    timer.csr.read();
    let (before, after): (u32, u32);
    // SAFETY: a call by the C calling convention with the registers that it may change declared; r4 and r5 survive
    // it. Memory is assumed to change.
    unsafe {
        asm!(
            "ldr r5, [r4]",
            "blx r3",
            "ldr r4, [r4]",
            inout("r0") arguments.0 => _,
            inout("r1") arguments.1 => _,
            inout("r2") arguments.2 => _,
            inout("r3") function => _,
            inout("r4") &raw const timer.cvr => after,
            out("r5") before,
            // `clobber_abi("C")` would name registers that a processor with 16 double registers does not have.
            out("r12") _,
            out("lr") _,
            #[cfg(target_abi = "eabihf")] out("d0") _,
            #[cfg(target_abi = "eabihf")] out("d1") _,
            #[cfg(target_abi = "eabihf")] out("d2") _,
            #[cfg(target_abi = "eabihf")] out("d3") _,
            #[cfg(target_abi = "eabihf")] out("d4") _,
            #[cfg(target_abi = "eabihf")] out("d5") _,
            #[cfg(target_abi = "eabihf")] out("d6") _,
            #[cfg(target_abi = "eabihf")] out("d7") _,
        );
    }
    // The timer counts down.
    (before.wrapping_sub(after) & TIMER_MAX, timer.csr.read() & TIMER_WRAPPED != 0)
}

/// Ticks of a function that does nothing and of a loop whose length is known.
pub fn calibrate() -> [u32; 2] {
    let none = (ptr::null(), ptr::null_mut(), ptr::null_mut());
    // The rounds travel in the first argument's register.
    let rounds = (ptr::without_provenance(CALIBRATION_ROUNDS as usize), ptr::null_mut(), ptr::null_mut());
    // SAFETY: neither function touches memory.
    unsafe { [timed_call(empty, none).0, timed_call(spin, rounds).0] }
}

#[unsafe(naked)]
unsafe extern "C" fn empty(_: *const c_void, _: *mut c_void, _: *mut c_void) {
    naked_asm!("bx lr")
}

#[unsafe(naked)]
unsafe extern "C" fn spin(_rounds: *const c_void, _: *mut c_void, _: *mut c_void) {
    naked_asm!("2: subs r0, r0, #1", "bne 2b", "bx lr")
}
