//! Fully connected layer with weights of four bits, or two.

use super::Case;
use crate::plan::Type;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Dense, Field, Fields, Kernel, packed_format};
use tinymlp::arch::riscv32m::{PACKED_GROUP, dynamic, packed_offset};
use tinymlp::kernels::{POWER_OF_TWO, TERNARY, weight_bits, weight_code};

/// See [`tinymlp::arch::riscv32m::GemmPacked`] and `GemmPackedSums`.
#[derive(Clone, Debug)]
pub struct GemmPacked {
    rows: usize,
    inputs: usize,
    outputs: usize,
    x_zero_point: i32,
    format: u8,
    /// Twice the zero point of results, plus one, if there are any.
    rounding: Option<i32>,
    stream: Vec<u32>,
    constant_time: bool,
}

impl GemmPacked {
    /// The layer on operands with this zero point; none where it has masks, weights that need eight bits, or results that
    /// the kernel does not compute bit for bit.
    pub fn new(from: Dense, x_zero_point: i32, constant_time: bool) -> Option<Self> {
        let Dense { layer, masks: None, sums } = from else { return None };
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, shift, limits } = *layer;
        let format = packed_format(weight)?;
        let scales = limits.ty == Type::I8 && (limits.min, limits.max) == Type::I8.limits() && shift == 0;
        if inputs == 0 || outputs == 0 || !sums && !scales {
            return None;
        }
        let bits = weight_bits(format);
        let of = |i: usize, o: usize| if o < outputs { weight[o * inputs + i] } else { 0 };
        let bias_of = |o: usize| {
            let sum: i32 = (0..inputs).map(|i| i32::from(of(i, o))).sum();
            bias.get(o).map_or(0, |&bias| bias.wrapping_add(sum.wrapping_mul(x_zero_point)))
        };
        let mut stream = Vec::new();
        for first in (0..outputs).step_by(PACKED_GROUP) {
            let members = first..first + PACKED_GROUP;
            // An accumulator contains those above it.
            let mut above = 0i32;
            let begin = members.clone().rev().map(|o| {
                above = bias_of(o).wrapping_add(if format == POWER_OF_TWO { 0 } else { above << bits });
                above as u32
            });
            let begin: Vec<u32> = begin.collect();
            stream.extend(begin.iter().rev());
            let code = |i: usize, o: usize| match format {
                POWER_OF_TWO => weight_code(format, of(i, o)).into(),
                _ => (i32::from(of(i, o)) + packed_offset(format)) as u32,
            };
            let codes = |i: usize| members.clone().rev().fold(0, |word, o| word << bits | code(i, o));
            let codes: Vec<u32> = (0..inputs).map(codes).collect();
            match format {
                TERNARY => {
                    stream.extend(codes.chunks(2).map(|pair| pair[0] | pair.get(1).map_or(0, |&codes| codes << 16)));
                }
                _ => stream.extend(codes),
            }
            let multiplier = |o: usize| multiplier.get(o).map_or(0, |&m| 2 * m as u32);
            stream.extend(members.clone().map(multiplier).filter(|_| !sums));
        }
        let rounding = (!sums).then_some(2 * limits.zero_point + 1);
        Some(Self { rows, inputs, outputs, x_zero_point, format, rounding, stream, constant_time })
    }

    /// Instructions of a row. Counted from the assembly.
    fn instructions(&self, case: Case) -> f64 {
        let n = |count: usize| count as f64;
        let (powers, ternary) = (usize::from(self.format == POWER_OF_TWO), usize::from(self.format == TERNARY));
        let (skip, scaled) = (!self.constant_time, usize::from(self.rounding.is_some()));
        let nonzero = if skip { case.nonzero } else { n(self.inputs) };
        let product = if powers == 1 { 1 + 6 * 8 - 2 } else { 2 + 3 * 8 - 1 };
        let inputs = n(self.inputs * (5 + usize::from(skip))) + nonzero * n(product);
        let sums = if powers == 1 { 8 } else { 4 * 8 - 2 + usize::from(ternary == 0) };
        let (constants, result) = match (self.rounding, self.constant_time) {
            (None, _) => (0, 5.0),
            (Some(_), true) => (2, 17.0),
            (Some(_), false) => (3, 12.0 + case.limited),
        };
        let group = n(10 + (1 - powers) + 2 * ternary + sums + 4 + constants + 1) + inputs;
        // The last group may have fewer results than the others.
        let fewer = if self.outputs.is_multiple_of(PACKED_GROUP) { 0 } else { 1 };
        let constant_time = scaled * usize::from(self.constant_time);
        let around = 5 + scaled + constant_time + 5 + 3 * powers + fewer + 3 + powers + 2;
        n(around) + n(self.outputs.div_ceil(PACKED_GROUP)) * group + n(self.outputs) * result
    }

    /// Bytes of the code.
    fn code(&self) -> usize {
        let skip = if self.constant_time { 0 } else { 4 };
        let products = match self.format {
            POWER_OF_TWO => 4 + 8 * 18 - 6,
            _ => 4 + 2 + 8 * 8 - 2,
        };
        let sums = match self.format {
            POWER_OF_TWO => 16 + 12 + 16,
            TERNARY => 8 * 14 - 8 + 2 + 6,
            _ => 8 * 14 - 8 + 2 + 2,
        };
        let results = match (self.rounding, self.constant_time) {
            (None, _) => 8,
            (Some(_), true) => 54,
            (Some(_), false) => 46,
        };
        24 + 36 + 14 + skip + products + sums + 22 + results + 12
    }
}

impl Kernel for GemmPacked {
    fn op(&self) -> &'static str {
        if self.rounding.is_some() { "GemmPacked" } else { "GemmPackedSums" }
    }

    fn module(&self) -> &'static str {
        "arch::riscv32m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I8(x) = x[0] else { unreachable!("the layer takes int8") };
        let (constants, x_zero) = ((self.format, &self.stream[..]), (!self.constant_time, self.x_zero_point));
        for (row, x) in x.chunks_exact(self.inputs).enumerate() {
            let at = row * self.outputs..(row + 1) * self.outputs;
            match (&mut *y, self.rounding) {
                (Buffer::I8(y), Some(rounding)) => dynamic::gemm_packed(constants, x_zero, rounding, x, &mut y[at]),
                (Buffer::I32(y), None) => dynamic::gemm_packed_sums(constants, x_zero, x, &mut y[at]),
                _ => unreachable!("the layer gives int8 or sums"),
            }
        }
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let instructions = Instructions {
            mean: self.instructions(Case::mean(seen, self.inputs)),
            max: self.instructions(Case::worst(self.inputs)),
        };
        let name = format!("riscv32m::{}<{}, {}>", self.op(), self.format, self.constant_time);
        Some(Cost {
            instructions: instructions.times(self.rows),
            code: vec![Function { name, bytes: self.code() }],
            head: 16,
            stack: 64,
            fixed: self.constant_time,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let (i, o, n, format) = (self.inputs, self.outputs, self.stream.len(), self.format);
        let (skip, constant_time) = (!self.constant_time, self.constant_time);
        let ty = match self.rounding {
            Some(_) => format!("GemmPacked<{i}, {o}, {n}, {format}, {skip}, {constant_time}>"),
            None => format!("GemmPackedSums<{i}, {o}, {n}, {format}, {skip}>"),
        };
        let mut fields = vec![("x_zero_point", Field::Integer(self.x_zero_point.into()))];
        fields.extend(self.rounding.map(|rounding| ("rounding", Field::Integer(rounding.into()))));
        fields.push(("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())));
        Constant { ty, fields: Fields::Named(fields) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.inputs], vec![self.rows, self.outputs]]
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
