//! RV32 in QEMU's `virt` machine: start-up, memory protection, time by the counter of retired instructions.
//!
//! Only registers that RV32E has are used by name.

use super::{Arguments, Function};
use crate::protocol::{Failure, Span};
use core::arch::{asm, global_asm, naked_asm};
use core::ffi::c_void;

/// What stack is painted by.
pub type Word = u32;
/// Stack that [`timed_call`] itself uses.
pub const CALL_STACK: usize = 16;

// The machine has memory wherever a small chip has none. Physical memory protection takes it away again, so that
// whatever leaves the board's memories faults as it would there: flash may be read and executed, RAM read and
// written, and nothing else touched. 0x9d is locked, power of two, execute and read; 0x9b likewise write and read;
// 0x98 nothing.
global_asm!(
    ".section .init, \"ax\"",
    ".global _start",
    "_start:",
    "la sp, _stack_top",
    "la t0, _fault",
    "csrw mtvec, t0",
    "lui t0, %hi(_flash_region)",
    "addi t0, t0, %lo(_flash_region)",
    "csrw pmpaddr0, t0",
    "lui t0, %hi(_ram_region)",
    "addi t0, t0, %lo(_ram_region)",
    "csrw pmpaddr1, t0",
    "li t0, -1",
    "csrw pmpaddr2, t0",
    "li t0, 0x989b9d",
    "csrw pmpcfg0, t0",
    "la a0, _sbss",
    "la a1, _ebss",
    "2: bgeu a0, a1, 3f",
    "sw zero, 0(a0)",
    "addi a0, a0, 4",
    "j 2b",
    "3: la a0, _sdata",
    "la a1, _edata",
    "la a2, _sidata",
    "4: bgeu a0, a1, 5f",
    "lw t0, 0(a2)",
    "sw t0, 0(a0)",
    "addi a0, a0, 4",
    "addi a2, a2, 4",
    "j 4b",
    "5: call main",
    // The stack may be what has faulted.
    ".balign 4",
    "_fault:",
    "la sp, _stack_top",
    "call {fault}",
    fault = sym fault,
);

/// An access outside the memory, a stack that ran out of it, or an instruction that the core does not have.
extern "C" fn fault() -> ! {
    crate::link::finish(Err(Failure::Fault))
}

/// The counter always runs.
pub fn start_timer() {}

/// The first address after all statics: the stack must not come below it.
pub fn end_of_statics() -> usize {
    unsafe extern "C" {
        // Defined by riscv.x.
        static _ebss: u32;
    }
    &raw const _ebss as usize
}

/// The lowest address of the stack that is in use.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mv {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Instructions retired between reading the counter before one call and after it: the call, everything until its return,
/// and the reading. The counter is not set to 0: in QEMU, its upper half then counts one too many where its lower half
/// wraps. What it was lies on the stack, as RV32E has no register that a call keeps and an `asm!` may use.
///
/// # Safety
/// Calling `function` with these arguments is sound.
#[inline(always)]
pub unsafe fn timed_call(function: Function, arguments: Arguments) -> Span {
    let (low, high, low_before, high_before): (u32, u32, u32, u32);
    // SAFETY: a call by the C calling convention with the registers that it may change declared. Memory is assumed
    // to change, the stack pointer is as before.
    unsafe {
        asm!(
            "addi sp, sp, -16",
            "csrr t1, minstreth",
            "sw t1, 0(sp)",
            "csrr t1, minstret",
            "sw t1, 4(sp)",
            "jalr t0",
            "csrr a0, minstret",
            "csrr a1, minstreth",
            "lw t1, 4(sp)",
            "lw t2, 0(sp)",
            "addi sp, sp, 16",
            inout("a0") arguments.0 => low,
            inout("a1") arguments.1 => high,
            inout("a2") arguments.2 => _,
            inout("t0") function => _,
            out("ra") _,
            out("t1") low_before,
            out("t2") high_before,
            out("a3") _,
            out("a4") _,
            out("a5") _,
            #[cfg(not(target_abi = "ilp32e"))] out("a6") _,
            #[cfg(not(target_abi = "ilp32e"))] out("a7") _,
            #[cfg(not(target_abi = "ilp32e"))] out("t3") _,
            #[cfg(not(target_abi = "ilp32e"))] out("t4") _,
            #[cfg(not(target_abi = "ilp32e"))] out("t5") _,
            #[cfg(not(target_abi = "ilp32e"))] out("t6") _,
        );
    }
    let [before, after] = [(high_before, low_before), (high, low)].map(|(h, l)| u64::from(h) << 32 | u64::from(l));
    // The store behind the first reading is none of the call.
    Span { ticks: after.wrapping_sub(before).wrapping_sub(1), wrapped: false }
}

/// Does nothing.
#[unsafe(naked)]
pub unsafe extern "C" fn empty(_: *const c_void, _: *mut c_void, _: *mut c_void) {
    naked_asm!("ret")
}

/// Two instructions a round; how many, the first argument's register says.
#[unsafe(naked)]
pub unsafe extern "C" fn spin(_rounds: *const c_void, _: *mut c_void, _: *mut c_void) {
    naked_asm!("2: addi a0, a0, -1", "bnez a0, 2b", "ret")
}

/// Asks the host for a service.
///
/// # Safety
/// The parameter is what the operation wants, which may read and write memory through it.
#[inline(never)]
pub unsafe fn semihosting(operation: usize, parameter: usize) -> usize {
    let result;
    // SAFETY: the three instructions that mark a semihosting call, of full length and on one page; it changes a0
    // and memory.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli zero, zero, 0x1f",
            "ebreak",
            "srai zero, zero, 7",
            ".option pop",
            inout("a0") operation => result,
            in("a1") parameter,
            options(nostack),
        );
    }
    result
}

/// Waits for ever.
pub fn stop() -> ! {
    loop {
        // SAFETY: waits for an interrupt that nobody has enabled.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}
