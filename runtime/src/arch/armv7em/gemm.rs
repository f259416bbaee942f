//! Fully connected layer over pairs of 16-bit activations: ONNX `Gemm`, and `MatMul` with a constant operand.

/// [`kernels::Gemm`](crate::kernels::Gemm) with its constants as one stream of words, in the order in which they are
/// used.
///
/// For every four outputs A, B, C, D the stream holds their four biases; then, for every eight inputs, eight words of
/// weights (A and B with the first word of `x`, C and D with it, A and B with the second word, ..); then four
/// multipliers. A word of weights holds `a + 256 * b` in each lane, which is exact as |weight| <= 127. One `smlad` adds
/// its products with a word of `x` to an accumulator that becomes `A + 256 * B`; after `sxtb16` a second one adds `A`
/// alone. `256 * B` is their difference, exact modulo 2^32, so `B` may reach 2^23 in magnitude: the code generator
/// proves it from the weights. That is one byte a weight and one instruction a multiply-accumulate operation.
///
/// Where the number of outputs leaves one or two after the groups of four (three are a group with an output that is
/// not stored), they follow as a pair: two biases, four words for every eight inputs, two multipliers.
///
/// Results are those of [`requantize`](crate::requantize) without a shift, plus the zero point. The multipliers of B
/// and D are multiples of 256 and stored divided by that, as `256 * B` takes the place of `B`.
///
/// `X` is the number of words of a row of `x`, `O` that of outputs, `N` the length of the stream; `UNROLL` is how often
/// the inner loop stands in the code, which layers with the same `UNROLL` share. `OWN` is 0, or `X` for code made for
/// that number of words alone.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Gemm<const X: usize, const O: usize, const N: usize, const UNROLL: usize, const OWN: usize> {
    head: Head,
    stream: [u32; N],
}

/// [`Gemm`] with results for the next layer: two a word, each saturated to 0..=255.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmPairs<const X: usize, const O: usize, const N: usize, const UNROLL: usize, const OWN: usize> {
    head: Head,
    stream: [u32; N],
}

/// What the assembly is told of a layer. The order of the fields is the assembly's.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(not(tinymlp_arch = "armv7em"), allow(dead_code))]
struct Head {
    /// Bytes of a row of input.
    x_bytes: u32,
    /// Bytes of code of the rounds that the first pass through the unrolled loop leaves out.
    skip: u32,
    /// Bytes of output that the groups of four write.
    y_bytes: u32,
    /// Added to every result before it saturates.
    zero_point: i32,
    /// Outputs after the groups of four.
    pair: u32,
}

impl Head {
    /// Bytes of the code of one round of the inner loop: 27 instructions of four.
    const ROUND: usize = 108;

    const fn new(x: usize, outputs: usize, unroll: usize, zero_point: i32, y_bytes: usize) -> Self {
        let rounds = x / 4;
        let skip = (rounds.next_multiple_of(unroll) - rounds) * Self::ROUND;
        Self {
            x_bytes: 4 * x as u32,
            skip: skip as u32,
            y_bytes: y_bytes as u32,
            zero_point,
            pair: pair(outputs) as u32,
        }
    }
}

/// Length of the stream of a layer with `x` words of input and `outputs` results.
pub const fn stream_len(x: usize, outputs: usize) -> usize {
    let fours = fours(outputs).saturating_mul(x.saturating_mul(2).saturating_add(8));
    fours.saturating_add(if pair(outputs) > 0 { 4 + x } else { 0 })
}

/// Groups of four outputs, the last of which may lack one.
pub const fn fours(outputs: usize) -> usize {
    (outputs + 1) / 4
}

/// Outputs after the groups of four: 0, 1 or 2.
pub const fn pair(outputs: usize) -> usize {
    outputs.saturating_sub(fours(outputs) * 4)
}

impl<const X: usize, const O: usize, const N: usize, const UNROLL: usize, const OWN: usize> Gemm<X, O, N, UNROLL, OWN> {
    /// A layer with a zero point, which is added to every result before it saturates, and a stream of constants.
    pub const fn new(zero_point: i32, stream: [u32; N]) -> Self {
        const { assert!(X > 0 && X.is_multiple_of(4) && O > 0 && N == stream_len(X, O)) };
        const { assert!(UNROLL > 0 && (OWN == 0 || OWN == X && X < 1024)) };
        Self { head: Head::new(X, O, UNROLL, zero_point, O - pair(O)), stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i32; X]; R], y: &mut [[i8; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv7em")]
            {
                let layer = (&raw const *self).cast();
                // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and X words and
                // writes what y has.
                unsafe { asm::gemm::<UNROLL, OWN, true>(layer, x.as_ptr(), y.as_mut_ptr().cast()) };
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::gemm(&self.stream, x, self.head.zero_point, y);
        }
    }
}

impl<const X: usize, const O: usize, const N: usize, const UNROLL: usize, const OWN: usize>
    GemmPairs<X, O, N, UNROLL, OWN>
{
    /// A layer with a zero point, which is added to every result before it saturates, and a stream of constants.
    pub const fn new(zero_point: i32, stream: [u32; N]) -> Self {
        const { assert!(X > 0 && X.is_multiple_of(4) && O > 0 && N == stream_len(X, O)) };
        const { assert!(UNROLL > 0 && (OWN == 0 || OWN == X && X < 1024)) };
        Self { head: Head::new(X, O, UNROLL, zero_point, fours(O) * 8), stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize, const W: usize>(&self, x: &[[i32; X]; R], y: &mut [[i32; W]; R]) {
        const { assert!(W == super::words(O)) };
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv7em")]
            {
                let layer = (&raw const *self).cast();
                // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and X words and
                // writes what y has.
                unsafe { asm::gemm::<UNROLL, OWN, false>(layer, x.as_ptr(), y.as_mut_ptr().cast()) };
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::gemm_pairs(&self.stream, x, O, self.head.zero_point, y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv7em"))]
pub(super) mod portable {
    use super::{fours, pair};
    use crate::requantize;

    /// One row of [`Gemm`](super::Gemm): as many results as `y` has.
    pub fn gemm(stream: &[u32], x: &[i32], zero_point: i32, y: &mut [i8]) {
        rows(stream, x, y.len(), |o, value| {
            if let Some(y) = y.get_mut(o) {
                *y = value.wrapping_add(zero_point).clamp(-128, 127) as i8;
            }
        });
    }

    /// One row of [`GemmPairs`](super::GemmPairs).
    pub fn gemm_pairs(stream: &[u32], x: &[i32], outputs: usize, zero_point: i32, y: &mut [i32]) {
        rows(stream, x, outputs, |o, value| {
            if let Some(y) = y.get_mut(o / 2) {
                let value = value.wrapping_add(zero_point).clamp(0, 255);
                *y = if o % 2 == 0 { value } else { *y | value << 16 };
            }
        });
    }

    /// Hands every output's number and requantized sum to `store`. A stream that is too short ends it.
    fn rows(mut stream: &[u32], x: &[i32], outputs: usize, mut store: impl FnMut(usize, i32)) {
        let mut first = 0;
        for group in 0..fours(outputs).wrapping_add(usize::from(pair(outputs) > 0)) {
            let size = if group < fours(outputs) { 4 } else { 2 };
            let Some(bias) = stream.split_off(..size) else { return };
            // [A, A + 256 * B, C, C + 256 * D]
            let mut acc = [0i32; 4];
            acc.iter_mut().zip(bias).for_each(|(acc, &bias)| *acc = bias as i32);
            for &x in x {
                let Some(words) = stream.split_off(..size / 2) else { return };
                for (acc, &w) in acc.chunks_exact_mut(2).zip(words) {
                    let [x0, x1] = [x as i16 as i32, x >> 16];
                    let [both0, both1] = [w as i16 as i32, w as i32 >> 16];
                    let [one0, one1] = [both0 as i8 as i32, both1 as i8 as i32];
                    if let [one, both] = acc {
                        *one = one.wrapping_add(one0.wrapping_mul(x0)).wrapping_add(one1.wrapping_mul(x1));
                        *both = both.wrapping_add(both0.wrapping_mul(x0)).wrapping_add(both1.wrapping_mul(x1));
                    }
                }
            }
            let Some(multiplier) = stream.split_off(..size) else { return };
            for (k, (acc, m)) in acc.chunks_exact(2).zip(multiplier.chunks_exact(2)).enumerate() {
                if let (&[one, both], &[m0, m1]) = (acc, m) {
                    let o = first + 2 * k;
                    store(o, requantize(one, m0 as i32, 0));
                    if o + 1 < outputs {
                        store(o + 1, requantize(both.wrapping_sub(one), m1 as i32, 0));
                    }
                }
            }
            first += size;
        }
    }
}

#[cfg(tinymlp_arch = "armv7em")]
mod asm {
    use core::arch::naked_asm;

    /// Eight inputs of a group of four outputs.
    macro_rules! round {
        () => {
            "ldm r1!, {{r10, r11, r12, lr}}
            ldm r0!, {{r6-r9}}
            smlad r3, r6, r10, r3
            sxtb16 r6, r6
            smlad r2, r6, r10, r2
            smlad r5, r7, r10, r5
            sxtb16 r7, r7
            smlad r4, r7, r10, r4
            smlad r3, r8, r11, r3
            sxtb16 r8, r8
            smlad r2, r8, r11, r2
            smlad r5, r9, r11, r5
            sxtb16 r9, r9
            smlad r4, r9, r11, r4
            ldm r0!, {{r6-r9}}
            smlad r3, r6, r12, r3
            sxtb16 r6, r6
            smlad r2, r6, r12, r2
            smlad r5, r7, r12, r5
            sxtb16 r7, r7
            smlad r4, r7, r12, r4
            smlad r3, r8, lr, r3
            sxtb16 r8, r8
            smlad r2, r8, lr, r2
            smlad r5, r9, lr, r5
            sxtb16 r9, r9
            smlad r4, r9, lr, r4"
        };
    }

    /// Eight inputs of a pair of outputs.
    macro_rules! pair_round {
        () => {
            "ldm r1!, {{r10, r11, r12, lr}}
            ldm r0!, {{r6-r9}}
            smlad r3, r6, r10, r3
            sxtb16 r6, r6
            smlad r2, r6, r10, r2
            smlad r3, r7, r11, r3
            sxtb16 r7, r7
            smlad r2, r7, r11, r2
            smlad r3, r8, r12, r3
            sxtb16 r8, r8
            smlad r2, r8, r12, r2
            smlad r3, r9, lr, r3
            sxtb16 r9, r9
            smlad r2, r9, lr, r2"
        };
    }

    /// One row. `r0` is the layer and becomes the position in its stream.
    ///
    /// # Safety
    /// `layer` is a `Gemm` (with `BYTES`) or `GemmPairs`, `x` and `y` are a row of its input and output, `x` and, unless
    /// `BYTES`, `y` aligned to four bytes.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<const UNROLL: usize, const OWN: usize, const BYTES: bool>(
        layer: *const u32,
        x: *const i32,
        y: *mut u8,
    ) {
        naked_asm!(
            extensions!(),
            "push {{r4-r11, lr}}",
            "ldm r0!, {{r4-r8}}",
            "add r9, r1, r4",
            "add r3, r2, r6",
            ".if {own} == 0",
            "adr r10, 3f + 1",
            "add r10, r5",
            ".endif",
            // The frame: 0 x, 4 y, 8 end of the fours' y, 12 zero point, 16 pair, 20 end of x, 24 first round
            "push {{r1, r2, r3, r7, r8, r9, r10}}",
            ".if {own} > 0",
            "mov r1, r9",
            ".endif",
            "cmp r2, r3",
            "beq 5f",
            // Four outputs: A in r2, A + 256 B in r3, C in r4, C + 256 D in r5.
            "2:",
            "ldm r0!, {{r2-r5}}",
            ".if {own} == 0",
            "ldr r1, [sp]",
            "ldr pc, [sp, #24]",
            ".else",
            "subw r1, r1, #({own} * 4)",
            // All rounds, or what they exceed a multiple of eight by.
            ".if {own} > 32",
            ".rept {own} / 4 % 8",
            round!(),
            ".endr",
            ".endif",
            ".endif",
            ".balign 4",
            "3:",
            ".rept {unroll}",
            round!(),
            ".endr",
            ".if {own} == 0 || {own} > 32",
            "ldr r6, [sp, #20]",
            "cmp r1, r6",
            "bne 3b",
            ".endif",
            "ldm r0!, {{r6-r9}}",
            "ldr r12, [sp, #12]",
            "ldrd r10, r11, [sp, #4]",
            "sub r3, r3, r2",
            "sub r5, r5, r4",
            "smmlar r2, r2, r6, r12",
            "smmlar r3, r3, r7, r12",
            "smmlar r4, r4, r8, r12",
            "smmlar r5, r5, r9, r12",
            ".if {bytes}",
            "ssat r2, #8, r2",
            "ssat r3, #8, r3",
            "ssat r4, #8, r4",
            "strb r2, [r10], #1",
            "strb r3, [r10], #1",
            "strb r4, [r10], #1",
            "cmp r10, r11",
            "beq 7f",
            "ssat r5, #8, r5",
            "strb r5, [r10], #1",
            ".else",
            "usat r2, #8, r2",
            "usat r3, #8, r3",
            "usat r4, #8, r4",
            "usat r5, #8, r5",
            "orr r2, r2, r3, lsl #16",
            "orr r4, r4, r5, lsl #16",
            "strd r2, r4, [r10], #8",
            ".endif",
            "str r10, [sp, #4]",
            "cmp r10, r11",
            "bne 2b",
            // One or two outputs: A in r2, A + 256 B in r3.
            "5:",
            "ldr r5, [sp, #16]",
            "cmp r5, #0",
            "beq 7f",
            "ldm r0!, {{r2, r3}}",
            ".if {own} > 0 && {own} <= 32",
            "sub r1, #({own} * 4)",
            ".rept {own} / 4",
            pair_round!(),
            ".endr",
            ".else",
            "ldr r1, [sp]",
            "ldr r4, [sp, #20]",
            "6:",
            pair_round!(),
            "cmp r1, r4",
            "bne 6b",
            ".endif",
            "ldm r0!, {{r6, r7}}",
            "ldr r12, [sp, #12]",
            "ldr r10, [sp, #4]",
            "sub r3, r3, r2",
            "smmlar r2, r2, r6, r12",
            "smmlar r3, r3, r7, r12",
            ".if {bytes}",
            "ssat r2, #8, r2",
            "strb r2, [r10]",
            "cmp r5, #1",
            "beq 7f",
            "ssat r3, #8, r3",
            "strb r3, [r10, #1]",
            ".else",
            "usat r2, #8, r2",
            "usat r3, #8, r3",
            "orr r2, r2, r3, lsl #16",
            "str r2, [r10]",
            ".endif",
            "7:",
            "add sp, #28",
            "pop {{r4-r11, pc}}",
            // In code for one length, all of up to eight rounds.
            unroll = const if OWN == 0 { UNROLL } else if OWN <= 32 { OWN / 4 } else { 8 },
            own = const OWN,
            bytes = const BYTES as usize,
        )
    }
}
