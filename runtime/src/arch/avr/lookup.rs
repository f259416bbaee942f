//! Any function of one number, from a table in program memory.

use core::fmt;

/// [`kernels::Lookup`](crate::kernels::Lookup) from and to `i8`, 14 cycles an element.
///
/// On AVR it has to be a `static` in the section `.progmem.data`, as [`Gemm`](super::Gemm).
#[repr(C)]
pub struct Lookup {
    /// Output by the input's bits. In program memory, where a reference is not an address that Rust can read.
    #[cfg_attr(tinymlp_arch = "avr", allow(dead_code))]
    table: [i8; 256],
}

impl Lookup {
    /// A table for program memory: output by input, in the order 0, 1, .. 127, -128, .. -1.
    pub const fn new(table: [i8; 256]) -> Self {
        Self { table }
    }

    /// Computes all elements.
    #[inline(always)]
    pub fn run<const N: usize>(&self, x: &[i8; N], y: &mut [i8; N]) {
        const { assert!(N > 0 && N < 0x8000) };
        #[cfg(tinymlp_arch = "avr")]
        // SAFETY: by the sizes in the types, the assembly reads this table and N bytes and writes N bytes.
        unsafe {
            asm::lookup((&raw const *self).cast(), x.as_ptr(), y.as_mut_ptr(), N as u16)
        };
        #[cfg(not(tinymlp_arch = "avr"))]
        for (x, y) in x.iter().zip(y) {
            *y = self.table[usize::from(*x as u8)];
        }
    }

    /// Computes all elements in place.
    #[inline(always)]
    pub fn run_in_place<const N: usize>(&self, x: &mut [i8; N]) {
        const { assert!(N > 0 && N < 0x8000) };
        #[cfg(tinymlp_arch = "avr")]
        {
            let x = x.as_mut_ptr();
            // SAFETY: as in `run`; the assembly reads every byte before it writes its place.
            unsafe { asm::lookup((&raw const *self).cast(), x, x, N as u16) };
        }
        #[cfg(not(tinymlp_arch = "avr"))]
        for x in x {
            *x = self.table[usize::from(*x as u8)];
        }
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

#[cfg(tinymlp_arch = "avr")]
mod asm {
    use core::arch::asm;

    /// # Safety
    /// `table` is the address of 256 bytes in program memory; `x` has and `y` takes `n` bytes, which is not zero. Both
    /// may be the same.
    #[inline(never)]
    pub(super) unsafe fn lookup(table: *const i8, x: *const i8, y: *mut i8, n: u16) {
        // SAFETY: the loop reads `n` bytes from X on and writes as many from Y on, which is put back.
        unsafe {
            asm!(
                "push r28",
                "push r29",
                "movw r28, r20",
                "2:",
                "ld r22, X+",
                "movw r30, r24",
                "add r30, r22",
                "adc r31, r1",
                "lpm r22, Z",
                "st Y+, r22",
                "subi r18, 1",
                "sbci r19, 0",
                "brne 2b",
                "pop r29",
                "pop r28",
                in("r25r24") table,
                inout("X") x => _,
                in("r21r20") y,
                inout("r19r18") n => _,
                out("r22") _,
                out("Z") _,
            )
        }
    }
}
