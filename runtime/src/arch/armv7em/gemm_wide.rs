//! Fully connected layer with whole accumulators and multipliers: ONNX `Gemm`, and `MatMul` with a constant operand.

use crate::Element;

/// [`kernels::Gemm`](crate::kernels::Gemm) for what [`Gemm`](super::Gemm) cannot compute: int16 activations, and sums or
/// multipliers that do not fit two in a lane. Activations are read and written as they are.
///
/// For every four outputs the stream holds their biases, one word of weights each for every four inputs, and their
/// multipliers. A word's bytes are in the order in which `sxtb16` takes them for the lanes of the operand: of four int8
/// activations these are the first and third, then the second and fourth; of int16 the first two, then the last two.
/// Blocks of four inputs as in [`GemmBytes`](super::GemmBytes).
///
/// 1.2 to 1.4 instructions a multiply-accumulate operation. `X` and `Y` are the types of activations, `I` is the number of
/// inputs, at least 4, `O` that of outputs, `N` the length of the stream. Results saturate to their type; with `RELU`, which
/// is for int16, negative ones become 0.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmWide<X, Y, const I: usize, const O: usize, const N: usize, const RELU: bool> {
    head: Head,
    stream: [u32; N],
    types: core::marker::PhantomData<fn(X) -> Y>,
}

/// What the assembly is told of a layer. The order of the fields is the assembly's.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(not(tinymlp_arch = "armv7em"), allow(dead_code))]
struct Head {
    /// Bytes of a row of input.
    x_bytes: u32,
    /// Bytes from the first four inputs to the second.
    step: u32,
    /// Bytes of a row of output.
    y_bytes: u32,
    /// Added to every result before it saturates.
    zero_point: i32,
}

/// Length of the stream of a layer.
pub const fn wide_stream_len(inputs: usize, outputs: usize) -> usize {
    outputs.div_ceil(4).saturating_mul(8 + 4 * inputs.div_ceil(4))
}

impl<X: Element, Y: Element, const I: usize, const O: usize, const N: usize, const RELU: bool>
    GemmWide<X, Y, I, O, N, RELU>
{
    /// A layer with a zero point, which is added to every result before it saturates, and a stream of constants.
    pub const fn new(zero_point: i32, stream: [u32; N]) -> Self {
        const { assert!(I >= 4 && O > 0 && N == wide_stream_len(I, O) && (!RELU || size_of::<Y>() == 2)) };
        let step = if I.is_multiple_of(4) { 4 } else { I % 4 };
        let head = Head {
            x_bytes: (I * size_of::<X>()) as u32,
            step: (step * size_of::<X>()) as u32,
            y_bytes: (O * size_of::<Y>()) as u32,
            zero_point,
        };
        Self { head, stream, types: core::marker::PhantomData }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[X; I]; R], y: &mut [[Y; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv7em")]
            {
                let (layer, x, y) = ((&raw const *self).cast(), x.as_ptr().cast(), y.as_mut_ptr().cast());
                // SAFETY: by the sizes in the types, which the head repeats, the assembly for these types reads this layer and I
                // elements and writes O. `Element` is implemented for `i8` and `i16` alone.
                unsafe {
                    match (size_of::<X>(), size_of::<Y>()) {
                        (1, 1) => asm::gemm::<1, 1, false>(layer, x, y),
                        (1, _) => asm::gemm::<1, 2, RELU>(layer, x, y),
                        (_, 1) => asm::gemm::<2, 1, false>(layer, x, y),
                        (_, _) => asm::gemm::<2, 2, RELU>(layer, x, y),
                    }
                }
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::gemm_wide(&self.stream, x, self.head.zero_point, RELU, y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv7em"))]
pub(super) mod portable {
    use crate::arch::armv7em::block_start;
    use crate::{Element, requantize};

    /// One row.
    pub fn gemm_wide<X: Element, Y: Element>(stream: &[u32], x: &[X], zero_point: i32, relu: bool, y: &mut [Y]) {
        let least = if relu { 0 } else { Y::MIN };
        let blocks = x.len().div_ceil(4);
        for (y, group) in y.chunks_mut(4).zip(stream.chunks_exact(8 + 4 * blocks)) {
            let (bias, rest) = group.split_at_checked(4).unwrap_or_default();
            let (weights, multiplier) = rest.split_at_checked(4 * blocks).unwrap_or_default();
            for (k, y) in y.iter_mut().enumerate() {
                let mut acc = bias.get(k).map_or(0, |&b| b as i32);
                for block in 0..blocks {
                    let [a, b, c, d] = weights.get(4 * block + k).map_or([0; 4], |w| w.to_le_bytes());
                    let ordered = if size_of::<X>() == 1 { [a, b, c, d] } else { [a, c, b, d] };
                    for (w, x) in ordered.into_iter().zip(x.iter().skip(block_start(x.len(), block))) {
                        acc = acc.wrapping_add(i32::from(w as i8).wrapping_mul((*x).into()));
                    }
                }
                let multiplier = multiplier.get(k).map_or(0, |&m| m as i32);
                let value = requantize(acc, multiplier, 0).wrapping_add(zero_point);
                *y = Y::truncate(value.clamp(least, Y::MAX));
            }
        }
    }
}

#[cfg(tinymlp_arch = "armv7em")]
mod asm {
    use core::arch::naked_asm;

    /// Four inputs of one output, whose weights are in a register.
    #[rustfmt::skip]
    macro_rules! multiply {
        ($acc:literal, $w:literal) => {
            concat!(
                "sxtb16 r12, ", $w, "\n smlad ", $acc, ", r12, r10, ", $acc, "\n", "sxtb16 ", $w, ", ", $w,
                ", ror #8\n smlad ", $acc, ", ", $w, ", r11, ", $acc,
            )
        };
    }
    /// Saturates and stores a result; the last one ends the layer.
    #[rustfmt::skip]
    macro_rules! store {
        ($acc:literal) => {
            concat!(
                ".if {y} == 1\n ssat ", $acc, ", #8, ", $acc, "\n strb ", $acc, ", [r10], #1\n",
                ".elseif {relu}\n usat ", $acc, ", #15, ", $acc, "\n strh ", $acc, ", [r10], #2\n",
                ".else\n ssat ", $acc, ", #16, ", $acc, "\n strh ", $acc, ", [r10], #2\n .endif\n",
                "cmp r10, r11\n beq 5f",
            )
        };
    }

    /// One row. `r0` is the layer and becomes the position in its stream.
    ///
    /// # Safety
    /// `layer` is a `GemmWide`, `x` and `y` are a row of its input and output, of elements of `X` and `Y` bytes.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<const X: usize, const Y: usize, const RELU: bool>(
        layer: *const u32,
        x: *const u8,
        y: *mut u8,
    ) {
        naked_asm!(
            extensions!(),
            "push {{r4-r11, lr}}",
            "ldm r0!, {{r4-r7}}",
            "add lr, r1, r4",
            "add r6, r2",
            "mov r4, r2",
            // The frame: 0 x, 4 y, 8 the first step, 12 the end of y, 16 zero point
            "push {{r1, r4, r5, r6, r7}}",
            "2:",
            "ldm r0!, {{r2-r5}}",
            "ldr r1, [sp]",
            "ldr r12, [sp, #8]",
            ".if {x} == 1",
            "ldr r11, [r1]",
            ".else",
            "ldr r10, [r1]",
            "ldr r11, [r1, #4]",
            ".endif",
            "add r1, r12",
            "b 4f",
            "3:",
            ".if {x} == 1",
            "ldr r11, [r1], #4",
            ".else",
            "ldr r10, [r1], #4",
            "ldr r11, [r1], #4",
            ".endif",
            "4:",
            ".if {x} == 1",
            "sxtb16 r10, r11",
            "sxtb16 r11, r11, ror #8",
            ".endif",
            "ldm r0!, {{r6-r9}}",
            multiply!("r2", "r6"),
            multiply!("r3", "r7"),
            multiply!("r4", "r8"),
            multiply!("r5", "r9"),
            "cmp r1, lr",
            "bne 3b",
            "ldm r0!, {{r6-r9}}",
            "ldr r12, [sp, #16]",
            "ldr r10, [sp, #4]",
            "ldr r11, [sp, #12]",
            "smmlar r2, r2, r6, r12",
            "smmlar r3, r3, r7, r12",
            "smmlar r4, r4, r8, r12",
            "smmlar r5, r5, r9, r12",
            store!("r2"),
            store!("r3"),
            store!("r4"),
            store!("r5"),
            "str r10, [sp, #4]",
            "b 2b",
            "5:",
            "add sp, #20",
            "pop {{r4-r11, pc}}",
            x = const X,
            y = const Y,
            relu = const RELU as usize,
        )
    }
}
