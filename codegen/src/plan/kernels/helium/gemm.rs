//! Fully connected layer over vectors of int8.

use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel, Limits};
use tinymlp::arch::helium::{CHUNK, dynamic, last};

/// See [`tinymlp::arch::helium::Gemm`].
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    shift: u32,
    limits: Limits,
    stream: Vec<u32>,
}

impl Gemm {
    /// Instructions of one row. They are what an emulator counts, not cycles: a vector instruction of a Cortex-M55
    /// takes two, of which it shares one with its neighbour where a load stands beside a multiplication.
    pub fn instructions(inputs: usize, outputs: usize, shift: u32) -> u64 {
        let (fours, last, vectors) = (outputs / 4, outputs % 4, inputs.div_ceil(CHUNK));
        let scaled = usize::from(shift > 0);
        let four = 13 + scaled + 10 * vectors;
        let rest = match last {
            0 => 0,
            _ => 13 + scaled + last + usize::from(last > 1) + (2 + 2 * last) * vectors,
        };
        (8 + fours * four + rest) as u64
    }

    /// The layer `from`, which has inputs.
    pub fn new(from: &kernels::Gemm) -> Self {
        let &kernels::Gemm { rows, inputs, outputs, shift, limits, .. } = from;
        let mut stream = Vec::new();
        for first in (0..outputs).step_by(4) {
            let group = first..(first + 4).min(outputs);
            stream.extend(from.bias[group.clone()].iter().map(|&b| b as u32));
            for k in (0..inputs).step_by(CHUNK) {
                for o in group.clone() {
                    let weight = |k: usize| if k < inputs { from.weight[o * inputs + k] as u8 } else { 0 };
                    let words = (k..k + CHUNK).step_by(4);
                    stream.extend(words.map(|k| u32::from_le_bytes([k, k + 1, k + 2, k + 3].map(weight))));
                }
            }
            stream.extend(from.multiplier[group].iter().map(|&m| m as u32));
        }
        Self { rows, inputs, outputs, shift, limits, stream }
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        "Gemm"
    }

    fn module(&self) -> &'static str {
        "arch::helium"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::I8(x), Buffer::I8(y)) = (x[0], y) else { unreachable!("the layer takes int8 to int8") };
        for (x, y) in x.chunks_exact(self.inputs).zip(y.chunks_exact_mut(self.outputs)) {
            dynamic::gemm(&self.stream, x, self.shift, self.limits.clamp(), y);
        }
    }

    fn constant(&self) -> Constant {
        let Self { inputs, outputs, shift, .. } = *self;
        let (n, last) = (self.stream.len(), last(outputs));
        Constant {
            ty: format!("Gemm<{inputs}, {outputs}, {n}, {last}, {shift}>"),
            fields: Fields::New(vec![
                ("output", Field::Limits(self.limits)),
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
