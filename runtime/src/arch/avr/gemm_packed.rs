//! Fully connected layer with weights of few bits, sums of two bytes, or sums that are the result.

use super::result::{EACH, scale};
use core::fmt;

/// [`kernels::Gemm`](crate::kernels::Gemm) from and to `i8`, with its constants as one stream of bytes in the order in
/// which they are used.
///
/// Outputs are computed in groups of [`PackedForm::group`], the last of which may have fewer. For every group the stream
/// holds the weights, those of the first input first; then, for every output, three bytes of bias and what
/// [`Gemm`](super::Gemm) has of multiplier and shift. All numbers begin with their lowest byte.
///
/// An input is used as `v = x + 128`. Products are added up in two or three bytes, modulo 2^16 or 2^24: the code
/// generator proves from the weights and the limits of the inputs that the sums of products fit. The bias is added
/// afterwards, in three bytes, which have to fit as well, and once more times `2^raise`, which results are of.
///
/// Weights are stored without a sign, each with an offset, which the sum of all `v` takes back.
///
/// - *Eight bits*, `w + 128`: four instructions a weight (`lpm`, `mul`, two additions), five with sums of three bytes.
/// - *Four bits*, `w + 8`, two to a byte. The byte and the byte with its halves swapped are multiplied as they are, which
///   gives `T = A + 16 B` and `U = 16 A + B`. As 255 is odd, `A = (T - 16 U) / -255` in integers modulo 2^16, where the
///   division is a multiplication by 257 (2^24: by 65793), and `B = U - 16 A`. Four instructions a weight, or five.
/// - *Two bits*, `w + 1`, four to a byte: `a` in the lowest two bits, then `b`, `c`, `d`. As with four bits, once more
///   with a mask that leaves `a` and `c`; the differences are `4 B + 64 D` and `64 B + 4 D`. So the sums of `b` and `d`
///   have to fit in two bits less. Four instructions a weight, or five. Outputs lie in the order `b`, `d`, `a`, `c`; where
///   two are left, their byte has them in the places of `a` and `c`.
/// - *[Powers of two](crate::kernels::POWER_OF_TWO)*: a table of sixteen bytes of RAM takes codes of four bits to weights.
///   Eight instructions a weight, or nine.
///
/// On AVR it has to be a `static` in the section `.progmem.data`, as [`Gemm`](super::Gemm).
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream; `FORM` is a packed [`PackedForm`], and
/// layers with the same one share the code.
#[repr(C)]
pub struct GemmPacked<const I: usize, const O: usize, const N: usize, const FORM: u64> {
    /// In program memory, where a reference is not an address that Rust can read.
    #[cfg_attr(tinymlp_arch = "avr", allow(dead_code))]
    stream: [u8; N],
}

/// [`GemmPacked`] whose sums are the result, without multipliers.
#[repr(C)]
pub struct GemmPackedSums<const I: usize, const O: usize, const N: usize, const FORM: u64> {
    /// In program memory, where a reference is not an address that Rust can read.
    #[cfg_attr(tinymlp_arch = "avr", allow(dead_code))]
    stream: [u8; N],
}

/// What the code of a [`GemmPacked`] depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedForm {
    /// Outputs of a group: an even number, unless weights have eight bits.
    pub group: u8,
    /// Bits of a weight: 8, 4 or 2.
    pub bits: u8,
    /// Whether weights of four bits are the sign and the exponent of a power of two.
    pub powers: bool,
    /// Whether sums of products have two bytes, not three.
    pub narrow: bool,
    /// Whether inputs of -128 are passed over, for which every product is zero.
    pub skip: bool,
    /// Whether results of negative sums are taken for `min` without a multiplication; `zero_point <= min` is required.
    pub short: bool,
    /// The exponent of the power of two that sums are multiplied by before they are scaled: of few bits, they may be
    /// smaller than results. 0 to 15.
    pub raise: u8,
    /// See [`Gemm`](super::Gemm); 0 to 7, or [`Form::EACH`](super::Form::EACH).
    pub shift: u8,
    /// Added to every result.
    pub zero_point: i8,
    /// Smallest result.
    pub min: i8,
    /// Largest result.
    pub max: i8,
}

impl PackedForm {
    /// As a number.
    pub const fn pack(self) -> u64 {
        let flags = self.powers as u64 | (self.narrow as u64) << 1 | (self.skip as u64) << 2 | (self.short as u64) << 3;
        (self.group as u64)
            | (self.bits as u64) << 4
            | flags << 8
            | (self.shift as u64) << 12
            | (self.zero_point as u8 as u64) << 16
            | (self.min as u8 as u64) << 24
            | (self.max as u8 as u64) << 32
            | (self.raise as u64) << 40
    }

    /// From [`PackedForm::pack`].
    pub const fn unpack(form: u64) -> Self {
        Self {
            group: (form & 15) as u8,
            bits: (form >> 4 & 15) as u8,
            powers: form >> 8 & 1 != 0,
            narrow: form >> 9 & 1 != 0,
            skip: form >> 10 & 1 != 0,
            short: form >> 11 & 1 != 0,
            shift: (form >> 12 & 15) as u8,
            zero_point: (form >> 16) as i8,
            min: (form >> 24) as i8,
            max: (form >> 32) as i8,
            raise: (form >> 40 & 15) as u8,
        }
    }

    /// The most outputs of a group for which there are registers.
    const fn largest(self) -> usize {
        if self.narrow && !self.powers { 10 } else { 6 }
    }

    /// Outputs that share a byte, or are computed together.
    const fn unit(self) -> usize {
        if self.bits == 8 { 1 } else { 2 }
    }

    /// Outputs of a group of so many in all: groups are as large as the registers allow, and all of one size.
    pub const fn group_of(self, outputs: usize) -> usize {
        let units = outputs.div_ceil(self.unit());
        units.div_ceil(units.div_ceil(self.largest() / self.unit())) * self.unit()
    }

    /// Bytes of the weights of an input.
    pub const fn input_bytes(self) -> usize {
        (self.group as usize * self.bits as usize).div_ceil(8)
    }

    /// Fours of outputs in a group whose weights have two bits.
    pub const fn quads(self) -> usize {
        if self.bits == 2 { self.group as usize / 4 } else { 0 }
    }

    /// Pairs of outputs in a group whose weights are the halves of a byte.
    pub const fn pairs(self) -> usize {
        match self.bits {
            2 => self.group as usize % 4 / 2,
            4 if !self.powers => self.group as usize / 2,
            _ => 0,
        }
    }

    /// Outputs whose sums are added up as they are.
    pub const fn singles(self) -> usize {
        self.group as usize - 4 * self.quads() - 2 * self.pairs()
    }

    /// Length of the stream of a layer.
    pub const fn stream_len(self, inputs: usize, outputs: usize, sums: bool) -> usize {
        let end = if sums { 3 } else { 3 + scale(self.shift) };
        let weights = outputs.div_ceil(self.group as usize).saturating_mul(inputs).saturating_mul(self.input_bytes());
        outputs.saturating_mul(end).saturating_add(weights)
    }

    /// Whether the assembly computes a layer of `inputs` and `outputs` with it.
    pub const fn fits(self, inputs: usize, outputs: usize) -> bool {
        inputs > 0
            && outputs > 0
            && inputs < 0x8000
            && outputs < 0x2000
            && self.group > 0
            && (self.group as usize).is_multiple_of(self.unit())
            && self.group as usize <= self.largest()
            && matches!((self.bits, self.powers), (2 | 4 | 8, false) | (4, true))
            && self.raise < 16
            && self.shift <= EACH
            && self.min <= self.max
            && (!self.short || self.zero_point <= self.min)
    }
}

impl<const I: usize, const O: usize, const N: usize, const FORM: u64> GemmPacked<I, O, N, FORM> {
    /// A layer for program memory.
    pub const fn new(stream: [u8; N]) -> Self {
        const { assert!(PackedForm::unpack(FORM).fits(I, O)) };
        const { assert!(N == PackedForm::unpack(FORM).stream_len(I, O, false)) };
        Self { stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i8; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "avr")]
            {
                let (stream, y) = ((&raw const *self).cast(), y.as_mut_ptr().cast());
                // SAFETY: by the sizes in the types, the assembly reads this stream and I bytes and writes O bytes.
                unsafe { asm::gemm::<FORM, false>(stream, x.as_ptr(), y, I as u16, O as u16) };
            }
            #[cfg(not(tinymlp_arch = "avr"))]
            portable::gemm_packed(&self.stream, x, PackedForm::unpack(FORM), y);
        }
    }
}

impl<const I: usize, const O: usize, const N: usize, const FORM: u64> GemmPackedSums<I, O, N, FORM> {
    /// A layer for program memory.
    pub const fn new(stream: [u8; N]) -> Self {
        const { assert!(PackedForm::unpack(FORM).fits(I, O)) };
        const { assert!(N == PackedForm::unpack(FORM).stream_len(I, O, true)) };
        Self { stream }
    }

    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &[[i8; I]; R], y: &mut [[i32; O]; R]) {
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "avr")]
            {
                let (stream, y) = ((&raw const *self).cast(), y.as_mut_ptr().cast());
                // SAFETY: by the sizes in the types, the assembly reads this stream and I bytes and writes 4 O bytes.
                unsafe { asm::gemm::<FORM, true>(stream, x.as_ptr(), y, I as u16, 4 * O as u16) };
            }
            #[cfg(not(tinymlp_arch = "avr"))]
            portable::gemm_packed_sums(&self.stream, x, PackedForm::unpack(FORM), y);
        }
    }
}

impl<const I: usize, const O: usize, const N: usize, const FORM: u64> fmt::Debug for GemmPacked<I, O, N, FORM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GemmPacked").finish_non_exhaustive()
    }
}

impl<const I: usize, const O: usize, const N: usize, const FORM: u64> fmt::Debug for GemmPackedSums<I, O, N, FORM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GemmPackedSums").finish_non_exhaustive()
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "avr"))]
pub(super) mod portable {
    use super::PackedForm;
    use crate::arch::avr::result::requantized;
    use crate::kernels::{POWER_OF_TWO, product};

    /// One row of [`GemmPacked`](super::GemmPacked): as many results as `y` has. A stream that is too short ends it.
    pub fn gemm_packed(stream: &[u8], x: &[i8], form: PackedForm, y: &mut [i8]) {
        let limits = [form.zero_point, form.min, form.max];
        row(stream, x, form, y, |sum, stream| requantized(sum << form.raise << 8 >> 8, form.shift, limits, stream));
    }

    /// One row of [`GemmPackedSums`](super::GemmPackedSums), as [`gemm_packed`].
    pub fn gemm_packed_sums(stream: &[u8], x: &[i8], form: PackedForm, y: &mut [i32]) {
        row(stream, x, form, y, |sum, _| Some(sum));
    }

    fn row<Y>(
        mut stream: &[u8],
        x: &[i8],
        form: PackedForm,
        mut y: &mut [Y],
        result: impl Fn(i32, &mut &[u8]) -> Option<Y>,
    ) {
        let size = usize::from(form.group).max(1);
        while !y.is_empty() {
            let Some(y) = y.split_off_mut(..size.min(y.len())) else { return };
            let Some(weights) = stream.split_off(..x.len() * form.input_bytes()) else { return };
            for (y, sum) in y.iter_mut().zip(sums(weights, x, form)) {
                let Some(&[low, middle, high]) = stream.split_off(..3) else { return };
                let bias = i32::from_le_bytes([low, middle, high, 0]);
                let Some(found) = result(bias.wrapping_add(sum) << 8 >> 8, &mut stream) else { return };
                *y = found;
            }
        }
    }

    /// The sums of products of a group, as the assembly has them: in two bytes, or three.
    fn sums(weights: &[u8], x: &[i8], form: PackedForm) -> [i32; 12] {
        let (unused, inverse) = if form.narrow { (16, 257) } else { (8, 65_793) };
        let cut = |sum: i32| sum << unused >> unused;
        // The sum of what byte `k` of an input's weights becomes, each less an offset, times the input.
        let sum = |k: usize, digits: &dyn Fn(u8) -> i32| {
            let bytes = weights.chunks_exact(form.input_bytes().max(1)).map(|bytes| bytes.get(k).copied().unwrap_or(0));
            let products = bytes.zip(x).map(|(byte, &x)| digits(byte).wrapping_mul(i32::from(x) + 128));
            products.fold(0i32, i32::wrapping_add)
        };
        let less = |offset: i32| move |byte: u8| i32::from(byte) - offset;
        let swapped = |offset: i32| move |byte: u8| i32::from(byte.rotate_left(4)) - offset;
        // The two sums in `A + 16 B` and `16 A + B`.
        let pair = |t: i32, u: i32| {
            let a = cut(t.wrapping_sub(u << 4).wrapping_mul(inverse));
            [a, cut(u.wrapping_sub(a << 4))]
        };
        let mut found = [0; 12];
        match (form.bits, form.powers) {
            (8, _) => found.iter_mut().take(form.group.into()).enumerate().for_each(|(k, found)| {
                *found = cut(sum(k, &less(128)));
            }),
            (_, true) => found.iter_mut().take(form.group.into()).enumerate().for_each(|(k, found)| {
                *found = cut(sum(k / 2, &|byte| product(POWER_OF_TWO, byte >> (k % 2 * 4), 1)));
            }),
            (2, _) => {
                let quads = form.quads();
                let (fours, two) = found.split_at_mut(4 * quads);
                for (k, four) in fours.chunks_exact_mut(4).enumerate() {
                    let inner = |byte: u8| i32::from(byte & 0x33) - 17;
                    let inner_swapped = |byte: u8| i32::from(byte.rotate_left(4) & 0x33) - 17;
                    let [all, all_swapped] = [sum(k, &less(85)), sum(k, &swapped(85))];
                    let [inner, inner_swapped] = [sum(k, &inner), sum(k, &inner_swapped)];
                    let outer = pair(all.wrapping_sub(inner), all_swapped.wrapping_sub(inner_swapped));
                    let inner = pair(inner, inner_swapped);
                    four.copy_from_slice(&[outer[0] >> 2, outer[1] >> 2, inner[0], inner[1]]);
                }
                if let (1, Some(two)) = (form.pairs(), two.first_chunk_mut()) {
                    *two = pair(sum(quads, &less(17)), sum(quads, &swapped(17)));
                }
            }
            _ => {
                for (k, two) in found.chunks_exact_mut(2).take(form.pairs()).enumerate() {
                    two.copy_from_slice(&pair(sum(k, &less(136)), sum(k, &swapped(136))));
                }
            }
        }
        found
    }
}

#[cfg(tinymlp_arch = "avr")]
mod asm {
    use super::PackedForm;
    use crate::arch::avr::result::{scale, store_result};
    use core::arch::asm;

    /// Weights plus 128 by their codes. Where it lies, the code is the end of the address.
    #[repr(align(16))]
    #[expect(dead_code, reason = "only the assembly reads it")]
    struct Powers([u8; 16]);

    static POWERS: Powers = Powers([129, 130, 132, 136, 144, 160, 192, 128, 127, 126, 124, 120, 112, 96, 64, 128]);

    // Registers of the loop: r0, r1 products; r2 zero; r22, r23 the end of x; r24 weights; r25 the input; X the position
    // in x; Z that in the stream; with powers of two Y the address in their table. Sums, of two or of three bytes, have
    // what remains.
    macro_rules! sum {
        (0, $do:ident) => {
            $do!("0", ["r18", "r19"], ["r18", "r19", "r20"])
        };
        (1, $do:ident) => {
            $do!("1", ["r20", "r21"], ["r16", "r17", "r21"])
        };
        (2, $do:ident) => {
            $do!("2", ["r16", "r17"], ["r14", "r15", "r7"])
        };
        (3, $do:ident) => {
            $do!("3", ["r14", "r15"], ["r12", "r13", "r6"])
        };
        (4, $do:ident) => {
            $do!("4", ["r12", "r13"], ["r10", "r11", "r5"])
        };
        (5, $do:ident) => {
            $do!("5", ["r10", "r11"], ["r8", "r9", "r4"])
        };
        // Of three bytes there are no more.
        (6, $do:ident) => {
            $do!("6", ["r8", "r9"], ["r8", "r9", "r2"])
        };
        (7, $do:ident) => {
            $do!("7", ["r6", "r7"], ["r6", "r7", "r2"])
        };
        (8, $do:ident) => {
            $do!("8", ["r4", "r5"], ["r4", "r5", "r2"])
        };
        (9, $do:ident) => {
            $do!("9", ["r28", "r29"], ["r28", "r29", "r2"])
        };
    }

    /// Begins a sum with what the offset of weights adds, in r25, r24 and r23, or with a mask in r1, r0 and r22.
    #[rustfmt::skip]
    macro_rules! begin {
        ($k:literal, [$a:literal, $b:literal], [$c:literal, $d:literal, $e:literal]) => {
            concat!(
                ".if {group} > ", $k, "\n.if {bits} == 2 && (", $k, " >= 4 * {quads} || ", $k, " % 4 > 1)\n",
                ".if {narrow}\nmovw ", $a, ", r0\n.else\nmovw ", $c, ", r0\nmov ", $e, ", r22\n.endif\n.else\n",
                ".if {narrow}\nmovw ", $a, ", r24\n.else\nmovw ", $c, ", r24\nmov ", $e, ", r23\n.endif\n.endif\n.endif\n",
            )
        };
    }

    /// Adds the product.
    #[rustfmt::skip]
    macro_rules! add {
        ($k:literal, [$a:literal, $b:literal], [$c:literal, $d:literal, $e:literal]) => {
            concat!(
                ".if {narrow}\nadd ", $a, ", r0\nadc ", $b, ", r1\n.else\n",
                "add ", $c, ", r0\nadc ", $d, ", r1\nadc ", $e, ", r2\n.endif\n",
            )
        };
    }

    macro_rules! push {
        ($k:literal, [$a:literal, $b:literal], [$c:literal, $d:literal, $e:literal]) => {
            concat!(
                ".if {group} > ",
                $k,
                "\n.if {narrow}\npush ",
                $b,
                "\npush ",
                $a,
                "\n.else\n",
                "push ",
                $e,
                "\npush ",
                $d,
                "\npush ",
                $c,
                "\n.endif\n.endif\n",
            )
        };
    }

    macro_rules! pop {
        ($a:literal, $b:literal, $c:literal) => {
            concat!("pop ", $a, "\npop ", $b, "\n.if {narrow} == 0\npop ", $c, "\n.endif\n")
        };
    }

    /// A weight of eight bits.
    macro_rules! byte {
        ($k:tt) => {
            concat!(".if {group} > ", $k, "\nlpm r0, Z+\nmul r0, r25\n", sum!($k, add), ".endif\n")
        };
    }

    /// The product of the byte in r24.
    macro_rules! multiply {
        ($k:tt) => {
            concat!("mul r24, r25\n", sum!($k, add))
        };
    }

    /// Two weights that are the halves of a byte.
    macro_rules! pair {
        ($k:tt, $l:tt) => {
            concat!("lpm r24, Z+\n", multiply!($k), "swap r24\n", multiply!($l))
        };
    }

    /// Two powers of two.
    #[rustfmt::skip]
    macro_rules! powers {
        ($k:tt, $l:tt) => {
            concat!(
                "lpm r24, Z+\nmov r28, r24\nandi r28, 15\nori r28, lo8({table})\nld r0, Y\nmul r0, r25\n", sum!($k, add),
                "swap r24\nmov r28, r24\nandi r28, 15\nori r28, lo8({table})\nld r0, Y\nmul r0, r25\n", sum!($l, add),
            )
        };
    }

    /// Two weights of four bits.
    #[rustfmt::skip]
    macro_rules! nibbles {
        ($k:tt, $l:tt) => {
            concat!(
                ".if {group} > ", $k, "\n.if {powers}\n", powers!($k, $l), ".else\n", pair!($k, $l), ".endif\n.endif\n",
            )
        };
    }

    /// Four weights of two bits, or the two that are left.
    #[rustfmt::skip]
    macro_rules! crumbs {
        ($k:tt, $l:tt, $m:tt, $n:tt) => {
            concat!(
                ".if {group} > ", $m, "\n", pair!($k, $l), "andi r24, 0x33\n", multiply!($m), "swap r24\n", multiply!($n),
                ".elseif {group} > ", $k, "\n", pair!($k, $l), ".endif\n",
            )
        };
    }

    /// All weights of an input.
    #[rustfmt::skip]
    macro_rules! products {
        () => {
            concat!(
                ".if {bits} == 8\n", byte!(0), byte!(1), byte!(2), byte!(3), byte!(4), byte!(5), byte!(6), byte!(7),
                byte!(8), byte!(9), ".elseif {bits} == 4\n", nibbles!(0, 1), nibbles!(2, 3), nibbles!(4, 5), nibbles!(6, 7),
                nibbles!(8, 9), ".else\n", crumbs!(0, 1, 2, 3), crumbs!(4, 5, 6, 7), ".if {group} > 8\n", pair!(8, 9),
                ".endif\n.endif\n",
            )
        };
    }

    /// Pushes the number in r18, r19 and r20 times `$by`.
    #[rustfmt::skip]
    macro_rules! push_times {
        ($by:literal) => {
            concat!(
                "ldi r25, ", $by, "\n.if {narrow}\nmul r19, r25\nmov r24, r0\nmul r18, r25\nadd r1, r24\n.else\n",
                "mul r20, r25\nmov r24, r0\nmul r19, r25\nmov r23, r0\nadd r24, r1\nmul r18, r25\nadd r1, r23\nadc r24, r2\n",
                "push r24\n.endif\npush r1\npush r0\n",
            )
        };
    }

    /// Whether a pair of registers, of r4 to r15, is saved: for sums, or for taking them apart.
    pub(super) const fn saved(form: PackedForm, register: u8) -> bool {
        let PackedForm { group, narrow, .. } = form;
        let (quads, solved) = (form.quads() > 0, form.quads() + form.pairs() > 0);
        let (of_sums, to_solve) = match register {
            4 => (group > if narrow { 8 } else { 4 }, solved),
            6 => (group > if narrow { 7 } else { 2 }, solved && !narrow),
            8 => (group > if narrow { 6 } else { 5 }, quads),
            10 => (group > if narrow { 5 } else { 4 }, quads && !narrow),
            12 => (group > if narrow { 4 } else { 3 }, quads),
            _ => (group > if narrow { 3 } else { 2 }, quads && !narrow),
        };
        of_sums || to_solve
    }

    /// Bytes of the frame that lie below the others: what sums begin with.
    const fn begins(form: PackedForm) -> u8 {
        (if form.narrow { 2 } else { 3 }) * (if form.bits == 2 { 2 } else { 1 })
    }

    /// Bytes from the last of the frame to those of x where the sums of a group lie there too.
    const fn pushed(form: PackedForm) -> u8 {
        begins(form) + form.group * if form.narrow { 2 } else { 3 }
    }

    /// One row.
    ///
    /// # Safety
    /// `stream` is the address in program memory of a layer of this form, with results or with `SUMS`; `x` and `y` are the
    /// row's input and output, of so many bytes.
    // Not a naked function, as in `gemm.rs`.
    #[inline(never)]
    pub(super) unsafe fn gemm<const FORM: u64, const SUMS: bool>(
        stream: *const u8,
        x: *const i8,
        y: *mut u8,
        inputs: u16,
        outputs: u16,
    ) {
        // SAFETY: reads and writes what the caller says. The registers that are not named as outputs are put back, and
        // r1 is zero again.
        unsafe {
            asm!(
                "push r2",
                "push r16",
                "push r17",
                "push r28",
                "push r29",
                ".if {s4}",
                "push r4",
                "push r5",
                ".endif",
                ".if {s6}",
                "push r6",
                "push r7",
                ".endif",
                ".if {s8}",
                "push r8",
                "push r9",
                ".endif",
                ".if {s10}",
                "push r10",
                "push r11",
                ".endif",
                ".if {s12}",
                "push r12",
                "push r13",
                ".endif",
                ".if {s14}",
                "push r14",
                "push r15",
                ".endif",
                "movw r30, r24",
                "clr r2",
                // The frame, from its last byte: what sums begin with, then x, its end, y, its end.
                "add r16, r20",
                "adc r17, r21",
                "push r17",
                "push r16",
                "push r21",
                "push r20",
                "movw r26, r22",
                "add r22, r18",
                "adc r23, r19",
                "push r23",
                "push r22",
                "push r27",
                "push r26",
                // Less the sum of inputs, times the offset of weights.
                "clr r18",
                "clr r19",
                ".if {narrow} == 0",
                "clr r20",
                ".endif",
                "2:",
                "ld r25, X+",
                "subi r25, 0x80",
                "sub r18, r25",
                "sbc r19, r2",
                ".if {narrow} == 0",
                "sbc r20, r2",
                ".endif",
                "cp r26, r22",
                "brne 2b",
                "cp r27, r23",
                "brne 2b",
                ".if {bits} == 2",
                push_times!("85"),
                push_times!("17"),
                ".elseif {bits} == 8 || {powers}",
                push_times!("128"),
                ".else",
                push_times!("136"),
                ".endif",
                // A group.
                "6:",
                "in r28, 0x3d",
                "in r29, 0x3e",
                ".if {bits} == 2",
                "ldd r0, Y+1",
                "ldd r1, Y+2",
                ".if {narrow}",
                "ldd r24, Y+3",
                "ldd r25, Y+4",
                ".else",
                "ldd r22, Y+3",
                "ldd r24, Y+4",
                "ldd r25, Y+5",
                "ldd r23, Y+6",
                ".endif",
                ".else",
                "ldd r24, Y+1",
                "ldd r25, Y+2",
                ".if {narrow} == 0",
                "ldd r23, Y+3",
                ".endif",
                ".endif",
                sum!(0, begin),
                sum!(1, begin),
                sum!(2, begin),
                sum!(3, begin),
                sum!(4, begin),
                sum!(5, begin),
                sum!(6, begin),
                sum!(7, begin),
                sum!(8, begin),
                "ldd r26, Y+{x0}",
                "ldd r27, Y+{x1}",
                "ldd r22, Y+{x2}",
                "ldd r23, Y+{x3}",
                sum!(9, begin),
                ".if {powers}",
                "ldi r29, hi8({table})",
                ".endif",
                "2:",
                "ld r25, X+",
                "subi r25, 0x80",
                ".if {skip}",
                "breq 4f",
                ".endif",
                products!(),
                "3:",
                "cp r26, r22",
                "brne 2b",
                "cp r27, r23",
                "brne 2b",
                ".if {skip}",
                "rjmp 5f",
                "4:",
                "adiw r30, {input_bytes}",
                "rjmp 3b",
                "5:",
                ".endif",
                // The sums, the first on top. r16, r17 the end of y; X the position in it.
                sum!(9, push),
                sum!(8, push),
                sum!(7, push),
                sum!(6, push),
                sum!(5, push),
                sum!(4, push),
                sum!(3, push),
                sum!(2, push),
                sum!(1, push),
                sum!(0, push),
                "in r28, 0x3d",
                "in r29, 0x3e",
                "ldd r26, Y+{y0}",
                "ldd r27, Y+{y1}",
                "ldd r16, Y+{y2}",
                "ldd r17, Y+{y3}",
                ".if {quads}",
                "ldi r21, {quads}",
                "7:",
                pop!("r18", "r19", "r20"),
                pop!("r4", "r5", "r6"),
                pop!("r12", "r13", "r14"),
                pop!("r8", "r9", "r10"),
                "sub r18, r8",
                "sbc r19, r9",
                ".if {narrow} == 0",
                "sbc r20, r10",
                ".endif",
                "sub r4, r12",
                "sbc r5, r13",
                ".if {narrow} == 0",
                "sbc r6, r14",
                ".endif",
                "set",
                "rcall 50f",
                "clt",
                "movw r18, r8",
                "movw r4, r12",
                ".if {narrow} == 0",
                "mov r20, r10",
                "mov r6, r14",
                ".endif",
                "rcall 50f",
                "dec r21",
                "brne 7b",
                ".endif",
                ".if {pairs}",
                "ldi r21, {pairs}",
                "7:",
                pop!("r18", "r19", "r20"),
                pop!("r4", "r5", "r6"),
                "rcall 50f",
                "dec r21",
                "brne 7b",
                ".endif",
                ".if {singles}",
                "ldi r21, {singles}",
                "7:",
                pop!("r18", "r19", "r20"),
                "rcall 40f",
                "dec r21",
                "brne 7b",
                ".endif",
                "std Y+{y0}, r26",
                "std Y+{y1}, r27",
                "cp r26, r16",
                "cpc r27, r17",
                "breq 9f",
                "rjmp 6b",
                "9:",
                ".rept {frame}",
                "pop r0",
                ".endr",
                "clr r1",
                ".if {s14}",
                "pop r15",
                "pop r14",
                ".endif",
                ".if {s12}",
                "pop r13",
                "pop r12",
                ".endif",
                ".if {s10}",
                "pop r11",
                "pop r10",
                ".endif",
                ".if {s8}",
                "pop r9",
                "pop r8",
                ".endif",
                ".if {s6}",
                "pop r7",
                "pop r6",
                ".endif",
                ".if {s4}",
                "pop r5",
                "pop r4",
                ".endif",
                "pop r29",
                "pop r28",
                "pop r17",
                "pop r16",
                "pop r2",
                "rjmp 60f",
                // Takes A and B out of A + 16 B and 16 A + B. Where the sums are of both, in the outer bits of two, T is set:
                // they are four times as large.
                ".if {quads} + {pairs} > 0",
                "50:",
                ".if {narrow}",
                "movw r22, r4",
                ".rept 4",
                "lsl r22",
                "rol r23",
                ".endr",
                "sub r18, r22",
                "sbc r19, r23",
                "add r19, r18",
                "movw r22, r18",
                ".rept 4",
                "lsl r22",
                "rol r23",
                ".endr",
                "sub r4, r22",
                "sbc r5, r23",
                ".if {quads}",
                "brtc 51f",
                ".rept 2",
                "asr r19",
                "ror r18",
                "asr r5",
                "ror r4",
                ".endr",
                "51:",
                ".endif",
                ".else",
                "movw r22, r4",
                "mov r24, r6",
                ".rept 4",
                "lsl r22",
                "rol r23",
                "rol r24",
                ".endr",
                "sub r18, r22",
                "sbc r19, r23",
                "sbc r20, r24",
                "add r20, r19",
                "add r19, r18",
                "adc r20, r18",
                "movw r22, r18",
                "mov r24, r20",
                ".rept 4",
                "lsl r22",
                "rol r23",
                "rol r24",
                ".endr",
                "sub r4, r22",
                "sbc r5, r23",
                "sbc r6, r24",
                ".if {quads}",
                "brtc 51f",
                ".rept 2",
                "asr r20",
                "ror r19",
                "ror r18",
                "asr r6",
                "ror r5",
                "ror r4",
                ".endr",
                "51:",
                ".endif",
                ".endif",
                "rcall 40f",
                "movw r18, r4",
                ".if {narrow} == 0",
                "mov r20, r6",
                ".endif",
                ".endif",
                // Adds the bias to the sum in r18, r19 and r20 and stores the result, if there is one.
                "40:",
                "cp r26, r16",
                "cpc r27, r17",
                "brne 41f",
                "ret",
                "41:",
                ".if {narrow}",
                "mov r20, r19",
                "lsl r20",
                "sbc r20, r20",
                ".endif",
                "lpm r22, Z+",
                "lpm r23, Z+",
                "lpm r24, Z+",
                "add r18, r22",
                "adc r19, r23",
                "adc r20, r24",
                ".if {sums}",
                "st X+, r18",
                "st X+, r19",
                "st X+, r20",
                "lsl r20",
                "sbc r20, r20",
                "st X+, r20",
                "ret",
                ".else",
                ".rept {raise}",
                "lsl r18",
                "rol r19",
                "rol r20",
                ".endr",
                store_result!(),
                ".endif",
                "60:",
                s4 = const saved(PackedForm::unpack(FORM), 4) as u8,
                s6 = const saved(PackedForm::unpack(FORM), 6) as u8,
                s8 = const saved(PackedForm::unpack(FORM), 8) as u8,
                s10 = const saved(PackedForm::unpack(FORM), 10) as u8,
                s12 = const saved(PackedForm::unpack(FORM), 12) as u8,
                s14 = const saved(PackedForm::unpack(FORM), 14) as u8,
                group = const PackedForm::unpack(FORM).group,
                bits = const PackedForm::unpack(FORM).bits,
                powers = const PackedForm::unpack(FORM).powers as u8,
                narrow = const PackedForm::unpack(FORM).narrow as u8,
                skip = const PackedForm::unpack(FORM).skip as u8,
                input_bytes = const PackedForm::unpack(FORM).input_bytes(),
                quads = const PackedForm::unpack(FORM).quads(),
                pairs = const PackedForm::unpack(FORM).pairs(),
                singles = const PackedForm::unpack(FORM).singles(),
                x0 = const begins(PackedForm::unpack(FORM)) + 1,
                x1 = const begins(PackedForm::unpack(FORM)) + 2,
                x2 = const begins(PackedForm::unpack(FORM)) + 3,
                x3 = const begins(PackedForm::unpack(FORM)) + 4,
                y0 = const pushed(PackedForm::unpack(FORM)) + 5,
                y1 = const pushed(PackedForm::unpack(FORM)) + 6,
                y2 = const pushed(PackedForm::unpack(FORM)) + 7,
                y3 = const pushed(PackedForm::unpack(FORM)) + 8,
                frame = const begins(PackedForm::unpack(FORM)) + 8,
                sums = const SUMS as u8,
                short = const PackedForm::unpack(FORM).short as u8,
                raise = const PackedForm::unpack(FORM).raise,
                shift = const PackedForm::unpack(FORM).shift,
                scale = const scale(PackedForm::unpack(FORM).shift),
                zero_point = const PackedForm::unpack(FORM).zero_point,
                min = const PackedForm::unpack(FORM).min,
                max = const PackedForm::unpack(FORM).max,
                table = sym POWERS,
                inout("r25r24") stream => _,
                inout("r23r22") x => _,
                inout("r21r20") y => _,
                inout("r19r18") inputs => _,
                in("r17r16") outputs,
                out("X") _,
                out("Z") _,
            )
        }
    }
}
