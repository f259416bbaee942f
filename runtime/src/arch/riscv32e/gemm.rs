//! Fully connected layer without a multiplier: ONNX `Gemm`, and `MatMul` with a constant operand.

use super::{groups, step};

/// [`kernels::Gemm`](crate::kernels::Gemm) with its constants as one stream, in the order in which they are used.
///
/// Outputs are computed in groups of `G`, whose sums stay in registers. For every group the stream holds
///
/// * `G` biases;
/// * for every input the `G` weights it is multiplied with, a byte each, at the end filled up to a word;
/// * `G` multipliers, their bits in reverse: see below;
/// * how many outputs further the next group begins, 0 after the last ([`step`]).
///
/// The last group begins less than `G` further where `G` does not divide the number of outputs: it computes some
/// outputs again, so that all groups are alike.
///
/// With the triangular numbers `t`, a sum is `bias + sum of (t(x + w) - t(x) - t(w))`. The sum of `t(x)` is computed
/// once a row, that of `t(w)` is part of the bias, so a weight takes five instructions. Where `SKIP`, inputs that
/// equal their zero point `z` are left out, and a weight takes eight: `w (x - z) = t(x + w) - t(z + w) - t(x) + t(z)`.
/// All of it is right modulo 2^32, and the code generator has proved that the sum fits.
///
/// Results are those of [`requantize`](crate::requantize) without a shift. A multiplier's bits, from its lowest that is
/// set to the highest that any of the layer has, are taken one by one, each adding the sum or nothing and halving:
/// `floor((floor(a) + n) / 2) = floor((a + n) / 2)` for an integer `n`, so the halves that are dropped never matter.
/// In a word these bits come first, the lowest in bit 31, then a one, then zeros; an odd number of them has a zero
/// before, as they are taken two by two. What is left to halve is `shift`, and one more time after adding one (and
/// twice the zero point), which rounds half up.
///
/// Where `RELU`, the output's zero point is -128 and a sum that is not positive becomes -128 at once. Where neither
/// `SKIP` nor `RELU`, and `CONSTANT_TIME`, the instructions do not depend on data.
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream; `UNROLL` is for how many inputs the
/// inner loop stands in the code. Layers that agree in everything but `I`, `O` and `N` share the code.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Gemm<
    const I: usize,
    const O: usize,
    const N: usize,
    const G: usize,
    const UNROLL: usize,
    const SKIP: bool,
    const RELU: bool,
    const CONSTANT_TIME: bool,
> {
    x_zero_point: i32,
    rounding: i32,
    shift: u32,
    stream: [u32; N],
}

/// Most inputs for which the inner loop may be written out.
const LARGEST_UNROLL: usize = 16;

/// Most outputs of a group.
pub const fn largest(skip: bool) -> usize {
    if skip { 4 } else { 6 }
}

/// Words of the stream of a group.
const fn group_len(inputs: usize, group: usize) -> usize {
    inputs.saturating_mul(group).div_ceil(4).saturating_add(2 * group + 1)
}

/// Words of the stream of a layer.
pub const fn stream_len(inputs: usize, outputs: usize, group: usize) -> usize {
    groups(outputs, group).saturating_mul(group_len(inputs, group))
}

impl<
    const I: usize,
    const O: usize,
    const N: usize,
    const G: usize,
    const UNROLL: usize,
    const SKIP: bool,
    const RELU: bool,
    const CONSTANT_TIME: bool,
> Gemm<I, O, N, G, UNROLL, SKIP, RELU, CONSTANT_TIME>
{
    /// A layer with the input's zero point; twice the output's zero point, plus one; by how much a product is shifted
    /// before it is rounded; and a stream of constants. The steps in the stream are not taken from it: they are those of
    /// the sizes, as the assembly follows them.
    pub const fn new(x_zero_point: i8, rounding: i32, shift: u32, mut stream: [u32; N]) -> Self {
        const {
            assert!(I > 0 && 0 < G && G <= O && G <= largest(SKIP) && 0 < UNROLL && UNROLL <= LARGEST_UNROLL);
            assert!(N == stream_len(I, O, G) && !(CONSTANT_TIME && (SKIP || RELU)));
        };
        let mut k = 0;
        while k < groups(O, G) {
            stream[(k + 1) * group_len(I, G) - 1] = step(O, G, k) as u32;
            k += 1;
        }
        Self { x_zero_point: x_zero_point as i32, rounding, shift, stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i8; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e"))]
            {
                let layer = (&raw const *self).cast();
                let shape = const { &asm::shape(I, G, UNROLL, SKIP) };
                // SAFETY: by the sizes in the types and the steps that `new` has written, the assembly reads this layer
                // and I bytes, and writes O bytes. The table has an entry for every sum of two int8, counted from its
                // middle; inputs, weights and the zero point are that.
                unsafe {
                    asm::gemm::<G, UNROLL, SKIP, RELU, CONSTANT_TIME>(
                        layer,
                        x.as_ptr(),
                        y.as_mut_ptr(),
                        shape,
                        &raw const asm::TRIANGLES.0[256],
                    )
                };
            }
            #[cfg(not(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e")))]
            portable::gemm(&self.stream, G, SKIP.then_some(self.x_zero_point), (self.shift, self.rounding), x, y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e")))]
pub(super) mod portable {
    use super::super::triangle;

    /// One row of [`Gemm`](super::Gemm), with the zero point of the input where its zeros are skipped; `end` are
    /// `shift` and `rounding`. A stream that is too short, or wrong, ends it.
    pub fn gemm(mut stream: &[u32], group: usize, skipped: Option<i32>, end: (u32, i32), x: &[i8], y: &mut [i8]) {
        let row = x.iter().fold(0i32, |sum, &x| sum.wrapping_sub(triangle(x.into())));
        let mut first = 0usize;
        loop {
            let mut acc = [0i32; super::largest(false)];
            let Some(bias) = stream.split_off(..group) else { return };
            let Some(weights) = stream.split_off(..x.len().wrapping_mul(group).div_ceil(4)) else { return };
            let Some(multiplier) = stream.split_off(..group) else { return };
            let Some(&advance) = stream.split_off_first() else { return };
            acc.iter_mut().zip(bias).for_each(|(acc, &bias)| *acc = row.wrapping_add(bias as i32));
            for (i, &x) in x.iter().enumerate().filter(|(_, x)| Some(i32::from(**x)) != skipped) {
                for (o, acc) in acc.iter_mut().enumerate().take(group) {
                    let at = i.wrapping_mul(group).wrapping_add(o);
                    let word = weights.get(at / 4).copied().unwrap_or_default();
                    let weight = i32::from((word >> (at % 4 * 8)) as i8);
                    *acc = acc.wrapping_add(triangle(weight.wrapping_add(x.into())));
                    if let Some(zero) = skipped {
                        *acc = acc.wrapping_sub(triangle(weight.wrapping_add(zero)));
                    }
                }
            }
            for (o, (&acc, &bits)) in acc.iter().zip(multiplier).enumerate() {
                let value = (product(acc, bits) >> (end.0 & 31)).wrapping_add(end.1) >> 1;
                if let Some(y) = y.get_mut(first.wrapping_add(o)) {
                    *y = value.clamp(-128, 127) as i8;
                }
            }
            if advance == 0 {
                return;
            }
            first = first.wrapping_add(advance as usize);
        }
    }

    /// A sum times a multiplier as the stream has it, shifted by as many bits as that has.
    pub(in super::super) fn product(acc: i32, mut bits: u32) -> i32 {
        let mut product = 0i32;
        while bits & 0x7fff_ffff != 0 {
            if bits >> 31 != 0 {
                product = product.wrapping_add(acc);
            }
            product >>= 1;
            bits <<= 1;
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that leads elsewhere.
    #[test]
    fn a_layer_writes_its_steps() {
        const N: usize = stream_len(3, 7, 3);
        let layer = Gemm::<3, 7, N, 3, 1, false, false, false>::new(0, 1, 0, [0x1000_0001; N]);
        let steps = layer.stream.chunks_exact(N / 3).map(|group| group[N / 3 - 1]);
        assert!(steps.eq([3, 1, 0]));
        assert_eq!(layer.stream.iter().filter(|&&word| word == 0x1000_0001).count(), N - 3);
    }
}

#[cfg(any(tinymlp_arch = "riscv32m", tinymlp_arch = "riscv32e"))]
mod asm {
    use super::super::triangle;
    use core::arch::naked_asm;

    /// Triangular numbers of -256..=255.
    #[repr(align(4))]
    pub(super) struct Triangles(pub(super) [u16; 512]);

    pub(super) static TRIANGLES: Triangles = {
        let mut all = [0; 512];
        let mut k = 0;
        while k < all.len() {
            all[k] = triangle(k as i32 - 256) as u16;
            k += 1;
        }
        Triangles(all)
    };

    /// What the assembly is told of a layer. The order of the fields is the assembly's.
    #[repr(C)]
    pub(super) struct Shape {
        /// Bytes of a row of input.
        inputs: usize,
        /// Inputs that the first pass through the loop leaves out, so that all others are whole.
        less: usize,
        /// From the first bias to where the weights would begin if these inputs were there.
        to_weights: isize,
        /// Bytes of code for these inputs.
        code: usize,
    }

    /// Bytes of code for one input.
    const fn code(group: usize, skip: bool) -> usize {
        if skip { 16 + 26 * group } else { 8 + 14 * group }
    }

    pub(super) const fn shape(inputs: usize, group: usize, unroll: usize, skip: bool) -> Shape {
        let less = inputs.next_multiple_of(unroll) - inputs;
        let to_weights = 4 * group as isize - (less * group) as isize;
        Shape { inputs, less, to_weights, code: less * code(group, skip) }
    }

    /// Adds a product to the sum of output `$o`. The table's entry for the input is at a3; where zeros are skipped,
    /// that for zero is at a4.
    macro_rules! multiply {
        ($o:literal $sum:literal) => {
            concat!(
                ".if {group} > ",
                $o,
                "\n",
                "lb a5, \\k*{group}+",
                $o,
                "(a0)\n",
                "slli a5, a5, 1\n",
                ".if {skip}\n",
                "add t1, a5, a3\n",
                "lhu t1, 0(t1)\n",
                "add a5, a5, a4\n",
                "lhu a5, 0(a5)\n",
                "sub t1, t1, a5\n",
                "add ",
                $sum,
                ", ",
                $sum,
                ", t1\n",
                ".else\n",
                "add a5, a5, a3\n",
                "lhu a5, 0(a5)\n",
                "add ",
                $sum,
                ", ",
                $sum,
                ", a5\n",
                ".endif\n",
                ".endif",
            )
        };
    }

    /// The bias of an output, with the row's sum in a5.
    macro_rules! bias {
        ($o:literal $sum:literal) => {
            concat!(
                ".if {group} > ",
                $o,
                "\n",
                "lw ",
                $sum,
                ", 4*",
                $o,
                "(a0)\n",
                "add ",
                $sum,
                ", ",
                $sum,
                ", a5\n",
                ".endif",
            )
        };
    }

    /// Puts the sum of an output into the frame.
    macro_rules! store {
        ($o:literal $sum:literal) => {
            concat!(".if {group} > ", $o, "\nsw ", $sum, ", 40+4*", $o, "(sp)\n.endif")
        };
    }

    /// One row.
    ///
    /// In the loop, a0 is the position in the stream, a1 that in the row, a2 its end, a3 the table's entry for the
    /// input, a4 that for 0 (for the zero point, where zeros are skipped; that is in t0 then). The frame: 0 ra, 4 s0,
    /// 8 s1, 12 the row less the inputs that the first pass leaves out, 16 y, 20 the row's sum, 24 twice the zero point
    /// plus one, 28 shape, 32 the input's zero point, 36 shift, 40 the sums.
    ///
    /// # Safety
    /// `layer` is a `Gemm` of the size that `shape` says, `x` and `y` are the row's input and output, `table` is the
    /// middle of the table.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<
        const GROUP: usize,
        const UNROLL: usize,
        const SKIP: bool,
        const RELU: bool,
        const CONSTANT_TIME: bool,
    >(
        layer: *const i32,
        x: *const i8,
        y: *mut i8,
        shape: &Shape,
        table: *const u16,
    ) {
        naked_asm!(
            "addi sp, sp, -64",
            "sw ra, 0(sp)",
            "sw s0, 4(sp)",
            "sw s1, 8(sp)",
            "sw a2, 16(sp)",
            "sw a3, 28(sp)",
            "lw t0, 0(a0)",
            "lw t1, 4(a0)",
            "lw t2, 8(a0)",
            "addi a0, a0, 12",
            "sw t0, 32(sp)",
            "sw t1, 24(sp)",
            "sw t2, 36(sp)",
            "lw a2, 0(a3)",
            "lw a5, 4(a3)",
            "add a2, a2, a1",
            "sub a5, a1, a5",
            "sw a5, 12(sp)",
            // The sum over the row.
            "li a5, 0",
            "2:",
            "lb a3, 0(a1)",
            "addi a1, a1, 1",
            "slli a3, a3, 1",
            "add a3, a3, a4",
            "lhu a3, 0(a3)",
            "sub a5, a5, a3",
            "bne a1, a2, 2b",
            "sw a5, 20(sp)",
            ".if {skip}",
            "slli t0, t0, 1",
            "add a4, a4, t0",
            ".endif",
            // A group.
            "2:",
            "lw a5, 20(sp)",
            ".if {skip}",
            "lw t0, 32(sp)",
            bias!("0" "t2"),
            bias!("1" "s0"),
            bias!("2" "s1"),
            bias!("3" "ra"),
            ".else",
            bias!("0" "t0"),
            bias!("1" "t1"),
            bias!("2" "t2"),
            bias!("3" "s0"),
            bias!("4" "s1"),
            bias!("5" "ra"),
            ".endif",
            "lw a3, 28(sp)",
            "lw a1, 12(sp)",
            "lw a5, 8(a3)",
            "add a0, a0, a5",
            ".if {unroll} > 1",
            "lw a5, 12(a3)",
            "beqz a5, 3f",
            "4:",
            "auipc a3, %pcrel_hi(3f)",
            "add a3, a3, a5",
            "jr %pcrel_lo(4b)(a3)",
            ".endif",
            "3:",
            ".irp k,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            ".if {unroll} > \\k",
            "lb a3, \\k(a1)",
            ".if {skip}",
            "beq a3, t0, 5f",
            "sub a3, a3, t0",
            ".endif",
            "slli a3, a3, 1",
            "add a3, a3, a4",
            ".if {skip}",
            multiply!("0" "t2"),
            multiply!("1" "s0"),
            multiply!("2" "s1"),
            multiply!("3" "ra"),
            ".else",
            multiply!("0" "t0"),
            multiply!("1" "t1"),
            multiply!("2" "t2"),
            multiply!("3" "s0"),
            multiply!("4" "s1"),
            multiply!("5" "ra"),
            ".endif",
            "5:",
            ".endif",
            ".endr",
            "addi a1, a1, {unroll}",
            "addi a0, a0, {unroll}*{group}",
            "bne a1, a2, 3b",
            // The weights are filled up to a word.
            ".if {group} % 4",
            "addi a0, a0, 3",
            "andi a0, a0, -4",
            ".endif",
            ".if {skip}",
            store!("0" "t2"),
            store!("1" "s0"),
            store!("2" "s1"),
            store!("3" "ra"),
            ".else",
            store!("0" "t0"),
            store!("1" "t1"),
            store!("2" "t2"),
            store!("3" "s0"),
            store!("4" "s1"),
            store!("5" "ra"),
            ".endif",
            // Results: the sums from t0 to t1, y at a1, the smallest in s0.
            "addi t0, sp, 40",
            "addi t1, sp, 40+4*{group}",
            "lw a1, 16(sp)",
            "lui t2, 0x80000",
            "li s0, -128",
            "6:",
            "lw a3, 0(t0)",
            "addi t0, t0, 4",
            ".if {relu}",
            "sb s0, 0(a1)",
            "blez a3, 5f",
            ".endif",
            "lw ra, 0(a0)",
            "li a5, 0",
            // Two bits of the multiplier at a time.
            "slli s1, a3, 1",
            "7:",
            "bgez ra, 8f",
            "add a5, a5, a3",
            "8:",
            "slli ra, ra, 1",
            "bgez ra, 8f",
            "add a5, a5, s1",
            "8:",
            "srai a5, a5, 2",
            "slli ra, ra, 1",
            "bne ra, t2, 7b",
            "lw ra, 36(sp)",
            "lw a3, 24(sp)",
            "sra a5, a5, ra",
            "add a5, a5, a3",
            ".if {constant_time}",
            "addi a5, a5, 256",
            ".endif",
            "srai a5, a5, 1",
            ".if {constant_time}",
            // Less its lowest, 0..=255 without a branch.
            "li s1, 255",
            "srai a3, a5, 31",
            "not a3, a3",
            "and a5, a5, a3",
            "sub a3, s1, a5",
            "srai a3, a3, 31",
            "or a5, a5, a3",
            "xori a5, a5, -128",
            ".else",
            ".if {relu} == 0",
            "bge a5, s0, 8f",
            "mv a5, s0",
            "8:",
            ".endif",
            "li s1, 127",
            "ble a5, s1, 8f",
            "mv a5, s1",
            "8:",
            ".endif",
            "sb a5, 0(a1)",
            "5:",
            "addi a0, a0, 4",
            "addi a1, a1, 1",
            "bne t0, t1, 6b",
            "lw t0, 0(a0)",
            "lw a1, 16(sp)",
            "addi a0, a0, 4",
            "add a1, a1, t0",
            "sw a1, 16(sp)",
            "bnez t0, 2b",
            "lw ra, 0(sp)",
            "lw s0, 4(sp)",
            "lw s1, 8(sp)",
            "addi sp, sp, 64",
            "ret",
            group = const GROUP,
            unroll = const UNROLL,
            skip = const SKIP as usize,
            relu = const RELU as usize,
            constant_time = const CONSTANT_TIME as usize,
        )
    }
}
