//! Fully connected layer over unsigned bytes, with weights of few bits, or two sums in a register.

use super::gemm::{Skip, Time, multiplier_shifts};
use crate::plan::Type;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Dense, Field, Fields, Kernel, packed_format};
use tinymlp::arch::armv6m::{Form, dynamic, left_out, words};
use tinymlp::kernels::{POWER_OF_TWO, weight_code};

/// See [`tinymlp::arch::armv6m::GemmPacked`], `GemmPackedBytes` and `GemmPackedSums`.
#[derive(Clone, Debug)]
pub struct GemmPacked {
    rows: usize,
    inputs: usize,
    outputs: usize,
    group: usize,
    stream: Vec<u32>,
    form: Form,
    written: Written,
}

/// What a layer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Results as they are.
    Integers,
    /// Results in bytes for the next layer.
    Bytes,
    /// Sums.
    Sums,
}

/// How the weights of a layer are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Bits of a weight.
    pub bits: usize,
    /// Whether two sums share an accumulator.
    pub pairs: bool,
    /// Whether a weight is the sign and the exponent of a power of two.
    pub powers: bool,
}

/// Zero bits after the 16 of a multiplier.
const BITS: u32 = 16;

/// Sums of 32 bits stay below: the scaled one, which is smaller, still has half a step added.
const LIMIT: i64 = 1 << 30;

/// How far sums are shifted, if that is all that becomes of them.
fn common_shift(from: &kernels::Gemm) -> Option<u32> {
    from.common_shift().filter(|&shift| shift < 31)
}

impl GemmPacked {
    /// Storages of every form that computes the layer, with the operand within these limits; none where it has masks.
    pub fn forms(from: Dense, x: (i32, i32)) -> Vec<Storage> {
        let Dense { layer: from, masks: None, sums } = from else { return Vec::new() };
        let limits = from.limits;
        let shift = if sums { None } else { common_shift(from) };
        let scaled = from.shift == 0 && multiplier_shifts(&from.multiplier).is_some();
        let scales = limits.ty == Type::I8 && limits.min == Type::I8.limits().0 && (shift.is_some() || scaled);
        if !sums && !scales {
            return Vec::new();
        }
        // With what a layer that is only shifted has added before.
        let added = shift.map_or(0, |shift| rounding(from, shift));
        let within = |low: i64, high: i64| {
            (0..from.outputs).all(|o| {
                let sums = from.sums(o, x);
                sums.0.min(sums.0 + added) >= low && sums.1.max(sums.1 + added) <= high
            })
        };
        let mut forms = Vec::new();
        let all = |low: i8, high: i8| from.weight.iter().all(|w| (low..=high).contains(w));
        let bits = if all(-1, 1) { Some(2) } else { all(-8, 7).then_some(4) };
        let storage = |bits, pairs| Storage { bits, pairs, powers: false };
        if within(-LIMIT, LIMIT) {
            forms.extend(bits.map(|bits| storage(bits, false)));
            // Integers of few bits take fewer instructions.
            if bits.is_none() && packed_format(&from.weight) == Some(POWER_OF_TWO) {
                forms.push(Storage { powers: true, ..storage(4, false) });
            }
            forms.push(storage(8, false));
        }
        // The proof that two sums fit one register: what leaves 16 bits on the way comes back.
        if within(i16::MIN.into(), i16::MAX.into()) {
            forms.extend(bits.map(|bits| storage(bits, true)));
            forms.push(storage(16, true));
        }
        forms
    }

    /// The layer `from`, in one of its [forms](Self::forms).
    pub fn new(from: &kernels::Gemm, storage: Storage, written: Written, skip: Skip, time: Time) -> Self {
        let Storage { bits, pairs, powers } = storage;
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, limits, .. } = *from;
        let sums = written == Written::Sums;
        // Sums are neither shifted nor rounded.
        let shift = if sums { None } else { common_shift(from) };
        let time = if sums { Time::Constant } else { time };
        let scaled = !sums && shift.is_none();
        let form = Form { bits, pairs, skip: skip as usize, time: time as usize, scaled, powers };
        let group = form.group(outputs);
        // For operands that are 128 larger.
        let bias_of = |o: usize| {
            let row = weight.iter().skip(o * inputs).take(inputs);
            let sum = row.map(|&w| i32::from(w)).sum::<i32>();
            let added = shift.map_or(0, |shift| rounding(from, shift) as i32);
            bias.get(o).map_or(0, |&bias| bias.wrapping_sub(sum.wrapping_mul(128)).wrapping_add(added))
        };
        let shifts = multiplier_shifts(multiplier).unwrap_or_default();
        let zero_point = (limits.zero_point + 128) as u32;
        let mut stream = match written {
            Written::Sums => vec![0; 2],
            _ => vec![shift.unwrap_or(zero_point), (limits.max + 128) as u32],
        };
        for first in (0..outputs).step_by(group) {
            let end = (first + group).min(outputs);
            let biases: Vec<i32> = (first..first + group).map(bias_of).collect();
            match (pairs, bits) {
                (true, _) => {
                    let pair = |pair: &[i32]| pair[0].wrapping_add(pair[1] << 16) as u32;
                    stream.extend(biases.chunks_exact(2).map(pair));
                }
                (false, bits) if bits == 8 || powers => stream.extend(biases.iter().map(|&bias| bias as u32)),
                (false, _) => {
                    // Every accumulator contains those above it.
                    let mut above = 0i32;
                    let all = biases.iter().rev().map(|&bias| {
                        above = bias.wrapping_add(above << bits);
                        above as u32
                    });
                    let all: Vec<u32> = all.collect();
                    stream.extend(all.iter().rev());
                }
            }
            let before = if bits == 16 { 0 } else { left_out(inputs) };
            let mut words = vec![0u32; form.weight_words(inputs, group)];
            for (k, o) in (0..inputs).flat_map(|k| (first..end).map(move |o| (k, o))) {
                let weight = weight[o * inputs + k];
                let stored =
                    if powers { weight_code(POWER_OF_TWO, weight).into() } else { i32::from(weight) + form.offset() };
                let place = form.place(group, k + before, o - first);
                // A negative weight of 16 bits borrows from the one above it.
                let word = &mut words[place / 32];
                *word = word.wrapping_add((stored as u32) << (place % 32));
            }
            stream.extend(words);
            if form.scaled {
                let own = |o: usize| shifts.get(o).or(shifts.first()).copied().unwrap_or_default();
                let scale = |o: usize| (multiplier[o] >> own(o)) as u32 | (BITS - own(o)) << 16;
                stream.extend((first..first + group).map(|o| if o < outputs { scale(o) } else { 1 << 16 }));
            }
        }
        Self { rows, inputs, outputs, group, stream, form, written }
    }
}

/// Half a step and the zero point, before the shift.
fn rounding(from: &kernels::Gemm, shift: u32) -> i64 {
    let zero_point = i64::from(from.limits.zero_point) + 128;
    ((1 << shift) >> 1) + (zero_point << shift)
}

/// What the time of a row depends on.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Inputs that are not zero.
    inputs: f64,
    /// Groups of four that are not.
    fours: f64,
    /// Share of results that a negative sum gives.
    negative: f64,
    /// Share of results that are limited.
    limited: f64,
}

impl GemmPacked {
    /// Instructions of a row. Counted from the assembly.
    fn instructions(&self, case: Case) -> f64 {
        let n = |count: usize| count as f64;
        let Form { bits, pairs, skip, time, scaled, powers } = self.form;
        let (g, accs) = (self.group, self.form.accumulators(self.group));
        let groups = self.outputs.div_ceil(g);
        let far = (0..4).map(|k| 2 * self.form.input_code(g, k)).sum::<usize>() > 220;
        let packed = bits < 16;
        let moved = if bits == 2 || bits == 16 || powers { 0 } else { 1 };
        let jump = if skip == 2 { 0 } else { 1 };
        let call = 5 + 1 + 1 + 1 + 4 * jump + 3 + 1 + moved + 2 * usize::from(pairs) + 1 + 4 + 3 + 2;
        let finish = 2 + 6;
        let begin = accs + accs.min(8) + 1 + if pairs && packed { 3 } else { 0 } + usize::from(powers) + 2 * jump;
        // Bytes of weights are loaded with their products; of the others, the loads of four inputs are not the same.
        let fours = self.inputs.div_ceil(4);
        let loads: usize = (0..fours * 4).skip(left_out(self.inputs)).map(|k| self.form.loads(g, k % 4)).sum();
        let products = n(loads) / n(self.inputs) + n(self.form.products(g));
        let round = usize::from(packed) + 4 + usize::from(far);
        let rounds = match skip {
            2 => {
                let zero = 3 + 2 + 4 + 2 * usize::from(far);
                case.fours * n(3 + round) + (n(fours) - case.fours) * n(zero)
            }
            _ => n(fours * round),
        };
        // The last round leaves the loop, which a far one does by a branch more.
        let leave = if far { -1.0 } else { 0.0 } + if skip == 2 && !far { 1.0 } else { 0.0 };
        let loaded = if skip == 2 { 4.0 * case.fours } else { n(self.inputs) };
        let inputs = match (skip, packed) {
            (0, _) => n(self.inputs) * (1.0 + products),
            (_, true) => loaded * 3.0 + case.inputs * products,
            (_, false) => loaded * 5.0 + case.inputs * (products - 2.0),
        };
        let spread = match (pairs, bits) {
            (true, 16) => 6 * accs,
            (true, _) => 7 * accs,
            (false, 8) => 3 * accs,
            (false, _) if powers => 2 * accs,
            (false, _) => 6 * accs - 2,
        };
        let before = usize::from(packed && !powers) + spread + 13;
        let scale = match (scaled, pairs) {
            (false, _) => 1,
            (true, true) => 3 + 2 + 3,
            (true, false) => 3 + 6 + 3,
        };
        let limit = if time == 0 { 6.0 } else { 2.0 + 3.0 * case.limited };
        let scaled_result = n(scale) + limit;
        let result = match time == 2 && scaled {
            true => case.negative * 5.0 + (1.0 - case.negative) * (2.0 + scaled_result),
            false => scaled_result,
        };
        let results = n(self.outputs) * if self.written == Written::Sums { 4.0 } else { 1.0 + result + 5.0 };
        // The end of the last group may be that of y.
        let clipped = if self.outputs.is_multiple_of(g) { 0.0 } else { 1.0 };
        let after = 3 + 1 + 1 + 2;
        n(call + finish) + n(groups) * (n(begin + before + after) + rounds + leave + inputs) + results + clipped - 1.0
    }

    /// Instructions of a row in the mean of what was seen.
    pub fn mean(&self, seen: &Seen) -> f64 {
        let relu = self.form.time == Time::Relu as usize && self.form.scaled;
        self.instructions(Case {
            inputs: seen.elements(self.inputs),
            fours: seen.groups(self.inputs, 4),
            negative: seen.lowest,
            limited: if relu { seen.highest } else { seen.lowest + seen.highest },
        })
    }

    /// Bytes of the code.
    fn code(&self) -> usize {
        let Form { bits, pairs, skip, time, scaled, powers } = self.form;
        let (g, accs) = (self.group, self.form.accumulators(self.group));
        let inputs: usize = (0..4).map(|k| self.form.input_code(g, k)).sum();
        let far = usize::from(2 * inputs > 220);
        let packed = usize::from(bits < 16);
        let jump = usize::from(skip != 2);
        let call = 6
            + 1
            + 1
            + 4 * jump
            + 3
            + 1
            + usize::from(bits == 4 && !powers || bits == 8)
            + 2 * usize::from(pairs)
            + 5
            + 5;
        let begin = 2 * accs + 1 + 3 * packed * usize::from(pairs) + usize::from(powers) + 2 * jump;
        let round = inputs + packed + 4 + far + if skip == 2 { 3 + far + 3 } else { 0 };
        let spread = match (pairs, bits) {
            (true, 16) => 6 * accs,
            (true, _) => 7 * accs,
            (false, 8) => 3 * accs,
            (false, _) if powers => 2 * accs,
            (false, _) => 6 * accs - 2,
        };
        let scale = match (scaled, pairs) {
            (false, _) => 1,
            (true, true) => 8,
            (true, false) => 12,
        };
        let relu = if time == 2 && scaled { 5 } else { 0 };
        let limit = if time == 0 { 6 } else { 5 };
        let results = if self.written == Written::Sums { 4 } else { 1 + relu + scale + limit + 1 + 4 };
        let table = if powers { 16 } else { 2 };
        2 * (call + begin + round + packed + spread + 14 + results + 7 + 8) + table
    }

    /// Bits of a weight.
    pub fn bits(&self) -> usize {
        self.form.bits
    }

    /// Bytes of constants and of code.
    pub fn flash(&self) -> usize {
        4 * self.stream.len() + self.code()
    }
}

impl Kernel for GemmPacked {
    fn op(&self) -> &'static str {
        match self.written {
            Written::Integers => "GemmPacked",
            Written::Bytes => "GemmPackedBytes",
            Written::Sums => "GemmPackedSums",
        }
    }

    fn module(&self) -> &'static str {
        "arch::armv6m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::Words(x) = x[0] else { unreachable!("the layer takes words") };
        for (r, x) in x.chunks_exact(words(self.inputs)).enumerate() {
            match y {
                Buffer::Words(y) => {
                    let width = words(self.outputs);
                    let (size, y) = ([self.inputs, self.outputs, self.group], &mut y[r * width..(r + 1) * width]);
                    dynamic::gemm_packed_bytes(&self.stream, self.form, x, size, y);
                }
                Buffer::I8(y) => {
                    let y = &mut y[r * self.outputs..(r + 1) * self.outputs];
                    dynamic::gemm_packed(&self.stream, self.form, x, [self.inputs, self.group], y);
                }
                Buffer::I32(y) => {
                    let y = &mut y[r * self.outputs..(r + 1) * self.outputs];
                    dynamic::gemm_packed_sums(&self.stream, self.form, x, [self.inputs, self.group], y);
                }
                _ => unreachable!("the layer gives words, int8 or sums"),
            }
        }
    }

    fn constant(&self) -> Constant {
        let (i, o, n, g, form) = (self.inputs, self.outputs, self.stream.len(), self.group, self.form.pack());
        let stream = Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect());
        Constant {
            ty: format!("{}<{i}, {o}, {n}, {g}, {form:#x}>", self.op()),
            fields: Fields::Named(vec![("stream", stream)]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let y = if self.written == Written::Bytes { words(self.outputs) } else { self.outputs };
        vec![vec![self.rows, words(self.inputs)], vec![self.rows, y]]
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let worst =
            Case { inputs: self.inputs as f64, fours: self.inputs.div_ceil(4) as f64, negative: 0.0, limited: 1.0 };
        let instructions = Instructions { mean: self.mean(seen), max: self.instructions(worst) };
        let name = format!("armv6m::{}<{}, {:#x}>", self.op(), self.group, self.form.pack());
        Some(Cost {
            instructions: instructions.times(self.rows),
            code: vec![Function { name, bytes: self.code() }],
            stack: 36 + 36 + 4 * self.group,
            head: 16,
            fixed: self.form.skip == 0 && self.form.time == 0,
            ..Cost::default()
        })
    }

    fn calls(&self) -> usize {
        self.rows
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
