//! Fully connected layer without a multiplier.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::riscv32m::Case;
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::riscv32e::{dynamic, groups, step, stream_len, triangle};

/// See [`tinymlp::arch::riscv32e::Gemm`].
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    x_zero_point: i32,
    /// Twice the output's zero point, plus one.
    rounding: i32,
    shift: u32,
    stream: Vec<u32>,
    code: Code,
    /// Instructions of an output's multiplication, in the mean.
    product: f64,
}

/// Instructions of a row of a layer of this size, with so many for the multiplication of an output. Counted from the
/// assembly.
pub fn instructions(code: &Code, inputs: usize, outputs: usize, product: f64, case: Case) -> f64 {
    let n = |count: usize| count as f64;
    let Code { group, unroll, skip, relu, constant_time } = *code;
    let jump = match (unroll, inputs.is_multiple_of(unroll)) {
        (1, _) => 0,
        (_, true) => 2,
        (_, false) => 5,
    };
    let products = match skip {
        false => n(inputs * (3 + 5 * group)),
        true => n(2 * inputs) + case.nonzero * n(3 + 8 * group),
    };
    let fill = if group.is_multiple_of(4) { 0 } else { 2 };
    let around = 1 + usize::from(skip) + 2 * group + 4 + jump + 3 * inputs.div_ceil(unroll) + fill + group + 5 + 6;
    let scaled = 3.0 + product + 4.0 + 1.0 + 1.0;
    let result = 5.0
        + match (constant_time, relu) {
            (true, _) => scaled + 9.0,
            (false, true) => 2.0 + (1.0 - case.lowest) * (scaled + 2.0) + (case.limited - case.lowest).max(0.0),
            (false, false) => scaled + 3.0 + case.limited,
        };
    let one = products + n(around) + n(group) * result;
    n(20 + 7 * inputs + if skip { 2 } else { 0 } + 5) + n(groups(outputs, group)) * one
}

/// Instructions of the multiplications of the outputs of a layer, in the mean: two bits at a time.
pub fn product(multipliers: &[i32]) -> f64 {
    let top = top(multipliers);
    let of = |&m: &i32| 3 * bits(m as u32, top) + m.count_ones();
    f64::from(multipliers.iter().map(of).sum::<u32>()) / multipliers.len().max(1) as f64
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

impl Gemm {
    /// The layer `from` on operands with this zero point.
    pub fn new(from: &kernels::Gemm, x_zero_point: i32, code: Code) -> Self {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, limits, .. } = *from;
        let group = code.group;
        let row = |o: usize| &weight[o * inputs..(o + 1) * inputs];
        let bias_of = |o: usize| {
            let of = |w: i8| {
                let w = i32::from(w);
                // Where zeros are skipped, only the others bring a `t(z + w)` with them: what is left of a product
                // by the zero point is its own part of the bias.
                if code.skip { x_zero_point * w + triangle(x_zero_point) } else { -triangle(w) }
            };
            row(o).iter().fold(bias[o], |bias, &w| bias.wrapping_add(of(w)))
        };
        let top = top(multiplier);
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
            stream.extend(members.map(|o| reversed(multiplier[o] as u32, top)));
            stream.push(step(outputs, group, g) as u32);
        }
        let rounding = 2 * limits.zero_point + 1;
        let product = product(multiplier);
        Self { rows, inputs, outputs, x_zero_point, rounding, shift: 30 - top, stream, code, product }
    }
}

/// An even number of bits of a multiplier, from its lowest or one before to bit `top`, the first in bit 31, and a one
/// after the last.
pub(super) fn reversed(multiplier: u32, top: u32) -> u32 {
    let bits = bits(multiplier, top);
    let first = (u64::from(multiplier) << bits >> (top + 1)) as u32;
    first.reverse_bits() | 1 << (31 - bits)
}

/// Whether 30 bits hold every sum: the multiplication adds up to three times a sum to what is less than that sum.
pub fn fits(gemm: &kernels::Gemm) -> bool {
    gemm.weight.chunks_exact(gemm.inputs.max(1)).zip(&gemm.bias).all(|(row, &bias)| {
        let magnitude: i64 = row.iter().map(|&w| i64::from(w).abs()).sum();
        i64::from(bias).abs() + magnitude * 128 < 1 << 29
    })
}

/// The highest bit that any multiplier has.
pub fn top(multipliers: &[i32]) -> u32 {
    multipliers.iter().fold(1u32, |all, &m| all | m as u32).ilog2()
}

/// How many bits a multiplier takes in the stream where the highest of its layer is `top`: there is room for 30.
pub fn bits(multiplier: u32, top: u32) -> u32 {
    (top + 1 - multiplier.trailing_zeros().min(top)).next_multiple_of(2)
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        "Gemm"
    }

    fn module(&self) -> &'static str {
        "arch::riscv32e"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::I8(x), Buffer::I8(y)) = (x[0], y) else { unreachable!("the layer takes int8 to int8") };
        let skipped = self.code.skip.then_some(self.x_zero_point);
        for (x, y) in x.chunks_exact(self.inputs).zip(y.chunks_exact_mut(self.outputs)) {
            dynamic::gemm(&self.stream, self.code.group, skipped, (self.shift, self.rounding), x, y);
        }
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let Code { group, unroll, skip, relu, constant_time } = self.code;
        let row = |case| instructions(&self.code, self.inputs, self.outputs, self.product, case);
        // The last group computes outputs again, perhaps those of the longest multiplications.
        let again = 1.1 * row(Case::worst(self.inputs));
        let mean = row(Case::mean(seen, self.inputs));
        let name = format!("riscv32e::gemm<{group}, {unroll}, {skip}, {relu}, {constant_time}>");
        let input = if skip { 16 + 26 * group } else { 8 + 14 * group };
        let jump = if unroll > 1 { 14 } else { 0 };
        let bytes = 212 + jump + unroll * input + 8 * group + if constant_time { 10 } else { 0 };
        Some(Cost {
            instructions: Instructions { mean, max: again }.times(self.rows),
            code: vec![Function { name, bytes }, Function { name: "riscv32e::triangles".into(), bytes: 1024 }],
            head: 28,
            stack: 64,
            fixed: constant_time,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let Code { group, unroll, skip, relu, constant_time } = self.code;
        let (i, o, n) = (self.inputs, self.outputs, self.stream.len());
        Constant {
            ty: format!("Gemm<{i}, {o}, {n}, {group}, {unroll}, {skip}, {relu}, {constant_time}>"),
            fields: Fields::New(vec![
                ("x_zero_point", Field::Integer(self.x_zero_point.into())),
                ("rounding", Field::Integer(self.rounding.into())),
                ("shift", Field::Integer(self.shift.into())),
                ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.inputs], vec![self.rows, self.outputs]]
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
