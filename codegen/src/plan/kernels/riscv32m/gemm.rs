//! Fully connected layer with groups of sums in registers.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::riscv32m::{dynamic, groups, stream_len};

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
    /// Inputs that equal their zero point are left out.
    pub skip: bool,
    /// Sums that are not positive give the smallest output.
    pub relu: bool,
    /// Nothing depends on data.
    pub constant_time: bool,
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
            false => n(inputs * (1 + 3 * group)),
            true => n(2 * inputs) + case.nonzero * n(1 + 3 * group),
        };
        let result = if self.constant_time {
            12.0
        } else if self.relu {
            let highest = case.limited.min(1.0 - case.lowest);
            2.0 + (1.0 - case.lowest) * 6.0 + if case.lowest > 0.0 { 0.0 } else { highest }
        } else {
            7.0 + case.limited
        };
        let fill = if group.is_multiple_of(4) { 0 } else { 2 };
        let around = group + 3 + jump + 3 * passes + fill + 3 + 4;
        let one = products + n(around) + n(group) * result;
        n(saved + 5 + usize::from(self.skip)) + n(groups(outputs, group)) * one
    }

    /// Bytes of code, compressed instructions where there are some. Counted from the assembly.
    pub fn bytes(&self) -> usize {
        let Code { group, unroll, .. } = *self;
        let saved = if group > 5 { 4 * (group - 5) + 4 } else { 0 };
        let input = if self.skip { 12 } else { 4 } + 10 * group;
        // Two registers of sums are among those that short instructions reach.
        let (result, short) = match (self.constant_time, self.relu) {
            (true, _) => (42, 8),
            (false, true) => (30, 4),
            (false, false) => (28, 4),
        };
        let short = short * group.saturating_sub(5).min(2);
        let jump = if unroll > 1 { 18 } else { 0 };
        let steps = if group * unroll < 32 { 2 } else { 4 } + if group < 6 { 2 } else { 4 };
        let fill = if group.is_multiple_of(4) { 0 } else { 4 };
        50 + 2 * usize::from(self.skip) + saved + jump + unroll * input + fill + steps + group * (4 + result) - short
    }
}

impl Gemm {
    /// The layer `from` on operands with this zero point.
    pub fn new(from: &kernels::Gemm, x_zero_point: i32, code: Code) -> Self {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, limits, .. } = *from;
        let group = code.group;
        let row = |o: usize| &weight[o * inputs..(o + 1) * inputs];
        let bias_of = |o: usize| {
            let sum: i32 = row(o).iter().map(|&w| i32::from(w)).sum();
            if code.skip { bias[o].wrapping_add(sum.wrapping_mul(x_zero_point)) } else { bias[o] }
        };
        let first = |g: usize| (g * group).min(outputs - group);
        let count = groups(outputs, group);
        let mut stream = Vec::with_capacity(stream_len(inputs, outputs, group));
        for g in 0..count {
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
            stream.push((2 * limits.zero_point + 1) as u32);
            stream.push(if g + 1 < count { first(g + 1) - first(g) } else { 0 } as u32);
        }
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
        let (Buffer::I8(x), Buffer::I8(y)) = (x[0], y) else { unreachable!("the layer takes int8 to int8") };
        let skipped = self.code.skip.then_some(self.x_zero_point);
        for (x, y) in x.chunks_exact(self.inputs).zip(y.chunks_exact_mut(self.outputs)) {
            dynamic::gemm(&self.stream, self.code.group, skipped, x, y);
        }
    }

    fn constant(&self) -> Constant {
        let Code { group, unroll, skip, relu, constant_time } = self.code;
        let (i, o, n) = (self.inputs, self.outputs, self.stream.len());
        Constant {
            ty: format!("Gemm<{i}, {o}, {n}, {group}, {unroll}, {skip}, {relu}, {constant_time}>"),
            fields: Fields::Named(vec![
                ("x_zero_point", Field::Integer(self.x_zero_point.into())),
                ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.inputs], vec![self.rows, self.outputs]]
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let Code { group, unroll, skip, relu, constant_time } = self.code;
        let row = |case| self.code.instructions(self.inputs, self.outputs, case);
        let instructions =
            Instructions { mean: row(Case::mean(seen, self.inputs)), max: row(Case::worst(self.inputs)) };
        let name = format!("riscv32m::gemm<{group}, {unroll}, {skip}, {relu}, {constant_time}>");
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
