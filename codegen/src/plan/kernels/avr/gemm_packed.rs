//! Fully connected layer with weights of few bits, sums of two bytes, or sums that are the result.

use super::result::{Case, End, Scales, scales_to_16_bits};
use crate::plan::Type;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Dense, Field, Fields, Kernel};
use crate::quantize::format::Format;
use tinymlp::arch::avr::{PackedForm, dynamic};
use tinymlp::kernels::{POWER_OF_TWO, weight_code};

/// See [`tinymlp::arch::avr::GemmPacked`] and `GemmPackedSums`.
#[derive(Clone, Debug)]
pub struct GemmPacked {
    rows: usize,
    inputs: usize,
    outputs: usize,
    stream: Vec<u8>,
    form: PackedForm,
    sums: bool,
    /// Most places that a product is shifted by where every output has its own.
    places: u8,
}

/// How the weights of a layer are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Bits of a weight.
    pub bits: u8,
    /// Whether a weight is the sign and the exponent of a power of two.
    pub powers: bool,
}

impl Storage {
    /// All that hold the weights.
    pub fn all(weights: &[i8]) -> Vec<Self> {
        let holds = |format: Format| weights.iter().all(|&w| format.holds(w));
        let packed = if holds(Format::Ternary) {
            Some((2, false))
        } else if holds(Format::Int4) {
            Some((4, false))
        } else {
            holds(Format::PowerOfTwo).then_some((4, true))
        };
        packed.into_iter().chain([(8, false)]).map(|(bits, powers)| Self { bits, powers }).collect()
    }
}

impl GemmPacked {
    /// The layer `from`, on operands from -128 to `highest`; none where it has masks, or numbers with which the kernel
    /// does not give its results bit for bit. `skip` passes inputs of -128 over; `short` leaves out the multiplication of
    /// negative sums where the result is the smallest anyway.
    pub fn new(from: Dense, highest: i32, storage: Storage, skip: bool, short: bool) -> Option<Self> {
        let Dense { layer, masks: None, sums } = from else { return None };
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, shift, limits } = *layer;
        let scales = Scales::new(multiplier)?;
        let mut form = PackedForm {
            group: 1,
            bits: storage.bits,
            powers: storage.powers,
            narrow: true,
            skip,
            short: false,
            raise: 0,
            shift: 0,
            zero_point: 0,
            min: 0,
            max: 0,
        };
        if !sums {
            form.short = short && limits.zero_point <= limits.min;
            form.shift = scales.shift();
            form.zero_point = i8::try_from(limits.zero_point).ok()?;
            form.min = i8::try_from(limits.min).ok()?;
            form.max = i8::try_from(limits.max).ok()?;
            form.raise = u8::try_from(shift).ok().filter(|&shift| shift < 16)?;
        }
        // The sums with their bias have three bytes, raised as they are scaled.
        for o in 0..outputs {
            let (low, high) = layer.sums(o, (Type::I8.limits().0, highest));
            let sum = (low << form.raise, high << form.raise);
            let scaled = || multiplier.get(o).is_some_and(|&m| scales_to_16_bits(sum, m));
            if sum.0 < -(1 << 23) || sum.1 >= 1 << 23 || !sums && !scaled() {
                return None;
            }
        }
        let form = [true, false].into_iter().find_map(|narrow| {
            let form = PackedForm { narrow, ..form };
            let form = PackedForm { group: form.group_of(outputs) as u8, ..form };
            products_fit(layer, form, highest).then_some(form)
        })?;
        if !form.fits(inputs, outputs) {
            return None;
        }
        let group = usize::from(form.group);
        let mut stream = Vec::with_capacity(form.stream_len(inputs, outputs, sums));
        for first in (0..outputs).step_by(group) {
            let of = |i: usize, o: usize| if first + o < outputs { weight[(first + o) * inputs + i] } else { 0 };
            for i in 0..inputs {
                let digit = |o: usize| match storage {
                    Storage { powers: true, .. } => weight_code(POWER_OF_TWO, of(i, o)),
                    Storage { bits: 8, .. } => (i32::from(of(i, o)) + 128) as u8,
                    Storage { bits: 4, .. } => (of(i, o) + 8) as u8,
                    _ => (of(i, o) + 1) as u8,
                };
                match storage.bits {
                    8 => stream.extend((0..group).map(digit)),
                    4 => stream.extend((0..group).step_by(2).map(|o| digit(o) | digit(o + 1) << 4)),
                    _ => {
                        let four = |o: usize| digit(o) << 2 | digit(o + 1) << 6 | digit(o + 2) | digit(o + 3) << 4;
                        let quads = 4 * form.quads();
                        stream.extend((0..quads).step_by(4).map(four));
                        stream.extend((quads..group).step_by(2).map(|o| digit(o) | digit(o + 1) << 4));
                    }
                }
            }
            for o in first..outputs.min(first + group) {
                let sum: i32 = weight[o * inputs..][..inputs].iter().map(|&w| i32::from(w)).sum();
                stream.extend(&bias[o].wrapping_sub(sum.wrapping_mul(128)).to_le_bytes()[..3]);
                stream.extend(multiplier.get(o).into_iter().flat_map(|&m| scales.bytes(m, o)).filter(|_| !sums));
            }
        }
        Some(Self { rows, inputs, outputs, stream, form, sums, places: scales.most() })
    }

    /// Bits of a weight.
    pub fn bits(&self) -> u8 {
        self.form.bits
    }

    /// Whether sums of products have two bytes.
    pub fn narrow(&self) -> bool {
        self.form.narrow
    }

    /// Bytes of constants and of code.
    pub fn flash(&self) -> usize {
        self.stream.len() + self.code()
    }
}

/// The proof that the sums of products fit the bytes that they have, for operands from -128 to `highest`: what leaves them
/// on the way comes back.
fn products_fit(layer: &kernels::Gemm, form: PackedForm, highest: i32) -> bool {
    let group = usize::from(form.group);
    layer.weight.chunks_exact(layer.inputs.max(1)).enumerate().all(|(o, row)| {
        // Of four outputs whose weights share a byte, the first two have their sums times four.
        let outer = o % group < 4 * form.quads() && o % 4 < 2;
        let bits = if form.narrow { 16 } else { 24 } - if outer { 2 } else { 0 };
        let most =
            |sign: i64| row.iter().map(|&w| (sign * i64::from(w)).max(0) * i64::from(highest + 128)).sum::<i64>();
        most(1) < 1 << (bits - 1) && most(-1) <= 1 << (bits - 1)
    })
}

impl GemmPacked {
    /// Registers that are saved.
    fn saved(&self) -> usize {
        let PackedForm { group, narrow, .. } = self.form;
        let (quads, solved) = (self.form.quads() > 0, self.form.quads() + self.form.pairs() > 0);
        // From r4 on.
        let pairs = match narrow {
            true => [group > 8 || solved, group > 7, group > 6 || quads, group > 5, group > 4 || quads, group > 3],
            false => [
                group > 4 || solved,
                group > 2 || solved,
                group > 5 || quads,
                group > 4 || quads,
                group > 3 || quads,
                group > 2 || quads,
            ],
        };
        5 + 2 * pairs.iter().filter(|&&saved| saved).count()
    }

    /// Bytes of the frame without those of the sums.
    fn frame(&self) -> usize {
        8 + self.sum_bytes() * if self.form.bits == 2 { 2 } else { 1 }
    }

    fn sum_bytes(&self) -> usize {
        if self.form.narrow { 2 } else { 3 }
    }

    /// Instructions of the products of an input.
    fn products(&self) -> usize {
        let (form, add) = (self.form, self.sum_bytes());
        let pair = 4 + 2 * add;
        match form {
            PackedForm { powers: true, .. } => usize::from(form.group) / 2 * (pair + 8),
            PackedForm { bits: 8, .. } => usize::from(form.group) * (2 + add),
            _ => form.quads() * (4 + 4 * (1 + add)) + form.pairs() * pair,
        }
    }

    /// Instructions that take two sums apart, without the calls for them, and what is added where both are four times as
    /// large.
    fn solve(&self) -> (usize, usize) {
        if self.form.narrow { (23, 8) } else { (37, 12) }
    }

    /// Instructions of a row. Counted from the assembly.
    fn instructions(&self, case: Case) -> f64 {
        let n = |count: usize| count as f64;
        let (form, bytes) = (self.form, self.sum_bytes());
        let (group, quads, pairs, singles) = (usize::from(form.group), form.quads(), form.pairs(), form.singles());
        let groups = self.outputs.div_ceil(group);
        let (wide, two) = (bytes - 2, usize::from(form.bits == 2));
        // A pass over the inputs compares the higher byte of the position too where the lower is that of the end.
        let pass = 2 * self.inputs.div_ceil(256);
        let begin = self.saved() + 2 + 6 + 7 + bytes + (6 + wide) * self.inputs + pass;
        let times = (1 + two) * if form.narrow { 7 } else { 12 };
        let end = self.frame() + 1 + self.saved() + 2;
        let before = 2 + (1 + two) * bytes + group * (1 + wide) + 4 + usize::from(form.powers);
        let products = n(self.products() + 4);
        let inputs = match form.skip {
            false => n(self.inputs) * products,
            true => case.nonzero * (products + 1.0) + (n(self.inputs) - case.nonzero) * 7.0 + 1.0,
        };
        let (solve, larger) = self.solve();
        let four = usize::from(quads > 0);
        let solve = solve + four + 2 + wide;
        let quad = 6 * bytes + 8 + 2 * wide + larger + 2 * solve;
        let taken = if quads > 0 { 1 + quads * quad } else { 0 }
            + if pairs > 0 { 1 + pairs * (2 * bytes + 3 + solve) } else { 0 }
            + if singles > 0 { 1 + singles * (bytes + 3) } else { 0 };
        let after = group * bytes + 2 + 4 + taken + 5 + 1;
        let result = if self.sums { 7.0 } else { n(3 * usize::from(form.raise)) + self.end().instructions(case) };
        let result = n(3 + 3 * (1 - wide) + 6) + result;
        let none = groups * group - self.outputs;
        n(begin + times + end - 1)
            + n(groups) * (n(before + pass + after) + inputs)
            + n(self.outputs) * result
            + n(none * 4)
    }

    /// Instructions of a row in the mean of what was seen.
    pub fn mean(&self, seen: &Seen) -> f64 {
        let nonzero = seen.elements(self.inputs);
        self.instructions(Case { nonzero, lowest: seen.lowest, highest: seen.highest })
    }

    /// About the cycles of a row, by which kernels are compared: those of results are the same everywhere.
    pub fn cycles(&self, seen: &Seen) -> f64 {
        let form = self.form;
        // Two more for a load of program memory, one for a multiplication or another load.
        let group = usize::from(form.group) * if form.powers { 2 } else { 1 };
        let more = (2 * form.input_bytes() + group) * self.outputs.div_ceil(form.group.into());
        let inputs = if form.skip { seen.elements(self.inputs) } else { self.inputs as f64 };
        self.mean(seen) + inputs * more as f64
    }

    /// What becomes of sums.
    fn end(&self) -> End {
        let PackedForm { short, shift, min, max, .. } = self.form;
        End { short, shift, places: self.places, min, max }
    }

    /// Bytes of code.
    fn code(&self) -> usize {
        let (form, bytes) = (self.form, self.sum_bytes());
        let (group, quads, pairs, singles) = (usize::from(form.group), form.quads(), form.pairs(), form.singles());
        let (wide, two, skip) = (bytes - 2, usize::from(form.bits == 2), usize::from(form.skip));
        let begin = self.saved() + 2 + 6 + 7 + bytes + 8 + wide + (1 + two) * if form.narrow { 7 } else { 12 };
        let before = 2 + (1 + two) * bytes + group * (1 + wide) + 4 + usize::from(form.powers);
        let inputs = 2 + skip + self.products() + 4 + 3 * skip;
        let (solve, larger) = self.solve();
        let taken = if quads > 0 { 1 + 6 * bytes + 8 + 2 * wide } else { 0 }
            + if pairs > 0 { 1 + 2 * bytes + 3 } else { 0 }
            + if singles > 0 { 1 + bytes + 3 } else { 0 };
        let solve = if quads + pairs > 0 { solve + 2 + wide } else { 0 } + if quads > 0 { 1 + larger } else { 0 };
        let after = group * bytes + 2 + 4 + taken + 6;
        let end = self.frame() + 1 + self.saved() + 2;
        let result = 4 + 3 * (1 - wide) + 6;
        let stored = if self.sums { 14 } else { 6 * usize::from(form.raise) + self.end().code() };
        2 * (begin + before + inputs + after + end + solve + result) + stored
    }

    /// Bytes of stack, the return address included, and the table of powers of two, which is in RAM as well.
    fn stack(&self) -> usize {
        let table = if self.form.powers { 16 } else { 0 };
        2 + self.saved() + self.frame() + usize::from(self.form.group) * self.sum_bytes() + table
    }
}

impl Kernel for GemmPacked {
    fn op(&self) -> &'static str {
        if self.sums { "GemmPackedSums" } else { "GemmPacked" }
    }

    fn module(&self) -> &'static str {
        "arch::avr"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I8(x) = x[0] else { unreachable!("the layer takes int8") };
        for (row, x) in x.chunks_exact(self.inputs).enumerate() {
            let at = row * self.outputs..(row + 1) * self.outputs;
            match (&mut *y, self.sums) {
                (Buffer::I8(y), false) => dynamic::gemm_packed(&self.stream, x, self.form, &mut y[at]),
                (Buffer::I32(y), true) => dynamic::gemm_packed_sums(&self.stream, x, self.form, &mut y[at]),
                _ => unreachable!("the layer gives int8 or sums"),
            }
        }
    }

    fn constant(&self) -> Constant {
        let (op, n, form) = (self.op(), self.stream.len(), self.form.pack());
        let stream = Field::row("u8", 1, self.stream.iter().map(|&b| b.into()).collect());
        let ty = format!("{op}<{}, {}, {n}, {form:#x}>", self.inputs, self.outputs);
        Constant { ty, fields: Fields::ProgramMemory(stream) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.inputs], vec![self.rows, self.outputs]]
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let mean = self.mean(seen);
        let lowest = if self.form.short { 0.0 } else { 1.0 };
        let max = self.instructions(Case { nonzero: self.inputs as f64, lowest, highest: 1.0 - lowest });
        let name = format!("avr::{}<{:#x}>", self.op(), self.form.pack());
        Some(Cost {
            instructions: Instructions { mean, max }.times(self.rows),
            code: vec![Function { name, bytes: self.code() }],
            stack: self.stack(),
            // Where results are limited, instructions are skipped in the time that they take.
            fixed: !self.form.skip && !self.form.short,
            ..Cost::default()
        })
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
