//! Fully connected layer with up to sixteen sums in registers: ONNX `Gemm`, and `MatMul` with a constant operand.

use super::Row;

/// [`kernels::Gemm`](crate::kernels::Gemm) with its constants as one stream, in the order in which they are used.
///
/// Outputs are computed in groups of `G`, whose sums stay in registers. For every group the stream holds
///
/// * `G` biases;
/// * for every input the `G` weights it is multiplied with, a byte each, at the end filled up to a word;
/// * `G` multipliers, twice those of the portable kernel;
/// * twice the output's zero point, as the results are stored, plus one;
/// * how many outputs further the next group begins, 0 after the last ([`step`]).
///
/// The last group begins less than `G` further where `G` does not divide the number of outputs: it computes some
/// outputs again, so that all groups are alike.
///
/// Results are those of [`requantize`](crate::requantize) without a shift. `mulhsu` gives
/// `floor(sum * 2 * multiplier / 2^32)`; adding one and halving rounds half up, as
/// `floor((floor(a) + 1) / 2) = floor((a + 1) / 2)`, so the result is exact for every multiplier. A sum of nothing but
/// wrapping additions and multiplications is right modulo 2^32 in any order, and the code generator has proved that it
/// fits 32 bits.
///
/// Where `SKIP` is not 0, biases are those for inputs less their zero point, and an input that equals it is left out: two
/// instructions instead of `3 G` and more. 1 is for any zero point, 2 for one that is stored as 0 and need not be taken
/// off. Where `RELU`, the output's zero point is -128 and a sum that is not positive becomes the smallest result without
/// a multiplication. Where neither, and `CONSTANT_TIME`, the instructions do not depend on data.
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream; `UNROLL` is for how many inputs the
/// inner loop stands in the code. `X_UNSIGNED` and `Y_UNSIGNED` say whether inputs and results are stored as unsigned
/// bytes. Layers that agree in everything but `I`, `O` and `N` share the code.
#[derive(Clone, Debug)]
pub struct Gemm<
    const I: usize,
    const O: usize,
    const N: usize,
    const G: usize,
    const UNROLL: usize,
    const X_UNSIGNED: bool,
    const Y_UNSIGNED: bool,
    const SKIP: usize,
    const RELU: bool,
    const CONSTANT_TIME: bool,
> {
    x_zero_point: i32,
    stream: [u32; N],
}

/// Most outputs of a group, and most inputs for which the inner loop may be written out.
pub const LARGEST: usize = 16;

/// Groups of `group` outputs that a layer is computed in.
pub const fn groups(outputs: usize, group: usize) -> usize {
    outputs.div_ceil(group)
}

/// How many outputs after group `k` the next one begins, 0 after the last.
pub const fn step(outputs: usize, group: usize, k: usize) -> usize {
    let left = outputs.saturating_sub((k + 1) * group);
    if left < group { left } else { group }
}

/// Words of the stream of a group.
const fn group_len(inputs: usize, group: usize) -> usize {
    inputs.saturating_mul(group).div_ceil(4).saturating_add(2 * group + 2)
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
    const X_UNSIGNED: bool,
    const Y_UNSIGNED: bool,
    const SKIP: usize,
    const RELU: bool,
    const CONSTANT_TIME: bool,
> Gemm<I, O, N, G, UNROLL, X_UNSIGNED, Y_UNSIGNED, SKIP, RELU, CONSTANT_TIME>
{
    /// A layer with the input's zero point, as it is stored, and a stream of constants. The steps in the stream are not
    /// taken from it: they are those of the sizes, as the assembly follows them.
    pub const fn new(x_zero_point: i32, mut stream: [u32; N]) -> Self {
        const {
            assert!(I > 0 && 0 < G && G <= O && G <= LARGEST && 0 < UNROLL && UNROLL <= LARGEST);
            assert!(N == stream_len(I, O, G) && SKIP <= 2 && !(CONSTANT_TIME && (SKIP > 0 || RELU)));
        };
        let mut k = 0;
        while k < groups(O, G) {
            stream[(k + 1) * group_len(I, G) - 1] = step(O, G, k) as u32;
            k += 1;
        }
        Self { x_zero_point, stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize, X: Row, Y: Row>(&self, x: &[X; R], y: &mut [Y; R]) {
        const { assert!(X_UNSIGNED == X::UNSIGNED && I <= X::LEN && Y_UNSIGNED == Y::UNSIGNED && O <= Y::LEN) };
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "riscv32m")]
            {
                let shape = const { &asm::shape(I, G, UNROLL, SKIP) };
                // SAFETY: by the sizes in the types and the steps that `new` has written, the assembly reads this layer's
                // stream and I bytes of a row of at least as many, and writes O of a row of at least as many.
                unsafe {
                    asm::gemm::<G, UNROLL, X_UNSIGNED, Y_UNSIGNED, SKIP, RELU, CONSTANT_TIME>(
                        self.stream.as_ptr(),
                        core::ptr::from_ref(x).cast(),
                        core::ptr::from_mut(y).cast(),
                        shape,
                        self.x_zero_point,
                    )
                };
            }
            #[cfg(not(tinymlp_arch = "riscv32m"))]
            portable::gemm(
                &self.stream,
                [G, I],
                (SKIP > 0).then_some(self.x_zero_point),
                |k| x.get(k),
                |k, value| y.set(k, value),
            );
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "riscv32m"))]
pub(super) mod portable {
    /// One row of [`Gemm`](super::Gemm), with the zero point of the input where its zeros are skipped. Inputs are as
    /// `x` gives them; `y` takes the results and limits them. A stream that is too short, or wrong, ends it.
    pub fn gemm(
        mut stream: &[u32],
        [group, inputs]: [usize; 2],
        skipped: Option<i32>,
        x: impl Fn(usize) -> i32,
        mut y: impl FnMut(usize, i32),
    ) {
        let mut first = 0usize;
        loop {
            let mut acc = [0i32; super::LARGEST];
            let Some(bias) = stream.split_off(..group) else { return };
            let Some(weights) = stream.split_off(..inputs.wrapping_mul(group).div_ceil(4)) else { return };
            let Some(multiplier) = stream.split_off(..group) else { return };
            let (Some(&rounding), Some(&advance)) = (stream.split_off_first(), stream.split_off_first()) else {
                return;
            };
            acc.iter_mut().zip(bias).for_each(|(acc, &bias)| *acc = bias as i32);
            for (i, x) in (0..inputs).map(|i| (i, x(i))).filter(|&(_, x)| Some(x) != skipped) {
                let x = x.wrapping_sub(skipped.unwrap_or_default());
                for (o, acc) in acc.iter_mut().enumerate().take(group) {
                    let at = i.wrapping_mul(group).wrapping_add(o);
                    let word = weights.get(at / 4).copied().unwrap_or_default();
                    let weight = (word >> (at % 4 * 8)) as i8;
                    *acc = acc.wrapping_add(i32::from(weight).wrapping_mul(x));
                }
            }
            for (o, (&acc, &m)) in acc.iter().zip(multiplier).enumerate() {
                let twice = (i64::from(acc).wrapping_mul(i64::from(m)) >> 32) as i32;
                y(first.wrapping_add(o), twice.wrapping_add(rounding as i32) >> 1);
            }
            if advance == 0 {
                return;
            }
            first = first.wrapping_add(advance as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Group by group all outputs are reached, and none beyond.
    #[test]
    fn steps_lead_through_all_outputs() {
        for (outputs, group) in (1..50).flat_map(|o| (1..=LARGEST.min(o)).map(move |g| (o, g))) {
            let mut first = 0;
            for k in 0..groups(outputs, group) - 1 {
                let step = step(outputs, group, k);
                assert!(0 < step && step <= group, "{outputs} outputs, group {k} of {group}");
                first += step;
            }
            assert_eq!(first + group, outputs);
            assert_eq!(step(outputs, group, groups(outputs, group) - 1), 0);
        }
    }

    /// A stream that leads elsewhere.
    #[test]
    fn a_layer_writes_its_steps() {
        const N: usize = stream_len(3, 7, 3);
        let layer = Gemm::<3, 7, N, 3, 1, false, false, 0, false, false>::new(0, [0x1000_0001; N]);
        let steps = layer.stream.chunks_exact(N / 3).map(|group| group[N / 3 - 1]);
        assert!(steps.eq([3, 1, 0]));
        assert_eq!(layer.stream.iter().filter(|&&word| word == 0x1000_0001).count(), N - 3);
    }
}

#[cfg(tinymlp_arch = "riscv32m")]
mod asm {
    use core::arch::naked_asm;

    /// What the assembly is told of a layer. The order of the fields is the assembly's.
    #[repr(C)]
    pub(super) struct Shape {
        /// Bytes of a row of input.
        inputs: usize,
        /// Inputs that the first pass through the loop leaves out, so that all others are whole.
        less: usize,
        /// From the last bias to where the weights would begin if these inputs were there.
        to_weights: isize,
        /// Bytes of code for these inputs.
        code: usize,
    }

    /// Bytes of code for one input: eight for every load and multiplication, two for every addition.
    const fn code(group: usize, skip: usize) -> usize {
        let input = match skip {
            0 => 4,
            1 => 12,
            _ => 8,
        };
        input + 10 * group
    }

    pub(super) const fn shape(inputs: usize, group: usize, unroll: usize, skip: usize) -> Shape {
        let less = inputs.next_multiple_of(unroll) - inputs;
        let to_weights = 4 * group as isize - (less * group) as isize;
        Shape { inputs, less, to_weights, code: less * code(group, skip) }
    }

    /// Multiplies the input in a6 with the weights of two outputs, `$a` and `$b`, and adds to their sums. Two loads
    /// first: many cores cannot use what they have loaded in the next instruction.
    macro_rules! multiply {
        ($a:literal $sum_a:literal, $b:literal $sum_b:literal) => {
            concat!(
                ".if {group} > ",
                $b,
                "\n",
                "lb t0, \\k*{group}+",
                $a,
                "(a0)\n",
                "lb t1, \\k*{group}+",
                $b,
                "(a0)\n",
                "mul t0, t0, a6\n",
                "mul t1, t1, a6\n",
                "add ",
                $sum_a,
                ", ",
                $sum_a,
                ", t0\n",
                "add ",
                $sum_b,
                ", ",
                $sum_b,
                ", t1\n",
                ".elseif {group} > ",
                $a,
                "\n",
                "lb t0, \\k*{group}+",
                $a,
                "(a0)\n",
                "mul t0, t0, a6\n",
                "add ",
                $sum_a,
                ", ",
                $sum_a,
                ", t0\n",
                ".endif",
            )
        };
    }

    /// Loads the bias of an output.
    macro_rules! bias {
        ($o:literal $sum:literal) => {
            concat!(".if {group} > ", $o, "\nlw ", $sum, ", 4*", $o, "(a0)\n.endif")
        };
    }

    /// Keeps a register of the caller's while its place is taken by the sum of output `$o`.
    macro_rules! saved {
        ($what:literal $o:literal $sum:literal) => {
            concat!(".if {group} > ", $o, "\n", $what, " ", $sum, ", 4*(", $o, "-5)(sp)\n.endif")
        };
    }

    /// Result of an output: multipliers at a0, twice the zero point plus one in t1, limits in t0 and, if it is not 0,
    /// in a6. After a ReLU that gives unsigned bytes the zero point is 0.
    macro_rules! result {
        ($o:literal $sum:literal) => {
            concat!(
                ".if {group} > ",
                $o,
                "\n",
                ".if {relu}\n",
                ".if {y_unsigned}\n",
                "sb zero, ",
                $o,
                "(a2)\n",
                ".else\n",
                "sb a6, ",
                $o,
                "(a2)\n",
                ".endif\n",
                "blez ",
                $sum,
                ", 6f\n",
                ".endif\n",
                "lw a5, 4*",
                $o,
                "(a0)\n",
                "mulhsu ",
                $sum,
                ", ",
                $sum,
                ", a5\n",
                ".if {relu} && {y_unsigned}\n",
                "addi ",
                $sum,
                ", ",
                $sum,
                ", 1\n",
                ".else\n",
                "add ",
                $sum,
                ", ",
                $sum,
                ", t1\n",
                ".endif\n",
                "srai ",
                $sum,
                ", ",
                $sum,
                ", 1\n",
                ".if {constant_time}\n",
                // Less its lowest, 0..=255 without a branch.
                "srai a5, ",
                $sum,
                ", 31\n",
                "not a5, a5\n",
                "and ",
                $sum,
                ", ",
                $sum,
                ", a5\n",
                "sub a5, t0, ",
                $sum,
                "\n",
                "srai a5, a5, 31\n",
                "or ",
                $sum,
                ", ",
                $sum,
                ", a5\n",
                ".if {y_unsigned} == 0\n",
                "xori ",
                $sum,
                ", ",
                $sum,
                ", -128\n",
                ".endif\n",
                ".else\n",
                ".if {relu} == 0\n",
                ".if {y_unsigned}\n",
                "bgez ",
                $sum,
                ", 6f\n",
                "li ",
                $sum,
                ", 0\n",
                ".else\n",
                "bge ",
                $sum,
                ", a6, 6f\n",
                "mv ",
                $sum,
                ", a6\n",
                ".endif\n",
                "6:\n",
                ".endif\n",
                "ble ",
                $sum,
                ", t0, 7f\n",
                "mv ",
                $sum,
                ", t0\n",
                "7:\n",
                ".endif\n",
                "sb ",
                $sum,
                ", ",
                $o,
                "(a2)\n",
                ".if {relu}\n",
                "6:\n",
                ".endif\n",
                ".endif",
            )
        };
    }

    /// One row.
    ///
    /// a0 is the position in the stream, a1 the row (less the inputs that the first pass leaves out), a2 the outputs
    /// of the group, a3 the shape, a4 the end of the row, a5 the position in it, a6 the input, a7 the zero point.
    ///
    /// # Safety
    /// `stream` is that of a `Gemm` of the size that `shape` says, `x` and `y` are the row's input and output.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<
        const GROUP: usize,
        const UNROLL: usize,
        const X_UNSIGNED: bool,
        const Y_UNSIGNED: bool,
        const SKIP: usize,
        const RELU: bool,
        const CONSTANT_TIME: bool,
    >(
        stream: *const u32,
        x: *const u8,
        y: *mut u8,
        shape: &Shape,
        x_zero_point: i32,
    ) {
        naked_asm!(
            ".if {group} > 5",
            "addi sp, sp, -((4*({group}-5)+15)/16*16)",
            saved!("sw" "5" "s0"),
            saved!("sw" "6" "s1"),
            saved!("sw" "7" "s2"),
            saved!("sw" "8" "s3"),
            saved!("sw" "9" "s4"),
            saved!("sw" "10" "s5"),
            saved!("sw" "11" "s6"),
            saved!("sw" "12" "s7"),
            saved!("sw" "13" "s8"),
            saved!("sw" "14" "s9"),
            saved!("sw" "15" "s10"),
            ".endif",
            ".if {skip} == 1",
            "mv a7, a4",
            ".endif",
            "lw a4, 0(a3)",
            "lw t0, 4(a3)",
            "add a4, a4, a1",
            "sub a1, a1, t0",
            // A group.
            "2:",
            bias!("0" "t2"),
            bias!("1" "t3"),
            bias!("2" "t4"),
            bias!("3" "t5"),
            bias!("4" "t6"),
            bias!("5" "s0"),
            bias!("6" "s1"),
            bias!("7" "s2"),
            bias!("8" "s3"),
            bias!("9" "s4"),
            bias!("10" "s5"),
            bias!("11" "s6"),
            bias!("12" "s7"),
            bias!("13" "s8"),
            bias!("14" "s9"),
            bias!("15" "s10"),
            "lw t0, 8(a3)",
            "mv a5, a1",
            "add a0, a0, t0",
            ".if {unroll} > 1",
            "lw t1, 12(a3)",
            "beqz t1, 3f",
            "4:",
            "auipc t0, %pcrel_hi(3f)",
            "add t0, t0, t1",
            "jr %pcrel_lo(4b)(t0)",
            ".endif",
            "3:",
            ".irp k,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            ".if {unroll} > \\k",
            ".if {x_unsigned}",
            "lbu a6, \\k(a5)",
            ".else",
            "lb a6, \\k(a5)",
            ".endif",
            ".if {skip} == 1",
            "beq a6, a7, 5f",
            "sub a6, a6, a7",
            ".elseif {skip} == 2",
            "beqz a6, 5f",
            ".endif",
            multiply!("0" "t2", "1" "t3"),
            multiply!("2" "t4", "3" "t5"),
            multiply!("4" "t6", "5" "s0"),
            multiply!("6" "s1", "7" "s2"),
            multiply!("8" "s3", "9" "s4"),
            multiply!("10" "s5", "11" "s6"),
            multiply!("12" "s7", "13" "s8"),
            multiply!("14" "s9", "15" "s10"),
            "5:",
            ".endif",
            ".endr",
            "addi a5, a5, {unroll}",
            "addi a0, a0, {unroll}*{group}",
            "bne a5, a4, 3b",
            // The weights are filled up to a word.
            ".if {group} % 4",
            "addi a0, a0, 3",
            "andi a0, a0, -4",
            ".endif",
            ".if {relu} == 0 || {y_unsigned} == 0",
            "lw t1, 4*{group}(a0)",
            ".endif",
            ".if {y_unsigned}",
            "li t0, 255",
            ".elseif {constant_time}",
            "addi t1, t1, 256",
            "li t0, 255",
            ".else",
            "li t0, 127",
            "li a6, -128",
            ".endif",
            result!("0" "t2"),
            result!("1" "t3"),
            result!("2" "t4"),
            result!("3" "t5"),
            result!("4" "t6"),
            result!("5" "s0"),
            result!("6" "s1"),
            result!("7" "s2"),
            result!("8" "s3"),
            result!("9" "s4"),
            result!("10" "s5"),
            result!("11" "s6"),
            result!("12" "s7"),
            result!("13" "s8"),
            result!("14" "s9"),
            result!("15" "s10"),
            "lw t0, 4*{group}+4(a0)",
            "addi a0, a0, 4*{group}+8",
            "add a2, a2, t0",
            "bnez t0, 2b",
            ".if {group} > 5",
            saved!("lw" "5" "s0"),
            saved!("lw" "6" "s1"),
            saved!("lw" "7" "s2"),
            saved!("lw" "8" "s3"),
            saved!("lw" "9" "s4"),
            saved!("lw" "10" "s5"),
            saved!("lw" "11" "s6"),
            saved!("lw" "12" "s7"),
            saved!("lw" "13" "s8"),
            saved!("lw" "14" "s9"),
            saved!("lw" "15" "s10"),
            "addi sp, sp, (4*({group}-5)+15)/16*16",
            ".endif",
            "ret",
            group = const GROUP,
            unroll = const UNROLL,
            x_unsigned = const X_UNSIGNED as usize,
            y_unsigned = const Y_UNSIGNED as usize,
            skip = const SKIP,
            relu = const RELU as usize,
            constant_time = const CONSTANT_TIME as usize,
        )
    }
}
