//! ATmega328P: start-up, and marks between which an emulator counts.
//!
//! The timers of the chip have at most 16 bits, which is less than an inference. So the harness measures no time
//! itself: it writes to GPIOR0, a register without a function, immediately before and after the call.

use super::{Arguments, Function};
use crate::protocol::Span;
use core::arch::asm;
use core::ffi::c_void;
use core::ptr;

/// What stack is painted by.
pub type Word = u8;
/// Stack that [`timed_call`] itself uses.
pub const CALL_STACK: usize = 0;

// Assembly stands within functions: the compiler assembles what is outside of them for a processor without half of
// the instructions.

/// What the chip executes first, with the stack pointer at the end of RAM: initial values to statics, then `main`.
/// Nothing enables an interrupt, so there are no other vectors.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".init")]
extern "C" fn _start() -> ! {
    // SAFETY: nothing runs yet: every register is free, and the addresses are those of the linker script. r1 is zero
    // by convention.
    unsafe {
        asm!(
            "clr r1",
            "ldi r30, lo8(_sidata)",
            "ldi r31, hi8(_sidata)",
            "ldi r26, lo8(_sdata)",
            "ldi r27, hi8(_sdata)",
            "ldi r17, hi8(_edata)",
            "rjmp 3f",
            "2: lpm r0, Z+",
            "st X+, r0",
            "3: cpi r26, lo8(_edata)",
            "cpc r27, r17",
            "brne 2b",
            "ldi r17, hi8(_ebss)",
            "rjmp 5f",
            "4: st X+, r1",
            "5: cpi r26, lo8(_ebss)",
            "cpc r27, r17",
            "brne 4b",
            "jmp main",
            options(noreturn),
        )
    }
}

/// There is none.
pub fn start_timer() {}

/// The first address after all statics: the stack must not come below it.
pub fn end_of_statics() -> usize {
    unsafe extern "C" {
        // Defined by avr.x.
        static _ebss: u8;
    }
    &raw const _ebss as usize
}

/// The lowest address of the stack that is in use. The register points below it.
#[inline(always)]
pub fn stack_pointer() -> usize {
    const SP: usize = 0x5d;
    // SAFETY: reads a register.
    let sp = unsafe { ptr::without_provenance::<u16>(SP).read_volatile() };
    usize::from(sp).wrapping_add(1)
}

/// One call between two marks: what is counted is the call, everything until its return, and the second mark.
///
/// # Safety
/// Calling `function` with these arguments is sound.
#[inline(always)]
pub unsafe fn timed_call(function: Function, arguments: Arguments) -> Span {
    // SAFETY: a call by the C calling convention with the registers that it may change declared; r0 never lives
    // across assembly, and r1 is zero again after a call. Memory is assumed to change. GPIOR0 has no function.
    unsafe {
        asm!(
            "out 0x1e, r18",
            "icall",
            "out 0x1e, r1",
            inout("r25r24") arguments.0 => _,
            inout("r23r22") arguments.1 => _,
            inout("r21r20") arguments.2 => _,
            inout("Z") function => _,
            inout("r18") 1u8 => _,
            out("r19") _,
            out("X") _,
        );
    }
    Span { ticks: 0, wrapped: false }
}

/// Does nothing.
#[inline(never)]
pub unsafe extern "C" fn empty(_: *const c_void, _: *mut c_void, _: *mut c_void) {}

/// Two instructions a round; how many, the first argument says.
#[inline(never)]
pub unsafe extern "C" fn spin(rounds: *const c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: a loop in a register.
    unsafe { asm!("2: sbiw r24, 1", "brne 2b", inout("r25r24") rounds.addr() => _, options(nomem, nostack)) };
}

/// Waits for ever.
pub fn stop() -> ! {
    loop {
        // SAFETY: waits for an interrupt that nobody has enabled.
        unsafe { asm!("sleep", options(nomem, nostack)) };
    }
}
