//! Fully connected layer over a list of the activations that are not zero.

use super::gemm::{Lanes, Sizes};
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
}

impl GemmNonzero {
    /// Instructions for so many pairs of inputs that are not zero, of so many, and groups of eight outputs; the list's
    /// making included.
    pub fn instructions(nonzero: f64, pairs: f64, groups: f64, plain: bool, fill: usize) -> f64 {
        let filled = nonzero + (fill as f64 - 1.0) / 2.0;
        let list = if plain { 3.0 * pairs + 3.0 * nonzero } else { 5.0 * pairs + nonzero };
        list + 25.0 + groups * (filled * (16.0 + 3.0 / fill as f64) + 36.0)
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
        Self { sizes: Sizes::of(from), zero_point, stream, pairs, fill }
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

    fn macs(&self) -> u64 {
        (self.sizes.rows * self.sizes.inputs * self.sizes.outputs) as u64
    }
}
