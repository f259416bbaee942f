//! Lists of the activations that are not zero.

/// Lists the pairs of int8 activations of which not both are the smallest integer (what stands for zero after a ReLU
/// and in images): 128 is added to each, so that these become 0.
///
/// A list is its length in bytes, then for every pair two words: the pair, and the bytes of weights that a group of
/// eight outputs has before it, 16 a pair. It is filled up with zeros to a multiple of `FILL` pairs, at least one of
/// them. Of every four elements the pairs are 0 and 2, then 1 and 3, as `uxtb16` takes them.
#[derive(Clone, Copy, Debug)]
pub struct NonzeroBytes<const FILL: usize>;

/// Lists the pairs of activations, as [`GemmPairs`](super::GemmPairs) leaves them, that are not both zero. See
/// [`NonzeroBytes`].
#[derive(Clone, Copy, Debug)]
pub struct Nonzero<const FILL: usize>;

/// `R` rows of lists, as [`NonzeroBytes`] or [`Nonzero`] has just made them, of at most `X` pairs each, filled up to a
/// multiple of `FILL`. Their entries are places of weights, which [`GemmNonzero`](super::GemmNonzero) trusts: this borrows
/// the `W` words of a row, so that nothing else can have written there.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a, const X: usize, const FILL: usize, const W: usize, const R: usize>(&'a [[i32; W]; R]);

impl<'a, const X: usize, const FILL: usize, const W: usize, const R: usize> Listed<'a, X, FILL, W, R> {
    /// Row by row.
    pub(super) fn rows(self) -> core::slice::Iter<'a, [i32; W]> {
        self.0.iter()
    }
}

/// Words of a list of all pairs of `elements` activations.
pub const fn list_words(elements: usize, fill: usize) -> usize {
    1 + 2 * (super::words(elements)).next_multiple_of(fill)
}

impl<const FILL: usize> NonzeroBytes<FILL> {
    /// Lists all rows in `y`. `X` is that of the layers that read the list.
    #[inline(always)]
    pub fn run<'a, const N: usize, const X: usize, const W: usize, const R: usize>(
        &self,
        x: &[[i8; N]; R],
        y: &'a mut [[i32; W]; R],
    ) -> Listed<'a, X, FILL, W, R> {
        const { assert!(N.is_multiple_of(4) && N > 0 && X == super::words(N)) };
        const { assert!(W == list_words(N, FILL) && FILL.is_power_of_two()) };
        for (x, y) in x.iter().zip(&mut *y) {
            #[cfg(tinymlp_arch = "armv7em")]
            // SAFETY: the assembly reads N bytes and writes at most a list of all their pairs, which W words are.
            unsafe {
                asm::bytes::<FILL>(x.as_ptr(), y.as_mut_ptr(), N);
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::bytes(x, FILL, y);
        }
        Listed(y)
    }
}

impl<const FILL: usize> Nonzero<FILL> {
    /// Lists all rows in `y`.
    #[inline(always)]
    pub fn run<'a, const X: usize, const W: usize, const R: usize>(
        &self,
        x: &[[i32; X]; R],
        y: &'a mut [[i32; W]; R],
    ) -> Listed<'a, X, FILL, W, R> {
        const { assert!(X > 0 && W == list_words(2 * X, FILL) && FILL.is_power_of_two()) };
        for (x, y) in x.iter().zip(&mut *y) {
            #[cfg(tinymlp_arch = "armv7em")]
            // SAFETY: the assembly reads X words and writes at most a list of all of them, which W words are.
            unsafe {
                asm::pairs::<FILL>(x.as_ptr(), y.as_mut_ptr(), X);
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::pairs(x.iter().copied(), FILL, y);
        }
        Listed(y)
    }
}

/// The same anywhere.
#[cfg(not(tinymlp_arch = "armv7em"))]
pub(super) mod portable {
    /// One row of [`NonzeroBytes`](super::NonzeroBytes).
    pub fn bytes(x: &[i8], fill: usize, y: &mut [i32]) {
        let byte = |x: i8| i32::from(x) + 128;
        let pairs = x.as_chunks().0.iter().flat_map(|&[a, b, c, d]| [byte(a) | byte(c) << 16, byte(b) | byte(d) << 16]);
        self::pairs(pairs, fill, y);
    }

    /// One row of [`Nonzero`](super::Nonzero); of what does not fit into `y`, nothing.
    pub fn pairs(x: impl Iterator<Item = i32>, fill: usize, y: &mut [i32]) {
        let Some((bytes, list)) = y.split_first_mut() else { return };
        let nonzero = x.enumerate().filter(|&(_, x)| x != 0).map(|(k, x)| [x, 16 * k as i32]);
        let mut count = 0;
        let mut entries = list.as_chunks_mut().0.iter_mut();
        for (entry, pair) in entries.by_ref().zip(nonzero) {
            *entry = pair;
            count += 1;
        }
        let filled = usize::max(count, 1).next_multiple_of(fill.max(1));
        list.as_chunks_mut().0.iter_mut().take(filled).skip(count).for_each(|entry: &mut [i32; 2]| *entry = [0, 0]);
        *bytes = 8 * filled as i32;
    }
}

#[cfg(tinymlp_arch = "armv7em")]
mod asm {
    use core::arch::naked_asm;

    /// Fills up the list: r1 is its end, r12 its first entry. Writes its length.
    macro_rules! finish {
        () => {
            "movs r2, #0
            movs r3, #0
            subs r0, r1, r12
            beq 5f
            4:
            tst r0, #({fill} * 8 - 1)
            beq 6f
            5:
            strd r2, r3, [r1], #8
            adds r0, #8
            b 4b
            6:
            str r0, [r12, #-4]"
        };
    }

    /// # Safety
    /// `x` has `n` bytes, a multiple of four; `y` is aligned and has room for a list of all their pairs. `FILL` is a
    /// power of two.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn bytes<const FILL: usize>(x: *const i8, y: *mut i32, n: usize) {
        naked_asm!(
            extensions!(),
            "push {{r4-r6, lr}}",
            "adds r1, #4",
            "mov r12, r1",
            "mov lr, #0x80808080",
            "movs r6, #0",
            "2:",
            "ldr r3, [r0], #4",
            "eors r3, r3, lr",
            "beq 3f",
            "uxtb16 r5, r3",
            "cbz r5, 7f",
            "strd r5, r6, [r1], #8",
            "7:",
            "uxtb16 r4, r3, ror #8",
            "cbz r4, 3f",
            "add r5, r6, #16",
            "strd r4, r5, [r1], #8",
            "3:",
            "adds r6, #32",
            "subs r2, #4",
            "bne 2b",
            finish!(),
            "pop {{r4-r6, pc}}",
            fill = const FILL,
        )
    }

    /// # Safety
    /// `x` has `n` words, at least one; `y` is aligned and has room for a list of them. `FILL` is a power of two.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn pairs<const FILL: usize>(x: *const i32, y: *mut i32, n: usize) {
        naked_asm!(
            extensions!(),
            "push {{r4, lr}}",
            "adds r1, #4",
            "mov r12, r1",
            "movs r4, #0",
            "2:",
            "ldr r3, [r0], #4",
            "cbz r3, 3f",
            "strd r3, r4, [r1], #8",
            "3:",
            "adds r4, #16",
            "subs r2, #1",
            "bne 2b",
            finish!(),
            "pop {{r4, pc}}",
            fill = const FILL,
        )
    }
}
