//! Cortex-M: start-up by cortex-m-rt, time by SysTick.
//!
//! An emulator that counts instructions advances SysTick by a fixed amount an instruction. cortex-m-rt enables the
//! floating-point unit of the targets that have one, and with it the vector unit of a Cortex-M55 (CPACR has one
//! field for both).

use super::{Arguments, Function};
use crate::protocol::{Failure, Span};
use core::arch::{asm, naked_asm};
use core::ffi::c_void;
use cortex_m::peripheral::SYST;
use cortex_m_rt::exception;

/// What stack is painted by.
pub type Word = u32;
/// Stack that [`timed_call`] itself uses.
pub const CALL_STACK: usize = 0;

/// Largest value of the timer.
const TIMER_MAX: u32 = 0x00ff_ffff;
const TIMER_ENABLE: u32 = 1 << 0;
const TIMER_CORE_CLOCK: u32 = 1 << 2;
const TIMER_WRAPPED: u32 = 1 << 16;

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

/// The first address after all statics: the stack must not come below it.
pub fn end_of_statics() -> usize {
    unsafe extern "C" {
        // Defined by cortex-m-rt's linker script.
        static __sheap: u32;
    }
    &raw const __sheap as usize
}

/// The lowest address of the stack that is in use.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Ticks (modulo 2^24) between two readings around one call.
///
/// The two readings and the call between them are one block of assembly, so that nothing of the measurement lies
/// between them: what is counted is the call, everything until its return, and the second reading.
///
/// # Safety
/// Calling `function` with these arguments is sound.
#[inline(always)]
pub unsafe fn timed_call(function: Function, arguments: Arguments) -> Span {
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
    let ticks = before.wrapping_sub(after) & TIMER_MAX;
    Span { ticks: ticks.into(), wrapped: timer.csr.read() & TIMER_WRAPPED != 0 }
}

/// Does nothing.
#[unsafe(naked)]
pub unsafe extern "C" fn empty(_: *const c_void, _: *mut c_void, _: *mut c_void) {
    naked_asm!("bx lr")
}

/// Two instructions a round; how many, the first argument's register says.
#[unsafe(naked)]
pub unsafe extern "C" fn spin(_rounds: *const c_void, _: *mut c_void, _: *mut c_void) {
    naked_asm!("2: subs r0, r0, #1", "bne 2b", "bx lr")
}

/// Asks the host for a service.
///
/// # Safety
/// The parameter is what the operation wants, which may read and write memory through it.
pub unsafe fn semihosting(operation: usize, parameter: usize) -> usize {
    let result;
    // SAFETY: the call that Arm defines for M profiles; it changes r0 and memory.
    unsafe { asm!("bkpt 0xAB", inout("r0") operation => result, in("r1") parameter, options(nostack)) };
    result
}

/// Waits for ever.
pub fn stop() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}

/// An access outside the memory, or a stack that ran out of it.
#[exception(trampoline = false)]
unsafe fn HardFault() -> ! {
    crate::link::finish(Err(Failure::Fault))
}
