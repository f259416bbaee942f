//! Fully connected layer over a list of the activations that are not zero.

use super::Listed;

/// [`Gemm`](super::Gemm) for a list that [`NonzeroBytes`](super::NonzeroBytes) or [`Nonzero`](super::Nonzero) has made
/// ([`Listed`]), and a multiple of eight outputs.
///
/// The stream holds, for every eight outputs, their biases, four words of weights for every pair of inputs, and their
/// multipliers, all packed as in [`Gemm`](super::Gemm). About two instructions for every non-zero pair and output.
///
/// `X` is the number of pairs of inputs, `O` that of outputs, `N` the length of the stream.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmNonzero<const X: usize, const O: usize, const N: usize, const FILL: usize> {
    head: Head,
    stream: [u32; N],
}

/// [`GemmNonzero`] with results for the next layer: two a word, each saturated to 0..=255.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmNonzeroPairs<const X: usize, const O: usize, const N: usize, const FILL: usize> {
    head: Head,
    stream: [u32; N],
}

/// What the assembly is told of a layer. The order of the fields is the assembly's.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(not(tinymlp_arch = "armv7em"), allow(dead_code))]
struct Head {
    /// Added to every result before it saturates.
    zero_point: i32,
    /// Bytes of the weights of eight outputs.
    weights: u32,
    /// Bytes of output.
    y_bytes: u32,
}

/// Length of the stream of a layer with `x` pairs of inputs.
pub const fn nonzero_stream_len(x: usize, outputs: usize) -> usize {
    (outputs / 8).saturating_mul(x.saturating_mul(4).saturating_add(16))
}

impl<const X: usize, const O: usize, const N: usize, const FILL: usize> GemmNonzero<X, O, N, FILL> {
    /// A layer with a zero point, which is added to every result before it saturates, and a stream of constants.
    pub const fn new(zero_point: i32, stream: [u32; N]) -> Self {
        const { assert!(O > 0 && O.is_multiple_of(8) && N == nonzero_stream_len(X, O) && FILL.is_power_of_two()) };
        Self { head: Head { zero_point, weights: 16 * X as u32, y_bytes: O as u32 }, stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const W: usize, const R: usize>(&self, x: Listed<'_, X, FILL, W, R>, y: &mut [[i8; O]; R]) {
        for (x, y) in x.rows().zip(y) {
            #[cfg(tinymlp_arch = "armv7em")]
            {
                let layer = (&raw const *self).cast();
                // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and writes what
                // y has. The list is as its kernel has made it: within W words, and with no pair beyond X.
                unsafe { asm::gemm::<FILL, true>(layer, x.as_ptr(), y.as_mut_ptr().cast()) };
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::gemm(&self.stream, x, X, self.head.zero_point, y);
        }
    }
}

impl<const X: usize, const O: usize, const N: usize, const FILL: usize> GemmNonzeroPairs<X, O, N, FILL> {
    /// A layer with a zero point, which is added to every result before it saturates, and a stream of constants.
    pub const fn new(zero_point: i32, stream: [u32; N]) -> Self {
        const { assert!(O > 0 && O.is_multiple_of(8) && N == nonzero_stream_len(X, O) && FILL.is_power_of_two()) };
        Self { head: Head { zero_point, weights: 16 * X as u32, y_bytes: 2 * O as u32 }, stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const W: usize, const V: usize, const R: usize>(
        &self,
        x: Listed<'_, X, FILL, W, R>,
        y: &mut [[i32; V]; R],
    ) {
        const { assert!(V == super::words(O)) };
        for (x, y) in x.rows().zip(y) {
            #[cfg(tinymlp_arch = "armv7em")]
            {
                let layer = (&raw const *self).cast();
                // SAFETY: as above.
                unsafe { asm::gemm::<FILL, false>(layer, x.as_ptr(), y.as_mut_ptr().cast()) };
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::gemm_pairs(&self.stream, x, X, self.head.zero_point, y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv7em"))]
pub(super) mod portable {
    use crate::requantize;

    /// One row of [`GemmNonzero`](super::GemmNonzero) with weights for `pairs` pairs of inputs.
    pub fn gemm(stream: &[u32], list: &[i32], pairs: usize, zero_point: i32, y: &mut [i8]) {
        for (y, value) in y.iter_mut().zip(results(stream, list, pairs)) {
            *y = value.wrapping_add(zero_point).clamp(-128, 127) as i8;
        }
    }

    /// One row of [`GemmNonzeroPairs`](super::GemmNonzeroPairs).
    pub fn gemm_pairs(stream: &[u32], list: &[i32], pairs: usize, zero_point: i32, y: &mut [i32]) {
        for (k, value) in results(stream, list, pairs).enumerate() {
            let value = value.wrapping_add(zero_point).clamp(0, 255);
            if let Some(y) = y.get_mut(k / 2) {
                *y = if k % 2 == 0 { value } else { *y | value << 16 };
            }
        }
    }

    fn results(stream: &[u32], list: &[i32], pairs: usize) -> impl Iterator<Item = i32> {
        let (bytes, entries) = list.split_first().map_or((0, list), |(&bytes, entries)| (bytes, entries));
        let (entries, _) = entries.as_chunks::<2>();
        let entries = entries.get(..bytes as usize / 8).unwrap_or(entries);
        stream.chunks_exact(16usize.wrapping_add(4 * pairs)).flat_map(move |group| {
            let (bias, rest) = group.split_at_checked(8).unwrap_or_default();
            let (weights, multiplier) = rest.split_at_checked(4 * pairs).unwrap_or_default();
            let mut acc = [0i32; 8];
            acc.iter_mut().zip(bias).for_each(|(acc, &bias)| *acc = bias as i32);
            for &[x, offset] in entries {
                let [x0, x1] = [x as i16 as i32, x >> 16];
                let words = weights.get(offset as usize / 4..).unwrap_or_default();
                for (acc, &w) in acc.as_chunks_mut::<2>().0.iter_mut().zip(words) {
                    let [both0, both1] = [w as i16 as i32, w as i32 >> 16];
                    let [one0, one1] = [both0 as i8 as i32, both1 as i8 as i32];
                    acc[0] = acc[0].wrapping_add(one0.wrapping_mul(x0)).wrapping_add(one1.wrapping_mul(x1));
                    acc[1] = acc[1].wrapping_add(both0.wrapping_mul(x0)).wrapping_add(both1.wrapping_mul(x1));
                }
            }
            let m = |k: usize| multiplier.get(k).map_or(0, |&m| m as i32);
            core::array::from_fn::<i32, 8, _>(|k| match k % 2 {
                0 => requantize(acc[k], m(k), 0),
                _ => requantize(acc[k].wrapping_sub(acc[k & 6]), m(k), 0),
            })
        })
    }
}

#[cfg(tinymlp_arch = "armv7em")]
mod asm {
    use core::arch::naked_asm;

    /// One row. `r0` is the layer and becomes the position in its stream.
    ///
    /// # Safety
    /// `layer` is a `GemmNonzero` (with `BYTES`) or `GemmNonzeroPairs`, `list` a list of at most its pairs filled up to a
    /// multiple of `FILL`, `y` a row of its output, unless `BYTES` aligned to four bytes.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<const FILL: usize, const BYTES: bool>(
        layer: *const u32,
        list: *const i32,
        y: *mut u8,
    ) {
        naked_asm!(
            extensions!(),
            "push {{r4-r11, lr}}",
            "ldm r0!, {{r3, r4, r5}}",
            "add r5, r2",
            "ldr r6, [r1], #4",
            "add r6, r1",
            // The frame: 0 list, 4 y, 8 zero point, 12 bytes of weights, 16 end of y, 20 end of the list
            "push {{r1-r6}}",
            "2:",
            "ldm r0!, {{r2-r9}}",
            "ldr r1, [sp]",
            "3:",
            ".rept {fill}",
            "ldrd r10, r11, [r1], #8",
            "add r11, r0",
            "ldrd r12, lr, [r11]",
            "smlad r3, r12, r10, r3",
            "sxtb16 r12, r12",
            "smlad r2, r12, r10, r2",
            "smlad r5, lr, r10, r5",
            "sxtb16 lr, lr",
            "smlad r4, lr, r10, r4",
            "ldrd r12, lr, [r11, #8]",
            "smlad r7, r12, r10, r7",
            "sxtb16 r12, r12",
            "smlad r6, r12, r10, r6",
            "smlad r9, lr, r10, r9",
            "sxtb16 lr, lr",
            "smlad r8, lr, r10, r8",
            ".endr",
            "ldr r12, [sp, #20]",
            "cmp r1, r12",
            "bne 3b",
            "ldrd r1, r10, [sp, #8]",
            "add r0, r10",
            "ldm r0!, {{r10, r11, r12, lr}}",
            "sub r3, r3, r2",
            "sub r5, r5, r4",
            "sub r7, r7, r6",
            "sub r9, r9, r8",
            "smmlar r2, r2, r10, r1",
            "smmlar r3, r3, r11, r1",
            "smmlar r4, r4, r12, r1",
            "smmlar r5, r5, lr, r1",
            "ldm r0!, {{r10, r11, r12, lr}}",
            "smmlar r6, r6, r10, r1",
            "smmlar r7, r7, r11, r1",
            "smmlar r8, r8, r12, r1",
            "smmlar r9, r9, lr, r1",
            "ldr r10, [sp, #4]",
            "ldr r11, [sp, #16]",
            ".if {bytes}",
            "ssat r2, #8, r2",
            "ssat r3, #8, r3",
            "ssat r4, #8, r4",
            "ssat r5, #8, r5",
            "ssat r6, #8, r6",
            "ssat r7, #8, r7",
            "ssat r8, #8, r8",
            "ssat r9, #8, r9",
            "strb r2, [r10], #1",
            "strb r3, [r10], #1",
            "strb r4, [r10], #1",
            "strb r5, [r10], #1",
            "strb r6, [r10], #1",
            "strb r7, [r10], #1",
            "strb r8, [r10], #1",
            "strb r9, [r10], #1",
            ".else",
            "usat r2, #8, r2",
            "usat r3, #8, r3",
            "usat r4, #8, r4",
            "usat r5, #8, r5",
            "usat r6, #8, r6",
            "usat r7, #8, r7",
            "usat r8, #8, r8",
            "usat r9, #8, r9",
            "orr r2, r2, r3, lsl #16",
            "orr r4, r4, r5, lsl #16",
            "orr r6, r6, r7, lsl #16",
            "orr r8, r8, r9, lsl #16",
            "stm r10!, {{r2, r4, r6, r8}}",
            ".endif",
            "str r10, [sp, #4]",
            "cmp r10, r11",
            "bne 2b",
            "add sp, #24",
            "pop {{r4-r11, pc}}",
            fill = const FILL,
            bytes = const BYTES as usize,
        )
    }
}
