//! Fully connected layer with groups of sums in registers.

use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::riscv32m::{dynamic, groups, stream_len};

/// See [`tinymlp::arch::riscv32m::Gemm`].
///
/// A layer with `I` inputs of which the share `z` is zero, in `g` groups of `G` outputs, takes for every row about
///
/// `g * (I * (3 G + 1 + 3 / U) + 9 G + 12) + 2 max(G - 5, 0) + 12` instructions, where it does not skip zeros, and
/// `g * (I * ((1 - z) (3 G + 3) + 2 z + 3 / U) + 9 G + 12) + 2 max(G - 5, 0) + 13`, where it does (`U` is `unroll`).
///
/// A result that RELU makes zero takes 3 of the 9 instructions of an output; in constant time an output takes 13.
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

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
