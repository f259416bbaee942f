//! Fully connected layer with weights of four bits, or two, without a multiplier.

use super::gemm::{bits, reversed, top};
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::riscv32m::Case;
use crate::plan::kernels::{self, Buffer, Constant, Dense, Field, Fields, Kernel, pack, packed_format};
use tinymlp::arch::riscv32e::{dynamic, packed_rows};
use tinymlp::kernels::{POWER_OF_TWO, TERNARY, weight_code};

/// See [`tinymlp::arch::riscv32e::GemmPacked`] and [`tinymlp::arch::riscv32e::GemmPackedSums`].
#[derive(Clone, Debug)]
pub struct GemmPacked {
    rows: usize,
    inputs: usize,
    outputs: usize,
    x_zero_point: i32,
    format: u8,
    bias: Vec<i32>,
    weight: Vec<u8>,
    end: End,
    code: PackedCode,
}

/// What becomes of sums.
#[derive(Clone, Debug)]
enum End {
    /// They are the result.
    Sums,
    /// They are shifted and limited.
    Shift { shift: u32, min: i32, max: i32 },
    /// They are multiplied; `product` are the instructions of that, in the mean.
    Scale { multiplier: Vec<u32>, shift: u32, rounding: i32, product: f64 },
}

/// Which code a layer calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedCode {
    /// Outputs whose sums are on the stack at a time.
    pub block: usize,
    /// Bytes of weights for which the inner loop is written out.
    pub unroll: usize,
    /// Inputs that equal their zero point are left out.
    pub skip: bool,
    /// Nothing depends on data.
    pub constant_time: bool,
}

impl GemmPacked {
    /// The layer on operands with this zero point; none where it has masks, weights that need eight bits, or results
    /// that the kernel does not compute bit for bit.
    pub fn new(from: Dense, x_zero_point: i32, code: PackedCode) -> Option<Self> {
        let Dense { layer, masks: None, sums } = from else { return None };
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, .. } = *layer;
        let format = packed_format(weight)?;
        if inputs == 0 || outputs == 0 {
            return None;
        }
        let (end, more) = if sums { (End::Sums, 0) } else { end(layer)? };
        let fits = |o: usize| {
            let (low, high) = layer.sums(o, (-128, 127));
            low + more >= i64::from(i32::MIN) && high + more <= i64::from(i32::MAX)
        };
        if !(0..outputs).all(fits) {
            return None;
        }
        let bias_of = |o: usize| {
            let sum: i32 = weight[o * inputs..(o + 1) * inputs].iter().map(|&w| i32::from(w)).sum();
            bias[o].wrapping_add(sum.wrapping_mul(x_zero_point)).wrapping_add(more as i32)
        };
        let per = inputs.div_ceil(packed_rows(format, inputs));
        let of = |i: usize, o: usize| if i < inputs { weight[o * inputs + i] } else { 0 };
        let row = |row: usize| {
            let nibble = |o: usize| match (o < outputs, format) {
                (false, _) => 0,
                (true, TERNARY) => pack(TERNARY, (0..2).map(|k| of(row * per + k, o)))[0],
                (true, _) => weight_code(format, of(row, o)),
            };
            (0..outputs.div_ceil(2)).map(|byte| nibble(2 * byte) | nibble(2 * byte + 1) << 4).collect::<Vec<_>>()
        };
        let weight = (0..packed_rows(format, inputs)).flat_map(row).collect();
        let bias = (0..outputs).map(bias_of).collect();
        Some(Self { rows, inputs, outputs, x_zero_point, format, bias, weight, end, code })
    }

    /// Instructions of a row. Counted from the assembly, but for what the compiler makes around a block.
    /// `nonzero` rows of weights have inputs that are not zero.
    fn instructions(&self, nonzero: f64, case: Case) -> f64 {
        let Self { inputs, outputs, format, code, .. } = self;
        let n = |count: usize| count as f64;
        let skip = usize::from(code.skip);
        let rows = packed_rows(*format, *inputs);
        let (made, zero) = match *format {
            TERNARY => (6 + skip + 2 + 14 + 2, 12),
            POWER_OF_TWO => (2 + skip + 1 + 27 + 2, 5),
            _ => (2 + skip + 1 + 29 + 2, 5),
        };
        let nonzero = if code.skip { nonzero } else { n(rows) };
        let block = |outputs: usize| {
            let bytes = outputs.div_ceil(2);
            let each = made + 15 * bytes + 3 * bytes.div_ceil(code.unroll) + 3;
            let around = 30 + usize::from(*format == POWER_OF_TWO) + skip + 5 * outputs + CALL;
            let result = match (&self.end, code.constant_time) {
                (End::Sums, _) => 0.0,
                (End::Shift { .. }, false) => 2.0 + n(outputs) * (8.0 + case.limited),
                (End::Shift { .. }, true) => n(3 + outputs * 15),
                (End::Scale { product, .. }, true) => 7.0 + n(outputs) * (22.0 + product),
                (End::Scale { product, .. }, false) if self.relu() => {
                    7.0 + n(outputs) * (8.0 + (1.0 - case.lowest) * (11.0 + product))
                }
                (End::Scale { product, .. }, false) => 7.0 + n(outputs) * (17.0 + product + case.limited),
            };
            n(around) + nonzero * n(each) + (n(rows) - nonzero) * n(zero) + result
        };
        let block_size = if matches!(self.end, End::Sums) { *outputs } else { code.block };
        let whole = (outputs - 1) / block_size;
        n(whole) * block(block_size) + block(outputs - whole * block_size)
    }

    /// Whether sums that are not positive give the smallest output at once.
    fn relu(&self) -> bool {
        // Twice -128, and one.
        matches!(self.end, End::Scale { rounding: -255, .. }) && !self.code.constant_time
    }

    /// The functions that it calls, with their bytes.
    fn functions(&self) -> Vec<Function> {
        let PackedCode { unroll, skip, constant_time, .. } = self.code;
        let input = match self.format {
            TERNARY => 56 + if skip { 8 } else { 0 },
            POWER_OF_TWO => 86 + if skip { 4 } else { 0 },
            _ => 66 + if skip { 4 } else { 0 },
        };
        let name = format!("riscv32e::accumulate<{}, {unroll}, {skip}>", self.format);
        let accumulate = Function { name, bytes: 118 + input + 36 * unroll };
        let end = match self.end {
            End::Sums => None,
            End::Shift { .. } => {
                let (name, bytes) = (format!("riscv32e::shift<{constant_time}>"), if constant_time { 56 } else { 36 });
                Some(Function { name, bytes })
            }
            End::Scale { .. } => {
                let name = format!("riscv32e::scale<{}, {constant_time}>", self.relu());
                Some(Function { name, bytes: 112 })
            }
        };
        [accumulate].into_iter().chain(end).collect()
    }
}

/// Instructions that the compiler makes for a block of outputs, beyond those for a call.
const CALL: usize = 12;

/// How results are made of sums, and what is added to the sums for it; none where that is not bit for bit what the
/// portable kernel makes.
fn end(layer: &kernels::Gemm) -> Option<(End, i64)> {
    let kernels::Gemm { multiplier, limits, .. } = layer;
    if let Some(shift @ 0..32) = layer.common_shift() {
        let more = (i64::from(limits.zero_point) << shift) + ((1 << shift) >> 1);
        return Some((End::Shift { shift, min: limits.min, max: limits.max }, more));
    }
    let top = top(multiplier);
    let takes = super::gemm::fits(layer)
        && layer.shift == 0
        && (limits.min, limits.max) == (-128, 127)
        && multiplier.iter().all(|&m| bits(m as u32, top) <= 30);
    let scale = || {
        let product = |&m: &i32| 3.5 * f64::from(bits(m as u32, top)) + f64::from(m.count_ones());
        let product = multiplier.iter().map(product).sum::<f64>() / multiplier.len() as f64;
        let multiplier = multiplier.iter().map(|&m| reversed(m as u32, top)).collect();
        (End::Scale { multiplier, shift: 30 - top, rounding: 2 * limits.zero_point + 1, product }, 0)
    };
    takes.then(scale)
}

impl Kernel for GemmPacked {
    fn op(&self) -> &'static str {
        if matches!(self.end, End::Sums) { "GemmPackedSums" } else { "GemmPacked" }
    }

    fn module(&self) -> &'static str {
        "arch::riscv32e"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I8(x) = x[0] else { unreachable!("the layer takes int8") };
        let (constants, skip) = ((self.format, &self.weight[..], &self.bias[..]), (self.code.skip, self.x_zero_point));
        let (format, weight, bias) = constants;
        let (none, (shift, rounding, min, max)) = match &self.end {
            End::Sums => (&[][..], (0, 0, 0, 0)),
            End::Shift { shift, min, max } => (&[][..], (*shift, 0, *min, *max)),
            End::Scale { multiplier, shift, rounding, .. } => (&multiplier[..], (*shift, *rounding, -128, 127)),
        };
        for (row, x) in x.chunks_exact(self.inputs).enumerate() {
            let at = row * self.outputs..(row + 1) * self.outputs;
            match y {
                Buffer::I32(y) => dynamic::gemm_packed_sums(constants, skip, x, &mut y[at]),
                Buffer::I8(y) => {
                    let constants = (format, weight, bias, none);
                    dynamic::gemm_packed(constants, skip, (shift, rounding, min, max), x, &mut y[at]);
                }
                _ => unreachable!("the layer gives int8 or sums"),
            }
        }
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let rows = packed_rows(self.format, self.inputs);
        let per = if self.format == TERNARY { 2 } else { 1 };
        let instructions = Instructions {
            mean: self.instructions(seen.groups(self.inputs, per), Case::mean(seen, self.inputs)),
            max: 1.05 * self.instructions(rows as f64, Case::worst(self.inputs)),
        };
        let sums = match self.end {
            End::Sums => self.outputs % 2 * (self.outputs + 1),
            _ => self.code.block,
        };
        Some(Cost {
            instructions: instructions.times(self.rows),
            code: self.functions(),
            // The shape, and single numbers.
            head: 28 + 20,
            inlined: 60,
            stack: 80 + 4 * sums,
            fixed: self.code.constant_time,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let (i, o, n) = (self.inputs, self.outputs, self.outputs.div_ceil(2));
        let (r, format) = (packed_rows(self.format, i), self.format);
        let PackedCode { block, unroll, skip, constant_time } = self.code;
        let weight = Field::Array {
            element: "u8",
            width: 1,
            extents: vec![r, n],
            values: self.weight.iter().map(|&w| w.into()).collect(),
        };
        let zero_point = ("x_zero_point", Field::Integer(self.x_zero_point.into()));
        let (bias, weight) = (("bias", Field::row("i32", 4, self.bias.clone())), ("weight", weight));
        let (multiplier, shift, rounding, min, max) = match &self.end {
            End::Sums => {
                let block = o % 2 * (o + 1);
                let ty = format!("GemmPackedSums<{i}, {o}, {r}, {n}, {block}, {format}, {unroll}, {skip}>");
                return Constant { ty, fields: Fields::Named(vec![zero_point, bias, weight]) };
            }
            &End::Shift { shift, min, max } => (Vec::new(), shift, 0, min, max),
            End::Scale { multiplier, shift, rounding, .. } => (multiplier.clone(), *shift, *rounding, -128, 127),
        };
        let (m, relu) = (multiplier.len(), self.relu());
        Constant {
            ty: format!(
                "GemmPacked<{i}, {o}, {r}, {n}, {m}, {block}, {format}, {unroll}, {skip}, {relu}, {constant_time}>"
            ),
            fields: Fields::Named(vec![
                zero_point,
                ("shift", Field::Integer(shift.into())),
                ("rounding", Field::Integer(rounding.into())),
                ("min", Field::Integer(min.into())),
                ("max", Field::Integer(max.into())),
                bias,
                weight,
                ("multiplier", Field::row("u32", 4, multiplier.iter().map(|&m| m as i32).collect())),
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
