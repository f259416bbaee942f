//! Fully connected layer over vectors of int8: ONNX `Gemm`, and `MatMul` with a constant operand.

use crate::Clamp;

/// Inputs of a vector.
pub const CHUNK: usize = 16;

/// [`kernels::Gemm`](crate::kernels::Gemm) with its constants as one stream of words, in the order in which they are
/// used.
///
/// For every four outputs the stream holds their four biases; then, for every sixteen inputs, sixteen weights (four
/// words) of each of the four; then their four multipliers. Where inputs are no multiple of sixteen, the weights that
/// fill the last vector up are not used. One to three outputs that the groups of four leave follow as a smaller group.
///
/// Results are those of [`requantize`](crate::requantize), which is one `vrmulh` for four outputs, plus the zero point.
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream, `LAST` the size of the smaller
/// group, `SHIFT` that of `requantize`. Layers with the same `LAST` and `SHIFT` share the code.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Gemm<const I: usize, const O: usize, const N: usize, const LAST: usize, const SHIFT: u32> {
    head: Head,
    stream: [u32; N],
}

/// What the assembly is told of a layer. The order of the fields is the assembly's.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[cfg_attr(not(tinymlp_arch = "armv8m"), allow(dead_code))]
struct Head {
    /// Smallest result.
    min: i32,
    /// Groups of four outputs.
    fours: usize,
    /// Largest result.
    max: i32,
    /// Number of inputs.
    inputs: usize,
    /// Added to every result before it is limited.
    zero_point: i32,
}

/// Length of the stream of a layer.
pub const fn stream_len(inputs: usize, outputs: usize) -> usize {
    outputs / 4 * group_len(inputs, 4) + group_len(inputs, last(outputs))
}

/// Words of a group of outputs.
pub const fn group_len(inputs: usize, size: usize) -> usize {
    size * (2 + inputs.div_ceil(CHUNK) * (CHUNK / 4))
}

/// Outputs after the groups of four: 0 to 3.
pub const fn last(outputs: usize) -> usize {
    outputs % 4
}

impl<const I: usize, const O: usize, const N: usize, const LAST: usize, const SHIFT: u32> Gemm<I, O, N, LAST, SHIFT> {
    /// A layer with the limits of its results and a stream of constants.
    pub const fn new(output: Clamp<i8>, stream: [u32; N]) -> Self {
        const { assert!(I > 0 && O > 0 && N == stream_len(I, O) && LAST == last(O) && SHIFT < 32) };
        let Clamp { zero_point, min, max } = output;
        let head = Head { min: min as i32, fours: O / 4, max: max as i32, inputs: I, zero_point: zero_point as i32 };
        Self { head, stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i8; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv8m")]
            {
                let layer = (&raw const *self).cast();
                // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and I bytes and
                // writes O bytes.
                unsafe { asm::gemm::<LAST, SHIFT>(layer, x.as_ptr(), y.as_mut_ptr()) };
            }
            #[cfg(not(tinymlp_arch = "armv8m"))]
            {
                let Head { min, max, zero_point, .. } = self.head;
                let output = Clamp { zero_point: zero_point as i8, min: min as i8, max: max as i8 };
                portable::gemm(&self.stream, x, SHIFT, output, y);
            }
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv8m"))]
pub(super) mod portable {
    use super::CHUNK;
    use crate::{Clamp, requantize};

    /// One row of [`Gemm`](super::Gemm). A stream that is too short ends it.
    pub fn gemm(mut stream: &[u32], x: &[i8], shift: u32, output: Clamp<i8>, y: &mut [i8]) {
        for y in y.chunks_mut(4) {
            let mut acc = [0i32; 4];
            let Some(bias) = stream.split_off(..y.len()) else { return };
            acc.iter_mut().zip(bias).for_each(|(acc, &bias)| *acc = bias as i32);
            for x in x.chunks(CHUNK) {
                for acc in acc.iter_mut().take(y.len()) {
                    let Some(weights) = stream.split_off(..CHUNK / 4) else { return };
                    let weights = weights.iter().flat_map(|word| word.to_le_bytes());
                    for (&x, w) in x.iter().zip(weights) {
                        *acc = acc.wrapping_add(i32::from(x).wrapping_mul(i32::from(w as i8)));
                    }
                }
            }
            let Some(multiplier) = stream.split_off(..y.len()) else { return };
            for ((y, acc), &multiplier) in y.iter_mut().zip(acc).zip(multiplier) {
                *y = output.apply(requantize(acc, multiplier as i32, shift));
            }
        }
    }
}

#[cfg(tinymlp_arch = "armv8m")]
mod asm {
    use core::arch::naked_asm;

    /// One row. `r0` is the layer and becomes the position in its stream.
    ///
    /// # Safety
    /// `layer` is a `Gemm` with this `LAST` and `SHIFT`, `x` and `y` are a row of its input and output. The core has
    /// Helium, and it is enabled (as floating point is).
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<const LAST: usize, const SHIFT: u32>(
        layer: *const u32,
        x: *const i8,
        y: *mut i8,
    ) {
        naked_asm!(
            extensions!(),
            "push {{r4-r9, r11, lr}}",
            // r5 groups, r7 inputs, r11 zero point; q2 and q3 the limits
            "ldm r0!, {{r4-r7, r11}}",
            "vdup.32 q2, r4",
            "vdup.32 q3, r6",
            "mov r9, r1",
            "mov r3, r2",
            "cbz r5, 4f",
            // Four outputs, in r2, r4, r6 and r8: only even registers take sums.
            "2:",
            "ldm r0!, {{r2, r4, r6, r8}}",
            "mov r1, r9",
            "dlstp.8 lr, r7",
            "3:",
            "vldrb.u8 q0, [r1], #16",
            "vldrb.u8 q1, [r0], #16",
            "vmladava.s8 r2, q0, q1",
            "vldrb.u8 q1, [r0], #16",
            "vmladava.s8 r4, q0, q1",
            "vldrb.u8 q1, [r0], #16",
            "vmladava.s8 r6, q0, q1",
            "vldrb.u8 q1, [r0], #16",
            "vmladava.s8 r8, q0, q1",
            "letp lr, 3b",
            "vmov q0[2], q0[0], r2, r6",
            "vmov q0[3], q0[1], r4, r8",
            "vldrw.u32 q1, [r0], #16",
            ".if {shift} > 0",
            "vshl.i32 q0, q0, #{shift}",
            ".endif",
            "vrmulh.s32 q0, q0, q1",
            "vadd.i32 q0, q0, r11",
            "vmax.s32 q0, q0, q2",
            "vmin.s32 q0, q0, q3",
            "vstrb.32 q0, [r3], #4",
            "subs r5, #1",
            "bne 2b",
            "4:",
            // One to three outputs.
            ".if {last} > 0",
            "ldr r2, [r0], #4",
            ".if {last} > 1",
            "ldr r4, [r0], #4",
            ".endif",
            ".if {last} > 2",
            "ldr r6, [r0], #4",
            ".endif",
            "dlstp.8 lr, r7",
            "5:",
            "vldrb.u8 q0, [r9], #16",
            "vldrb.u8 q1, [r0], #16",
            "vmladava.s8 r2, q0, q1",
            ".if {last} > 1",
            "vldrb.u8 q1, [r0], #16",
            "vmladava.s8 r4, q0, q1",
            ".endif",
            ".if {last} > 2",
            "vldrb.u8 q1, [r0], #16",
            "vmladava.s8 r6, q0, q1",
            ".endif",
            "letp lr, 5b",
            "movs r5, #{last}",
            "vmov q0[2], q0[0], r2, r6",
            ".if {last} > 1",
            "vmov q0[3], q0[1], r4, r8",
            ".endif",
            "vctp.32 r5",
            "vpst",
            "vldrwt.u32 q1, [r0]",
            ".if {shift} > 0",
            "vshl.i32 q0, q0, #{shift}",
            ".endif",
            "vrmulh.s32 q0, q0, q1",
            "vadd.i32 q0, q0, r11",
            "vmax.s32 q0, q0, q2",
            "vmin.s32 q0, q0, q3",
            "vpst",
            "vstrbt.32 q0, [r3]",
            ".endif",
            "pop {{r4-r9, r11, pc}}",
            last = const LAST,
            shift = const SHIFT,
        )
    }
}
