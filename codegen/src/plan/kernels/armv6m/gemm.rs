//! Fully connected layer over unsigned bytes.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::armv6m::{LIST, dynamic, eights, last, left_out, list_words, words};

/// See [`tinymlp::arch::armv6m::Gemm`] and `GemmBytes`.
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    stream: Vec<u32>,
    /// A shift for every output.
    wide: bool,
    /// Results in bytes for the next layer.
    bytes: bool,
    skip: Skip,
    time: Time,
}

/// Which inputs of zero are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// None.
    None,
    /// Each.
    Each,
    /// Four at once, and each.
    Words,
    /// Each, by a list of the others: see [`Gemm::lists`].
    List = LIST as isize,
}

/// How far the time of the epilogue may depend on the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Not at all.
    Constant,
    /// It may branch.
    Branches,
    /// A negative sum is not scaled: only for layers whose zero point is the smallest result.
    Relu,
}

/// Significant bits of a multiplier.
const BITS: u32 = 16;

/// The number of bits that multipliers are shifted right to have 16 bits: one number for all, or one each.
/// `None` where that loses bits, or leaves none to round by.
pub fn multiplier_shifts(multiplier: &[i32]) -> Option<Vec<u32>> {
    let shift = |bits: i32| (32 - bits.leading_zeros()).saturating_sub(BITS);
    let exact = |m: i32, shift: u32| m >= 0 && m & ((1 << shift) - 1) == 0 && shift < BITS;
    let common = shift(multiplier.iter().fold(0, |bits, m| bits | m));
    if multiplier.iter().all(|&m| exact(m, common)) {
        return Some(vec![common]);
    }
    multiplier.iter().all(|&m| exact(m, shift(m))).then(|| multiplier.iter().map(|&m| shift(m)).collect())
}

impl Gemm {
    /// Whether a layer can read its operand as a list.
    pub fn lists(from: &kernels::Gemm) -> bool {
        from.inputs.is_multiple_of(8) && last(from.outputs) == 0
    }

    /// The layer `from`. Its multipliers have [`multiplier_shifts`].
    pub fn new(from: &kernels::Gemm, bytes: bool, skip: Skip, time: Time) -> Self {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, .. } = *from;
        let shifts = multiplier_shifts(multiplier).unwrap_or_default();
        let wide = shifts.len() > 1;
        let shift = |o: usize| if wide { shifts[o] } else { shifts[0] };
        let sum = |o: usize| weight[o * inputs..(o + 1) * inputs].iter().map(|&w| i32::from(w)).sum::<i32>();
        // For operands that are 128 larger.
        let bias_of = |o: usize| bias[o].wrapping_sub(sum(o) * 128) as u32;
        let mut stream = Vec::new();
        let mut first = 0;
        for (groups, size) in [(eights(outputs), 8), (usize::from(last(outputs) > 0), last(outputs))] {
            if groups == 0 {
                continue;
            }
            let (right, zero_point) = (BITS - shift(0), from.limits.zero_point + 128);
            // Half a step and the zero point, before the shift.
            let rounding = (1 << (right - 1)) + (zero_point << right);
            stream.extend(if wide { [zero_point as u32, 0] } else { [right, rounding as u32] });
            for _ in 0..groups {
                stream.extend((first + 4..first + size).map(bias_of));
                stream.extend((first..first + size.min(4)).map(bias_of));
                let mut weights = vec![128u8; left_out(inputs) * size];
                let byte = |k: usize| (weight[(first + k % size) * inputs + k / size] as u8).wrapping_add(128);
                weights.extend((0..inputs * size).map(byte));
                stream.extend(weights.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)));
                let short = |o: usize| if o < first + size { (multiplier[o] >> shift(o)) as u32 } else { 0 };
                stream.extend((first..first + size).step_by(2).map(|o| short(o) | short(o + 1) << 16));
                if wide {
                    let byte = |o: usize| if o < first + size { BITS - shift(o) } else { 0 };
                    let word = |o: usize| (0..4).map(|k| byte(o + k) << (8 * k)).sum::<u32>();
                    stream.extend((first..first + size).step_by(4).map(word));
                }
                first += size;
            }
        }
        Self { rows, inputs, outputs, stream, wide, bytes, skip, time }
    }
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

impl Gemm {
    /// Instructions of a row. Counted from the assembly.
    fn instructions(&self, case: Case) -> f64 {
        let call = if self.skip == Skip::List { 40.0 } else { 35.0 };
        [(8, eights(self.outputs)), (last(self.outputs), 1)]
            .into_iter()
            .filter(|&(size, groups)| size > 0 && groups > 0)
            .map(|(size, groups)| call + groups as f64 * self.group(size, case) - 1.0)
            .sum()
    }

    /// Instructions of a row in the mean of what was seen.
    pub fn mean(&self, seen: &Seen) -> f64 {
        let list = self.skip == Skip::List;
        let listed = |size| seen.listed(self.inputs, size);
        self.instructions(Case {
            inputs: if list { listed(1) } else { seen.elements(self.inputs) },
            fours: if list { listed(4) } else { seen.groups(self.inputs, 4) },
            negative: seen.lowest,
            limited: if self.time == Time::Relu { seen.highest } else { seen.lowest + seen.highest },
        })
    }

    /// Bytes of constants and of code.
    pub fn flash(&self) -> usize {
        let sizes = [(8, eights(self.outputs)), (last(self.outputs), 1)];
        let code = sizes.into_iter().filter(|&(size, groups)| size > 0 && groups > 0).map(|(size, _)| self.code(size));
        4 * self.stream.len() + code.sum::<usize>()
    }

    /// Instructions of a group of `g` outputs.
    fn group(&self, g: usize, case: Case) -> f64 {
        let n = |count: usize| count as f64;
        let first = if g >= 4 { 5 } else { 1 + g };
        let others = match g {
            8.. => 9 + 3 * (g - 8),
            _ => 3 * g.saturating_sub(4),
        };
        let words = self.skip == Skip::Words;
        let begin = 1 + first + others + if g < 10 { 2 } else { 0 } + 1 + if words { 0 } else { 2 };
        let list = self.skip == Skip::List;
        let fours = n(self.inputs.div_ceil(4));
        let end = match g {
            0..=8 => 2,
            9 => 3,
            _ => 4,
        };
        let round = 1 + if g > 8 { 2 } else { 1 } + end;
        // The last round leaves the loop without its last jump back, or by one more.
        let leave = match (g > 8, words) {
            (true, _) => -1.0,
            (false, true) => 1.0,
            (false, false) => 0.0,
        };
        let rounds = match words {
            // And before and after the rounds.
            _ if list => case.fours * 2.0 + 1.0 + 3.0,
            false => fours * n(round),
            true => {
                let zero = if g > 8 { 4 } else { 3 } + 3 + end;
                case.fours * n(3 + round) + (fours - case.fours) * n(zero)
            }
        };
        // Those of a group of four that is not passed over are loaded and tested.
        let loaded = if words { 4.0 * case.fours } else { n(self.inputs) };
        let products = match self.skip {
            Skip::None => loaded * n(1 + 3 * g),
            Skip::List => case.inputs * n(2 + 3 * g),
            _ => loaded * 3.0 + case.inputs * n(3 * g),
        };
        let shift = match (self.wide, g) {
            (true, _) => 3,
            (false, 10) => 3,
            (false, _) => 2,
        };
        let scale = n(7 + shift)
            + match self.time {
                Time::Constant => 7.0,
                _ => 2.0 + 3.0 * case.limited,
            };
        let scale = match self.time {
            Time::Relu => case.negative * 4.0 + (1.0 - case.negative) * (2.0 + scale),
            _ => scale,
        };
        let finish = 1 + usize::from(self.wide) + if self.bytes { 3 } else { 0 } + 6;
        n(begin) + rounds + leave + products + n(g) * scale + n(self.stores(g)) + n(finish)
    }

    /// Bytes of the code for groups of `g` outputs: two an instruction.
    fn code(&self, g: usize) -> usize {
        let biases = if g >= 8 { 14 + 3 * (g - 8) } else { 1 + g.min(4) + 3 * g.saturating_sub(4) };
        let begin = 27 + 1 + biases + if g < 10 { 2 } else { 0 } + 1;
        let list = self.skip == Skip::List;
        let (jump, test) = match (self.skip, g > 8) {
            // What prepares the list, and where a group's weights begin.
            (Skip::List, _) => (2, 5 + 1),
            (Skip::Words, true) => (0, 4 + 4),
            (Skip::Words, false) => (0, 3 + 4),
            _ => (2, 0),
        };
        let input = 3 * g
            + match self.skip {
                Skip::None => 1,
                Skip::List => 2,
                _ => 3,
            };
        let round = match g {
            _ if list => 2 + 3,
            0..=8 => 2 + 2,
            9 => 3 + 3,
            _ => 3 + 4,
        };
        let limit = match self.time {
            Time::Constant => 7,
            Time::Branches => 5,
            Time::Relu => 9,
        };
        let scale = 7 + if self.wide || g == 10 { 3 } else { 2 } + limit;
        let finish = 1 + usize::from(self.wide) + if self.bytes { 3 } else { 0 } + 6 + 8;
        // And perhaps two bytes before an address that is a multiple of four.
        2 * (begin + jump + test + 4 * input + round + g * scale + self.stores(g) + finish) + 2
    }

    /// Words of a row of the operand.
    fn operand_words(&self) -> usize {
        if self.skip == Skip::List { list_words(self.inputs) } else { words(self.inputs) }
    }

    /// Instructions that load what results are made with, and store those of a group of `g`.
    fn stores(&self, g: usize) -> usize {
        // Bytes for the next layer are summed up, int8 have 128 taken off.
        let store = if self.bytes { 1 } else { 2 };
        let further = g.saturating_sub(2) * (store + usize::from(self.bytes)) + g.saturating_sub(4);
        let pair = match (g, self.bytes) {
            (1, _) => 1 + store,
            (_, true) => 4 + 2 * store,
            (_, false) => 2 * store,
        };
        1 + if !self.wide && g < 10 { 2 } else { 0 } + 1 + pair + 1 + further
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        if self.bytes { "GemmBytes" } else { "Gemm" }
    }

    fn module(&self) -> &'static str {
        "arch::armv6m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::Words(x) = x[0] else { unreachable!("the layer takes words") };
        let kind = [self.wide, self.skip == Skip::List];
        for (r, x) in x.chunks_exact(self.operand_words()).enumerate() {
            match y {
                Buffer::Words(y) => {
                    let width = words(self.outputs);
                    let size = [self.inputs, self.outputs];
                    dynamic::gemm_bytes(&self.stream, kind, x, size, &mut y[r * width..(r + 1) * width]);
                }
                Buffer::I8(y) => {
                    let y = &mut y[r * self.outputs..(r + 1) * self.outputs];
                    dynamic::gemm(&self.stream, kind, x, self.inputs, y);
                }
                _ => unreachable!("the layer gives words or int8"),
            }
        }
    }

    fn constant(&self) -> Constant {
        let (i, o, n, last) = (self.inputs, self.outputs, self.stream.len(), last(self.outputs));
        let (skip, time) = (self.skip as usize, self.time as usize);
        Constant {
            ty: format!("{}<{i}, {o}, {n}, {last}, {skip}, {time}, {}>", self.op(), self.wide),
            fields: Fields::Named(vec![(
                "stream",
                Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect()),
            )]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let y = if self.bytes { words(self.outputs) } else { self.outputs };
        vec![vec![self.rows, self.operand_words()], vec![self.rows, y]]
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let worst =
            Case { inputs: self.inputs as f64, fours: self.inputs.div_ceil(4) as f64, negative: 0.0, limited: 1.0 };
        let instructions = Instructions { mean: self.mean(seen), max: self.instructions(worst) };
        let sizes = [(8, eights(self.outputs)), (last(self.outputs), 1)];
        let code = sizes.into_iter().filter(|&(size, groups)| size > 0 && groups > 0).map(|(size, _)| {
            let (skip, time) = (self.skip as usize, self.time as usize);
            let name = format!("armv6m::{}<{size}, {skip}, {time}, {}>", self.op(), self.wide);
            Function { name, bytes: self.code(size) }
        });
        Some(Cost {
            instructions: instructions.times(self.rows),
            code: code.collect(),
            stack: if self.skip == Skip::List { 76 } else { 72 },
            head: 16 * self.calls() / self.rows.max(1),
            fixed: self.skip == Skip::None && self.time == Time::Constant,
            ..Cost::default()
        })
    }

    fn calls(&self) -> usize {
        self.rows * [eights(self.outputs), last(self.outputs)].iter().filter(|&&outputs| outputs > 0).count()
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
