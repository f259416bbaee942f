//! Fully connected layer over pairs of rows: two products a multiplication.

use super::pair_words;

/// Outputs of a group.
pub const THREE: usize = 3;

/// [`kernels::Gemm`](crate::kernels::Gemm) for two rows at a time, an operand of [`Pairs`](super::Pairs).
///
/// A weight times a word that holds an input of either row gives both products, `w * x[0] + 2^16 * w * x[1]`. The sum of two
/// of them, with weights from -127 to 127, has 16 bits for each row, whatever the inputs: half a step of `2^16` added, its upper half is
/// exactly what the second row gets. Those are added up, and the whole sums modulo 2^32; what the first row gets is what is
/// left of these when `2^16` times those is taken off. Weights are stored plus 128, as only unsigned bytes can be
/// loaded with an offset; the operand's words take that back.
///
/// Outputs are computed in groups of three; the last is filled up. The stream begins with the zero point plus 128. For every
/// group it holds what whole sums begin with, what those of the second row begin with (the biases), the weights plus 128 as
/// bytes (two inputs of every output, then the next two inputs), and for every output a multiplier of 16 bits and a shift
/// of 1 to 16: results are those of a wide layer of [`Gemm`](super::Gemm).
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream. `BRANCHES` says whether time may depend on
/// whether results are limited.
#[derive(Clone, Debug)]
pub struct GemmPairs<const I: usize, const O: usize, const N: usize, const BRANCHES: bool> {
    /// The constants.
    pub stream: [u32; N],
}

/// Length of the stream of a layer.
pub const fn pairs_stream_len(inputs: usize, outputs: usize) -> usize {
    let group = 3 * THREE + pair_words(inputs) / 2;
    outputs.div_ceil(THREE).saturating_mul(group).saturating_add(1)
}

impl<const I: usize, const O: usize, const N: usize, const BRANCHES: bool> GemmPairs<I, O, N, BRANCHES> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const P: usize, const W: usize, const R: usize>(&self, x: &[[i32; W]; P], y: &mut [[i8; O]; R]) {
        const { assert!(I > 0 && O > 0 && W == pair_words(I) && N == pairs_stream_len(I, O) && R == 2 * P) };
        for (x, y) in x.iter().zip(y.as_chunks_mut::<2>().0) {
            #[cfg(tinymlp_arch = "armv6m")]
            {
                let shape = const { &asm::Shape { operand: 4 * W, outputs: O } };
                // SAFETY: by the sizes in the types, the assembly reads the stream and W words, and writes two rows of O results.
                unsafe { asm::gemm::<BRANCHES>(self.stream.as_ptr(), x.as_ptr(), y.as_mut_ptr().cast(), shape) };
            }
            #[cfg(not(tinymlp_arch = "armv6m"))]
            portable::gemm_pairs(&self.stream, x, y.as_flattened_mut());
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv6m"))]
pub(super) mod portable {
    use super::THREE;

    /// Two rows of [`GemmPairs`](super::GemmPairs), one behind the other in `y`. A stream that is too short ends it.
    pub fn gemm_pairs(mut stream: &[u32], x: &[i32], y: &mut [i8]) {
        let (first, second) = y.split_at_mut(y.len() / 2);
        let Some(&zero_point) = stream.split_off_first() else { return };
        let words = x.len() / 2;
        for (first, second) in first.chunks_mut(THREE).zip(second.chunks_mut(THREE)) {
            let parts = (
                stream.split_off(..THREE),
                stream.split_off(..THREE),
                stream.split_off(..words),
                stream.split_off(..THREE),
            );
            let (Some(whole), Some(bias), Some(weights), Some(scale)) = parts else { return };
            let constants = whole.iter().zip(bias).zip(scale).enumerate();
            for (((o, ((&whole, &bias), &scale)), first), second) in constants.zip(first).zip(second) {
                let (mut whole, mut sum) = (whole as i32, bias as i32);
                let weight = |k: usize| weights.get(k / 4).map_or(0, |w| w.to_le_bytes()[k % 4]).into();
                for (k, &[start, x, next]) in x.as_chunks::<3>().0.iter().enumerate() {
                    let at = 2 * (THREE * k + o);
                    let products = [x.wrapping_mul(weight(at)), next.wrapping_mul(weight(at + 1))];
                    let both = start.wrapping_add(products[0]).wrapping_add(products[1]);
                    whole = whole.wrapping_add(both);
                    sum = sum.wrapping_add(both >> 16);
                }
                let (multiplier, shift) = (i64::from(scale & 0xffff), scale >> 16);
                let scaled = |acc: i32| {
                    let product = ((i64::from(acc) * multiplier) >> 16) as i32;
                    let half = 1i32.wrapping_shl(shift.wrapping_sub(1));
                    let value = product.wrapping_add(half).wrapping_shr(shift).wrapping_add(zero_point as i32);
                    (value.clamp(0, 255) - 128) as i8
                };
                *first = scaled(whole.wrapping_sub(sum << 16));
                *second = scaled(sum);
            }
        }
    }
}

#[cfg(tinymlp_arch = "armv6m")]
mod asm {
    use core::arch::naked_asm;

    /// What the assembly is told of a layer. The order of the fields is the assembly's.
    #[repr(C)]
    pub(super) struct Shape {
        /// Bytes of the operand.
        pub(super) operand: usize,
        /// Results of a row.
        pub(super) outputs: usize,
    }

    /// Output `$j` of the group for two inputs, in r3 and r4, whose weights are `$k` bytes on.
    #[rustfmt::skip]
    macro_rules! output {
        ($k:literal, $j:literal, $whole:literal, $sum:literal) => {
            concat!(
                " ldrb r5, [r0, #(", $k, " + 2 * ", $j, ")]\n muls r5, r3, r5\n",
                " ldrb r6, [r0, #(", $k, " + 2 * ", $j, " + 1)]\n muls r6, r4, r6\n",
                " adds r5, r5, r6\n adds r5, r5, r2\n add ", $whole, ", r5\n asrs r5, r5, #16\n add ", $sum, ", r5\n",
            )
        };
    }
    /// All outputs of the group for two inputs.
    #[rustfmt::skip]
    macro_rules! inputs {
        ($k:literal) => {
            concat!(
                " ldm r1!, {{r2, r3, r4}}\n", output!($k, "0", "r8", "r11"), output!($k, "1", "r9", "r12"),
                output!($k, "2", "r10", "lr"),
            )
        };
    }
    /// The sum in `$acc` becomes the result. The multiplier is in r4, the shift in r5, the zero point plus 128 in r7.
    #[rustfmt::skip]
    macro_rules! scale {
        ($acc:literal) => {
            concat!(
                " uxth r6, ", $acc, "\n muls r6, r4, r6\n lsrs r6, r6, #16\n asrs ", $acc, ", ", $acc, ", #16\n",
                " muls ", $acc, ", r4, ", $acc, "\n adds ", $acc, ", ", $acc, ", r6\n asrs ", $acc, ", r5\n adcs ",
                $acc, ", r7\n", " .if {branches}\n lsrs r6, ", $acc, ", #8\n beq 5f\n asrs ", $acc, ", ", $acc,
                ", #31\n mvns ", $acc, ", ", $acc, "\n 5:\n .else\n asrs r6, ", $acc, ", #31\n bics ", $acc,
                ", r6\n movs r6, #255\n subs r6, r6, ", $acc, "\n asrs r6, r6, #31\n orrs ", $acc, ", r6\n .endif\n",
                " adds ", $acc, ", #128\n",
            )
        };
    }
    /// Both results of output `$j` to `[r1]` and as much further on as a row has results.
    #[rustfmt::skip]
    macro_rules! results {
        ($j:literal, $whole:literal, $sum:literal) => {
            concat!(
                " mov r2, ", $sum, "\n mov r3, ", $whole, "\n lsls r4, r2, #16\n subs r3, r3, r4\n",
                " ldrh r4, [r0, #(4 * ", $j, ")]\n ldrh r5, [r0, #(4 * ", $j, " + 2)]\n", scale!("r3"),
                scale!("r2"), " ldr r6, [sp, #16]\n strb r3, [r1]\n strb r2, [r1, r6]\n adds r1, #1\n",
            )
        };
    }

    /// # Safety
    /// `stream` is that of a layer of `shape`, `x` its operand, `y` two rows of results. `stream` and `x` are aligned to
    /// four bytes.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<const BRANCHES: bool>(
        stream: *const u32,
        x: *const i32,
        y: *mut u8,
        shape: &Shape,
    ) {
        naked_asm!(
            "push {{r4-r7, lr}}",
            "mov r4, r8",
            "mov r5, r9",
            "mov r6, r10",
            "mov r7, r11",
            "push {{r4-r7}}",
            // The frame: 0 x, 4 end of x, 8 y, 12 end of its first row, 16 results of a row, 20 zero point
            "sub sp, #24",
            "ldm r3!, {{r4, r5}}",
            "str r1, [sp]",
            "adds r4, r4, r1",
            "str r4, [sp, #4]",
            "str r2, [sp, #8]",
            "adds r6, r2, r5",
            "str r6, [sp, #12]",
            "str r5, [sp, #16]",
            "ldm r0!, {{r4}}",
            "str r4, [sp, #20]",
            "2:",
            "ldm r0!, {{r2-r7}}",
            "mov r8, r2",
            "mov r9, r3",
            "mov r10, r4",
            "mov r11, r5",
            "mov r12, r6",
            "mov lr, r7",
            "ldr r1, [sp]",
            "ldr r7, [sp, #4]",
            "3:",
            concat!(inputs!("0"), inputs!("6"), inputs!("12"), inputs!("18")),
            "adds r0, #24",
            "cmp r1, r7",
            "bne 3b",
            "ldr r7, [sp, #20]",
            "ldr r1, [sp, #8]",
            results!("0", "r8", "r11"),
            "ldr r6, [sp, #12]",
            "cmp r1, r6",
            "beq 9f",
            results!("1", "r9", "r12"),
            "ldr r6, [sp, #12]",
            "cmp r1, r6",
            "beq 9f",
            results!("2", "r10", "lr"),
            "ldr r6, [sp, #12]",
            "cmp r1, r6",
            "beq 9f",
            "adds r0, #12",
            "str r1, [sp, #8]",
            "b 2b",
            "9:",
            "add sp, #24",
            "pop {{r4-r7}}",
            "mov r8, r4",
            "mov r9, r5",
            "mov r10, r6",
            "mov r11, r7",
            "pop {{r4-r7, pc}}",
            branches = const BRANCHES as usize,
        )
    }
}
