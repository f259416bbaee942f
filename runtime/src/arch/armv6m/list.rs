//! From int8 activations to a list of those that are not -128.

/// Lists int8 activations plus 128 that are not 0, for layers that read their operand several times: `N` elements of a
/// row, a multiple of eight, become `W` words, the sum, the length of the list in bytes, and the list. Every entry is
/// the element's position times eight, which is where its weights begin in a group of eight outputs, and the element
/// plus 128. The list is never empty: one of zeros only has one of them.
#[derive(Clone, Copy, Debug)]
pub struct List;

/// `R` rows of `N` elements, as [`List`] has just made lists of them. Their entries are places of weights, which layers
/// trust: this borrows the `W` words of a row, so that nothing else can have written there.
///
/// Words do for other layers, not for those of lists:
///
/// ```compile_fail,E0080
/// use tinymlp::arch::armv6m::{Gemm, LIST, list_words, stream_len};
/// static LAYER: Gemm<8, 8, { stream_len(8, 8, false) }, 0, LIST, 0, false> = Gemm { stream: [0; _] };
/// LAYER.run(&[[0; list_words(8)]], &mut [[0; 8]]);
/// ```
///
/// ```
/// use tinymlp::arch::armv6m::{Gemm, LIST, List, list_words, stream_len};
/// static LAYER: Gemm<8, 8, { stream_len(8, 8, false) }, 0, LIST, 0, false> = Gemm { stream: [0; _] };
/// LAYER.run(List.run(&[[1; 8]], &mut [[0; list_words(8)]]), &mut [[0; 8]]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a, const N: usize, const W: usize, const R: usize>(pub(super) &'a [[i32; W]; R]);

impl List {
    /// Converts all rows.
    #[inline(always)]
    pub fn run<'a, const N: usize, const W: usize, const R: usize>(
        &self,
        x: &[[i8; N]; R],
        y: &'a mut [[i32; W]; R],
    ) -> Listed<'a, N, W, R> {
        const { assert!(W == super::list_words(N) && N.is_multiple_of(8) && N > 0) };
        for (x, y) in x.iter().zip(&mut *y) {
            list(x, y);
        }
        Listed(y)
    }
}

/// [`List`] of one row; of what does not fit into `y`, nothing.
#[cfg(not(tinymlp_arch = "armv6m"))]
pub fn list(x: &[i8], y: &mut [i32]) {
    let Some(([sum, bytes], y)) = y.split_first_chunk_mut() else { return };
    (*sum, *bytes) = (0, 0);
    let mut entries = y.as_chunks_mut().0.iter_mut();
    for (k, &x) in x.iter().enumerate() {
        let byte = i32::from(x) + 128;
        if byte == 0 {
            continue;
        }
        let Some(entry) = entries.next() else { return };
        *entry = [8 * k as i32, byte];
        *sum = sum.wrapping_add(byte);
        *bytes = bytes.wrapping_add(8);
    }
    if *bytes == 0
        && let Some(entry) = entries.next()
    {
        *entry = [0, 0];
        *bytes = 8;
    }
}

#[cfg(tinymlp_arch = "armv6m")]
#[inline(always)]
fn list<const N: usize, const W: usize>(x: &[i8; N], y: &mut [i32; W]) {
    // SAFETY: the assembly reads N bytes, a multiple of eight, and writes two words and at most N pairs of words; W is
    // that.
    unsafe { asm::list(x.as_ptr(), y.as_mut_ptr(), N) };
}

#[cfg(tinymlp_arch = "armv6m")]
mod asm {
    use core::arch::naked_asm;

    /// Lists element `$k` of eight: r3 is eight times its position.
    macro_rules! element {
        ($k:literal) => {
            concat!(
                " ldrb r4, [r0, #",
                $k,
                "]\n eors r4, r6\n beq 2f\n adds r5, r5, r4\n stm r1!, {{r3, r4}}\n",
                " 2:\n adds r3, #8\n",
            )
        };
    }

    /// # Safety
    /// `x` has `n` bytes, a multiple of eight and not 0; `y` is aligned and has `2 + 2 * n` words.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn list(x: *const i8, y: *mut i32, n: usize) {
        naked_asm!(
            "push {{r4-r7, lr}}",
            "adds r2, r2, r0",
            "adds r1, #8",
            "mov r7, r1",
            "movs r3, #0",
            "movs r5, #0",
            "movs r6, #128",
            "1:",
            concat!(element!("0"), element!("1"), element!("2"), element!("3")),
            concat!(element!("4"), element!("5"), element!("6"), element!("7")),
            "adds r0, #8",
            "cmp r0, r2",
            "bne 1b",
            "cmp r1, r7",
            "bne 3f",
            "movs r3, #0",
            "stm r1!, {{r3, r4}}",
            "3:",
            "subs r1, r1, r7",
            "subs r7, #8",
            "str r5, [r7]",
            "str r1, [r7, #4]",
            "pop {{r4-r7, pc}}",
        )
    }
}
