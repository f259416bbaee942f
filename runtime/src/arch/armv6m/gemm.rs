//! Fully connected layer over unsigned bytes: ONNX `Gemm`, and `MatMul` with a constant operand.

use super::Operand;

/// Outputs of a common group.
pub const EIGHT: usize = 8;

/// `SKIP` of a layer whose operand is a [list](super::Listed).
pub const LIST: usize = 3;

/// [`kernels::Gemm`](crate::kernels::Gemm) with its constants as one stream of words, in the order in which they are
/// used.
///
/// Outputs are computed in groups of eight; a remainder of one or two joins the last group, another is a group of its
/// own. For each of these two kinds the stream holds the shift and what is added before it; then, for every group, biases
/// (those of the fifth output and the following ones first), the weights plus 128 as bytes (those of all outputs of
/// the group for the first input, then for the second, .., with anything before the first that makes them a multiple of
/// four inputs), and the multipliers as 16-bit integers.
///
/// Results are those of [`requantize`](crate::requantize) for multipliers with at most 16 significant bits,
/// `multiplier << (16 - shift)`, plus the zero point: the upper and lower half of the accumulator are multiplied
/// apart, which leaves `floor(acc * multiplier / 2^16)`; half a step and the zero point are added, and the sum is shifted
/// right by `shift`, 1 to 16. As floors of floors are floors, that rounds once. In a `WIDE` layer every output has a shift
/// of its own: bytes after the group's multipliers; the stream's first word then is the zero point.
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream, `LAST` the number of
/// outputs of the last group if it is not eight ([`last`]). `SKIP` says whether inputs of 0 are left out: 0 none, 1 each,
/// 2 each, and four at once (where `I` is a multiple of four), [`LIST`] that the operand is a [list](super::Listed) of the others (where `I` is a
/// multiple of four and all groups are of eight). `TIME` says whether the epilogue may branch on data: 0 no, 1 it may, 2 also a negative sum is
/// not scaled, for layers whose zero point is the smallest result. Layers with equal `LAST`, `SKIP` and `TIME` share
/// code; the common groups' is shared whatever `LAST`.
#[derive(Clone, Debug)]
pub struct Gemm<
    const I: usize,
    const O: usize,
    const N: usize,
    const LAST: usize,
    const SKIP: usize,
    const TIME: usize,
    const WIDE: bool,
> {
    /// The constants.
    pub stream: [u32; N],
}

/// [`Gemm`] with results for the next layer: their sum, and bytes of the results plus 128.
#[derive(Clone, Debug)]
pub struct GemmBytes<
    const I: usize,
    const O: usize,
    const N: usize,
    const LAST: usize,
    const SKIP: usize,
    const TIME: usize,
    const WIDE: bool,
> {
    /// The constants.
    pub stream: [u32; N],
}

/// Groups of eight outputs.
pub const fn eights(outputs: usize) -> usize {
    match outputs {
        0..=10 => (outputs == 8) as usize,
        _ => outputs / 8 - (matches!(outputs % 8, 1 | 2)) as usize,
    }
}

/// Outputs of the last group, if they are not eight: 0 to 10.
pub const fn last(outputs: usize) -> usize {
    outputs - 8 * eights(outputs)
}

/// Whether a layer with this `SKIP` can read an operand of so many words, which may be a list of so many inputs.
const fn reads(inputs: usize, outputs: usize, skip: usize, words: usize, list: Option<usize>) -> bool {
    let bytes = words == super::words(inputs) && list.is_none();
    match skip {
        0 | 1 => bytes && inputs > 0,
        2 => bytes && inputs > 0 && inputs.is_multiple_of(4),
        _ => {
            let listed = matches!(list, Some(listed) if listed == inputs);
            skip == LIST && listed && inputs.is_multiple_of(4) && last(outputs) == 0
        }
    }
}

/// Inputs that the first round of four leaves out.
pub const fn left_out(inputs: usize) -> usize {
    inputs.next_multiple_of(4) - inputs
}

/// Words of one group's constants.
const fn group_len(inputs: usize, size: usize, wide: bool) -> usize {
    let others = size + size.div_ceil(2) + if wide { size.div_ceil(4) } else { 0 };
    inputs.div_ceil(4).saturating_mul(size).saturating_add(others)
}

/// Length of the stream of a layer.
pub const fn stream_len(inputs: usize, outputs: usize, wide: bool) -> usize {
    let eights = match eights(outputs) {
        0 => 0,
        n => n.saturating_mul(group_len(inputs, 8, wide)).saturating_add(2),
    };
    let last = match last(outputs) {
        0 => 0,
        size => group_len(inputs, size, wide).saturating_add(2),
    };
    eights.saturating_add(last)
}

impl<
    const I: usize,
    const O: usize,
    const N: usize,
    const LAST: usize,
    const SKIP: usize,
    const TIME: usize,
    const WIDE: bool,
> Gemm<I, O, N, LAST, SKIP, TIME, WIDE>
{
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize, const X: usize, T: Operand<X, R>>(&self, x: T, y: &mut [[i8; O]; R]) {
        const { assert!(reads(I, O, SKIP, X, T::LIST) && N == stream_len(I, O, WIDE) && LAST == last(O)) };
        for (x, y) in x.rows().iter().zip(y) {
            #[cfg(tinymlp_arch = "armv6m")]
            asm::row::<I, O, N, LAST, SKIP, TIME, WIDE, X, true>(&self.stream, x, y.as_mut_ptr().cast());
            #[cfg(not(tinymlp_arch = "armv6m"))]
            portable::gemm(&self.stream, [WIDE, SKIP == LIST], x, I, y);
        }
    }
}

impl<
    const I: usize,
    const O: usize,
    const N: usize,
    const LAST: usize,
    const SKIP: usize,
    const TIME: usize,
    const WIDE: bool,
> GemmBytes<I, O, N, LAST, SKIP, TIME, WIDE>
{
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize, const X: usize, const W: usize, T: Operand<X, R>>(&self, x: T, y: &mut [[i32; W]; R]) {
        const { assert!(reads(I, O, SKIP, X, T::LIST) && N == stream_len(I, O, WIDE) && LAST == last(O)) };
        const { assert!(W == super::words(O)) };
        for (x, y) in x.rows().iter().zip(y) {
            #[cfg(tinymlp_arch = "armv6m")]
            if let Some((sum, bytes)) = y.split_first_mut() {
                *sum =
                    asm::row::<I, O, N, LAST, SKIP, TIME, WIDE, X, false>(&self.stream, x, bytes.as_mut_ptr().cast());
            }
            #[cfg(not(tinymlp_arch = "armv6m"))]
            portable::gemm_bytes(&self.stream, [WIDE, SKIP == LIST], x, [I, O], y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv6m"))]
pub(super) mod portable {
    use super::super::{bytes, integers};
    use super::{eights, last, left_out};

    /// One row of [`Gemm`](super::Gemm), of which the kind says whether it is wide and whether it reads a list: as many
    /// results as `y` has.
    pub fn gemm(stream: &[u32], kind: [bool; 2], x: &[i32], inputs: usize, y: &mut [i8]) {
        row(stream, kind, x, [inputs, y.len()], integers(y));
    }

    /// One row of [`GemmBytes`](super::GemmBytes).
    pub fn gemm_bytes(stream: &[u32], kind: [bool; 2], x: &[i32], size: [usize; 2], y: &mut [i32]) {
        if let Some(store) = bytes(y) {
            row(stream, kind, x, size, store);
        }
    }

    /// Hands every output's number and result plus 128 to `store`. A stream that is too short ends it.
    fn row(
        mut stream: &[u32],
        [wide, list]: [bool; 2],
        x: &[i32],
        [inputs, outputs]: [usize; 2],
        mut store: impl FnMut(usize, i32),
    ) {
        let Some((&sum, x)) = x.split_first() else { return };
        let Some((&listed, entries)) = x.split_first() else { return };
        let entries = entries.as_chunks::<2>().0.iter().take(if list { listed as usize / 8 } else { 0 });
        let bytes = x.iter().flat_map(|x| x.to_le_bytes()).take(if list { 0 } else { inputs });
        let elements =
            entries.map(|&[place, x]| (place as usize / 8, x)).chain(bytes.enumerate().map(|(k, x)| (k, i32::from(x))));
        let mut first = 0;
        for (groups, size) in [(eights(outputs), 8), (usize::from(last(outputs) > 0), last(outputs))] {
            if groups == 0 {
                continue;
            }
            let Some(&[shift, rounding]) = stream.split_off(..2) else { return };
            for _ in 0..groups {
                let parts = (
                    stream.split_off(..size),
                    stream.split_off(..inputs.div_ceil(4).wrapping_mul(size)),
                    stream.split_off(..size.div_ceil(2)),
                    stream.split_off(..if wide { size.div_ceil(4) } else { 0 }),
                );
                let (Some(bias), Some(weights), Some(multipliers), Some(shifts)) = parts else { return };
                let byte = |k: usize| i32::from(weights.get(k / 4).map_or(0, |w| w.to_le_bytes()[k % 4]));
                for o in 0..size {
                    // The fifth and the following come first.
                    let place = if o < 4 { size.saturating_sub(4) + o } else { o - 4 };
                    let bias = bias.get(place).map_or(0, |&b| b as i32);
                    let mut acc = bias.wrapping_sub(sum.wrapping_mul(128));
                    for (k, x) in elements.clone() {
                        acc = acc.wrapping_add(x.wrapping_mul(byte((k + left_out(inputs)) * size + o)));
                    }
                    let multiplier = multipliers.get(o / 2).map_or(0, |&m| (m >> (16 * (o % 2))) & 0xffff);
                    let product = ((i64::from(acc) * i64::from(multiplier)) >> 16) as i32;
                    let value = match wide {
                        false => product.wrapping_add(rounding as i32).wrapping_shr(shift),
                        true => {
                            let own = shifts.get(o / 4).map_or(1, |s| s.to_le_bytes()[o % 4]);
                            let half = 1i32.wrapping_shl(u32::from(own).wrapping_sub(1));
                            product.wrapping_add(half).wrapping_shr(own.into()).wrapping_add(shift as i32)
                        }
                    };
                    store(first + o, value.clamp(0, 255));
                }
                first += size;
            }
        }
    }
}

#[cfg(tinymlp_arch = "armv6m")]
mod asm {
    use super::{EIGHT, LIST, eights, group_len, last, left_out};
    use core::arch::naked_asm;

    /// One row; gives the sum of the results plus 128.
    #[inline(always)]
    pub(super) fn row<
        const I: usize,
        const O: usize,
        const N: usize,
        const LAST: usize,
        const SKIP: usize,
        const TIME: usize,
        const WIDE: bool,
        const X: usize,
        const BYTES: bool,
    >(
        stream: &[u32; N],
        x: &[i32; X],
        y: *mut u8,
    ) -> i32 {
        let mut sum = 0;
        let from = const { if eights(O) == 0 { 0 } else { 2 + eights(O) * group_len(I, 8, WIDE) } };
        if const { eights(O) > 0 } {
            let shape = const { &shape(I, 8 * eights(O), 8, SKIP) };
            // SAFETY: by the sizes in the types, which the caller has checked, the assembly reads the groups of eight from
            // the stream and X words, and writes the results of those groups.
            sum = unsafe { gemm::<EIGHT, SKIP, TIME, WIDE, BYTES>(stream.as_ptr(), x.as_ptr(), y, shape) };
        }
        if const { last(O) > 0 } {
            let shape = const { &shape(I, last(O), last(O), SKIP) };
            // SAFETY: likewise; the last group's constants and results are what follows.
            let more = unsafe {
                let (stream, y) = (stream.as_ptr().add(from), y.add(8 * eights(O)));
                gemm::<LAST, SKIP, TIME, WIDE, BYTES>(stream, x.as_ptr(), y, shape)
            };
            sum = more.wrapping_add(sum);
        }
        sum
    }

    /// What the assembly is told of a layer. The order of the fields is the assembly's.
    #[repr(C)]
    pub(super) struct Shape {
        /// Number of inputs; of an operand that is a list, bytes of a group's weights.
        inputs: usize,
        /// Results to write.
        outputs: usize,
        /// Inputs that the first round leaves out.
        left_out: usize,
        /// Bytes of code for those.
        skip: usize,
    }

    const fn shape(inputs: usize, outputs: usize, group: usize, skip: usize) -> Shape {
        if skip == LIST {
            return Shape { inputs: group * inputs, outputs, left_out: 0, skip: 0 };
        }
        // A load, perhaps a test, and three instructions an output.
        let code = 2 + if skip > 0 { 4 } else { 0 } + 6 * group;
        Shape { inputs, outputs, left_out: left_out(inputs), skip: left_out(inputs) * code }
    }

    /// Multiplies input `$k` of four, in r2, with the weight of output `$j` and adds it to a low register.
    #[rustfmt::skip]
    macro_rules! low {
        ($k:literal, $j:literal, $acc:literal) => {
            concat!(
                ".if {g} > ", $j, "\n ldrb r3, [r0, #({g} * ", $k, " + ", $j, " - {rebase} * (", $k,
                " / 3))]\n", " muls r3, r2, r3\n adds ", $acc, ", ", $acc, ", r3\n .endif\n",
            )
        };
    }
    /// Likewise, to a high register.
    #[rustfmt::skip]
    macro_rules! high {
        ($k:literal, $j:literal, $acc:literal) => {
            concat!(
                ".if {g} > ", $j, "\n ldrb r3, [r0, #({g} * ", $k, " + ", $j, " - {rebase} * (", $k,
                " / 3))]\n", " muls r3, r2, r3\n add ", $acc, ", r3\n .endif\n",
            )
        };
    }
    /// All outputs of the group for input `$k` of four.
    #[rustfmt::skip]
    macro_rules! input {
        ($k:literal) => {
            concat!(
                " ldrb r2, [r1, #", $k, "]\n .if {skip} > 0\n cmp r2, #0\n beq 4f\n .endif\n",
                low!($k, "0", "r4"), low!($k, "1", "r5"), low!($k, "2", "r6"), low!($k, "3", "r7"),
                high!($k, "4", "r8"), high!($k, "5", "r9"), high!($k, "6", "r10"), high!($k, "7", "r11"),
                high!($k, "8", "r12"), high!($k, "9", "lr"), " 4:\n",
            )
        };
    }
    /// All outputs of a group of eight for the next input of a list.
    #[rustfmt::skip]
    macro_rules! entry {
        () => {
            concat!(
                " ldm r1!, {{r0, r2}}\n add r0, lr\n", low!("0", "0", "r4"), low!("0", "1", "r5"),
                low!("0", "2", "r6"), low!("0", "3", "r7"), high!("0", "4", "r8"), high!("0", "5", "r9"),
                high!("0", "6", "r10"), high!("0", "7", "r11"),
            )
        };
    }
    /// The sum in `$acc` becomes the result plus 128. The multiplier is that of output `$j`; the shift is in r1, what is
    /// added before it in lr, unless that holds a sum.
    #[rustfmt::skip]
    macro_rules! scale {
        ($j:literal, $acc:literal) => {
            concat!(
                " .if {time} == 2\n cmp ", $acc, ", #0\n bgt 4f\n movs ", $acc, ", #0\n b 5f\n 4:\n .endif\n",
                " ldrh r2, [r0, #(2 * ", $j, ")]\n uxth r3, ", $acc, "\n muls r3, r2, r3\n lsrs r3, r3, #16\n",
                " asrs ", $acc, ", ", $acc, ", #16\n muls ", $acc, ", r2, ", $acc, "\n",
                " adds ", $acc, ", ", $acc, ", r3\n", " .if {wide}\n ldrb r2, [r0, #({g} * 2 + {g} % 2 * 2 + ",
                $j, ")]\n asrs ", $acc, ", r2\n adcs ", $acc, ", r1\n", " .elseif {g} < 10\n add ", $acc,
                ", lr\n asrs ", $acc, ", r1\n", " .else\n ldr r3, [sp, #24]\n adds ", $acc, ", ", $acc,
                ", r3\n asrs ", $acc, ", r1\n .endif\n", " .if {time} == 0\n", " asrs r3, ", $acc,
                ", #31\n bics ", $acc, ", r3\n movs r3, #255\n subs r3, r3, ", $acc, "\n",
                " asrs r3, r3, #31\n orrs ", $acc, ", r3\n uxtb ", $acc, ", ", $acc, "\n",
                " .else\n", " lsrs r3, ", $acc, ", #8\n beq 5f\n asrs ", $acc, ", ", $acc, ", #31\n mvns ",
                $acc, ", ", $acc, "\n", " uxtb ", $acc, ", ", $acc, "\n .endif\n 5:\n",
            )
        };
    }
    /// Stores a result to `[r4 + $j]` and adds it to the sum in r5.
    #[rustfmt::skip]
    macro_rules! store {
        ($j:literal, $acc:literal, $y:literal) => {
            concat!(
                " .if {bytes}\n adds ", $acc, ", #128\n strb ", $acc, ", [", $y, ", #", $j, "]\n .else\n",
                " strb ", $acc, ", [", $y, ", #", $j, "]\n .endif\n",
            )
        };
    }
    /// The result of output `$j`, whose sum is in `$acc`, when y is in r4 and the sum of results in r5.
    #[rustfmt::skip]
    macro_rules! further {
        ($j:literal, $acc:literal) => {
            concat!(
                ".if {g} > ", $j, "\n", scale!($j, $acc), " .if {bytes} == 0\n adds r5, r5, ", $acc,
                "\n .endif\n", store!($j, $acc, "r4"), " .endif\n",
            )
        };
    }
    /// Likewise, from a high register.
    #[rustfmt::skip]
    macro_rules! from_high {
        ($j:literal, $acc:literal) => {
            concat!(".if {g} > ", $j, "\n mov r6, ", $acc, "\n .endif\n", further!($j, "r6"))
        };
    }
    /// The bias of an output in a high register.
    #[rustfmt::skip]
    macro_rules! bias_high {
        ($j:literal, $acc:literal) => {
            concat!(".if {g} > ", $j, "\n ldm r0!, {{r4}}\n subs r4, r4, r2\n mov ", $acc, ", r4\n .endif\n")
        };
    }

    /// Groups of `G` outputs of one row. `r0` is the stream and moves through it.
    ///
    /// # Safety
    /// `stream` holds the shift, the rounding and the constants of groups for the results of `shape`; `x` has the sum
    /// and the inputs, `y` the results of it. `stream` and `x` are aligned to four bytes.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<
        const G: usize,
        const SKIP: usize,
        const TIME: usize,
        const WIDE: bool,
        const BYTES: bool,
    >(
        stream: *const u32,
        x: *const i32,
        y: *mut u8,
        shape: &Shape,
    ) -> i32 {
        naked_asm!(
            "push {{r4-r7, lr}}",
            "mov r4, r8",
            "mov r5, r9",
            "mov r6, r10",
            "mov r7, r11",
            "push {{r4-r7}}",
            // The frame: 0 end of x, 4 x, 8 y, 12 end of y, 16 128 * sum of x, 20 shift, 24 rounding, 28 sum of y, 32 first round,
            // and of a list: 36 bytes of a group's weights
            ".if {list}",
            "sub sp, #40",
            "ldm r3!, {{r4, r5}}",
            "str r4, [sp, #36]",
            "adds r5, r5, r2",
            "str r2, [sp, #8]",
            "str r5, [sp, #12]",
            "ldm r1!, {{r6, r7}}",
            "str r1, [sp, #4]",
            "adds r1, r1, r7",
            "str r1, [sp]",
            "lsls r6, r6, #7",
            "str r6, [sp, #16]",
            // The first of the four entries of a round that begins with what makes their number a multiple of four: 52
            // bytes of code each.
            "negs r7, r7",
            "lsls r7, r7, #27",
            "lsrs r7, r7, #30",
            "movs r4, #52",
            "muls r7, r4, r7",
            "adr r3, 3f",
            "adds r7, r7, r3",
            "adds r7, #1",
            "str r7, [sp, #32]",
            ".else",
            "sub sp, #36",
            "ldm r3!, {{r4-r7}}",
            "adr r3, 3f",
            "adds r7, r7, r3",
            "adds r7, #1",
            "str r7, [sp, #32]",
            "adds r5, r5, r2",
            "str r2, [sp, #8]",
            "str r5, [sp, #12]",
            "ldm r1!, {{r7}}",
            "lsls r7, r7, #7",
            "str r7, [sp, #16]",
            "adds r4, r4, r1",
            "str r4, [sp]",
            "subs r1, r1, r6",
            "str r1, [sp, #4]",
            ".endif",
            "ldm r0!, {{r4, r5}}",
            "str r4, [sp, #20]",
            "str r5, [sp, #24]",
            "movs r4, #0",
            "str r4, [sp, #28]",
            "2:",
            "ldr r2, [sp, #16]",
            ".if {g} >= 8",
            "ldm r0!, {{r4-r7}}",
            "subs r4, r4, r2",
            "subs r5, r5, r2",
            "subs r6, r6, r2",
            "subs r7, r7, r2",
            "mov r8, r4",
            "mov r9, r5",
            "mov r10, r6",
            "mov r11, r7",
            concat!(bias_high!("8", "r12"), bias_high!("9", "lr")),
            ".else",
            concat!(bias_high!("4", "r8"), bias_high!("5", "r9"), bias_high!("6", "r10")),
            ".endif",
            ".if {g} >= 4",
            "ldm r0!, {{r4-r7}}",
            "subs r7, r7, r2",
            ".elseif {g} == 3",
            "ldm r0!, {{r4-r6}}",
            ".elseif {g} == 2",
            "ldm r0!, {{r4, r5}}",
            ".else",
            "ldm r0!, {{r4}}",
            ".endif",
            ".if {g} >= 3",
            "subs r6, r6, r2",
            ".endif",
            ".if {g} >= 2",
            "subs r5, r5, r2",
            ".endif",
            "subs r4, r4, r2",
            ".if {g} <= 8",
            "ldr r3, [sp]",
            "mov r12, r3",
            ".elseif {g} == 9",
            "ldr r3, [sp]",
            "mov lr, r3",
            ".endif",
            "ldr r1, [sp, #4]",
            ".if {list}",
            "mov lr, r0",
            ".endif",
            ".if {skip} != 2",
            "ldr r2, [sp, #32]",
            "bx r2",
            ".endif",
            ".balign 4",
            "3:",
            ".if {list}",
            concat!(entry!(), entry!(), entry!(), entry!()),
            "cmp r1, r12",
            "bne 3b",
            "mov r0, lr",
            "ldr r3, [sp, #36]",
            "adds r0, r0, r3",
            ".else",
            ".if {skip} == 2",
            "ldr r2, [r1]",
            "cmp r2, #0",
            ".if {g} <= 8",
            "beq 6f",
            ".else",
            "bne 4f",
            "b 6f",
            "4:",
            ".endif",
            ".endif",
            concat!(input!("0"), input!("1"), input!("2")),
            ".if {g} > 8",
            "adds r0, #({g} * 3)",
            ".endif",
            input!("3"),
            ".if {g} > 8",
            "adds r0, #{g}",
            ".else",
            "adds r0, #({g} * 4)",
            ".endif",
            "adds r1, #4",
            "7:",
            ".if {g} <= 8",
            "cmp r1, r12",
            "bne 3b",
            ".elseif {g} == 9",
            "cmp r1, lr",
            "beq 8f",
            "b 3b",
            ".else",
            "ldr r2, [sp]",
            "cmp r1, r2",
            "beq 8f",
            "b 3b",
            ".endif",
            ".if {skip} == 2",
            "b 8f",
            "6:",
            "adds r0, #({g} * 4)",
            "adds r1, #4",
            "b 7b",
            ".endif",
            ".endif",
            "8:",
            "ldr r1, [sp, #20]",
            ".if {wide} == 0 && {g} < 10",
            "ldr r3, [sp, #24]",
            "mov lr, r3",
            ".endif",
            scale!("0", "r4"),
            concat!(".if {g} > 1\n", scale!("1", "r5"), ".endif"),
            "ldr r3, [sp, #8]",
            ".if {g} > 1",
            ".if {bytes} == 0",
            "mov r2, r4",
            ".endif",
            store!("0", "r4", "r3"),
            ".if {bytes} == 0",
            "mov r4, r5",
            "adds r4, r4, r2",
            ".endif",
            store!("1", "r5", "r3"),
            ".if {bytes} == 0",
            "mov r5, r4",
            ".endif",
            ".else",
            "mov r5, r4",
            store!("0", "r4", "r3"),
            ".endif",
            "mov r4, r3",
            concat!(further!("2", "r6"), further!("3", "r7")),
            concat!(from_high!("4", "r8"), from_high!("5", "r9"), from_high!("6", "r10")),
            concat!(from_high!("7", "r11"), from_high!("8", "r12"), from_high!("9", "lr")),
            "adds r0, #({g} * 2 + {g} % 2 * 2)",
            ".if {wide}",
            "adds r0, #(({g} + 3) / 4 * 4)",
            ".endif",
            ".if {bytes} == 0",
            "ldr r3, [sp, #28]",
            "adds r5, r5, r3",
            "str r5, [sp, #28]",
            ".endif",
            "adds r4, #{g}",
            "str r4, [sp, #8]",
            "ldr r3, [sp, #12]",
            "cmp r4, r3",
            "beq 9f",
            "b 2b",
            "9:",
            "ldr r0, [sp, #28]",
            "add sp, #({list} * 4 + 36)",
            "pop {{r4-r7}}",
            "mov r8, r4",
            "mov r9, r5",
            "mov r10, r6",
            "mov r11, r7",
            "pop {{r4-r7, pc}}",
            g = const G,
            skip = const SKIP,
            list = const (SKIP == LIST) as usize,
            time = const TIME,
            wide = const WIDE as usize,
            bytes = const BYTES as usize,
            rebase = const if G > 8 { 3 * G } else { 0 },
        )
    }
}
