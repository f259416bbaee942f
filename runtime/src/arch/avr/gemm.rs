//! Fully connected layer with three-byte sums: ONNX `Gemm`, and `MatMul` with a constant operand.

use super::result;
use core::fmt;

/// [`kernels::Gemm`](crate::kernels::Gemm) from and to `i8`, with its constants as one stream of bytes in the order in
/// which they are used.
///
/// Outputs come in groups whose sums are in registers at the same time: [`first`]`(I, O)` in the first group, then
/// [`group`]`(I, O)` (seven) in every other. Of every group the stream holds three bytes of bias an output; then, for
/// every input, one byte of weight an output; then two bytes of multiplier an output, with a byte of shift after each in a
/// layer with [`Form::EACH`]. All numbers begin with their lowest byte.
///
/// `mul` takes unsigned bytes, so a weight is stored as `u = w + 128`, and an input is used as `v = x + 128`:
///
/// ```text
/// sum of w * x = sum of u * v - 128 * (sum of v) - 128 * (sum of w)
/// ```
///
/// The last term is part of the bias. The sum of `v` is the same for all outputs; the pass of the first group computes
/// it. Everything is exact modulo 2^24, so that only the result has to fit: the code generator proves from the weights
/// that `-2^23 <= sum < 2^23`.
///
/// ```text
/// y = clamp(zero point + floor((sum * multiplier * 2^shift + 2^23) / 2^24))
/// ```
///
/// which is [`requantize`](crate::requantize) with the multiplier `multiplier * 2^(8 + shift)`: multipliers have 16
/// significant bits. What the clamp takes has to fit 16 bits, which is proved as well.
///
/// A multiply-accumulate operation is `lpm`, `mul`, `add`, `adc`, `adc`: 8 cycles, and with the loop around them 8.7 where
/// seven outputs share it. Counted over whole layers by simavr, 10.2 in the shipped `digits`, 12.5 in `wdbc` with its
/// 320 operations for 12 outputs; with the shortcuts of [`Form`], 7.1 and 11.9.
///
/// On AVR a layer has to be a `static` in the section `.progmem.data`, as generated modules have it; results of one that
/// is elsewhere mean nothing.
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream; `FORM` is a packed [`Form`], and
/// layers with the same one share the code.
#[repr(C)]
pub struct Gemm<const I: usize, const O: usize, const N: usize, const FORM: u64> {
    /// In program memory, where a reference is not an address that Rust can read.
    #[cfg_attr(tinymlp_arch = "avr", allow(dead_code))]
    stream: [u8; N],
}

/// What the code of a layer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Outputs in the first group.
    pub first: u8,
    /// Outputs in every other group.
    pub group: u8,
    /// Whether there are more groups.
    pub more: bool,
    /// Whether there are more than 256 inputs.
    pub wide: bool,
    /// Whether inputs of -128 are passed over, for which every product is zero.
    pub skip: bool,
    /// How often the loop over inputs stands in the code: 1, 2 or 4; 1 where zeros are passed over.
    pub unroll: u8,
    /// Inputs that its first round lacks: what the number of inputs lacks to a multiple of `unroll`.
    pub rest: u8,
    /// Whether results of negative sums are taken for `min` without a multiplication; `zero_point <= min` is required.
    pub short: bool,
    /// See [`Gemm`]; 0 to 7, or [`Form::EACH`].
    pub shift: u8,
    /// Added to every result.
    pub zero_point: i8,
    /// Smallest result.
    pub min: i8,
    /// Largest result.
    pub max: i8,
}

impl Form {
    /// The shift of a layer in which every output has its own.
    pub const EACH: u8 = result::EACH;

    /// As a number.
    pub const fn pack(self) -> u64 {
        let flags = self.more as u64 | (self.wide as u64) << 1 | (self.skip as u64) << 2 | (self.short as u64) << 3;
        (self.first as u64)
            | flags << 4
            | (self.shift as u64) << 8
            | (self.group as u64) << 12
            | (self.zero_point as u8 as u64) << 16
            | (self.min as u8 as u64) << 24
            | (self.max as u8 as u64) << 32
            | (self.unroll as u64) << 40
            | (self.rest as u64) << 44
    }

    /// From [`Form::pack`].
    pub const fn unpack(form: u64) -> Self {
        Self {
            first: (form & 15) as u8,
            more: form >> 4 & 1 != 0,
            wide: form >> 5 & 1 != 0,
            skip: form >> 6 & 1 != 0,
            short: form >> 7 & 1 != 0,
            shift: (form >> 8 & 15) as u8,
            group: (form >> 12 & 15) as u8,
            zero_point: (form >> 16) as i8,
            min: (form >> 24) as i8,
            max: (form >> 32) as i8,
            unroll: (form >> 40 & 15) as u8,
            rest: (form >> 44 & 15) as u8,
        }
    }

    /// Length of the stream of a layer.
    pub const fn stream_len(self, inputs: usize, outputs: usize) -> usize {
        (3 + inputs + result::scale(self.shift)).saturating_mul(outputs)
    }

    /// Whether the assembly computes a layer of `inputs` and `outputs` with it.
    pub const fn fits(self, inputs: usize, outputs: usize) -> bool {
        inputs > 0
            && outputs > 0
            && inputs < 0x8000
            && self.first as usize == first(inputs, outputs)
            && self.group as usize == group(inputs, outputs)
            && self.more == (outputs > self.first as usize)
            && outputs / self.group as usize <= 255
            && self.wide == (inputs > 256)
            && matches!((self.unroll, self.skip), (1, _) | (2 | 4, false))
            && self.rest as usize == inputs.next_multiple_of(self.unroll as usize) - inputs
            && self.shift <= Self::EACH
            && self.min <= self.max
            && (!self.short || self.zero_point <= self.min)
    }
}

/// Outputs in every group of a layer but the first. A first group of seven leaves no register for the third byte of the
/// sum of more than 257 inputs.
pub const fn group(inputs: usize, outputs: usize) -> usize {
    if inputs > 256 && outputs.is_multiple_of(7) { 6 } else { 7 }
}

/// Outputs in the first group of a layer: what the full groups leave, or as many as these have.
pub const fn first(inputs: usize, outputs: usize) -> usize {
    (outputs + group(inputs, outputs) - 1) % group(inputs, outputs) + 1
}

impl<const I: usize, const O: usize, const N: usize, const FORM: u64> Gemm<I, O, N, FORM> {
    /// A layer for program memory.
    pub const fn new(stream: [u8; N]) -> Self {
        const { assert!(Form::unpack(FORM).fits(I, O) && N == Form::unpack(FORM).stream_len(I, O)) };
        Self { stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i8; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "avr")]
            {
                let Form { first, group, unroll, .. } = const { Form::unpack(FORM) };
                let groups = (O - first as usize) / group as usize;
                // Rounds of up to 256 inputs, and how often 256 follow.
                let rounds = (((I - 1) % 256 + 1).div_ceil(unroll as usize) % 256) as u16;
                let inputs = rounds | ((I - 1) / 256 * 256) as u16;
                let stream = (&raw const *self).cast();
                // SAFETY: by the sizes in the types, the assembly reads this stream and I bytes and writes O bytes.
                unsafe { asm::gemm::<FORM>(stream, x.as_ptr(), y.as_mut_ptr(), inputs, groups as u8) };
            }
            #[cfg(not(tinymlp_arch = "avr"))]
            portable::gemm(&self.stream, x, Form::unpack(FORM), y);
        }
    }
}

impl<const I: usize, const O: usize, const N: usize, const FORM: u64> fmt::Debug for Gemm<I, O, N, FORM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gemm").finish_non_exhaustive()
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "avr"))]
pub(super) mod portable {
    use super::Form;
    use crate::arch::avr::result::requantized;

    /// One row of [`Gemm`](super::Gemm): as many results as `y` has. A stream that is too short ends it.
    pub fn gemm(mut stream: &[u8], x: &[i8], form: Form, mut y: &mut [i8]) {
        let biased = |x: &i8| i32::from(*x) + 128;
        let of_weights = x.iter().map(biased).sum::<i32>().wrapping_mul(128);
        let limits = [form.zero_point, form.min, form.max];
        let mut size = usize::from(form.first).max(1);
        while !y.is_empty() {
            let Some(y) = y.split_off_mut(..size.min(y.len())) else { return };
            let mut sums = [0i32; 7];
            for sum in sums.iter_mut().take(size) {
                let Some(&[low, middle, high]) = stream.split_off(..3) else { return };
                *sum = i32::from_le_bytes([low, middle, high, 0]).wrapping_sub(of_weights);
            }
            for x in x {
                let Some(weights) = stream.split_off(..size) else { return };
                for (sum, &w) in sums.iter_mut().zip(weights) {
                    *sum = sum.wrapping_add(i32::from(w).wrapping_mul(biased(x)));
                }
            }
            for (y, &sum) in y.iter_mut().zip(&sums) {
                let Some(result) = requantized(sum << 8 >> 8, form.shift, limits, &mut stream) else { return };
                *y = result;
            }
            size = usize::from(form.group);
        }
    }
}

#[cfg(tinymlp_arch = "avr")]
mod asm {
    use super::Form;
    use crate::arch::avr::result::{scale, store_result};
    use core::arch::asm;

    // Registers: r0, r1 products; r2 zero; r22, r23 (and r14) the sum of inputs; r24 counts inputs; r25 the input; X
    // the position in x, then in y; Z that in the stream. The seven sums have what remains; the first has r18, r19 and
    // r20, where it is requantized, and where the others are moved for that.
    macro_rules! each {
        ($n:literal, $do:ident) => {
            concat!(
                $do!("r18", "r19", "r20"),
                ".if ",
                $n,
                " > 1\n",
                $do!("r4", "r5", "r21"),
                ".endif\n",
                ".if ",
                $n,
                " > 2\n",
                $do!("r6", "r7", "r3"),
                ".endif\n",
                ".if ",
                $n,
                " > 3\n",
                $do!("r8", "r9", "r16"),
                ".endif\n",
                ".if ",
                $n,
                " > 4\n",
                $do!("r10", "r11", "r17"),
                ".endif\n",
                ".if ",
                $n,
                " > 5\n",
                $do!("r12", "r13", "r28"),
                ".endif\n",
                ".if ",
                $n,
                " > 6\n",
                $do!("r14", "r15", "r29"),
                ".endif\n",
            )
        };
    }

    macro_rules! load {
        ($a:literal, $b:literal, $c:literal) => {
            concat!("lpm ", $a, ", Z+\nlpm ", $b, ", Z+\nlpm ", $c, ", Z+\n")
        };
    }

    macro_rules! subtract {
        ($a:literal, $b:literal, $c:literal) => {
            concat!("sub ", $a, ", r25\nsbc ", $b, ", r22\nsbc ", $c, ", r23\n")
        };
    }

    macro_rules! load_and_subtract {
        ($a:literal, $b:literal, $c:literal) => {
            concat!(load!($a, $b, $c), subtract!($a, $b, $c))
        };
    }

    macro_rules! multiply {
        ($a:literal, $b:literal, $c:literal) => {
            concat!("lpm r0, Z+\nmul r0, r25\nadd ", $a, ", r0\nadc ", $b, ", r1\nadc ", $c, ", r2\n")
        };
    }

    macro_rules! store {
        ("r18", "r19", "r20") => {
            "rcall 40f\n"
        };
        ($a:literal, $b:literal, $c:literal) => {
            concat!("movw r18, ", $a, "\nmov r20, ", $c, "\nrcall 40f\n")
        };
    }

    /// Sums whose registers have to be saved.
    const fn live(form: Form) -> u8 {
        if form.more || form.wide { 7 } else { form.first }
    }

    /// Bytes of code for one input of the first or another group.
    const fn bytes(form: Form, first: bool) -> u16 {
        let skip = if form.skip { 2 } else { 0 };
        let sum = if form.wide { 6 } else { 4 };
        4 + skip + if first { sum + 10 * form.first as u16 } else { 10 * form.group as u16 }
    }

    /// One row.
    ///
    /// # Safety
    /// `stream` is the address in program memory of a layer of this form, `x` and `y` are the row's input and output,
    /// `inputs` is the number of rounds (0 stands for 256) for the first 1 to 256 inputs, and 256 times how often 256
    /// inputs follow; `groups` is the number of groups after the first.
    // Not a naked function: the code of those is read without the features of the processor where it goes through
    // LTO, and refused.
    #[inline(never)]
    pub(super) unsafe fn gemm<const FORM: u64>(stream: *const u8, x: *const i8, y: *mut i8, inputs: u16, groups: u8) {
        // SAFETY: reads and writes what the caller says. The registers that are not named as outputs are put back, and
        // r1 is zero again.
        unsafe {
            asm!(
                "push r2",
                ".if {live} > 1",
                "push r4",
                "push r5",
                ".endif",
                ".if {live} > 2",
                "push r6",
                "push r7",
                "push r3",
                ".endif",
                ".if {live} > 3",
                "push r8",
                "push r9",
                "push r16",
                ".endif",
                ".if {live} > 4",
                "push r10",
                "push r11",
                "push r17",
                ".endif",
                ".if {live} > 5",
                "push r12",
                "push r13",
                "push r28",
                ".endif",
                ".if {live} > 6",
                "push r14",
                "push r15",
                "push r29",
                ".endif",
                "movw r30, r24",
                "clr r2",
                ".if {more}",
                "push r23",
                "push r22",
                "push r19",
                "push r18",
                "push r16",
                ".endif",
                "push r21",
                "push r20",
                "movw r26, r22",
                "mov r24, r18",
                ".if {wide}",
                "push r19",
                "clr r14",
                ".endif",
                "clr r22",
                "clr r23",
                each!("{first}", load),
                // The first group, with the sum of the inputs.
                ".if {rest}",
                "rjmp 2f + {rest} * {first_bytes}",
                ".endif",
                "2:",
                ".rept {unroll}",
                "ld r25, X+",
                "subi r25, 0x80",
                ".if {skip}",
                "breq 4f",
                ".endif",
                "add r22, r25",
                "adc r23, r2",
                ".if {wide}",
                "adc r14, r2",
                ".endif",
                each!("{first}", multiply),
                ".endr",
                "dec r24",
                ".if {unroll} * {first_bytes} < 120",
                "brne 2b",
                ".else",
                "breq 5f",
                "rjmp 2b",
                ".endif",
                ".if {skip}",
                "rjmp 5f",
                "4:",
                "adiw r30, {first}",
                "dec r24",
                "brne 2b",
                ".endif",
                "5:",
                ".if {wide}",
                "pop r25",
                "subi r25, 1",
                "brcs 6f",
                "push r25",
                ".if {unroll} > 1",
                "ldi r24, 256 / {unroll}",
                ".endif",
                "rjmp 2b",
                "6:",
                ".endif",
                ".if {wide}",
                "clr r25",
                "lsr r14",
                "ror r23",
                ".else",
                "clr r25",
                "lsr r23",
                ".endif",
                "ror r22",
                "ror r25",
                each!("{first}", subtract),
                "pop r26",
                "pop r27",
                ".if {more}",
                "push r23",
                "push r22",
                "push r25",
                ".endif",
                each!("{first}", store),
                ".if {more}",
                // The other groups. The frame: 1 to 3 what the biases lack, 4 groups, 5 and 6 inputs, 7 and 8 x.
                "7:",
                "in r28, 0x3d",
                "in r29, 0x3e",
                "ldd r24, Y+4",
                "subi r24, 1",
                "brcc 8f",
                "rjmp 13f",
                "8:",
                "std Y+4, r24",
                "push r27",
                "push r26",
                "ldd r26, Y+7",
                "ldd r27, Y+8",
                "ldd r24, Y+5",
                ".if {wide}",
                "ldd r25, Y+6",
                "push r25",
                ".endif",
                "ldd r25, Y+1",
                "ldd r22, Y+2",
                "ldd r23, Y+3",
                each!("{group}", load_and_subtract),
                ".if {rest}",
                "rjmp 9f + {rest} * {group_bytes}",
                ".endif",
                "9:",
                ".rept {unroll}",
                "ld r25, X+",
                "subi r25, 0x80",
                ".if {skip}",
                "breq 12f",
                ".endif",
                each!("{group}", multiply),
                ".endr",
                "dec r24",
                ".if {unroll} * {group_bytes} < 120",
                "brne 9b",
                ".else",
                "breq 14f",
                "rjmp 9b",
                ".endif",
                ".if {skip}",
                "rjmp 14f",
                "12:",
                "adiw r30, {group}",
                "dec r24",
                "brne 9b",
                ".endif",
                "14:",
                ".if {wide}",
                "pop r25",
                "subi r25, 1",
                "brcs 15f",
                "push r25",
                ".if {unroll} > 1",
                "ldi r24, 256 / {unroll}",
                ".endif",
                "rjmp 9b",
                "15:",
                ".endif",
                "pop r26",
                "pop r27",
                each!("{group}", store),
                "rjmp 7b",
                "13:",
                ".rept 8",
                "pop r0",
                ".endr",
                ".endif",
                "clr r1",
                ".if {live} > 6",
                "pop r29",
                "pop r15",
                "pop r14",
                ".endif",
                ".if {live} > 5",
                "pop r28",
                "pop r13",
                "pop r12",
                ".endif",
                ".if {live} > 4",
                "pop r17",
                "pop r11",
                "pop r10",
                ".endif",
                ".if {live} > 3",
                "pop r16",
                "pop r9",
                "pop r8",
                ".endif",
                ".if {live} > 2",
                "pop r3",
                "pop r7",
                "pop r6",
                ".endif",
                ".if {live} > 1",
                "pop r5",
                "pop r4",
                ".endif",
                "pop r2",
                "rjmp 50f",
                // Requantizes r18, r19, r20 and stores the result.
                "40:",
                store_result!(),
                "50:",
                first = const Form::unpack(FORM).first,
                group = const Form::unpack(FORM).group,
                more = const Form::unpack(FORM).more as u8,
                wide = const Form::unpack(FORM).wide as u8,
                skip = const Form::unpack(FORM).skip as u8,
                short = const Form::unpack(FORM).short as u8,
                shift = const Form::unpack(FORM).shift,
                scale = const scale(Form::unpack(FORM).shift),
                zero_point = const Form::unpack(FORM).zero_point,
                min = const Form::unpack(FORM).min,
                max = const Form::unpack(FORM).max,
                unroll = const Form::unpack(FORM).unroll,
                rest = const Form::unpack(FORM).rest,
                live = const live(Form::unpack(FORM)),
                first_bytes = const bytes(Form::unpack(FORM), true),
                group_bytes = const bytes(Form::unpack(FORM), false),
                inout("r25r24") stream => _,
                inout("r23r22") x => _,
                inout("r21r20") y => _,
                inout("r19r18") inputs => _,
                in("r16") groups,
                out("X") _,
                out("Z") _,
            )
        }
    }
}
