//! Fully connected layer with groups of sums in registers.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::riscv32m::{dynamic, groups, step, stream_len};

/// See [`tinymlp::arch::riscv32m::Gemm`].
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    x_zero_point: i32,
    stream: Vec<u32>,
    code: Code,
}

/// Which code a layer calls. Layers that agree in it share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Outputs of a group.
    pub group: usize,
    /// Inputs for which the inner loop is written out.
    pub unroll: usize,
    /// Whether inputs that equal their zero point are left out.
    pub skip: Skip,
    /// Sums that are not positive give the smallest output.
    pub relu: bool,
    /// Nothing depends on data.
    pub constant_time: bool,
    /// Inputs are unsigned bytes.
    pub x_unsigned: bool,
    /// Results are unsigned bytes.
    pub y_unsigned: bool,
}

/// Which inputs are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// None.
    None,
    /// Those that equal their zero point.
    Equal,
    /// Those that equal their zero point, which is stored as 0.
    Zero,
}

/// What the time of a row depends on.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Inputs that are not zero.
    pub nonzero: f64,
    /// Share of results that are the smallest.
    pub lowest: f64,
    /// Share of results that are limited.
    pub limited: f64,
}

impl Case {
    /// The mean of what was seen.
    pub fn mean(seen: &Seen, inputs: usize) -> Self {
        Self { nonzero: seen.elements(inputs), lowest: seen.lowest, limited: seen.lowest + seen.highest }
    }

    /// The dearest.
    pub fn worst(inputs: usize) -> Self {
        Self { nonzero: inputs as f64, lowest: 0.0, limited: 1.0 }
    }
}

impl Code {
    /// Instructions of a row of a layer of this size. Counted from the assembly.
    pub fn instructions(&self, inputs: usize, outputs: usize, case: Case) -> f64 {
        let n = |count: usize| count as f64;
        let Code { group, unroll, .. } = *self;
        let saved = if group > 5 { 2 * (group - 5 + 1) } else { 0 };
        let passes = inputs.div_ceil(unroll);
        let jump = match (unroll, inputs.is_multiple_of(unroll)) {
            (1, _) => 0,
            (_, true) => 2,
            (_, false) => 5,
        };
        let products = match self.skip {
            Skip::None => n(inputs * (1 + 3 * group)),
            Skip::Equal => n(2 * inputs) + case.nonzero * n(1 + 3 * group),
            Skip::Zero => n(2 * inputs) + case.nonzero * n(3 * group),
        };
        let result = if self.constant_time {
            if self.y_unsigned { 11.0 } else { 12.0 }
        } else if self.relu {
            let highest = case.limited.min(1.0 - case.lowest);
            2.0 + (1.0 - case.lowest) * 6.0 + if case.lowest > 0.0 { 0.0 } else { highest }
        } else {
            7.0 + case.limited
        };
        let fill = if group.is_multiple_of(4) { 0 } else { 2 };
        let constants = match (self.y_unsigned, self.relu) {
            (false, _) => 3,
            (true, false) => 2,
            (true, true) => 1,
        };
        let around = group + 3 + jump + 3 * passes + fill + constants + 4;
        let one = products + n(around) + n(group) * result;
        n(saved + 5 + usize::from(self.skip == Skip::Equal)) + n(groups(outputs, group)) * one
    }

    /// The parameters of the runtime's kernel that choose the code.
    fn parameters(&self) -> String {
        let Code { group, unroll, skip, relu, constant_time, x_unsigned, y_unsigned } = *self;
        let skip = skip as usize;
        format!("{group}, {unroll}, {x_unsigned}, {y_unsigned}, {skip}, {relu}, {constant_time}")
    }

    /// Bytes of code, compressed instructions where there are some. Counted from the assembly.
    pub fn bytes(&self) -> usize {
        let Code { group, unroll, .. } = *self;
        let saved = if group > 5 { 4 * (group - 5) + 4 } else { 0 };
        let input = 10 * group
            + match self.skip {
                Skip::None => 4,
                Skip::Equal => 12,
                Skip::Zero => 8,
            };
        // Two registers of sums are among those that short instructions reach.
        let (result, short) = match (self.constant_time, self.relu) {
            (true, _) => (if self.y_unsigned { 38 } else { 42 }, 8),
            (false, true) => (30, 4),
            (false, false) => (28, 4),
        };
        let short = short * group.saturating_sub(5).min(2);
        let jump = if unroll > 1 { 18 } else { 0 };
        let steps = if group * unroll < 32 { 2 } else { 4 } + if group < 6 { 2 } else { 4 };
        let fill = if group.is_multiple_of(4) { 0 } else { 4 };
        let constants = match (self.y_unsigned, self.relu) {
            (false, _) => 12,
            (true, false) => 8,
            (true, true) => 4,
        };
        38 + constants
            + 2 * usize::from(self.skip == Skip::Equal)
            + saved
            + jump
            + unroll * input
            + fill
            + steps
            + group * (4 + result)
            - short
    }
}

/// What an unsigned byte is larger than the integer.
const OFFSET: i32 = 128;

/// What a stored integer is larger by.
fn offset(unsigned: bool) -> i32 {
    if unsigned { OFFSET } else { 0 }
}

/// Elements of an array of a row, of words where they are unsigned bytes.
fn width(elements: usize, unsigned: bool) -> usize {
    if unsigned { elements.div_ceil(4) } else { elements }
}

impl Gemm {
    /// The layer `from` on operands with this zero point, -128 to 127.
    pub fn new(from: &kernels::Gemm, x_zero_point: i32, code: Code) -> Self {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, limits, .. } = *from;
        let group = code.group;
        let row = |o: usize| &weight[o * inputs..(o + 1) * inputs];
        let bias_of = |o: usize| {
            let sum: i32 = row(o).iter().map(|&w| i32::from(w)).sum();
            // What is taken off every input before it is multiplied, beyond what the layer takes off.
            let zero = match (code.skip, code.x_unsigned) {
                (Skip::None, false) => 0,
                (Skip::None, true) => -OFFSET,
                (Skip::Equal | Skip::Zero, _) => x_zero_point,
            };
            bias[o].wrapping_add(sum.wrapping_mul(zero))
        };
        let first = |g: usize| (g * group).min(outputs - group);
        let mut stream = Vec::with_capacity(stream_len(inputs, outputs, group));
        for g in 0..groups(outputs, group) {
            let members = first(g)..first(g) + group;
            stream.extend(members.clone().map(|o| bias_of(o) as u32));
            let weights: Vec<u8> =
                (0..inputs).flat_map(|i| members.clone().map(move |o| (i, o))).map(|(i, o)| row(o)[i] as u8).collect();
            stream.extend(
                weights.chunks(4).map(|bytes| {
                    bytes.iter().enumerate().fold(0, |word, (k, &byte)| word | u32::from(byte) << (8 * k))
                }),
            );
            stream.extend(members.map(|o| 2 * multiplier[o] as u32));
            stream.push((2 * (limits.zero_point + offset(code.y_unsigned)) + 1) as u32);
            stream.push(step(outputs, group, g) as u32);
        }
        let x_zero_point = x_zero_point + offset(code.x_unsigned);
        Self { rows, inputs, outputs, x_zero_point, stream, code }
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        "Gemm"
    }

    fn module(&self) -> &'static str {
        "arch::riscv32m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let skipped = (self.code.skip != Skip::None).then_some(self.x_zero_point);
        let size = [self.code.group, self.inputs];
        let (x_width, y_width) = (width(self.inputs, self.code.x_unsigned), width(self.outputs, self.code.y_unsigned));
        for row in 0..self.rows {
            let (x_first, y_first) = (row * x_width, row * y_width);
            let x = |k: usize| match x[0] {
                Buffer::I8(x) => x[x_first + k].into(),
                Buffer::Words(x) => dynamic::byte(&x[x_first..], k),
                _ => unreachable!("the layer takes bytes"),
            };
            dynamic::gemm(&self.stream, size, skipped, x, |k, value| match y {
                Buffer::I8(y) => y[y_first + k] = value.clamp(-128, 127) as i8,
                Buffer::Words(y) => dynamic::set_byte(&mut y[y_first..], k, value),
                _ => unreachable!("the layer gives bytes"),
            });
        }
    }

    fn constant(&self) -> Constant {
        let (i, o, n) = (self.inputs, self.outputs, self.stream.len());
        Constant {
            ty: format!("Gemm<{i}, {o}, {n}, {}>", self.code.parameters()),
            fields: Fields::New(vec![
                ("x_zero_point", Field::Integer(self.x_zero_point.into())),
                ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let Code { x_unsigned, y_unsigned, .. } = self.code;
        vec![vec![self.rows, width(self.inputs, x_unsigned)], vec![self.rows, width(self.outputs, y_unsigned)]]
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let Code { group, constant_time, .. } = self.code;
        let row = |case| self.code.instructions(self.inputs, self.outputs, case);
        let instructions =
            Instructions { mean: row(Case::mean(seen, self.inputs)), max: row(Case::worst(self.inputs)) };
        let name = format!("riscv32m::gemm<{}>", self.code.parameters());
        Some(Cost {
            instructions: instructions.times(self.rows),
            code: vec![Function { name, bytes: self.code.bytes() }],
            // The caller's frame has a free word at its end.
            stack: if group > 5 { 4 + (4 * (group - 5)).next_multiple_of(16) } else { 0 },
            head: 20,
            fixed: constant_time,
            ..Cost::default()
        })
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
