//! Fully connected layer with weights of four bits, or two.

use crate::kernels::{POWER_OF_TWO, TERNARY, weight_bits};

/// [`kernels::GemmPacked`](crate::kernels::GemmPacked) from and to int8, with its constants as one stream of words in the
/// order of their use.
///
/// Outputs come in groups of eight, the last of which may have fewer. For every group the stream holds a word an output
/// that the accumulators begin with; for every input the eight weights it is multiplied with, in 32 bits or, if
/// [`TERNARY`], in 16 (filled up to a word at the end), the first in the lowest bits; and a word an output of multipliers,
/// twice those of the portable kernel.
///
/// - [`INT4`](crate::kernels::INT4) and [`TERNARY`]: weights are stored plus 8 or 1 and are never masked. Accumulator `k`
///   adds the products with what is left of the word above its first `bits * k` bits, which are weight `k` and, above it,
///   what accumulator `k + 1` adds. So output `k` is the difference `T(k) - 2^bits * T(k + 1)`, exact modulo 2^32, and the
///   sum of the inputs takes back what the stored weights are too large by. Three instructions a weight, as weights of
///   eight bits need them.
/// - [`POWER_OF_TWO`]: a table of sixteen bytes takes codes to weights: six instructions.
///
/// Results are those of [`riscv32m::Gemm`](super::Gemm). Biases are those for inputs less their zero point. Where `SKIP`,
/// inputs that equal it are left out. Where not, and `CONSTANT_TIME`, the instructions do not depend on data.
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream.
#[derive(Clone, Debug)]
pub struct GemmPacked<
    const I: usize,
    const O: usize,
    const N: usize,
    const FORMAT: u8,
    const SKIP: bool,
    const CONSTANT_TIME: bool,
> {
    /// The input's zero point.
    pub x_zero_point: i32,
    /// Twice the output's zero point, plus one.
    pub rounding: i32,
    /// The constants.
    pub stream: [u32; N],
}

/// [`GemmPacked`] whose sums are the result, without multipliers.
#[derive(Clone, Debug)]
pub struct GemmPackedSums<const I: usize, const O: usize, const N: usize, const FORMAT: u8, const SKIP: bool> {
    /// The input's zero point.
    pub x_zero_point: i32,
    /// The constants.
    pub stream: [u32; N],
}

/// Outputs of a group.
pub const PACKED_GROUP: usize = 8;

/// Words of the weights of a group.
pub const fn packed_weight_words(format: u8, inputs: usize) -> usize {
    if format == TERNARY { inputs.div_ceil(2) } else { inputs }
}

/// Length of the stream of a layer.
pub const fn packed_stream_len(format: u8, inputs: usize, outputs: usize, sums: bool) -> usize {
    let words = PACKED_GROUP * if sums { 1 } else { 2 } + packed_weight_words(format, inputs);
    outputs.div_ceil(PACKED_GROUP).saturating_mul(words)
}

/// What a stored weight is larger by.
pub const fn packed_offset(format: u8) -> i32 {
    match format {
        POWER_OF_TWO => 0,
        _ => 1 << (weight_bits(format) - 1) >> (format == TERNARY) as u32,
    }
}

impl<const I: usize, const O: usize, const N: usize, const FORMAT: u8, const SKIP: bool, const CONSTANT_TIME: bool>
    GemmPacked<I, O, N, FORMAT, SKIP, CONSTANT_TIME>
{
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i8; O]; R]) {
        const {
            assert!(I > 0 && O > 0 && FORMAT <= TERNARY && N == packed_stream_len(FORMAT, I, O, false));
            assert!(!(SKIP && CONSTANT_TIME));
        };
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "riscv32m")]
            {
                let (x, y) = (x.as_ptr(), y.as_mut_ptr().cast());
                let shape = const { &asm::Shape { inputs: I, outputs: O } };
                // SAFETY: by the sizes in the types, the assembly reads this stream and I bytes, and writes O bytes.
                unsafe {
                    asm::gemm::<FORMAT, SKIP, CONSTANT_TIME, false>(
                        self.stream.as_ptr(),
                        x,
                        y,
                        shape,
                        self.x_zero_point,
                        self.rounding,
                    );
                };
            }
            #[cfg(not(tinymlp_arch = "riscv32m"))]
            portable::gemm_packed((FORMAT, &self.stream), (SKIP, self.x_zero_point), self.rounding, x, y);
        }
    }
}

impl<const I: usize, const O: usize, const N: usize, const FORMAT: u8, const SKIP: bool>
    GemmPackedSums<I, O, N, FORMAT, SKIP>
{
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i32; O]; R]) {
        const { assert!(I > 0 && O > 0 && FORMAT <= TERNARY && N == packed_stream_len(FORMAT, I, O, true)) };
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "riscv32m")]
            {
                let (x, y) = (x.as_ptr(), y.as_mut_ptr().cast());
                let shape = const { &asm::Shape { inputs: I, outputs: 4 * O } };
                // SAFETY: by the sizes in the types, the assembly reads this stream and I bytes, and writes O words.
                unsafe {
                    asm::gemm::<FORMAT, SKIP, false, true>(self.stream.as_ptr(), x, y, shape, self.x_zero_point, 0);
                };
            }
            #[cfg(not(tinymlp_arch = "riscv32m"))]
            portable::gemm_packed_sums((FORMAT, &self.stream), (SKIP, self.x_zero_point), x, y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "riscv32m"))]
pub(super) mod portable {
    use super::{PACKED_GROUP, packed_offset, packed_weight_words};
    use crate::kernels::{POWER_OF_TWO, TERNARY, product, weight_bits};

    /// One row of [`GemmPacked`](super::GemmPacked): format and stream, whether zeros are skipped and the zero point, twice
    /// the output's zero point plus one.
    pub fn gemm_packed(constants: (u8, &[u32]), x_zero: (bool, i32), rounding: i32, x: &[i8], y: &mut [i8]) {
        row(constants, x_zero, x, (y.len(), PACKED_GROUP), |o, sum, multipliers| {
            let multiplier = multipliers.get(o % PACKED_GROUP).copied().unwrap_or_default();
            let twice = (i64::from(sum).wrapping_mul(i64::from(multiplier)) >> 32) as i32;
            if let Some(y) = y.get_mut(o) {
                *y = (twice.wrapping_add(rounding) >> 1).clamp(-128, 127) as i8;
            }
        });
    }

    /// One row of [`GemmPackedSums`](super::GemmPackedSums), as [`gemm_packed`].
    pub fn gemm_packed_sums(constants: (u8, &[u32]), x_zero: (bool, i32), x: &[i8], y: &mut [i32]) {
        row(constants, x_zero, x, (y.len(), 0), |o, sum, _| {
            if let Some(y) = y.get_mut(o) {
                *y = sum;
            }
        });
    }

    /// Hands every output's number and sum to `store`, with the `more` words at the end of its group. A stream that is too
    /// short ends it.
    fn row(
        (format, mut stream): (u8, &[u32]),
        (skip, zero): (bool, i32),
        x: &[i8],
        (outputs, more): (usize, usize),
        mut store: impl FnMut(usize, i32, &[u32]),
    ) {
        let bits = weight_bits(format);
        let inputs = || x.iter().map(|&x| i32::from(x)).enumerate().filter(|&(_, x)| !skip || x != zero);
        let offset = inputs().fold(0i32, |sum, (_, x)| sum.wrapping_add(x.wrapping_sub(zero)));
        let offset = offset.wrapping_mul(packed_offset(format));
        for first in (0..outputs).step_by(PACKED_GROUP) {
            let parts = (
                stream.split_off(..PACKED_GROUP),
                stream.split_off(..packed_weight_words(format, x.len())),
                stream.split_off(..more),
            );
            let (Some(begin), Some(weights), Some(end)) = parts else { return };
            let codes = |i: usize| match format {
                TERNARY => weights.get(i / 2).map_or(0, |word| word >> (i % 2 * 16) & 0xffff),
                _ => weights.get(i).copied().unwrap_or_default(),
            };
            let accumulator = |k: usize| {
                let begin = begin.get(k).map_or(0, |&word| word as i32);
                inputs().fold(begin, |acc, (i, x)| {
                    let (above, x) = (codes(i) >> (bits * k), x.wrapping_sub(zero));
                    acc.wrapping_add(match format {
                        POWER_OF_TWO => product(format, above as u8, x),
                        _ => x.wrapping_mul(above as i32),
                    })
                })
            };
            for k in 0..PACKED_GROUP.min(outputs - first) {
                let above = if k + 1 < PACKED_GROUP && format != POWER_OF_TWO { accumulator(k + 1) } else { 0 };
                store(first + k, accumulator(k).wrapping_sub(above << bits).wrapping_sub(offset), end);
            }
        }
    }
}

#[cfg(tinymlp_arch = "riscv32m")]
mod asm {
    use super::packed_offset;
    use crate::kernels::{POWER_OF_TWO, weight_bits};
    use core::arch::naked_asm;

    /// What the assembly is told of a layer. The order of the fields is the assembly's.
    #[repr(C)]
    pub(super) struct Shape {
        /// Bytes of a row of input.
        pub inputs: usize,
        /// Bytes of results.
        pub outputs: usize,
    }

    /// Multiplies the input in a6 with weight `$k` of those in a5, of which the ones before it are gone, and adds to its
    /// sum. s3 is the table of powers of two.
    #[rustfmt::skip]
    macro_rules! multiply {
        ($k:literal, $sum:literal) => {
            concat!(
                ".if ", $k, " > 0\nsrli a5, a5, {bits}\n.endif\n",
                ".if {powers}\n.if ", $k, " < 7\nandi a4, a5, 15\nadd a4, a4, s3\n.else\nadd a4, a5, s3\n.endif\n",
                "lb a4, 0(a4)\nmul a4, a4, a6\n",
                ".else\nmul a4, a5, a6\n.endif\nadd ", $sum, ", ", $sum, ", a4\n",
            )
        };
    }

    /// Leaves sum `$k` in the frame, without those above it and what the offset of the weights adds, in s1.
    #[rustfmt::skip]
    macro_rules! end {
        ($k:literal, $sum:literal, $above:literal) => {
            concat!(
                ".if {powers} == 0\n.if ", $k, " < 7\nslli a4, ", $above, ", {bits}\nsub ", $sum, ", ", $sum, ", a4\n.endif\n",
                "sub ", $sum, ", ", $sum, ", s1\n.endif\nsw ", $sum, ", 4*", $k, "(sp)\n",
            )
        };
    }

    /// One row.
    ///
    /// a0 is the position in the stream, a1 x, a2 the position in y, a3 the end of x, a7 the position in it, s1 the sum of
    /// inputs, s2 their zero point, s3 the table; t0 to t6 and s0 are the sums. The frame: 0 sums, 32 saved, 48 the end of y,
    /// 52 rounding.
    ///
    /// # Safety
    /// `stream` holds the constants of a layer of the size that `shape` says, `x` and `y` are a row of its input and output.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<
        const FORMAT: u8,
        const SKIP: bool,
        const CONSTANT_TIME: bool,
        const SUMS: bool,
    >(
        stream: *const u32,
        x: *const i8,
        y: *mut u8,
        shape: &Shape,
        x_zero_point: i32,
        rounding: i32,
    ) {
        naked_asm!(
            "addi sp, sp, -64",
            "sw s0, 32(sp)",
            "sw s1, 36(sp)",
            "sw s2, 40(sp)",
            "mv s2, a4",
            ".if {sums} == 0",
            ".if {constant_time}",
            "addi a5, a5, 256",
            ".endif",
            "sw a5, 52(sp)",
            ".endif",
            "lw a4, 4(a3)",
            "lw a3, 0(a3)",
            "add a4, a4, a2",
            "add a3, a3, a1",
            "sw a4, 48(sp)",
            ".if {powers}",
            "sw s3, 44(sp)",
            "4:",
            "auipc s3, %pcrel_hi(9f)",
            "addi s3, s3, %pcrel_lo(4b)",
            ".endif",
            "2:",
            "lw t0, 0(a0)",
            "lw t1, 4(a0)",
            "lw t2, 8(a0)",
            "lw t3, 12(a0)",
            "lw t4, 16(a0)",
            "lw t5, 20(a0)",
            "lw t6, 24(a0)",
            "lw s0, 28(a0)",
            "addi a0, a0, 32",
            "mv a7, a1",
            ".if {powers} == 0",
            "li s1, 0",
            ".endif",
            "3:",
            "lb a6, 0(a7)",
            "addi a7, a7, 1",
            ".if {bits} == 2",
            "lhu a5, 0(a0)",
            "addi a0, a0, 2",
            ".else",
            "lw a5, 0(a0)",
            "addi a0, a0, 4",
            ".endif",
            ".if {skip}",
            "beq a6, s2, 5f",
            ".endif",
            "sub a6, a6, s2",
            ".if {powers} == 0",
            "add s1, s1, a6",
            ".endif",
            multiply!("0", "t0"),
            multiply!("1", "t1"),
            multiply!("2", "t2"),
            multiply!("3", "t3"),
            multiply!("4", "t4"),
            multiply!("5", "t5"),
            multiply!("6", "t6"),
            multiply!("7", "s0"),
            "5:",
            "bne a7, a3, 3b",
            ".if {bits} == 2",
            // The weights are filled up to a word.
            "addi a0, a0, 2",
            "andi a0, a0, -4",
            ".endif",
            ".if {offset} > 1",
            "slli s1, s1, 3",
            ".endif",
            end!("0", "t0", "t1"),
            end!("1", "t1", "t2"),
            end!("2", "t2", "t3"),
            end!("3", "t3", "t4"),
            end!("4", "t4", "t5"),
            end!("5", "t5", "t6"),
            end!("6", "t6", "s0"),
            end!("7", "s0", "s0"),
            // a6 is the end of the group's results, a7 the position in the sums, t3 the end of y.
            "lw t3, 48(sp)",
            ".if {sums}",
            "addi a6, a2, 32",
            ".else",
            "addi a6, a2, 8",
            ".endif",
            "bleu a6, t3, 4f",
            "mv a6, t3",
            "4:",
            "mv a7, sp",
            ".if {sums} == 0",
            "lw t0, 52(sp)",
            ".if {constant_time}",
            "li t1, 255",
            ".else",
            "li t1, 127",
            "li t2, -128",
            ".endif",
            ".endif",
            "6:",
            "lw a5, 0(a7)",
            "addi a7, a7, 4",
            ".if {sums}",
            "sw a5, 0(a2)",
            "addi a2, a2, 4",
            ".else",
            "lw a4, 0(a0)",
            "addi a0, a0, 4",
            "mulhsu a5, a5, a4",
            "add a5, a5, t0",
            "srai a5, a5, 1",
            ".if {constant_time}",
            // Less its lowest, 0..=255 without a branch.
            "srai a4, a5, 31",
            "not a4, a4",
            "and a5, a5, a4",
            "sub a4, t1, a5",
            "srai a4, a4, 31",
            "or a5, a5, a4",
            "xori a5, a5, -128",
            ".else",
            "bge a5, t2, 7f",
            "mv a5, t2",
            "7:",
            "ble a5, t1, 7f",
            "mv a5, t1",
            "7:",
            ".endif",
            "sb a5, 0(a2)",
            "addi a2, a2, 1",
            ".endif",
            "bne a2, a6, 6b",
            "bne a2, t3, 2b",
            "lw s0, 32(sp)",
            "lw s1, 36(sp)",
            "lw s2, 40(sp)",
            ".if {powers}",
            "lw s3, 44(sp)",
            ".endif",
            "addi sp, sp, 64",
            "ret",
            ".if {powers}",
            "9:",
            ".byte 1, 2, 4, 8, 16, 32, 64, 0, -1, -2, -4, -8, -16, -32, -64, 0",
            ".endif",
            bits = const weight_bits(FORMAT),
            powers = const (FORMAT == POWER_OF_TWO) as usize,
            offset = const packed_offset(FORMAT),
            skip = const SKIP as usize,
            constant_time = const CONSTANT_TIME as usize,
            sums = const SUMS as usize,
        )
    }
}
