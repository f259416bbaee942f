//! Fully connected layer over unsigned bytes, with weights of few bits, or two sums in a register.

/// [`kernels::Gemm`](crate::kernels::Gemm) whose weights have 2, 4, 8 or 16 bits, with its constants as one stream of
/// words, in the order in which they are used.
///
/// Outputs are computed in groups of `G`, the last of which may have fewer. The stream begins with the shift, or the zero
/// point plus 128 of a [scaled](Form::scaled) layer, and the largest result plus 128. Then, for every group, follow
/// what the accumulators begin with, the weights (the first inputs that make their number a multiple of four are left
/// out), and for scaled layers a word an output: a multiplier of 16 bits, above it a shift of 1 to 16.
///
/// There are two kinds of accumulators.
///
/// - *Two sums in one*, `A + 2^16 * B`: both have to fit 16 bits at the end; what leaves them on the way comes back. Weights
///   of 16 bits are stored as `a + 2^16 * b`: an instruction an output, and what loads them. Those of 2 and 4 bits lie
///   16 bits apart, so that two shifts and masks make such a word: two instructions an output.
/// - *Sums of 32 bits*, one each. Bytes are loaded one by one. Weights of 2 and 4 bits are never masked: accumulator `k`
///   adds the products with `word >> (bits * k)`, whose lowest digit is output `k` and whose others are what accumulator
///   `k + 1` adds. So output `k` is the difference `T(k) - 2^bits * T(k + 1)`, exact modulo 2^32. Three instructions an
///   output, as bytes need them. [Powers of two](Form::powers) are looked up by their codes, those of
///   [`POWER_OF_TWO`](crate::kernels::POWER_OF_TWO), in sixteen bytes: five instructions an output. Multiples of the input
///   in a table would take four, and twenty for the table of every input and group.
///
/// Weights of less than 16 bits but powers of two are stored plus half their range (plus 1 of 2 bits), which the sum of the
/// operand takes back.
///
/// `I` is the number of inputs, `O` that of outputs, `N` the length of the stream, `FORM` a [`Form`].
#[derive(Clone, Debug)]
pub struct GemmPacked<const I: usize, const O: usize, const N: usize, const G: usize, const FORM: u32> {
    /// The constants.
    pub stream: [u32; N],
}

/// [`GemmPacked`] with results for the next layer: their sum, and bytes of the results plus 128.
#[derive(Clone, Debug)]
pub struct GemmPackedBytes<const I: usize, const O: usize, const N: usize, const G: usize, const FORM: u32> {
    /// The constants.
    pub stream: [u32; N],
}

/// [`GemmPacked`] whose sums are the result. Its form is not [scaled](Form::scaled), and the two words that the stream
/// begins with are not used.
#[derive(Clone, Debug)]
pub struct GemmPackedSums<const I: usize, const O: usize, const N: usize, const G: usize, const FORM: u32> {
    /// The constants.
    pub stream: [u32; N],
}

/// What the code of a [`GemmPacked`] depends on beside the size of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Bits of a weight: 2, 4 or 16 for two sums in an accumulator, 2, 4 or 8 for one.
    pub bits: usize,
    /// Whether an accumulator has two sums.
    pub pairs: bool,
    /// Inputs of 0 that are left out: 0 none, 1 each, 2 each, and four at once (where their number is a multiple of
    /// four).
    pub skip: usize,
    /// Whether the time of the results may depend on the data: 0 no, 1 it may, 2 also a negative sum is not scaled, for
    /// layers whose zero point is the smallest result.
    pub time: usize,
    /// Whether sums are multiplied before they are shifted. If not, half a step and the zero point are part of what the
    /// accumulators begin with.
    pub scaled: bool,
    /// Whether weights of 4 bits are the sign and the exponent of a power of two.
    pub powers: bool,
}

impl Form {
    /// As a constant of a type.
    pub const fn pack(self) -> u32 {
        (self.bits | self.skip << 8 | self.time << 12) as u32
            | (self.pairs as u32) << 16
            | (self.scaled as u32) << 20
            | (self.powers as u32) << 24
    }

    /// The form that [`pack`](Self::pack) made a number of.
    pub const fn unpack(form: u32) -> Self {
        Self {
            bits: (form & 0xff) as usize,
            skip: (form >> 8 & 0xf) as usize,
            time: (form >> 12 & 0xf) as usize,
            pairs: form >> 16 & 1 == 1,
            scaled: form >> 20 & 1 == 1,
            powers: form >> 24 & 1 == 1,
        }
    }

    /// Whether there is code for groups of `group` outputs and `inputs` inputs.
    pub const fn fits(self, inputs: usize, group: usize) -> bool {
        let groups = match (self.pairs, self.bits) {
            (true, 2 | 4 | 16) => group.is_multiple_of(2) && group <= 16,
            (false, 2 | 4 | 8) => group <= 8,
            _ => false,
        };
        groups
            && (!self.powers || self.bits == 4 && !self.pairs)
            && group > 0
            && inputs > 0
            && self.time <= 2
            && (self.skip <= 1 || self.skip == 2 && inputs.is_multiple_of(4))
    }

    /// Outputs of a group, of so many in all: groups are as large as the registers allow, and all of one size.
    pub const fn group(self, outputs: usize) -> usize {
        let pair = if self.pairs { 2 } else { 1 };
        let units = outputs.div_ceil(pair);
        units.div_ceil(units.div_ceil(8)) * pair
    }

    /// Accumulators of a group.
    pub const fn accumulators(self, group: usize) -> usize {
        if self.pairs { group / 2 } else { group }
    }

    /// What a stored weight is larger by.
    pub const fn offset(self) -> i32 {
        match self.bits {
            _ if self.powers => 0,
            2 => 1,
            4 => 8,
            8 => 128,
            _ => 0,
        }
    }

    /// Bits of an input's weights in sums of 32 bits: what one instruction loads, or bytes.
    const fn input_bits(self, group: usize) -> usize {
        match (self.bits, group * self.bits) {
            (8, bits) => bits,
            (_, ..=8) => 8,
            (_, bits) => bits.next_power_of_two(),
        }
    }

    /// Words of the weights of four inputs.
    pub const fn round_words(self, group: usize) -> usize {
        match (self.pairs, self.bits) {
            (true, bits) => (4 * group * bits).div_ceil(32),
            (false, _) => 4 * self.input_bits(group) / 32,
        }
    }

    /// Words of the weights of all inputs.
    pub const fn weight_words(self, inputs: usize, group: usize) -> usize {
        // Whole words are not stored where they are left out.
        if self.bits == 16 { inputs * group / 2 } else { inputs.div_ceil(4) * self.round_words(group) }
    }

    /// Where the weight of output `o` of a group for input `k` (those left out counted) lies in the group's weights, in
    /// bits.
    pub const fn place(self, group: usize, k: usize, o: usize) -> usize {
        match (self.pairs, self.bits) {
            (true, 16) => (k * group + o) * 16,
            (true, bits) => {
                // Pairs fill the lower half of a word, with their second output in the upper.
                let slots = 16 / bits;
                let slot = k % 4 * (group / 2) + o / 2;
                (k / 4 * self.round_words(group) + slot / slots) * 32 + slot % slots * bits + o % 2 * 16
            }
            (false, bits) => k * self.input_bits(group) + o * bits,
        }
    }

    /// Words of a group's constants.
    const fn group_words(self, inputs: usize, group: usize) -> usize {
        self.accumulators(group) + self.weight_words(inputs, group) + if self.scaled { group } else { 0 }
    }

    /// Length of the stream of a layer.
    pub const fn stream_len(self, inputs: usize, outputs: usize, group: usize) -> usize {
        2 + outputs.div_ceil(group) * self.group_words(inputs, group)
    }

    /// Instructions that load the weights of input `k` of four.
    pub const fn loads(self, group: usize, k: usize) -> usize {
        match (self.pairs, self.bits) {
            (true, 16) => (group / 2).div_ceil(3),
            (true, bits) => {
                let (slots, pairs) = (16 / bits, group / 2);
                (k * pairs + pairs - 1) / slots - k * pairs / slots + 1
            }
            // Bytes are loaded where they are multiplied.
            (false, 8) => 0,
            (false, _) => 1,
        }
    }

    /// Instructions that multiply and add an input, once its weights are loaded.
    pub const fn products(self, group: usize) -> usize {
        match (self.pairs, self.bits) {
            (true, 16) => group,
            (true, _) => 2 * group,
            (false, 8) => 3 * group,
            // The highest code of a word is not masked.
            (false, _) if self.powers => 5 * group - (4 * group == self.input_bits(group)) as usize,
            (false, _) => 3 * group - 1,
        }
    }

    /// Instructions in the code of input `k` of four.
    pub const fn input_code(self, group: usize, k: usize) -> usize {
        let test = match (self.skip, self.bits) {
            (0, _) => 0,
            (_, 16) => 4,
            _ => 2,
        };
        1 + test + self.loads(group, k) + self.products(group)
    }
}

impl<const I: usize, const O: usize, const N: usize, const G: usize, const FORM: u32> GemmPacked<I, O, N, G, FORM> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize, const X: usize>(&self, x: &[[i32; X]; R], y: &mut [[i8; O]; R]) {
        const { assert!(X == super::words(I) && O > 0 && Form::unpack(FORM).fits(I, G)) };
        const { assert!(N == Form::unpack(FORM).stream_len(I, O, G)) };
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv6m")]
            asm::row::<I, O, N, G, FORM, X, { asm::INTEGERS }>(&self.stream, x, y.as_mut_ptr().cast());
            #[cfg(not(tinymlp_arch = "armv6m"))]
            portable::gemm_packed(&self.stream, Form::unpack(FORM), x, [I, G], y);
        }
    }
}

impl<const I: usize, const O: usize, const N: usize, const G: usize, const FORM: u32>
    GemmPackedBytes<I, O, N, G, FORM>
{
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize, const X: usize, const W: usize>(&self, x: &[[i32; X]; R], y: &mut [[i32; W]; R]) {
        const { assert!(X == super::words(I) && W == super::words(O) && O > 0 && Form::unpack(FORM).fits(I, G)) };
        const { assert!(N == Form::unpack(FORM).stream_len(I, O, G)) };
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv6m")]
            if let Some((sum, bytes)) = y.split_first_mut() {
                *sum = asm::row::<I, O, N, G, FORM, X, { asm::BYTES }>(&self.stream, x, bytes.as_mut_ptr().cast());
            }
            #[cfg(not(tinymlp_arch = "armv6m"))]
            portable::gemm_packed_bytes(&self.stream, Form::unpack(FORM), x, [I, O, G], y);
        }
    }
}

impl<const I: usize, const O: usize, const N: usize, const G: usize, const FORM: u32> GemmPackedSums<I, O, N, G, FORM> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<const R: usize, const X: usize>(&self, x: &[[i32; X]; R], y: &mut [[i32; O]; R]) {
        const { assert!(X == super::words(I) && O > 0 && Form::unpack(FORM).fits(I, G)) };
        const { assert!(N == Form::unpack(FORM).stream_len(I, O, G) && !Form::unpack(FORM).scaled) };
        for (x, y) in x.iter().zip(y) {
            #[cfg(tinymlp_arch = "armv6m")]
            asm::row::<I, O, N, G, FORM, X, { asm::SUMS }>(&self.stream, x, y.as_mut_ptr().cast());
            #[cfg(not(tinymlp_arch = "armv6m"))]
            portable::gemm_packed_sums(&self.stream, Form::unpack(FORM), x, [I, G], y);
        }
    }
}

/// The same from the same constants, anywhere.
#[cfg(not(tinymlp_arch = "armv6m"))]
pub(super) mod portable {
    use super::Form;
    use crate::arch::armv6m::{bytes, integers, left_out};
    use crate::kernels::{POWER_OF_TWO, product};

    /// One row of [`GemmPacked`](super::GemmPacked), of so many inputs and outputs in a group.
    pub fn gemm_packed(stream: &[u32], form: Form, x: &[i32], [inputs, group]: [usize; 2], y: &mut [i8]) {
        let y_len = y.len();
        let ([shift, largest], store) = (head(stream), &mut integers(y));
        row(stream, form, x, [inputs, y_len, group], |o, sum, scale| store(o, result(sum, scale, shift, largest)));
    }

    /// One row of [`GemmPackedBytes`](super::GemmPackedBytes), of so many inputs, outputs, and outputs in a group.
    pub fn gemm_packed_bytes(stream: &[u32], form: Form, x: &[i32], size: [usize; 3], y: &mut [i32]) {
        let [shift, largest] = head(stream);
        if let Some(mut store) = bytes(y) {
            row(stream, form, x, size, |o, sum, scale| store(o, result(sum, scale, shift, largest)));
        }
    }

    /// One row of [`GemmPackedSums`](super::GemmPackedSums), as [`gemm_packed`].
    pub fn gemm_packed_sums(stream: &[u32], form: Form, x: &[i32], [inputs, group]: [usize; 2], y: &mut [i32]) {
        row(stream, form, x, [inputs, y.len(), group], |o, sum, _| {
            if let Some(y) = y.get_mut(o) {
                *y = sum;
            }
        });
    }

    /// What a stream begins with: shift or zero point, and the largest result.
    fn head(stream: &[u32]) -> [u32; 2] {
        stream.first_chunk().copied().unwrap_or_default()
    }

    /// The result of a sum plus 128, by its multiplier and shift, if it has them.
    fn result(sum: i32, scale: Option<u32>, shift: u32, largest: u32) -> i32 {
        let value = match scale {
            Some(scale) => {
                let product = (i64::from(sum) * i64::from(scale & 0xffff)) >> 16;
                let half = 1i64 << (scale >> 16).saturating_sub(1).min(31);
                ((product + half) >> (scale >> 16).min(32)) as i32 + shift as i32
            }
            None => sum.wrapping_shr(shift),
        };
        value.min(largest as i32).max(0)
    }

    /// Hands every output's number, sum and scale to `store`. A stream that is too short ends it.
    fn row(
        mut stream: &[u32],
        form: Form,
        x: &[i32],
        [inputs, outputs, group]: [usize; 3],
        mut store: impl FnMut(usize, i32, Option<u32>),
    ) {
        let Some((&sum, x)) = x.split_first() else { return };
        let Some(_) = stream.split_off(..2) else { return };
        let correction = sum.wrapping_mul(form.offset());
        let before = if form.bits == 16 { 0 } else { left_out(inputs) };
        for first in (0..outputs).step_by(group.max(1)) {
            let parts = (
                stream.split_off(..form.accumulators(group)),
                stream.split_off(..form.weight_words(inputs, group)),
                stream.split_off(..if form.scaled { group } else { 0 }),
            );
            let (Some(begin), Some(weights), Some(scales)) = parts else { return };
            // What accumulator `a` adds for input `k`: two weights, or one and those above it.
            let multiplicand = |a: usize, k: usize| {
                let place = form.place(group, k + before, if form.pairs { 2 * a } else { a });
                let word = weights.get(place / 32).map_or(0, |word| word >> (place % 32));
                match (form.pairs, form.bits) {
                    (true, 16) => word,
                    (true, bits) => word & (((1 << bits) - 1) * 0x1_0001),
                    (false, 8) => word & 0xff,
                    (false, _) if form.powers => product(POWER_OF_TWO, word as u8, 1) as u32,
                    (false, _) => word & (u32::MAX >> (32 - form.input_bits(group)) >> (form.bits * a)),
                }
            };
            let accumulator = |a: usize| {
                let begin = begin.get(a).map_or(0, |&word| word as i32);
                let bytes = x.iter().flat_map(|x| x.to_le_bytes()).take(inputs).map(i32::from).enumerate();
                bytes.fold(begin, |acc, (k, x)| acc.wrapping_add(x.wrapping_mul(multiplicand(a, k) as i32)))
            };
            for o in 0..group.min(outputs - first) {
                let sum = match (form.pairs, form.bits) {
                    (true, _) => {
                        let both = accumulator(o / 2).wrapping_sub(correction.wrapping_mul(0x1_0001));
                        let lower = i32::from(both as i16);
                        if o % 2 == 0 { lower } else { both.wrapping_sub(lower) >> 16 }
                    }
                    (false, bits) if bits == 8 || form.powers => accumulator(o).wrapping_sub(correction),
                    (false, bits) => {
                        let above = if o + 1 < group { accumulator(o + 1) } else { 0 };
                        accumulator(o).wrapping_sub(above << bits).wrapping_sub(correction)
                    }
                };
                store(first + o, sum, scales.get(o).copied());
            }
        }
    }
}

#[cfg(tinymlp_arch = "armv6m")]
mod asm {
    use super::Form;
    use crate::arch::armv6m::left_out;
    use core::arch::naked_asm;

    /// What is written: results as they are.
    pub(super) const INTEGERS: usize = 0;
    /// Results plus 128, whose sum is given.
    pub(super) const BYTES: usize = 1;
    /// Sums.
    pub(super) const SUMS: usize = 2;

    /// One row; gives the sum of the results plus 128.
    #[inline(always)]
    pub(super) fn row<
        const I: usize,
        const O: usize,
        const N: usize,
        const G: usize,
        const FORM: u32,
        const X: usize,
        const WRITTEN: usize,
    >(
        stream: &[u32; N],
        x: &[i32; X],
        y: *mut u8,
    ) -> i32 {
        let shape = const { &shape(I, if WRITTEN == SUMS { 4 * O } else { O }, G, Form::unpack(FORM)) };
        // SAFETY: by the sizes in the types, which the caller has checked, the assembly reads the stream and X words, and
        // writes O results.
        unsafe { gemm::<G, FORM, WRITTEN>(stream.as_ptr(), x.as_ptr(), y, shape) }
    }

    /// What the assembly is told of a layer. The order of the fields is the assembly's.
    #[repr(C)]
    pub(super) struct Shape {
        /// Number of inputs.
        inputs: usize,
        /// Bytes of results to write.
        outputs: usize,
        /// Inputs that the first round leaves out.
        left_out: usize,
        /// Bytes of code for those.
        skip: usize,
    }

    const fn shape(inputs: usize, outputs: usize, group: usize, form: Form) -> Shape {
        let (mut skip, mut k) = (0, 0);
        while k < left_out(inputs) {
            skip += 2 * form.input_code(group, k);
            k += 1;
        }
        Shape { inputs, outputs, left_out: left_out(inputs), skip }
    }

    /// Whether the code of a round is longer than what a branch with a condition reaches.
    const fn far(group: usize, form: Form) -> bool {
        let (mut code, mut k) = (0, 0);
        while k < 4 {
            code += 2 * form.input_code(group, k);
            k += 1;
        }
        code > 220
    }

    /// Adds r3 to accumulator `$a`.
    #[rustfmt::skip]
    macro_rules! add {
        ("r6", $from:literal) => { concat!(" adds r6, r6, ", $from, "\n") };
        ("r7", $from:literal) => { concat!(" adds r7, r7, ", $from, "\n") };
        ($acc:literal, $from:literal) => { concat!(" add ", $acc, ", ", $from, "\n") };
    }
    /// Multiplies input `$k` of four, in r2, with what accumulator `$a` adds. r4 holds weights, r5 the mask.
    #[rustfmt::skip]
    macro_rules! product {
        ($k:literal, $a:literal, $acc:tt) => {
            concat!(
                ".if {accs} > ", $a, "\n .if {pairs}\n",
                ".if ", $a, " == 0 || (", $k, " * {accs} + ", $a, ") % {slots} == 0\n",
                " ldr r4, [r0, #4 * ((", $k, " * {accs} + ", $a, ") / {slots})]\n .endif\n",
                ".if (", $k, " * {accs} + ", $a, ") % {slots} > 0\n",
                " lsrs r3, r4, #({bits} * ((", $k, " * {accs} + ", $a, ") % {slots}))\n",
                " .else\n movs r3, r4\n .endif\n ands r3, r5\n muls r3, r2, r3\n",
                " .else\n ldrb r3, [r0, #({g} * ", $k, " + ", $a, ")]\n muls r3, r2, r3\n .endif\n",
                add!($acc, "r3"), " .endif\n",
            )
        };
    }
    /// Likewise of sums of 32 bits, for all but the first.
    #[rustfmt::skip]
    macro_rules! above {
        ($a:literal, $acc:tt) => {
            concat!(
                ".if {accs} > ", $a, "\n lsrs r3, r4, #({bits} * ", $a, ")\n muls r3, r2, r3\n", add!($acc, "r3"),
                " .endif\n",
            )
        };
    }
    /// Multiplies the input in r2 with the power of two whose code is number `$a` of those in r4, and adds it. r5 is the
    /// table.
    #[rustfmt::skip]
    macro_rules! power {
        ($a:literal, $acc:tt) => {
            concat!(
                ".if {accs} > ", $a, "\n .if 4 * ", $a, " + 4 == {width}\n lsrs r3, r4, #(4 * ", $a, ")\n",
                " .else\n lsls r3, r4, #(28 - 4 * ", $a, ")\n lsrs r3, r3, #28\n .endif\n",
                " ldrsb r3, [r5, r3]\n muls r3, r2, r3\n", add!($acc, "r3"), " .endif\n",
            )
        };
    }
    /// Three words of pairs of weights, from accumulator `$a` on.
    #[rustfmt::skip]
    macro_rules! three {
        ($a:literal, $first:tt, $second:tt, $third:tt) => {
            concat!(
                ".if {accs} > ", $a, " + 2\n ldm r0!, {{r3-r5}}\n .elseif {accs} > ", $a, " + 1\n ldm r0!, {{r3, r4}}\n",
                " .elseif {accs} > ", $a, "\n ldm r0!, {{r3}}\n .endif\n",
                ".if {accs} > ", $a, "\n muls r3, r2, r3\n", add!($first, "r3"), " .endif\n",
                ".if {accs} > ", $a, " + 1\n muls r4, r2, r4\n", add!($second, "r4"), " .endif\n",
                ".if {accs} > ", $a, " + 2\n muls r5, r2, r5\n", add!($third, "r5"), " .endif\n",
            )
        };
    }
    /// All outputs of the group for input `$k` of four.
    #[rustfmt::skip]
    macro_rules! input {
        ($k:literal) => {
            concat!(
                " ldrb r2, [r1, #", $k, "]\n .if {skip} > 0\n cmp r2, #0\n .if {bits} == 16\n bne 5f\n",
                " adds r0, #({accs} * 4)\n b 4f\n 5:\n .else\n beq 4f\n .endif\n .endif\n",
                ".if {bits} == 16\n", three!("0", "r8", "r9", "r10"), three!("3", "r11", "r12", "lr"),
                ".if {accs} > 7\n ldm r0!, {{r3, r4}}\n .elseif {accs} > 6\n ldm r0!, {{r3}}\n .endif\n",
                ".if {accs} > 6\n muls r3, r2, r3\n adds r6, r6, r3\n .endif\n",
                ".if {accs} > 7\n muls r4, r2, r4\n adds r7, r7, r4\n .endif\n",
                ".elseif {pairs} || {bits} == 8\n", product!($k, "0", "r8"), product!($k, "1", "r9"),
                product!($k, "2", "r10"), product!($k, "3", "r11"), product!($k, "4", "r12"), product!($k, "5", "lr"),
                product!($k, "6", "r6"), product!($k, "7", "r7"),
                ".else\n .if {width} == 32\n ldr r4, [r0, #4 * ", $k, "]\n .elseif {width} == 16\n ldrh r4, [r0, #2 * ",
                $k, "]\n .else\n ldrb r4, [r0, #", $k, "]\n .endif\n .if {powers}\n",
                power!("0", "r8"), power!("1", "r9"), power!("2", "r10"), power!("3", "r11"), power!("4", "r12"),
                power!("5", "lr"), power!("6", "r6"), power!("7", "r7"), " .else\n",
                above!("1", "r9"), above!("2", "r10"), above!("3", "r11"), above!("4", "r12"), above!("5", "lr"),
                above!("6", "r6"), above!("7", "r7"), " muls r4, r2, r4\n add r8, r4\n .endif\n .endif\n 4:\n",
            )
        };
    }
    /// What accumulator `$a` begins with.
    #[rustfmt::skip]
    macro_rules! begin {
        ($a:literal, $acc:literal) => {
            concat!(".if {accs} > ", $a, "\n ldm r0!, {{r3}}\n mov ", $acc, ", r3\n .endif\n")
        };
    }
    /// Leaves the sums of accumulator `$a` in the frame: r5 is what the offset of the weights adds to it.
    #[rustfmt::skip]
    macro_rules! end {
        ($a:literal, $acc:literal) => {
            concat!(
                ".if {accs} > ", $a, "\n .if {pairs}\n mov r3, ", $acc, "\n .if {bits} < 16\n subs r3, r3, r5\n .endif\n",
                " sxth r2, r3\n subs r3, r3, r2\n asrs r3, r3, #16\n str r2, [sp, #(8 * ", $a, ")]\n str r3, [sp, #(8 * ", $a,
                " + 4)]\n .elseif {bits} == 8 || {powers}\n mov r3, ", $acc, "\n .if {powers} == 0\n subs r3, r3, r5\n .endif\n str r3, [sp, #(4 * ", $a,
                ")]\n .else\n mov r4, ", $acc, "\n subs r2, r4, r5\n .if {accs} > ", $a,
                " + 1\n lsls r3, r3, #{bits}\n subs r2, r2, r3\n .endif\n movs r3, r4\n str r2, [sp, #(4 * ", $a,
                ")]\n .endif\n .endif\n",
            )
        };
    }

    /// One row. `r0` is the stream and moves through it.
    ///
    /// # Safety
    /// `stream` holds the constants for the results of `shape`; `x` has the sum and the inputs, `y` the results of it.
    /// `stream` and `x` are aligned to four bytes.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn gemm<const G: usize, const FORM: u32, const WRITTEN: usize>(
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
            // The frame: sums of the group, then 0 end of x, 4 x, 8 y, 12 end of y, 16 what the offset of the weights adds,
            // 20 shift or zero point, 24 largest result, 28 sum of y, 32 first round
            "sub sp, #({g} * 4 + 36)",
            "ldm r3!, {{r4-r7}}",
            ".if {skip} != 2",
            "adr r3, 3f",
            "adds r7, r7, r3",
            "adds r7, #1",
            "str r7, [sp, #({g} * 4 + 32)]",
            ".endif",
            "adds r5, r5, r2",
            "str r2, [sp, #({g} * 4 + 8)]",
            "str r5, [sp, #({g} * 4 + 12)]",
            "ldm r1!, {{r7}}",
            ".if {bits} == 4 && {powers} == 0",
            "lsls r7, r7, #3",
            ".elseif {bits} == 8",
            "lsls r7, r7, #7",
            ".endif",
            ".if {pairs}",
            "lsls r3, r7, #16",
            "adds r7, r7, r3",
            ".endif",
            "str r7, [sp, #({g} * 4 + 16)]",
            "adds r4, r4, r1",
            "str r4, [sp, #({g} * 4)]",
            "subs r1, r1, r6",
            "str r1, [sp, #({g} * 4 + 4)]",
            "ldm r0!, {{r4, r5}}",
            "str r4, [sp, #({g} * 4 + 20)]",
            "str r5, [sp, #({g} * 4 + 24)]",
            "movs r4, #0",
            "str r4, [sp, #({g} * 4 + 28)]",
            "2:",
            concat!(begin!("0", "r8"), begin!("1", "r9"), begin!("2", "r10"), begin!("3", "r11")),
            concat!(begin!("4", "r12"), begin!("5", "lr"), begin!("6", "r6"), begin!("7", "r7")),
            "ldr r1, [sp, #({g} * 4 + 4)]",
            ".if {pairs} && {bits} < 16",
            "movs r5, #((1 << {bits}) - 1)",
            "lsls r3, r5, #16",
            "adds r5, r5, r3",
            ".endif",
            ".if {powers}",
            "adr r5, 1f",
            ".endif",
            ".if {skip} != 2",
            "ldr r2, [sp, #({g} * 4 + 32)]",
            "bx r2",
            ".endif",
            ".balign 4",
            "3:",
            ".if {skip} == 2",
            "ldr r2, [r1]",
            "cmp r2, #0",
            ".if {far}",
            "bne 4f",
            "b 6f",
            "4:",
            ".else",
            "beq 6f",
            ".endif",
            ".endif",
            concat!(input!("0"), input!("1"), input!("2"), input!("3")),
            ".if {bits} < 16",
            "adds r0, #({round} * 4)",
            ".endif",
            "7:",
            "adds r1, #4",
            "ldr r3, [sp, #({g} * 4)]",
            "cmp r1, r3",
            ".if {far}",
            "beq 8f",
            "b 3b",
            ".else",
            "bne 3b",
            ".endif",
            ".if {skip} == 2",
            "b 8f",
            "6:",
            "adds r0, #({round} * 4)",
            "b 7b",
            ".endif",
            "8:",
            ".if {bits} < 16 && {powers} == 0",
            "ldr r5, [sp, #({g} * 4 + 16)]",
            ".endif",
            concat!(end!("7", "r7"), end!("6", "r6"), end!("5", "lr"), end!("4", "r12")),
            concat!(end!("3", "r11"), end!("2", "r10"), end!("1", "r9"), end!("0", "r8")),
            // r1 the sums, r5 the shift, r6 the largest result, r7 y, r8 the zero point, r9 the sum of y, r12 the end of the
            // group's y
            "mov r1, sp",
            "ldr r7, [sp, #({g} * 4 + 8)]",
            "ldr r5, [sp, #({g} * 4 + 20)]",
            "ldr r6, [sp, #({g} * 4 + 24)]",
            "ldr r3, [sp, #({g} * 4 + 28)]",
            "mov r8, r5",
            "mov r9, r3",
            "movs r4, r7",
            ".if {sums}",
            "adds r4, #({g} * 4)",
            ".else",
            "adds r4, #{g}",
            ".endif",
            "ldr r3, [sp, #({g} * 4 + 12)]",
            "cmp r4, r3",
            "bls 4f",
            "movs r4, r3",
            "4:",
            "mov r12, r4",
            "5:",
            "ldm r1!, {{r4}}",
            ".if {sums}",
            "stm r7!, {{r4}}",
            ".else",
            ".if {scaled}",
            ".if {time} == 2",
            "cmp r4, #0",
            "bgt 4f",
            "movs r4, #0",
            "adds r0, #4",
            "b 6f",
            "4:",
            ".endif",
            "ldm r0!, {{r2}}",
            "lsrs r5, r2, #16",
            "uxth r2, r2",
            ".if {pairs}",
            "muls r4, r2, r4",
            "asrs r4, r4, #16",
            ".else",
            "uxth r3, r4",
            "muls r3, r2, r3",
            "lsrs r3, r3, #16",
            "asrs r4, r4, #16",
            "muls r4, r2, r4",
            "adds r4, r4, r3",
            ".endif",
            // The last bit that leaves is half a step.
            "mov r3, r8",
            "asrs r4, r5",
            "adcs r4, r3",
            ".else",
            "asrs r4, r5",
            ".endif",
            ".if {time} == 0",
            "asrs r3, r4, #31",
            "bics r4, r3",
            "subs r3, r6, r4",
            "asrs r2, r3, #31",
            "ands r3, r2",
            "adds r4, r4, r3",
            ".else",
            "cmp r4, r6",
            "bls 6f",
            "asrs r3, r4, #31",
            "movs r4, r6",
            "bics r4, r3",
            ".endif",
            "6:",
            ".if {integers}",
            "adds r4, #128",
            ".else",
            "add r9, r4",
            ".endif",
            "strb r4, [r7]",
            "adds r7, #1",
            ".endif",
            "cmp r7, r12",
            "bne 5b",
            "mov r3, r9",
            "str r3, [sp, #({g} * 4 + 28)]",
            "str r7, [sp, #({g} * 4 + 8)]",
            "ldr r3, [sp, #({g} * 4 + 12)]",
            "cmp r7, r3",
            "beq 9f",
            "b 2b",
            "9:",
            "ldr r0, [sp, #({g} * 4 + 28)]",
            "add sp, #({g} * 4 + 36)",
            "pop {{r4-r7}}",
            "mov r8, r4",
            "mov r9, r5",
            "mov r10, r6",
            "mov r11, r7",
            "pop {{r4-r7, pc}}",
            ".if {powers}",
            ".balign 4",
            "1:",
            ".byte 1, 2, 4, 8, 16, 32, 64, 0, -1, -2, -4, -8, -16, -32, -64, 0",
            ".endif",
            g = const G,
            bits = const Form::unpack(FORM).bits,
            pairs = const Form::unpack(FORM).pairs as usize,
            slots = const 16 / Form::unpack(FORM).bits,
            accs = const Form::unpack(FORM).accumulators(G),
            width = const Form::unpack(FORM).input_bits(G),
            round = const Form::unpack(FORM).round_words(G),
            skip = const Form::unpack(FORM).skip,
            time = const Form::unpack(FORM).time,
            scaled = const Form::unpack(FORM).scaled as usize,
            powers = const Form::unpack(FORM).powers as usize,
            far = const far(G, Form::unpack(FORM)) as usize,
            integers = const (WRITTEN == INTEGERS) as usize,
            sums = const (WRITTEN == SUMS) as usize,
        )
    }
}
