//! Fully connected layer over pairs of 16-bit activations.

use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use crate::plan::layout::Packing;
use tinymlp::arch::armv7em::{dynamic, fours, pair, words};

/// See [`tinymlp::arch::armv7em::Gemm`] and `GemmPairs`.
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// Added to every result.
    zero_point: i32,
    stream: Vec<u32>,
    /// Results in pairs for the next layer.
    pairs: bool,
    unroll: usize,
    /// Code for this layer's length alone.
    own: bool,
}

impl Gemm {
    /// The layer `from` on an operand packed as `x`.
    pub fn new(from: &kernels::Gemm, x: Packing, pairs: bool, unroll: usize, own: bool) -> Self {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, .. } = *from;
        let (inputs, outputs) = (inputs.max(1), outputs);
        let width = words(inputs) * 2;
        // Rows of weights in the order of the operand's lanes, and biases for what these hold.
        let rows_of: Vec<Vec<i32>> = weight
            .chunks_exact(inputs)
            .map(|row| {
                let mut lanes = vec![0; width];
                row.iter().enumerate().for_each(|(k, &w)| lanes[x.position(k)] = w.into());
                lanes
            })
            .collect();
        let bias_of = |o: usize| bias[o].wrapping_sub(x.offset.wrapping_mul(rows_of[o].iter().sum()));
        let (zero_row, mut stream) = (vec![0; width], Vec::new());
        let row = |o: usize| rows_of.get(o).unwrap_or(&zero_row);
        let per_output = |o: usize, f: &dyn Fn(usize) -> i32| if o < outputs { f(o) } else { 0 };
        let groups =
            (0..fours(outputs)).map(|g| (4 * g, 4)).chain((pair(outputs) > 0).then_some((4 * fours(outputs), 2)));
        for (first, size) in groups {
            for a in (first..first + size).step_by(2) {
                let [one, other] = [a, a + 1].map(|o| per_output(o, &bias_of));
                stream.extend([one as u32, one.wrapping_add(other.wrapping_mul(256)) as u32]);
            }
            for k in (0..width).step_by(2) {
                for a in (first..first + size).step_by(2) {
                    let lane = |k: usize| (row(a)[k] + 256 * row(a + 1)[k]) as u32 & 0xffff;
                    stream.push(lane(k) | lane(k + 1) << 16);
                }
            }
            for a in (first..first + size).step_by(2) {
                let [one, other] = [a, a + 1].map(|o| per_output(o, &|o| multiplier[o]));
                stream.extend([one as u32, (other / 256) as u32]);
            }
        }
        let zero_point = from.limits.zero_point + if pairs { 128 } else { 0 };
        Self { rows, inputs, outputs, zero_point, stream, pairs, unroll, own }
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        if self.pairs { "GemmPairs" } else { "Gemm" }
    }

    fn module(&self) -> &'static str {
        "arch::armv7em"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::Words(x) = x[0] else { unreachable!("the layer takes words") };
        for (r, x) in x.chunks_exact(words(self.inputs)).enumerate() {
            match y {
                Buffer::Words(y) => {
                    let width = words(self.outputs);
                    let y = &mut y[r * width..(r + 1) * width];
                    dynamic::gemm_pairs(&self.stream, x, self.outputs, self.zero_point, y);
                }
                Buffer::I8(y) => {
                    let y = &mut y[r * self.outputs..(r + 1) * self.outputs];
                    dynamic::gemm(&self.stream, x, self.zero_point, y);
                }
                _ => unreachable!("the layer gives words or int8"),
            }
        }
    }

    fn constant(&self) -> Constant {
        let (x, o, n, unroll) = (words(self.inputs), self.outputs, self.stream.len(), self.unroll);
        Constant {
            ty: format!("{}<{x}, {o}, {n}, {unroll}, {}>", self.op(), if self.own { x } else { 0 }),
            fields: Fields::New(vec![
                ("zero_point", Field::Integer(self.zero_point.into())),
                ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let y = if self.pairs { words(self.outputs) } else { self.outputs };
        vec![vec![self.rows, words(self.inputs)], vec![self.rows, y]]
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
