//! Fully connected layer over a list of the activations that are not zero.

use super::gemm::{Lanes, Sizes};
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use crate::plan::layout::Packing;
use tinymlp::arch::armv7em::{dynamic, list_words, words};

/// See [`tinymlp::arch::armv7em::GemmNonzero`] and `GemmNonzeroPairs`.
#[derive(Clone, Debug)]
pub struct GemmNonzero {
    sizes: Sizes,
    zero_point: i32,
    stream: Vec<u32>,
    /// Results in pairs for the next layer.
    pairs: bool,
    fill: usize,
    /// What all pairs would be.
    packing: Packing,
}

impl GemmNonzero {
    /// Instructions of a row whose list has so many pairs.
    fn instructions(&self, pairs: f64) -> f64 {
        let fill = self.fill as f64;
        let store = if self.pairs { 13.0 } else { 16.0 };
        8.0 + (self.sizes.outputs / 8) as f64 * (2.0 + pairs * (16.0 + 3.0 / fill) + 18.0 + store + 3.0)
    }

    /// The layer `from` for a list of pairs of such a packing.
    pub fn new(from: &kernels::Gemm, x: Packing, pairs: bool, fill: usize) -> Self {
        let lanes = Lanes::new(from, x);
        let mut stream = Vec::new();
        for first in (0..from.outputs).step_by(8) {
            let twos = || (first..first + 8).step_by(2);
            stream.extend(twos().flat_map(|a| lanes.bias(a)));
            for k in (0..lanes.width).step_by(2) {
                stream.extend(twos().map(|a| lanes.word(a, k)));
            }
            stream.extend(twos().flat_map(|a| lanes.multiplier(a)));
        }
        let zero_point = from.limits.zero_point + if pairs { 128 } else { 0 };
        Self { sizes: Sizes::of(from), zero_point, stream, pairs, fill, packing: x }
    }
}

impl Kernel for GemmNonzero {
    fn op(&self) -> &'static str {
        if self.pairs { "GemmNonzeroPairs" } else { "GemmNonzero" }
    }

    fn module(&self) -> &'static str {
        "arch::armv7em"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::Words(x) = x[0] else { unreachable!("the layer takes a list") };
        let Sizes { inputs, outputs, .. } = self.sizes;
        let (stream, zero_point) = (&self.stream, self.zero_point);
        let x = x.chunks_exact(list_words(inputs, self.fill));
        match y {
            Buffer::Words(y) => {
                let rows = x.zip(y.chunks_exact_mut(words(outputs)));
                rows.for_each(|(x, y)| dynamic::gemm_nonzero_pairs(stream, x, words(inputs), zero_point, y));
            }
            Buffer::I8(y) => {
                let rows = x.zip(y.chunks_exact_mut(outputs));
                rows.for_each(|(x, y)| dynamic::gemm_nonzero(stream, x, words(inputs), zero_point, y));
            }
            _ => unreachable!("the layer gives words or int8"),
        }
    }

    fn constant(&self) -> Constant {
        let (x, o, n, fill) = (words(self.sizes.inputs), self.sizes.outputs, self.stream.len(), self.fill);
        Constant {
            ty: format!("{}<{x}, {o}, {n}, {fill}>", self.op()),
            fields: Fields::New(vec![
                ("zero_point", Field::Integer(self.zero_point.into())),
                ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let Sizes { rows, inputs, outputs } = self.sizes;
        let y = if self.pairs { words(outputs) } else { outputs };
        vec![vec![rows, list_words(inputs, self.fill)], vec![rows, y]]
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let all = words(self.sizes.inputs);
        let filled = |pairs: usize| pairs.max(1).next_multiple_of(self.fill);
        let mean = seen.mean(filled(all), |row| filled(super::nonzero_pairs(self.packing, row)));
        let (mean, max) = (self.instructions(mean), self.instructions(filled(all) as f64));
        let name = format!("armv7em::{}<{}>", self.op(), self.fill);
        let bytes = 168 + if self.pairs { 0 } else { 12 } + 62 * self.fill + if self.fill > 2 { 2 } else { 0 };
        Some(Cost {
            instructions: Instructions { mean, max }.times(self.sizes.rows),
            code: vec![Function { name, bytes }],
            stack: 60,
            head: 12,
            fixed: false,
            ..Cost::default()
        })
    }

    fn macs(&self) -> u64 {
        (self.sizes.rows * self.sizes.inputs * self.sizes.outputs) as u64
    }
}
