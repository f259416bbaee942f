//! From int8 activations to pairs of 16-bit ones.

/// Widens int8 activations. `N` is the number of elements of a row, `W` that of words of the result.
///
/// `sxtb16` takes the first and third, then the second and fourth of four bytes: of every four elements in a row the
/// words of the result hold 0 and 2, then 1 and 3. What follows `N` is anything.
///
/// `OWN` is 0, or `N` (at least 4) for straight code for that length alone.
#[derive(Clone, Copy, Debug)]
pub struct Widen<const OWN: usize>;

impl<const OWN: usize> Widen<OWN> {
    /// Widens all rows.
    #[inline(always)]
    pub fn run<const N: usize, const W: usize, const R: usize>(&self, x: &[[i8; N]; R], y: &mut [[i32; W]; R]) {
        const { assert!(W == super::words(N) && (OWN == 0 || OWN == N && N >= 4)) };
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv7em")]
            // SAFETY: the assembly reads N bytes and writes 2 words for every 4 of them, rounded up; W words are that.
            unsafe {
                match OWN {
                    0 => asm::widen(x.as_ptr(), y.as_mut_ptr(), N),
                    _ => asm::own::<OWN>(x.as_ptr(), y.as_mut_ptr()),
                }
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            widen(x, y);
        }
    }
}

/// [`Widen`] of one row; of what does not fit into `y`, nothing.
#[cfg(not(tinymlp_arch = "armv7em"))]
pub fn widen(x: &[i8], y: &mut [i32]) {
    for (x, y) in x.chunks(4).zip(y.chunks_exact_mut(2)) {
        let byte = |k: usize| i32::from(x.get(k).copied().unwrap_or_default());
        if let [even, odd] = y {
            *even = byte(0) & 0xffff | byte(2) << 16;
            *odd = byte(1) & 0xffff | byte(3) << 16;
        }
    }
}

#[cfg(tinymlp_arch = "armv7em")]
mod asm {
    use core::arch::naked_asm;

    /// # Safety
    /// `x` has `N` bytes, `y` is aligned to and has 8 bytes for every 4 of those, rounded up.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn own<const N: usize>(x: *const i8, y: *mut i32) {
        naked_asm!(
            extensions!(),
            "push {{r4-r6, lr}}",
            ".rept {n} / 8",
            "ldr r3, [r0], #4",
            "ldr r5, [r0], #4",
            "sxtb16 r2, r3",
            "sxtb16 r3, r3, ror #8",
            "sxtb16 r4, r5",
            "sxtb16 r5, r5, ror #8",
            "stm r1!, {{r2-r5}}",
            ".endr",
            ".if {n} % 8 >= 4",
            "ldr r3, [r0], #4",
            "sxtb16 r2, r3",
            "sxtb16 r3, r3, ror #8",
            "stm r1!, {{r2, r3}}",
            ".endif",
            // The last four bytes again, without those that were there before.
            ".if {n} % 4 > 0",
            "ldr r3, [r0, #({n} % 4 - 4)]",
            "lsr r3, #(32 - {n} % 4 * 8)",
            "sxtb16 r2, r3",
            "sxtb16 r3, r3, ror #8",
            "stm r1!, {{r2, r3}}",
            ".endif",
            "pop {{r4-r6, pc}}",
            n = const N,
        )
    }

    /// # Safety
    /// `x` has `n` bytes, `y` is aligned to and has 8 bytes for every 4 of those, rounded up.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn widen(x: *const i8, y: *mut i32, n: usize) {
        naked_asm!(
            extensions!(),
            "push {{r4-r8, lr}}",
            "subs r2, #16",
            "blt 3f",
            // Sixteen at a time. Single loads, as the input need not be aligned.
            "2:",
            "ldr r5, [r0], #4",
            "ldr r7, [r0], #4",
            "ldr r12, [r0], #4",
            "ldr lr, [r0], #4",
            "sxtb16 r4, r5",
            "sxtb16 r5, r5, ror #8",
            "sxtb16 r6, r7",
            "sxtb16 r7, r7, ror #8",
            "sxtb16 r8, r12",
            "sxtb16 r12, r12, ror #8",
            "stm r1!, {{r4-r8, r12}}",
            "sxtb16 r4, lr",
            "sxtb16 r5, lr, ror #8",
            "stm r1!, {{r4, r5}}",
            "subs r2, #16",
            "bge 2b",
            "3:",
            "adds r2, #16",
            "beq 6f",
            // Four at a time, then one.
            "4:",
            "subs r2, #4",
            "blt 5f",
            "ldr r5, [r0], #4",
            "sxtb16 r4, r5",
            "sxtb16 r5, r5, ror #8",
            "stm r1!, {{r4, r5}}",
            "bne 4b",
            "b 6f",
            "5:",
            // r2 is -3 for one, -2 for two, -1 for three.
            "ldrsb r4, [r0]",
            "strh r4, [r1]",
            "adds r2, #3",
            "beq 6f",
            "ldrsb r4, [r0, #1]",
            "strh r4, [r1, #4]",
            "subs r2, #1",
            "beq 6f",
            "ldrsb r4, [r0, #2]",
            "strh r4, [r1, #2]",
            "6:",
            "pop {{r4-r8, pc}}",
        )
    }
}
