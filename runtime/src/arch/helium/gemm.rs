//! Fully connected layer over vectors of int8 or int16: ONNX `Gemm`, and `MatMul` with a constant operand.

use crate::Element;
use core::marker::PhantomData;

/// Inputs of a vector of int8 (`bytes` is 1) or int16 (2).
pub const fn lanes(bytes: usize) -> usize {
    16 / bytes
}

/// [`kernels::Gemm`](crate::kernels::Gemm) with its constants as one stream of words, in the order in which they are
/// used.
///
/// For every four outputs the stream holds their four biases; then, for every vector of inputs, sixteen of int8 or eight of
/// int16, as many weights of each of the four, four to a word; then their four multipliers. Where inputs do not fill the
/// last vector, the weights that do are not used. One to three outputs that the groups of four leave follow as a smaller
/// group.
///
/// Results are those of [`requantize`](crate::requantize), which is one `vrmulh` for four outputs, plus the zero point.
///
/// `X` and `Y` are the types of inputs and outputs, `I` and `O` their numbers, `N` the length of the stream, `LAST` the
/// size of the smaller group, `SHIFT` that of `requantize`. Layers with the same types, `LAST` and `SHIFT` share the code.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Gemm<X, Y, const I: usize, const O: usize, const N: usize, const LAST: usize, const SHIFT: u32> {
    head: Head,
    stream: [u32; N],
    types: PhantomData<(X, Y)>,
}

/// [`Gemm`] whose sums are the result: its stream has no multipliers.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmSums<X, const I: usize, const O: usize, const N: usize, const LAST: usize> {
    head: Head,
    stream: [u32; N],
    types: PhantomData<X>,
}

/// [`Gemm`] from `i8` with weights of four bits.
///
/// The weights of two outputs share their vectors: those of the first are the lower halves of bytes, those of the second
/// the upper ones, all in two's complement. One shift left or right brings a weight into the place of a byte, so that the
/// first of two has its sum times sixteen, bias included, until it is complete: the code generator proves that it fits 32
/// bits. Five instructions for two outputs and sixteen inputs, where weights of eight bits take four.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmPacked<Y, const I: usize, const O: usize, const N: usize, const LAST: usize, const SHIFT: u32> {
    head: Head,
    stream: [u32; N],
    types: PhantomData<Y>,
}

/// [`GemmPacked`] whose sums are the result: its stream has no multipliers.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct GemmPackedSums<const I: usize, const O: usize, const N: usize, const LAST: usize> {
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

/// What the stream of a layer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes of an input: 1 or 2.
    pub bytes: usize,
    /// Whether weights have four bits; inputs have one byte then.
    pub packed: bool,
    /// Whether the sums are the result.
    pub sums: bool,
}

impl Content {
    /// Length of the stream of a layer.
    pub const fn stream_len(self, inputs: usize, outputs: usize) -> usize {
        let fours = (outputs / 4).saturating_mul(self.group_len(inputs, 4));
        fours.saturating_add(self.group_len(inputs, last(outputs)))
    }

    /// Words of a group of outputs.
    pub const fn group_len(self, inputs: usize, size: usize) -> usize {
        let vectors = inputs.next_multiple_of(lanes(self.bytes)) / 4;
        let rows = if self.packed { size.div_ceil(2) } else { size };
        size * if self.sums { 1 } else { 2 } + rows * vectors
    }
}

/// Outputs after the groups of four: 0 to 3.
pub const fn last(outputs: usize) -> usize {
    outputs % 4
}

impl<X: Element, Y: Element, const I: usize, const O: usize, const N: usize, const LAST: usize, const SHIFT: u32>
    Gemm<X, Y, I, O, N, LAST, SHIFT>
{
    /// A layer with the limits of its results, from `min` to `max`, and a stream of constants.
    pub const fn new(zero_point: i32, min: i32, max: i32, stream: [u32; N]) -> Self {
        const {
            let content = Content { bytes: size_of::<X>(), packed: false, sums: false };
            assert!(I > 0 && O > 0 && N == content.stream_len(I, O) && LAST == last(O) && SHIFT < 32);
        };
        let head = Head { min, fours: O / 4, max, inputs: I, zero_point };
        Self { head, stream, types: PhantomData }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[X; I]; R], y: &mut [[Y; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv8m")]
            {
                let (layer, x, y) = ((&raw const *self).cast(), x.as_ptr().cast(), y.as_mut_ptr().cast());
                // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and I elements
                // and writes O elements.
                unsafe {
                    match (size_of::<X>(), size_of::<Y>()) {
                        (1, 1) => asm::gemm::<LAST, SHIFT, false, 1, false>(layer, x, y),
                        (1, _) => asm::gemm::<LAST, SHIFT, false, 2, false>(layer, x, y),
                        (_, 1) => asm::gemm::<LAST, SHIFT, true, 1, false>(layer, x, y),
                        (_, _) => asm::gemm::<LAST, SHIFT, true, 2, false>(layer, x, y),
                    }
                }
            }
            #[cfg(not(tinymlp_arch = "armv8m"))]
            {
                let Head { min, max, zero_point, .. } = self.head;
                let [zero_point, min, max] = [zero_point, min, max].map(Y::truncate);
                portable::gemm(&self.stream, x, false, SHIFT, crate::Clamp { zero_point, min, max }, y);
            }
        }
    }
}

impl<X: Element, const I: usize, const O: usize, const N: usize, const LAST: usize> GemmSums<X, I, O, N, LAST> {
    /// A layer with a stream of constants.
    pub const fn new(stream: [u32; N]) -> Self {
        const {
            let content = Content { bytes: size_of::<X>(), packed: false, sums: true };
            assert!(I > 0 && O > 0 && N == content.stream_len(I, O) && LAST == last(O));
        };
        Self { head: Head { min: 0, fours: O / 4, max: 0, inputs: I, zero_point: 0 }, stream, types: PhantomData }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[X; I]; R], y: &mut [[i32; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv8m")]
            {
                let (layer, x, y) = ((&raw const *self).cast(), x.as_ptr().cast(), y.as_mut_ptr().cast());
                // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and I elements
                // and writes O sums.
                unsafe {
                    match size_of::<X>() {
                        1 => asm::gemm::<LAST, 0, false, 4, false>(layer, x, y),
                        _ => asm::gemm::<LAST, 0, true, 4, false>(layer, x, y),
                    }
                }
            }
            #[cfg(not(tinymlp_arch = "armv8m"))]
            portable::gemm_sums(&self.stream, x, false, y);
        }
    }
}

impl<Y: Element, const I: usize, const O: usize, const N: usize, const LAST: usize, const SHIFT: u32>
    GemmPacked<Y, I, O, N, LAST, SHIFT>
{
    /// A layer with the limits of its results, from `min` to `max`, and a stream of constants.
    pub const fn new(zero_point: i32, min: i32, max: i32, stream: [u32; N]) -> Self {
        const {
            let content = Content { bytes: 1, packed: true, sums: false };
            assert!(I > 0 && O > 0 && N == content.stream_len(I, O) && LAST == last(O) && SHIFT < 32);
        };
        let head = Head { min, fours: O / 4, max, inputs: I, zero_point };
        Self { head, stream, types: PhantomData }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[Y; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv8m")]
            {
                let (layer, x, y) = ((&raw const *self).cast(), x.as_ptr().cast(), y.as_mut_ptr().cast());
                // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and I bytes
                // and writes O elements.
                unsafe {
                    match size_of::<Y>() {
                        1 => asm::gemm::<LAST, SHIFT, false, 1, true>(layer, x, y),
                        _ => asm::gemm::<LAST, SHIFT, false, 2, true>(layer, x, y),
                    }
                }
            }
            #[cfg(not(tinymlp_arch = "armv8m"))]
            {
                let Head { min, max, zero_point, .. } = self.head;
                let [zero_point, min, max] = [zero_point, min, max].map(Y::truncate);
                portable::gemm(&self.stream, x, true, SHIFT, crate::Clamp { zero_point, min, max }, y);
            }
        }
    }
}

impl<const I: usize, const O: usize, const N: usize, const LAST: usize> GemmPackedSums<I, O, N, LAST> {
    /// A layer with a stream of constants.
    pub const fn new(stream: [u32; N]) -> Self {
        const {
            let content = Content { bytes: 1, packed: true, sums: true };
            assert!(I > 0 && O > 0 && N == content.stream_len(I, O) && LAST == last(O));
        };
        Self { head: Head { min: 0, fours: O / 4, max: 0, inputs: I, zero_point: 0 }, stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i32; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv8m")]
            {
                let (layer, x, y) = ((&raw const *self).cast(), x.as_ptr().cast(), y.as_mut_ptr().cast());
                // SAFETY: by the sizes in the types, which the head repeats, the assembly reads this layer and I bytes
                // and writes O sums.
                unsafe { asm::gemm::<LAST, 0, false, 4, true>(layer, x, y) };
            }
            #[cfg(not(tinymlp_arch = "armv8m"))]
            portable::gemm_sums(&self.stream, x, true, y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv8m"))]
pub(super) mod portable {
    use super::lanes;
    use crate::{Clamp, Element, requantize};

    /// One row of [`Gemm`](super::Gemm), or of [`GemmPacked`](super::GemmPacked). A stream that is too short ends it.
    pub fn gemm<X: Element, Y: Element>(
        stream: &[u32],
        x: &[X],
        packed: bool,
        shift: u32,
        output: Clamp<Y>,
        y: &mut [Y],
    ) {
        row(stream, x, packed, y, |acc, multipliers, y| {
            let Some(multiplier) = multipliers.split_off(..y.len()) else { return };
            for ((y, acc), &multiplier) in y.iter_mut().zip(acc).zip(multiplier) {
                *y = output.apply(requantize(acc, multiplier as i32, shift));
            }
        });
    }

    /// One row of [`GemmSums`](super::GemmSums), or of [`GemmPackedSums`](super::GemmPackedSums), as [`gemm`].
    pub fn gemm_sums<X: Element>(stream: &[u32], x: &[X], packed: bool, y: &mut [i32]) {
        row(stream, x, packed, y, |acc, _, y| y.iter_mut().zip(acc).for_each(|(y, acc)| *y = acc));
    }

    /// Hands the sums of every group to `store`, with what follows in the stream.
    fn row<X: Element, Y>(
        mut stream: &[u32],
        x: &[X],
        packed: bool,
        y: &mut [Y],
        store: impl Fn([i32; 4], &mut &[u32], &mut [Y]),
    ) {
        let lanes = lanes(size_of::<X>());
        for y in y.chunks_mut(4) {
            let mut acc = [0i32; 4];
            let Some(bias) = stream.split_off(..y.len()) else { return };
            acc.iter_mut().zip(bias).for_each(|(acc, &bias)| *acc = bias as i32);
            for x in x.chunks(lanes) {
                for acc in acc.chunks_mut(if packed { 2 } else { 1 }).take(y.len().div_ceil(1 + usize::from(packed))) {
                    let Some(weights) = stream.split_off(..lanes / 4) else { return };
                    let weights = weights.iter().flat_map(|word| word.to_le_bytes());
                    for (&x, w) in x.iter().zip(weights) {
                        let mut add = |k: usize, w: u8| {
                            if let Some(acc) = acc.get_mut(k) {
                                *acc = acc.wrapping_add(x.into().wrapping_mul(i32::from(w as i8)));
                            }
                        };
                        if packed {
                            add(0, w << 4);
                            add(1, (w as i8 >> 4) as u8);
                        } else {
                            add(0, w);
                        }
                    }
                }
            }
            if packed {
                acc.iter_mut().step_by(2).for_each(|acc| *acc >>= 4);
            }
            store(acc, &mut stream, y);
        }
    }
}

#[cfg(tinymlp_arch = "armv8m")]
mod asm {
    use core::arch::naked_asm;

    /// As many weights of one output as there are inputs in q0, their products added to `$acc`.
    macro_rules! products {
        ($acc:literal) => {
            concat!(
                ".if {x16}\n vldrb.s16 q1, [r0], #8\n vmladava.s16 ",
                $acc,
                ", q0, q1\n .else\n vldrb.u8 q1, [r0], #16\n vmladava.s8 ",
                $acc,
                ", q0, q1\n .endif",
            )
        };
    }
    /// Weights of four bits of two outputs, or of one: the products of the first are sixteen times as large.
    macro_rules! halves {
        ($first:literal, $second:literal, $two:literal) => {
            concat!(
                "vldrb.u8 q1, [r0], #16\n vshl.i8 q4, q1, #4\n vmladava.s8 ",
                $first,
                ", q0, q4\n .if ",
                $two,
                "\n vshr.s8 q1, q1, #4\n vmladava.s8 ",
                $second,
                ", q0, q1\n .endif",
            )
        };
    }
    /// Stores the results in q0: a vector of four, or what is left.
    macro_rules! store {
        ($predicated:literal, $y:literal) => {
            concat!(
                ".if {out} == 4\n vstrw",
                $predicated,
                ".32 q0, ",
                $y,
                "\n .elseif {out} == 2\n vstrh",
                $predicated,
                ".32 q0, ",
                $y,
                "\n .else\n vstrb",
                $predicated,
                ".32 q0, ",
                $y,
                "\n .endif",
            )
        };
    }
    /// Begins a loop over the inputs.
    macro_rules! inputs {
        () => {
            ".if {x16}\n dlstp.16 lr, r7\n .else\n dlstp.8 lr, r7\n .endif"
        };
    }
    /// The next inputs to q0.
    macro_rules! vector {
        ($x:literal) => {
            concat!(".if {x16}\n vldrh.u16 q0, [", $x, "], #16\n .else\n vldrb.u8 q0, [", $x, "], #16\n .endif")
        };
    }

    /// One row. `r0` is the layer and becomes the position in its stream.
    ///
    /// # Safety
    /// `layer` is a layer with this `LAST` and `SHIFT`, of int16 inputs with `X16`, otherwise of int8, with results of `OUT`
    /// bytes, of which four are sums; its weights have four bits if `PACKED`. `x` and `y` are a row of its input and
    /// output. The core has Helium, and it is enabled (as floating point is).
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<
        const LAST: usize,
        const SHIFT: u32,
        const X16: bool,
        const OUT: usize,
        const PACKED: bool,
    >(
        layer: *const u32,
        x: *const u8,
        y: *mut u8,
    ) {
        naked_asm!(
            extensions!(),
            "push {{r4-r9, r11, lr}}",
            ".if {packed}",
            "vpush {{d8, d9}}",
            ".endif",
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
            inputs!(),
            "3:",
            vector!("r1"),
            ".if {packed}",
            halves!("r2", "r4", "1"),
            halves!("r6", "r8", "1"),
            ".else",
            products!("r2"),
            products!("r4"),
            products!("r6"),
            products!("r8"),
            ".endif",
            "letp lr, 3b",
            ".if {packed}",
            "asrs r2, r2, #4",
            "asrs r6, r6, #4",
            ".endif",
            "vmov q0[2], q0[0], r2, r6",
            "vmov q0[3], q0[1], r4, r8",
            ".if {out} < 4",
            "vldrw.u32 q1, [r0], #16",
            ".if {shift} > 0",
            "vshl.i32 q0, q0, #{shift}",
            ".endif",
            "vrmulh.s32 q0, q0, q1",
            "vadd.i32 q0, q0, r11",
            "vmax.s32 q0, q0, q2",
            "vmin.s32 q0, q0, q3",
            ".endif",
            store!("", "[r3], #(4 * {out})"),
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
            inputs!(),
            "5:",
            vector!("r9"),
            ".if {packed}",
            halves!("r2", "r4", "{last} > 1"),
            ".if {last} > 2",
            halves!("r6", "r8", "0"),
            ".endif",
            ".else",
            products!("r2"),
            ".if {last} > 1",
            products!("r4"),
            ".endif",
            ".if {last} > 2",
            products!("r6"),
            ".endif",
            ".endif",
            "letp lr, 5b",
            ".if {packed}",
            "asrs r2, r2, #4",
            "asrs r6, r6, #4",
            ".endif",
            "movs r5, #{last}",
            "vmov q0[2], q0[0], r2, r6",
            ".if {last} > 1",
            "vmov q0[3], q0[1], r4, r8",
            ".endif",
            "vctp.32 r5",
            ".if {out} < 4",
            "vpst",
            "vldrwt.u32 q1, [r0]",
            ".if {shift} > 0",
            "vshl.i32 q0, q0, #{shift}",
            ".endif",
            "vrmulh.s32 q0, q0, q1",
            "vadd.i32 q0, q0, r11",
            "vmax.s32 q0, q0, q2",
            "vmin.s32 q0, q0, q3",
            ".endif",
            "vpst",
            store!("t", "[r3]"),
            ".endif",
            ".if {packed}",
            "vpop {{d8, d9}}",
            ".endif",
            "pop {{r4-r9, r11, pc}}",
            last = const LAST,
            shift = const SHIFT,
            x16 = const X16 as usize,
            out = const OUT,
            packed = const PACKED as usize,
        )
    }
}
