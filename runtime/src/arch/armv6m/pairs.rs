//! From int8 activations of two rows to words that hold both.

/// Inputs that the inner loop of [`GemmPairs`](super::GemmPairs) takes at once.
pub const ROUND: usize = 8;

/// Words of two rows of `elements` activations: three for every two of them, up to whole rounds.
pub const fn pair_words(elements: usize) -> usize {
    elements.next_multiple_of(ROUND) / 2 * 3
}

/// Puts element `k` of two rows into one word, `X[k] = x[0][k] + 2^16 * x[1][k]`, and before every two such words what their products
/// with unsigned weights begin with: `2^15 - 128 * (X[k] + X[k + 1])`. All of it modulo 2^32.
///
/// `N` is the number of elements of a row, `W` that of words of the result, `P` the number of pairs of rows.
#[derive(Clone, Copy, Debug)]
pub struct Pairs;

impl Pairs {
    /// Converts all rows.
    #[inline(always)]
    pub fn run<const N: usize, const W: usize, const P: usize, const R: usize>(
        &self,
        x: &[[i8; N]; R],
        y: &mut [[i32; W]; P],
    ) {
        const { assert!(W == pair_words(N) && N > 0 && R == 2 * P) };
        for (x, y) in x.as_chunks::<2>().0.iter().zip(y) {
            pairs(x, y);
        }
    }
}

/// [`Pairs`] of two rows; of what does not fit into `y`, nothing.
#[cfg(not(tinymlp_arch = "armv6m"))]
pub fn pairs<R: AsRef<[i8]>>(x: &[R; 2], y: &mut [i32]) {
    let [first, second] = x;
    let element = |k: usize| {
        let of = |row: &R| row.as_ref().get(k).copied().map_or(0, i32::from);
        of(first).wrapping_add(of(second) << 16)
    };
    for (k, y) in y.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let both = [element(2 * k), element(2 * k + 1)];
        *y = [0x8000i32.wrapping_sub(both[0].wrapping_add(both[1]) << 7), both[0], both[1]];
    }
}

#[cfg(tinymlp_arch = "armv6m")]
#[inline(always)]
fn pairs<const N: usize, const W: usize>(x: &[[i8; N]; 2], y: &mut [i32; W]) {
    // SAFETY: the assembly reads two rows of N bytes and writes W words.
    unsafe { asm::pairs(x.as_ptr().cast(), y.as_mut_ptr(), N, y.as_mut_ptr().add(W)) };
}

#[cfg(tinymlp_arch = "armv6m")]
mod asm {
    use core::arch::naked_asm;

    /// # Safety
    /// `x` has two rows of `n` bytes, at least one; `y` is aligned and has the words of as many elements up to `end`.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn pairs(x: *const i8, y: *mut i32, n: usize, end: *mut i32) {
        naked_asm!(
            "push {{r3-r7, lr}}",
            "movs r3, #1",
            "mov r4, r2",
            "bics r4, r3",
            "adds r4, r4, r0",
            "mov lr, r4",
            "lsls r3, r3, #15",
            "mov r12, r3",
            "movs r4, #0",
            "cmp r0, lr",
            "beq 2f",
            // Two elements of either row.
            "1:",
            "ldrsb r5, [r0, r4]",
            "ldrsb r6, [r0, r2]",
            "lsls r6, r6, #16",
            "adds r5, r5, r6",
            "adds r0, #1",
            "ldrsb r6, [r0, r4]",
            "ldrsb r7, [r0, r2]",
            "lsls r7, r7, #16",
            "adds r6, r6, r7",
            "adds r0, #1",
            "adds r7, r5, r6",
            "lsls r7, r7, #7",
            "mov r3, r12",
            "subs r3, r3, r7",
            "stm r1!, {{r3, r5, r6}}",
            "cmp r0, lr",
            "bne 1b",
            "2:",
            "movs r6, #0",
            "lsls r3, r2, #31",
            "beq 3f",
            // One that is left.
            "ldrsb r5, [r0, r4]",
            "ldrsb r7, [r0, r2]",
            "lsls r7, r7, #16",
            "adds r5, r5, r7",
            "lsls r7, r5, #7",
            "mov r3, r12",
            "subs r3, r3, r7",
            "stm r1!, {{r3, r5, r6}}",
            "3:",
            // Zeros up to a whole round.
            "movs r5, #0",
            "mov r3, r12",
            "ldr r7, [sp]",
            "b 5f",
            "4:",
            "stm r1!, {{r3, r5, r6}}",
            "5:",
            "cmp r1, r7",
            "bne 4b",
            "pop {{r3-r7, pc}}",
        )
    }
}
