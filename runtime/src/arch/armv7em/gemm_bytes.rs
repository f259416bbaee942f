//! Fully connected layer from int8 to int8 in the fewest bytes: ONNX `Gemm`, and `MatMul` with a constant operand.

/// [`kernels::Gemm`](crate::kernels::Gemm) on activations as they are: no step before it packs them, and it needs no
/// memory for that. One function serves all layers, two outputs at a time.
///
/// For every two outputs A and B the stream holds `A`'s bias and that of `A + 256 * B`, two words of weights for every
/// four inputs (packed as in [`Gemm`](super::Gemm); the lanes are the first and third, then the second and fourth), and
/// the two multipliers, without their lowest `shift` bits, as 16-bit integers. Where the number of inputs is no
/// multiple of four, the second four begin before the end of the first; what was there before has weights of zero.
///
/// 1.5 instructions a multiply-accumulate operation. `I` is the number of inputs, at least 4, `O` that of outputs, `N` the
/// length of the stream.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmBytes<const I: usize, const O: usize, const N: usize> {
    head: Head,
    stream: [u32; N],
}

/// What the assembly is told of a layer. The order of the fields is the assembly's.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(not(tinymlp_arch = "armv7em"), allow(dead_code))]
pub(super) struct Head {
    inputs: u32,
    /// From the first four inputs to the second.
    step: u32,
    outputs: u32,
    /// Added to every result before it saturates.
    pub(super) zero_point: i32,
    /// Bits that the multipliers lack; at least 8 where two outputs share a lane.
    pub(super) shift: u32,
}

impl Head {
    /// Of a layer of so many inputs and outputs.
    pub(super) const fn new(inputs: usize, outputs: usize, zero_point: i32, shift: u32) -> Self {
        let step = if inputs.is_multiple_of(4) { 4 } else { inputs % 4 };
        Self { inputs: inputs as u32, step: step as u32, outputs: outputs as u32, zero_point, shift }
    }
}

/// Blocks of four inputs.
pub(super) const fn blocks(inputs: usize) -> usize {
    inputs.div_ceil(4)
}

/// Length of the stream of a layer.
pub const fn bytes_stream_len(inputs: usize, outputs: usize) -> usize {
    outputs.div_ceil(2).saturating_mul(3 + 2 * blocks(inputs))
}

/// Of so many inputs, the first of the four in a block.
pub const fn block_start(inputs: usize, block: usize) -> usize {
    match block {
        0 => 0,
        _ => inputs - 4 * (blocks(inputs) - block),
    }
}

impl<const I: usize, const O: usize, const N: usize> GemmBytes<I, O, N> {
    /// A layer with a zero point, which is added to every result before it saturates to int8, the bits that the
    /// multipliers lack, and a stream of constants.
    pub const fn new(zero_point: i32, shift: u32, stream: [u32; N]) -> Self {
        const { assert!(I >= 4 && O > 0 && N == bytes_stream_len(I, O)) };
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
                asm::gemm((&raw const *self).cast(), x.as_ptr(), y.as_mut_ptr());
            }
            #[cfg(not(tinymlp_arch = "armv7em"))]
            portable::gemm_bytes(&self.stream, x, [self.head.zero_point, self.head.shift as i32], y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv7em"))]
pub(super) mod portable {
    use super::{block_start, blocks};
    use crate::requantize;

    /// One row; the scalars are zero point and shift.
    pub fn gemm_bytes(stream: &[u32], x: &[i8], [zero_point, shift]: [i32; 2], y: &mut [i8]) {
        let groups = stream.chunks_exact(3 + 2 * blocks(x.len()));
        for (y, group) in y.chunks_mut(2).zip(groups) {
            let &[one, both, ref rest @ .., multipliers] = group else { return };
            let (mut one, mut both) = (one as i32, both as i32);
            for (block, words) in rest.as_chunks::<2>().0.iter().enumerate() {
                let at = block_start(x.len(), block);
                let byte = |k: usize| x.get(at + k).map_or(0, |&x| i32::from(x));
                for (&w, [first, second]) in words.iter().zip([[0, 2], [1, 3]]) {
                    let [both0, both1] = [w as i16 as i32, w as i32 >> 16];
                    let [one0, one1] = [both0 as i8 as i32, both1 as i8 as i32];
                    one = one.wrapping_add(one0 * byte(first)).wrapping_add(one1 * byte(second));
                    both = both.wrapping_add(both0 * byte(first)).wrapping_add(both1 * byte(second));
                }
            }
            let sums = [one, both.wrapping_sub(one)];
            for (k, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
                // The sum of B is 256 times too large, its multiplier shifted less by as much.
                let cut = if k == 0 { shift } else { shift - 8 };
                let multiplier = ((multipliers >> (16 * k)) & 0xffff).wrapping_shl(cut as u32) as i32;
                *y = requantize(sum, multiplier, 0).wrapping_add(zero_point).clamp(-128, 127) as i8;
            }
        }
    }
}

#[cfg(tinymlp_arch = "armv7em")]
mod asm {
    use core::arch::naked_asm;

    /// One row. `r0` is the layer and becomes the position in its stream.
    ///
    /// # Safety
    /// `layer` is a `GemmBytes`, `x` and `y` are a row of its input and output.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm(layer: *const u32, x: *const i8, y: *mut i8) {
        naked_asm!(
            extensions!(),
            "push {{r4-r11, lr}}",
            "ldm r0!, {{r3-r7}}",
            "push {{r7}}",
            "mov r8, r2",
            "mov r9, r1",
            "add r10, r1, r3",
            "mov r11, r4",
            "mov r12, r6",
            "add lr, r2, r5",
            // r8 y, r9 x, r10 its end, r11 the first step, r12 zero point, lr the end of y, on the stack the shift.
            "2:",
            "ldm r0!, {{r2, r3}}",
            "mov r1, r9",
            "ldr r6, [r1]",
            "add r1, r11",
            "b 4f",
            "3:",
            "ldr r6, [r1], #4",
            "4:",
            "ldm r0!, {{r4, r5}}",
            "sxtb16 r7, r6",
            "sxtb16 r6, r6, ror #8",
            "smlad r3, r4, r7, r3",
            "sxtb16 r4, r4",
            "smlad r2, r4, r7, r2",
            "smlad r3, r5, r6, r3",
            "sxtb16 r5, r5",
            "smlad r2, r5, r6, r2",
            "cmp r1, r10",
            "bne 3b",
            "ldm r0!, {{r5}}",
            "ldr r6, [sp]",
            "uxth r4, r5",
            "lsrs r5, r5, #16",
            "lsls r4, r6",
            "subs r6, #8",
            "lsls r5, r6",
            "subs r3, r3, r2",
            "smmlar r2, r2, r4, r12",
            "smmlar r3, r3, r5, r12",
            "ssat r2, #8, r2",
            "strb r2, [r8], #1",
            "cmp r8, lr",
            "beq 5f",
            "ssat r3, #8, r3",
            "strb r3, [r8], #1",
            "cmp r8, lr",
            "bne 2b",
            "5:",
            "pop {{r3-r11, pc}}",
        )
    }
}
