//! Fully connected layer from int8 with weights of four bits, or two.

use super::gemm_bytes::{Head, blocks};
use crate::kernels::{INT4, POWER_OF_TWO, TERNARY};

/// [`kernels::GemmPacked`](crate::kernels::GemmPacked) on activations as they are, with its constants as one stream of
/// words in the order of their use.
///
/// Outputs come in groups of [`packed_group`], the last of which may have fewer. For every group the stream holds a word an
/// output that the accumulators begin with, the weights, and 16 bits an output of multipliers, without their lowest
/// `shift` bits.
///
/// - [`INT4`] and [`TERNARY`]: as blocks of four inputs (see [`GemmBytes`](super::GemmBytes)) with two words each, whose 16-bit
///   lanes are the first and third input, then the second and fourth. A lane holds the weights of all outputs of the
///   group, the first in the lowest bits; all but the last are stored plus half their range (plus 1 of 2 bits), the last is
///   signed. `smlad` with the bits of one output under a mask adds `2^(bits * k)` times its sum to accumulator `k`, and the
///   whole word gives that of all outputs, of which what the others added leaves the last. The code generator proves that
///   every sum has room above the bits that it is shifted by. What the stored weights are too large by is one sum of the
///   inputs for all outputs, computed first. 1.25 instructions a multiply-accumulate operation, 1.2 if ternary.
/// - [`POWER_OF_TWO`]: a word an input with eight codes, the first in the lowest bits, that a table of sixteen bytes takes to
///   the weight: 3 instructions, and 0.9 for the loop around them. Inputs are 128 larger than they are stored; where `SKIP`,
///   those that are 0 then are left out.
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmPacked<const I: usize, const O: usize, const N: usize, const FORMAT: u8, const SKIP: bool> {
    head: Head,
    stream: [u32; N],
}

/// [`GemmPacked`] whose sums are the result, without multipliers.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmPackedSums<const I: usize, const O: usize, const N: usize, const FORMAT: u8, const SKIP: bool> {
    head: Head,
    stream: [u32; N],
}

/// Outputs of a group.
pub const fn packed_group(format: u8) -> usize {
    if format == INT4 { 4 } else { 8 }
}

/// Words of the weights of a group.
const fn weight_words(format: u8, inputs: usize) -> usize {
    if format == POWER_OF_TWO { inputs } else { 2 * blocks(inputs) }
}

/// Length of the stream of a layer.
pub const fn packed_stream_len(format: u8, inputs: usize, outputs: usize, sums: bool) -> usize {
    let group = packed_group(format);
    let words = group + weight_words(format, inputs) + if sums { 0 } else { group / 2 };
    outputs.div_ceil(group).saturating_mul(words)
}

/// Whether the assembly computes a layer of this size.
const fn fits(format: u8, inputs: usize, outputs: usize, skip: bool) -> bool {
    outputs > 0
        && match format {
            POWER_OF_TWO => inputs > 0,
            INT4 | TERNARY => inputs >= 4 && !skip,
            _ => false,
        }
}

impl<const I: usize, const O: usize, const N: usize, const FORMAT: u8, const SKIP: bool>
    GemmPacked<I, O, N, FORMAT, SKIP>
{
    /// A layer with a zero point, which is added to every result before it saturates to int8, the bits that the
    /// multipliers lack, and a stream of constants.
    pub const fn new(zero_point: i32, shift: u32, stream: [u32; N]) -> Self {
        const { assert!(fits(FORMAT, I, O, SKIP) && N == packed_stream_len(FORMAT, I, O, false)) };
        Self { head: Head::new(I, O, zero_point, shift), stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i8; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv7em")]
            // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and I bytes and writes
            // O bytes.
            unsafe {
                asm::row::<FORMAT, SKIP, false>((&raw const *self).cast(), x.as_ptr(), y.as_mut_ptr().cast());
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::gemm_packed(FORMAT, &self.stream, x, [self.head.zero_point, self.head.shift as i32], y);
        }
    }
}

impl<const I: usize, const O: usize, const N: usize, const FORMAT: u8, const SKIP: bool>
    GemmPackedSums<I, O, N, FORMAT, SKIP>
{
    /// A layer with a stream of constants.
    pub const fn new(stream: [u32; N]) -> Self {
        const { assert!(fits(FORMAT, I, O, SKIP) && N == packed_stream_len(FORMAT, I, O, true)) };
        Self { head: Head::new(I, O, 0, 0), stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i32; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv7em")]
            // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and I bytes and writes
            // O words.
            unsafe {
                asm::row::<FORMAT, SKIP, true>((&raw const *self).cast(), x.as_ptr(), y.as_mut_ptr().cast());
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::gemm_packed_sums(FORMAT, &self.stream, x, y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv7em"))]
pub(super) mod portable {
    use super::super::gemm_bytes::block_start;
    use super::{blocks, packed_group, weight_words};
    use crate::kernels::{POWER_OF_TWO, product, weight_bits};
    use crate::requantize;

    /// One row of [`GemmPacked`](super::GemmPacked); the scalars are zero point and shift.
    pub fn gemm_packed(format: u8, stream: &[u32], x: &[i8], [zero_point, shift]: [i32; 2], y: &mut [i8]) {
        let group = packed_group(format);
        row(format, stream, x, (y.len(), group / 2), |o, sum, multipliers| {
            let half = multipliers.get(o % group / 2).map_or(0, |word| word >> (o % 2 * 16) & 0xffff);
            let result = requantize(sum, half.wrapping_shl(shift as u32) as i32, 0).wrapping_add(zero_point);
            if let Some(y) = y.get_mut(o) {
                *y = result.clamp(-128, 127) as i8;
            }
        });
    }

    /// One row of [`GemmPackedSums`](super::GemmPackedSums).
    pub fn gemm_packed_sums(format: u8, stream: &[u32], x: &[i8], y: &mut [i32]) {
        row(format, stream, x, (y.len(), 0), |o, sum, _| {
            if let Some(y) = y.get_mut(o) {
                *y = sum;
            }
        });
    }

    /// Hands every output's number and sum to `store`, with the words at the end of its group. A stream that is too short
    /// ends it.
    fn row(
        format: u8,
        mut stream: &[u32],
        x: &[i8],
        (outputs, more): (usize, usize),
        mut store: impl FnMut(usize, i32, &[u32]),
    ) {
        let group = packed_group(format);
        for first in (0..outputs).step_by(group) {
            let parts = (
                stream.split_off(..group),
                stream.split_off(..weight_words(format, x.len())),
                stream.split_off(..more),
            );
            let (Some(begin), Some(weights), Some(end)) = parts else { return };
            let begin = |k: usize| begin.get(k).map_or(0, |&word| word as i32);
            for o in 0..group.min(outputs - first) {
                let sum = match format {
                    POWER_OF_TWO => x.iter().zip(weights).fold(begin(o), |acc, (&x, word)| {
                        acc.wrapping_add(product(format, (word >> (4 * o)) as u8, i32::from(x) + 128))
                    }),
                    _ => digit(weight_bits(format), begin, weights, x, o),
                };
                store(first + o, sum, end);
            }
        }
    }

    /// The sum of output `o` of a group, whose weights are digits of the lanes.
    fn digit(bits: usize, begin: impl Fn(usize) -> i32, weights: &[u32], x: &[i8], o: usize) -> i32 {
        let last = 16 / bits - 1;
        // Sum `k` is that of the lanes' digit `k`; the last is that of the whole lanes.
        let sum = |k: usize, offset: i32| {
            let lane = |lane: u32| match k {
                _ if k == last => i32::from(lane as u16 as i16),
                _ => (lane & (((1 << bits) - 1) << (bits * k))) as i32 - (offset << (bits * k)),
            };
            let blocks = (0..blocks(x.len())).map(|block| (block_start(x.len(), block), block));
            blocks.fold(begin(k), |acc, (at, block)| {
                (0..4).fold(acc, |acc, i| {
                    // The lanes are inputs 0 and 2 of the first word, 1 and 3 of the second.
                    let word = weights.get(2 * block + i % 2).map_or(0, |word| word >> (i / 2 * 16));
                    let x = x.get(at + i).map_or(0, |&x| i32::from(x));
                    acc.wrapping_add(lane(word).wrapping_mul(x))
                })
            })
        };
        if o < last {
            return sum(o, if bits == 2 { 1 } else { 8 }) >> (bits * o);
        }
        (0..last).fold(sum(last, 0), |all, k| all.wrapping_sub(sum(k, 0))) >> (bits * last)
    }
}

#[cfg(tinymlp_arch = "armv7em")]
mod asm {
    use super::{POWER_OF_TWO, packed_group};
    use crate::kernels::weight_bits;
    use core::arch::naked_asm;

    /// One row.
    ///
    /// # Safety
    /// `layer` is a `GemmPacked` or, if `SUMS`, a `GemmPackedSums`; `x` and `y` are a row of its input and output.
    #[inline(always)]
    pub(super) unsafe fn row<const FORMAT: u8, const SKIP: bool, const SUMS: bool>(
        layer: *const u32,
        x: *const i8,
        y: *mut u8,
    ) {
        // SAFETY: as the caller says.
        unsafe {
            match FORMAT {
                POWER_OF_TWO => powers::<SKIP, SUMS>(layer, x, y),
                _ => digits::<FORMAT, SUMS>(layer, x, y),
            }
        }
    }

    /// Reads the head. The frame: the sums of a group, then 0 x, 4 y, 8 the first step, 12 the end of y, 16 zero point, 20
    /// shift, 24 the end of x, 28 what the stored weights add to every sum.
    #[rustfmt::skip]
    macro_rules! begin {
        () => {
            concat!(
                "push {{r4-r11, lr}}\nsub sp, #({g} * 4 + 32)\nldm r0!, {{r3-r7}}\nadd r8, r1, r3\n",
                ".if {sums}\nadd r5, r2, r5, lsl #2\n.else\nadd r5, r5, r2\n.endif\nadd r9, sp, #({g} * 4)\n",
            )
        };
    }

    /// Makes results of the sums in the frame, and goes on with the next group at 4.
    #[rustfmt::skip]
    macro_rules! results {
        () => {
            concat!(
                "mov r1, sp\nldr r8, [sp, #({g} * 4 + 4)]\nldr r10, [sp, #({g} * 4 + 12)]\n",
                ".if {sums}\nadd r5, r8, #({g} * 4)\n",
                ".else\nldr r12, [sp, #({g} * 4 + 16)]\nldr r6, [sp, #({g} * 4 + 20)]\nadd r5, r8, #{g}\n.endif\n",
                "cmp r5, r10\nit hi\nmovhi r5, r10\n",
                "7:\nldr r2, [r1], #4\n",
                ".if {sums}\nstr r2, [r8], #4\n",
                ".else\nldrh r4, [r0], #2\nlsls r4, r6\nsmmlar r2, r2, r4, r12\nssat r2, #8, r2\nstrb r2, [r8], #1\n.endif\n",
                "cmp r8, r5\nbne 7b\nstr r8, [sp, #({g} * 4 + 4)]\ncmp r8, r10\nbne 4b\n",
                "add sp, #({g} * 4 + 32)\npop {{r4-r11, pc}}\n",
            )
        };
    }

    /// Adds the products of the inputs in `$x` with the digit `$k` of the weights in `$w` to `$acc`.
    #[rustfmt::skip]
    macro_rules! digit {
        ($w:literal, $x:literal, $k:literal, $acc:literal) => {
            concat!(
                ".if {last} > ", $k, "\nand r12, ", $w, ", #((((1 << {bits}) - 1) * 0x10001) << ({bits} * ", $k, "))\n",
                "smlad ", $acc, ", r12, ", $x, ", ", $acc, "\n.endif\n",
            )
        };
    }

    /// Adds the products of two inputs with all weights in a word.
    #[rustfmt::skip]
    macro_rules! word {
        ($w:literal, $x:literal) => {
            concat!(
                "smlad r4, ", $w, ", ", $x, ", r4\n", digit!($w, $x, "0", "r5"), digit!($w, $x, "1", "r6"),
                digit!($w, $x, "2", "r7"), digit!($w, $x, "3", "r8"), digit!($w, $x, "4", "r9"),
                digit!($w, $x, "5", "r10"), digit!($w, $x, "6", "r11"),
            )
        };
    }

    /// Leaves the sum of digit `$k` in its register, without what the offset of the weights adds, in r1. r4 becomes the
    /// sum of the digits above.
    #[rustfmt::skip]
    macro_rules! sum {
        ($k:literal, $acc:literal) => {
            concat!(
                ".if {last} > ", $k, "\nsubs r4, r4, ", $acc, "\n.if ", $k, " == 0\nsubs ", $acc, ", ", $acc, ", r1\n",
                ".else\nrsb ", $acc, ", r1, ", $acc, ", asr #({bits} * ", $k, ")\n.endif\n.endif\n",
            )
        };
    }

    /// One row of weights that are integers. `r0` is the layer and becomes the position in its stream.
    ///
    /// # Safety
    /// See [`row`].
    #[unsafe(naked)]
    unsafe extern "C" fn digits<const FORMAT: u8, const SUMS: bool>(layer: *const u32, x: *const i8, y: *mut u8) {
        naked_asm!(
            extensions!(),
            begin!(),
            "movs r3, #0",
            "mov r11, #({offset} * 0x10001)",
            "mov r12, r1",
            "ldr lr, [r12]",
            "add r12, r4",
            "b 3f",
            "2:",
            "ldr lr, [r12], #4",
            "3:",
            "sxtb16 r10, lr",
            "sxtab16 r10, r10, lr, ror #8",
            "smlad r3, r10, r11, r3",
            "cmp r12, r8",
            "bne 2b",
            "mov r10, r3",
            "stm r9, {{r1, r2, r4-r8, r10}}",
            "4:",
            ".if {bits} == 4",
            "ldm r0!, {{r5-r7}}",
            "ldm r0!, {{r4}}",
            "ldr r11, [sp, #({g} * 4 + 24)]",
            ".else",
            "ldm r0!, {{r5-r11}}",
            "ldm r0!, {{r4}}",
            ".endif",
            "ldr r1, [sp, #({g} * 4)]",
            "ldr r3, [sp, #({g} * 4 + 8)]",
            "ldr lr, [r1]",
            "add r1, r3",
            "b 6f",
            "5:",
            "ldr lr, [r1], #4",
            "6:",
            ".if {bits} == 4",
            "ldrd r2, r8, [r0], #8",
            "sxtb16 r9, lr",
            "sxtb16 r10, lr, ror #8",
            word!("r2", "r9"),
            word!("r8", "r10"),
            "cmp r1, r11",
            ".else",
            "ldr r2, [r0], #4",
            "sxtb16 r3, lr",
            word!("r2", "r3"),
            "ldr r2, [r0], #4",
            "sxtb16 r3, lr, ror #8",
            word!("r2", "r3"),
            "ldr r12, [sp, #({g} * 4 + 24)]",
            "cmp r1, r12",
            ".endif",
            "bne 5b",
            "ldr r1, [sp, #({g} * 4 + 28)]",
            concat!(sum!("0", "r5"), sum!("1", "r6"), sum!("2", "r7"), sum!("3", "r8")),
            concat!(sum!("4", "r9"), sum!("5", "r10"), sum!("6", "r11")),
            ".if {bits} == 4",
            "asr r8, r4, #12",
            "stm sp, {{r5-r8}}",
            ".else",
            "asr r12, r4, #14",
            "stm sp, {{r5-r12}}",
            ".endif",
            results!(),
            g = const packed_group(FORMAT),
            bits = const weight_bits(FORMAT),
            last = const 16 / weight_bits(FORMAT) - 1,
            offset = const if weight_bits(FORMAT) == 2 { 1 } else { 8 },
            sums = const SUMS as usize,
        )
    }

    /// Multiplies the input in r3 with the power of two whose code is number `$k` in r2, and adds it to `$acc`.
    #[rustfmt::skip]
    macro_rules! power {
        ($k:literal, $acc:literal) => {
            concat!(
                ".if ", $k, " == 7\nlsrs r2, r2, #28\nldrsb r12, [lr, r2]\n",
                ".else\nubfx r12, r2, #(4 * ", $k, "), #4\nldrsb r12, [lr, r12]\n.endif\n",
                "mla ", $acc, ", r12, r3, ", $acc, "\n",
            )
        };
    }

    /// One row of powers of two. `r0` is the layer and becomes the position in its stream.
    ///
    /// # Safety
    /// See [`row`].
    #[unsafe(naked)]
    unsafe extern "C" fn powers<const SKIP: bool, const SUMS: bool>(layer: *const u32, x: *const i8, y: *mut u8) {
        naked_asm!(
            extensions!(),
            begin!(),
            "stm r9, {{r1, r2, r4-r8}}",
            "4:",
            "ldm r0!, {{r4-r11}}",
            "ldr r1, [sp, #({g} * 4)]",
            "adr lr, 8f",
            "5:",
            "ldrsb r3, [r1], #1",
            "ldr r2, [r0], #4",
            "adds r3, #128",
            ".if {skip}",
            "beq 6f",
            ".endif",
            concat!(power!("0", "r4"), power!("1", "r5"), power!("2", "r6"), power!("3", "r7")),
            concat!(power!("4", "r8"), power!("5", "r9"), power!("6", "r10"), power!("7", "r11")),
            "6:",
            "ldr r12, [sp, #({g} * 4 + 24)]",
            "cmp r1, r12",
            "bne 5b",
            "stm sp, {{r4-r11}}",
            results!(),
            ".balign 4",
            "8:",
            ".byte 1, 2, 4, 8, 16, 32, 64, 0, -1, -2, -4, -8, -16, -32, -64, 0",
            g = const packed_group(POWER_OF_TWO),
            skip = const SKIP as usize,
            sums = const SUMS as usize,
        )
    }
}
