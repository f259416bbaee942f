//! From int8 activations to unsigned bytes with their sum.

/// Adds 128 to int8 activations and sums them up. `N` is the number of elements of a row, `W` that of words of the
/// result.
#[derive(Clone, Copy, Debug)]
pub struct Offset;

impl Offset {
    /// Converts all rows.
    #[inline(always)]
    pub fn run<const N: usize, const W: usize, const R: usize>(&self, x: &[[i8; N]; R], y: &mut [[i32; W]; R]) {
        const { assert!(W == super::words(N) && N > 0) };
        for (x, y) in x.iter().zip(y) {
            offset(x, y);
        }
    }
}

/// [`Offset`] of one row; of what does not fit into `y`, nothing.
#[cfg(not(tinymlp_arch = "armv6m"))]
pub fn offset(x: &[i8], y: &mut [i32]) {
    let Some((sum, y)) = y.split_first_mut() else { return };
    *sum = 0;
    for (x, y) in x.chunks(4).zip(y) {
        *y = 0;
        for (k, &x) in x.iter().enumerate() {
            let byte = i32::from(x) + 128;
            *sum = sum.wrapping_add(byte);
            *y |= byte << (8 * k);
        }
    }
}

#[cfg(tinymlp_arch = "armv6m")]
#[inline(always)]
fn offset<const N: usize, const W: usize>(x: &[i8; N], y: &mut [i32; W]) {
    // SAFETY: the assembly reads N bytes and writes the word of the sum and N bytes after it; W words are at least that.
    unsafe { asm::offset(x.as_ptr(), y.as_mut_ptr(), N) };
}

#[cfg(tinymlp_arch = "armv6m")]
mod asm {
    use core::arch::naked_asm;

    /// # Safety
    /// `x` has `n` bytes, `y` is aligned and has a word and `n` bytes.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn offset(x: *const i8, y: *mut i32, n: usize) {
        naked_asm!(
            "push {{r1, r4-r7, lr}}",
            "adds r1, #4",
            "movs r3, #0",
            "mov r12, r3",
            "adds r2, r2, r0",
            // The frame: 0 end of x, 4 y
            "push {{r2}}",
            "lsls r4, r0, #30",
            "bne 5f",
            "ldr r6, 7f",
            "ldr r7, 8f",
            // Two words at a time, at most 512 bytes of them: the lanes of r3 hold 16 bits.
            "1:",
            "ldr r2, [sp]",
            "subs r5, r2, r0",
            "lsrs r5, r5, #3",
            "beq 4f",
            "cmp r5, #64",
            "bls 2f",
            "movs r5, #64",
            "2:",
            "lsls r5, r5, #3",
            "adds r5, r5, r0",
            "mov lr, r5",
            "3:",
            "ldm r0!, {{r4, r5}}",
            "eors r4, r6",
            "eors r5, r6",
            "stm r1!, {{r4, r5}}",
            "movs r2, r4",
            "ands r2, r7",
            "adds r3, r3, r2",
            "movs r2, r5",
            "ands r2, r7",
            "adds r3, r3, r2",
            "lsrs r4, r4, #8",
            "ands r4, r7",
            "adds r3, r3, r4",
            "lsrs r5, r5, #8",
            "ands r5, r7",
            "adds r3, r3, r5",
            "cmp r0, lr",
            "bne 3b",
            "uxth r4, r3",
            "lsrs r3, r3, #16",
            "adds r3, r3, r4",
            "add r12, r3",
            "movs r3, #0",
            "b 1b",
            "4:",
            "cmp r0, r2",
            "beq 6f",
            // One byte at a time.
            "5:",
            "movs r3, #128",
            "9:",
            "ldrb r4, [r0]",
            "eors r4, r3",
            "strb r4, [r1]",
            "add r12, r4",
            "adds r0, #1",
            "adds r1, #1",
            "cmp r0, r2",
            "bne 9b",
            "6:",
            "mov r3, r12",
            "pop {{r0, r1, r4-r7}}",
            "str r3, [r1]",
            "pop {{pc}}",
            ".balign 4",
            "7:",
            ".word 0x80808080",
            "8:",
            ".word 0x00ff00ff",
        )
    }
}
