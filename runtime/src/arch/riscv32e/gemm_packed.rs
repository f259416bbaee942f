//! Fully connected layer with weights of four bits, or two, without a multiplier.

/// [`kernels::GemmPacked`](crate::kernels::GemmPacked) with its weights input by input.
///
/// Every input that is not zero is multiplied with all sixteen weights that four bits can say, by additions or shifts,
/// into a table on the stack; a weight then selects what is added to the sum of its output. That takes seven
/// instructions a weight for an input, and about thirty for the table. Looking up the bits of a weight one by one would
/// take ten a weight; keeping eight sums in registers saves two a weight, but the table would have to be made again for
/// every eight outputs, which costs more than three. Two ternary weights, of inputs that follow each other, share four
/// bits and one look-up.
///
/// A row of `weight` belongs to one input (two, if ternary), each of its `N` bytes to two outputs, the first in the lowest
/// bits. The codes are those of [`kernels`](crate::kernels): two's complement for [`INT4`](crate::kernels::INT4) and each of
/// two [`TERNARY`](crate::kernels::TERNARY), sign and exponent for [`POWER_OF_TWO`](crate::kernels::POWER_OF_TWO). Biases
/// are those for inputs less their zero point.
///
/// Sums of `BLOCK` outputs are on the stack at a time. Without multipliers (`M` is 0) a result is
/// `clamp(sum >> shift, min, max)`: rounding and zero point are part of the biases. With them (`M` is `O`) it is what
/// [`riscv32e::Gemm`](super::Gemm) makes of a sum.
///
/// Where `SKIP`, inputs that equal their zero point are left out. Where `RELU`, a sum that is not positive becomes -128
/// at once. Where neither, and `CONSTANT_TIME`, the instructions do not depend on data.
///
/// `I` is the number of inputs, `O` that of outputs, `R` that of rows; `UNROLL` is for how many bytes of weights the inner
/// loop stands in the code. Layers that agree in `FORMAT`, `UNROLL` and `SKIP` share it.
#[derive(Clone, Debug)]
pub struct GemmPacked<
    const I: usize,
    const O: usize,
    const R: usize,
    const N: usize,
    const M: usize,
    const BLOCK: usize,
    const FORMAT: u8,
    const UNROLL: usize,
    const SKIP: bool,
    const RELU: bool,
    const CONSTANT_TIME: bool,
> {
    /// The input's zero point.
    pub x_zero_point: i32,
    /// By how much a sum, or its product, is shifted.
    pub shift: u32,
    /// Twice the output's zero point, plus one; of layers with multipliers.
    pub rounding: i32,
    /// Smallest result of layers without multipliers; of others it is -128.
    pub min: i32,
    /// Largest result of layers without multipliers; of others it is 127.
    pub max: i32,
    /// By output.
    pub bias: [i32; O],
    /// By input, or two of them, and two outputs.
    pub weight: [[u8; N]; R],
    /// By output: their bits in reverse, as in [`riscv32e::Gemm`](super::Gemm).
    pub multiplier: [u32; M],
}

/// [`GemmPacked`] whose sums are the result. Where `O` is odd, `BLOCK` is one more, else 0.
#[derive(Clone, Debug)]
pub struct GemmPackedSums<
    const I: usize,
    const O: usize,
    const R: usize,
    const N: usize,
    const BLOCK: usize,
    const FORMAT: u8,
    const UNROLL: usize,
    const SKIP: bool,
> {
    /// The input's zero point.
    pub x_zero_point: i32,
    /// By output.
    pub bias: [i32; O],
    /// By input, or two of them, and two outputs.
    pub weight: [[u8; N]; R],
}

/// Most bytes of weights for which the inner loop may be written out.
const LARGEST_UNROLL: usize = 4;

/// Rows of weights of a layer.
pub const fn packed_rows(format: u8, inputs: usize) -> usize {
    if format == crate::kernels::TERNARY { inputs.div_ceil(2) } else { inputs }
}

impl<
    const I: usize,
    const O: usize,
    const R: usize,
    const N: usize,
    const M: usize,
    const BLOCK: usize,
    const FORMAT: u8,
    const UNROLL: usize,
    const SKIP: bool,
    const RELU: bool,
    const CONSTANT_TIME: bool,
> GemmPacked<I, O, R, N, M, BLOCK, FORMAT, UNROLL, SKIP, RELU, CONSTANT_TIME>
{
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const ROWS: usize>(&self, x: &[[i8; I]; ROWS], y: &mut [[i8; O]; ROWS]) {
        const {
            assert!(I > 0 && O > 0 && R == packed_rows(FORMAT, I) && N == O.div_ceil(2) && (M == 0 || M == O));
            assert!(0 < UNROLL && UNROLL <= LARGEST_UNROLL && BLOCK > 0 && BLOCK.is_multiple_of(2));
            assert!(!(CONSTANT_TIME && (SKIP || RELU)));
        };
        for (x, y) in x.iter().zip(y) {
            #[cfg(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e"))]
            {
                let mut sums = [const { core::mem::MaybeUninit::<i32>::uninit() }; BLOCK];
                let mut first = 0;
                while first < O {
                    let last = O - first <= BLOCK;
                    let count = if last { O - first } else { BLOCK };
                    let shape = if last {
                        const { &asm::shape(I, (O - 1) % BLOCK + 1, N, UNROLL) }
                    } else {
                        const { &asm::shape(I, BLOCK, N, UNROLL) }
                    };
                    let sums = sums.as_mut_ptr().cast();
                    // SAFETY: `first` is even and less than O, so that by the sizes in the types the assembly reads
                    // `count` biases and multipliers, the bytes of R rows for as many outputs, and I bytes of input;
                    // it writes at most BLOCK sums and `count` results.
                    unsafe {
                        let (bias, y) = (self.bias.as_ptr().add(first), y.as_mut_ptr().add(first));
                        let weight = self.weight.as_ptr().cast::<u8>().add(first / 2);
                        asm::accumulate::<FORMAT, UNROLL, SKIP>(
                            bias,
                            weight,
                            x.as_ptr(),
                            sums,
                            shape,
                            self.x_zero_point,
                        );
                        if M == 0 {
                            asm::shift::<CONSTANT_TIME>(sums, y, count, self.shift, self.min, self.max);
                        } else {
                            let multiplier = self.multiplier.as_ptr().add(first);
                            asm::scale::<RELU, CONSTANT_TIME>(sums, y, count, multiplier, self.shift, self.rounding);
                        }
                    }
                    first += BLOCK;
                }
            }
            #[cfg(not(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e")))]
            portable::gemm_packed(
                (FORMAT, self.weight.as_flattened(), &self.bias, &self.multiplier),
                (SKIP, self.x_zero_point),
                (self.shift, self.rounding, self.min, self.max),
                x,
                y,
            );
        }
    }
}

impl<
    const I: usize,
    const O: usize,
    const R: usize,
    const N: usize,
    const BLOCK: usize,
    const FORMAT: u8,
    const UNROLL: usize,
    const SKIP: bool,
> GemmPackedSums<I, O, R, N, BLOCK, FORMAT, UNROLL, SKIP>
{
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const ROWS: usize>(&self, x: &[[i8; I]; ROWS], y: &mut [[i32; O]; ROWS]) {
        const {
            assert!(I > 0 && O > 0 && R == packed_rows(FORMAT, I) && N == O.div_ceil(2));
            assert!(0 < UNROLL && UNROLL <= LARGEST_UNROLL && BLOCK == if O.is_multiple_of(2) { 0 } else { O + 1 });
        };
        for (x, y) in x.iter().zip(y) {
            #[cfg(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e"))]
            {
                let mut own = [0; BLOCK];
                let sums = if BLOCK == 0 { y.as_mut_ptr() } else { own.as_mut_ptr() };
                let shape = const { &asm::shape(I, O, N, UNROLL) };
                // SAFETY: by the sizes in the types, the assembly reads O biases, R rows of N bytes and I bytes of
                // input; it writes as many sums as O if that is even, and else one more, for which there is room.
                unsafe {
                    asm::accumulate::<FORMAT, UNROLL, SKIP>(
                        self.bias.as_ptr(),
                        self.weight.as_ptr().cast(),
                        x.as_ptr(),
                        sums,
                        shape,
                        self.x_zero_point,
                    );
                };
                y.iter_mut().zip(own).for_each(|(y, sum)| *y = sum);
            }
            #[cfg(not(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e")))]
            {
                let constants = (FORMAT, self.weight.as_flattened(), &self.bias[..]);
                portable::gemm_packed_sums(constants, (SKIP, self.x_zero_point), x, y);
            }
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e")))]
pub(super) mod portable {
    use super::super::gemm::portable::product as scaled;
    use crate::kernels::{TERNARY, product};

    /// One row of [`GemmPacked`](super::GemmPacked). `constants` are format, weights, biases and multipliers. With constants
    /// that are too short, results are left out.
    pub fn gemm_packed(
        (format, weight, bias, multiplier): (u8, &[u8], &[i32], &[u32]),
        skip: (bool, i32),
        (shift, rounding, min, max): (u32, i32, i32, i32),
        x: &[i8],
        y: &mut [i8],
    ) {
        for (o, (y, &bias)) in y.iter_mut().zip(bias).enumerate() {
            let sum = sum((format, weight), bias, (o, row_len(weight, format, x)), skip, x);
            let value = match multiplier.get(o) {
                Some(&bits) => ((scaled(sum, bits) >> (shift & 31)).wrapping_add(rounding) >> 1).clamp(-128, 127),
                None => (sum >> (shift & 31)).max(min).min(max),
            };
            *y = value as i8;
        }
    }

    /// One row of [`GemmPackedSums`](super::GemmPackedSums), as [`gemm_packed`].
    pub fn gemm_packed_sums((format, weight, bias): (u8, &[u8], &[i32]), skip: (bool, i32), x: &[i8], y: &mut [i32]) {
        for (o, (y, &bias)) in y.iter_mut().zip(bias).enumerate() {
            *y = sum((format, weight), bias, (o, row_len(weight, format, x)), skip, x);
        }
    }

    /// Bytes of a row of weights.
    fn row_len(weight: &[u8], format: u8, x: &[i8]) -> usize {
        weight.len().checked_div(super::packed_rows(format, x.len())).unwrap_or_default()
    }

    /// The sum of output `o`, with rows of `n` bytes.
    fn sum(
        (format, weight): (u8, &[u8]),
        bias: i32,
        (o, n): (usize, usize),
        (skip, zero): (bool, i32),
        x: &[i8],
    ) -> i32 {
        let per = if format == TERNARY { 2 } else { 1 };
        let inputs = x.chunks(per).enumerate();
        inputs.filter(|(_, x)| !skip || x.iter().any(|&x| i32::from(x) != zero)).fold(bias, |acc, (row, x)| {
            let byte = weight.get(row.wrapping_mul(n).wrapping_add(o / 2)).copied().unwrap_or_default();
            let mut code = byte >> (o % 2 * 4);
            x.iter().fold(acc, |acc, &x| {
                let product = product(format, code, i32::from(x).wrapping_sub(zero));
                code >>= 2;
                acc.wrapping_add(product)
            })
        })
    }
}

#[cfg(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e"))]
mod asm {
    use core::arch::naked_asm;

    /// What the assembly is told of a block of outputs. The order of the fields is the assembly's.
    #[repr(C)]
    pub(super) struct Shape {
        /// Bytes of a row of input.
        inputs: usize,
        /// Bytes of biases.
        biases: usize,
        /// Bytes of sums that the first pass through the loop leaves out, so that all others are whole.
        less: usize,
        /// Bytes of code for these.
        code: usize,
        /// Bytes of sums.
        sums: usize,
        /// Bytes of a row of weights.
        row: usize,
        /// By how many bytes of weights the loop goes further than to the next row.
        further: isize,
    }

    /// Bytes of code for a byte of weights.
    const CODE: usize = 36;

    pub(super) const fn shape(inputs: usize, outputs: usize, row: usize, unroll: usize) -> Shape {
        let bytes = outputs.div_ceil(2);
        let less = bytes.next_multiple_of(unroll) - bytes;
        let further = (bytes + less) as isize - row as isize;
        Shape { inputs, biases: 4 * outputs, less: 8 * less, code: less * CODE, sums: 8 * bytes, row, further }
    }

    /// The sums of a block of outputs.
    ///
    /// In the loop, a0 is the position in the weights, a1 that in the sums, a5 their end, s0 the position in the row, s1
    /// its end, t0 where the code for an input begins, t1 the bytes of a row of weights, t2 the input's zero point, ra
    /// the first sum (less what the first pass leaves out). The frame: 0 products by code, 64 ra, 68 s0, 72 s1, 76
    /// further.
    ///
    /// # Safety
    /// `bias`, `weights`, `x` and `sums` are of a layer of the size that `shape` says.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn accumulate<const FORMAT: u8, const UNROLL: usize, const SKIP: bool>(
        bias: *const i32,
        weights: *const u8,
        x: *const i8,
        sums: *mut i32,
        shape: &Shape,
        x_zero_point: i32,
    ) {
        naked_asm!(
            "addi sp, sp, -80",
            "sw ra, 64(sp)",
            "sw s0, 68(sp)",
            "sw s1, 72(sp)",
            "mv t2, a5",
            "mv s0, a2",
            // Sums begin with the biases.
            "lw a5, 4(a4)",
            "mv a2, a3",
            "add a5, a5, a3",
            "2:",
            "lw s1, 0(a0)",
            "addi a0, a0, 4",
            "sw s1, 0(a2)",
            "addi a2, a2, 4",
            "bne a2, a5, 2b",
            "lw s1, 0(a4)",
            "lw a2, 8(a4)",
            "lw t1, 12(a4)",
            "lw a5, 16(a4)",
            "add s1, s1, s0",
            "sub ra, a3, a2",
            "add a5, a5, a3",
            "4:",
            "auipc t0, %pcrel_hi(3f)",
            "addi t0, t0, %pcrel_lo(4b)",
            "add t0, t0, t1",
            "lw t1, 20(a4)",
            "lw a3, 24(a4)",
            // The weights less what the first pass leaves out.
            "srli a2, a2, 3",
            "sub a0, a1, a2",
            "sw a3, 76(sp)",
            ".if {format} == 1",
            "sw zero, 4*7(sp)",
            "sw zero, 4*15(sp)",
            ".else",
            "sw zero, 0(sp)",
            ".endif",
            // An input, or two.
            "2:",
            "lb a3, 0(s0)",
            "addi s0, s0, 1",
            ".if {format} == 2",
            "mv a4, t2",
            "beq s0, s1, 6f",
            "lb a4, 0(s0)",
            "addi s0, s0, 1",
            "6:",
            ".if {skip}",
            "bne a3, t2, 6f",
            "beq a4, t2, 5f",
            "6:",
            ".endif",
            "sub a3, a3, t2",
            "sub a4, a4, t2",
            "sw a3, 4*1(sp)",
            "sw a4, 4*4(sp)",
            "add a2, a4, a3",
            "sw a2, 4*5(sp)",
            "neg a2, a2",
            "sw a2, 4*15(sp)",
            "sub a2, a4, a3",
            "sw a2, 4*7(sp)",
            "neg a2, a2",
            "sw a2, 4*13(sp)",
            "neg a3, a3",
            "sw a3, 4*3(sp)",
            "neg a4, a4",
            "sw a4, 4*12(sp)",
            ".else",
            ".if {skip}",
            "beq a3, t2, 5f",
            ".endif",
            "sub a3, a3, t2",
            ".if {format} == 1",
            ".irp k,0,1,2,3,4,5",
            "sw a3, 4*\\k(sp)",
            "neg a2, a3",
            "sw a2, 4*(8+\\k)(sp)",
            "slli a3, a3, 1",
            ".endr",
            "sw a3, 4*6(sp)",
            "neg a2, a3",
            "sw a2, 4*14(sp)",
            ".else",
            "sw a3, 4*1(sp)",
            "slli a2, a3, 1",
            "sw a2, 4*2(sp)",
            ".irp k,3,4,5,6,7",
            "add a2, a2, a3",
            "sw a2, 4*\\k(sp)",
            ".endr",
            "neg a2, a3",
            "sw a2, 4*15(sp)",
            ".irp k,14,13,12,11,10,9,8",
            "sub a2, a2, a3",
            "sw a2, 4*\\k(sp)",
            ".endr",
            ".endif",
            ".endif",
            "mv a1, ra",
            "jr t0",
            // Two outputs a byte.
            "3:",
            ".irp k,0,1,2,3",
            ".if {unroll} > \\k",
            "lbu a2, \\k(a0)",
            "slli a2, a2, 2",
            "andi a3, a2, 60",
            "add a3, a3, sp",
            "lw a3, 0(a3)",
            "lw a4, 8*\\k(a1)",
            "add a4, a4, a3",
            "sw a4, 8*\\k(a1)",
            "srli a2, a2, 4",
            "andi a3, a2, 60",
            "add a3, a3, sp",
            "lw a3, 0(a3)",
            "lw a4, 8*\\k+4(a1)",
            "add a4, a4, a3",
            "sw a4, 8*\\k+4(a1)",
            ".endif",
            ".endr",
            "addi a0, a0, {unroll}",
            "addi a1, a1, 8*{unroll}",
            "bne a1, a5, 3b",
            "lw a2, 76(sp)",
            "sub a0, a0, a2",
            "bne s0, s1, 2b",
            ".if {skip}",
            "j 6f",
            "5:",
            "add a0, a0, t1",
            "bne s0, s1, 2b",
            "6:",
            ".endif",
            "lw ra, 64(sp)",
            "lw s0, 68(sp)",
            "lw s1, 72(sp)",
            "addi sp, sp, 80",
            "ret",
            format = const FORMAT,
            unroll = const UNROLL,
            skip = const SKIP as usize,
        )
    }

    /// Results of sums that contain rounding and zero point.
    ///
    /// # Safety
    /// There are `count` sums and results, at least one.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn shift<const CONSTANT_TIME: bool>(
        sums: *const i32,
        y: *mut i8,
        count: usize,
        shift: u32,
        min: i32,
        max: i32,
    ) {
        naked_asm!(
            "add a2, a2, a1",
            ".if {constant_time}",
            "sub a5, a5, a4",
            ".endif",
            "2:",
            "lw t0, 0(a0)",
            "addi a0, a0, 4",
            "sra t0, t0, a3",
            ".if {constant_time}",
            // Less its lowest, at least 0 and at most the highest less that, without a branch.
            "sub t0, t0, a4",
            "srai t1, t0, 31",
            "not t1, t1",
            "and t0, t0, t1",
            "sub t1, a5, t0",
            "srai t2, t1, 31",
            "and t1, t1, t2",
            "add t0, t0, t1",
            "add t0, t0, a4",
            ".else",
            "bge t0, a4, 3f",
            "mv t0, a4",
            "3:",
            "ble t0, a5, 3f",
            "mv t0, a5",
            "3:",
            ".endif",
            "sb t0, 0(a1)",
            "addi a1, a1, 1",
            "bne a1, a2, 2b",
            "ret",
            constant_time = const CONSTANT_TIME as usize,
        )
    }

    /// Results of sums with multipliers, as [`Gemm`](super::super::Gemm) computes them.
    ///
    /// # Safety
    /// There are `count` sums, multipliers and results, at least one.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn scale<const RELU: bool, const CONSTANT_TIME: bool>(
        sums: *const i32,
        y: *mut i8,
        count: usize,
        multipliers: *const u32,
        shift: u32,
        rounding: i32,
    ) {
        naked_asm!(
            "addi sp, sp, -16",
            "sw s0, 0(sp)",
            "sw a4, 8(sp)",
            "add a2, a2, a1",
            "2:",
            "lw t0, 0(a0)",
            "addi a0, a0, 4",
            ".if {relu}",
            "li a4, -128",
            "blez t0, 5f",
            ".endif",
            "lw t2, 0(a3)",
            "li a4, 0",
            // Two bits of the multiplier at a time.
            "slli s0, t0, 1",
            "7:",
            "bgez t2, 8f",
            "add a4, a4, t0",
            "8:",
            "slli t2, t2, 1",
            "bgez t2, 8f",
            "add a4, a4, s0",
            "8:",
            "srai a4, a4, 2",
            "slli t2, t2, 1",
            // Until the one after the last bit is the highest, and the only one.
            "slli t1, t2, 1",
            "bnez t1, 7b",
            "lw t1, 8(sp)",
            "sra a4, a4, t1",
            "add a4, a4, a5",
            ".if {constant_time}",
            "addi a4, a4, 256",
            "srai a4, a4, 1",
            // Less its lowest, 0..=255 without a branch.
            "li s0, 255",
            "srai t1, a4, 31",
            "not t1, t1",
            "and a4, a4, t1",
            "sub t1, s0, a4",
            "srai t1, t1, 31",
            "or a4, a4, t1",
            "xori a4, a4, -128",
            ".else",
            "srai a4, a4, 1",
            "li t1, -128",
            "bge a4, t1, 8f",
            "mv a4, t1",
            "8:",
            "li t1, 127",
            "ble a4, t1, 8f",
            "mv a4, t1",
            "8:",
            ".endif",
            "5:",
            "sb a4, 0(a1)",
            "addi a3, a3, 4",
            "addi a1, a1, 1",
            "bne a1, a2, 2b",
            "lw s0, 0(sp)",
            "addi sp, sp, 16",
            "ret",
            relu = const RELU as usize,
            constant_time = const CONSTANT_TIME as usize,
        )
    }
}
