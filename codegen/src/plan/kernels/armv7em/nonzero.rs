//! Lists of the activations that are not zero.

use crate::plan::kernels::{Buffer, Constant, Fields, Kernel};
use tinymlp::arch::armv7em::{dynamic, list_words, words};

/// See [`tinymlp::arch::armv7em::NonzeroBytes`] and `Nonzero`.
#[derive(Clone, Debug)]
pub struct Nonzero {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub inputs: usize,
    /// Of int8 activations; of pairs otherwise.
    pub bytes: bool,
    /// Number of pairs to a multiple of which the list is filled up.
    pub fill: usize,
}

impl Kernel for Nonzero {
    fn op(&self) -> &'static str {
        if self.bytes { "NonzeroBytes" } else { "Nonzero" }
    }

    fn module(&self) -> &'static str {
        "arch::armv7em"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::Words(y) = y else { unreachable!("lists are words") };
        let y = y.chunks_exact_mut(list_words(self.inputs, self.fill));
        match x[0] {
            Buffer::I8(x) => {
                x.chunks_exact(self.inputs).zip(y).for_each(|(x, y)| dynamic::nonzero_bytes(x, self.fill, y));
            }
            Buffer::Words(x) => {
                let rows = x.chunks_exact(words(self.inputs)).zip(y);
                rows.for_each(|(x, y)| dynamic::nonzero_pairs(x.iter().copied(), self.fill, y));
            }
            _ => unreachable!("lists are of int8 or of pairs"),
        }
    }

    fn constant(&self) -> Constant {
        Constant { ty: format!("{}::<{}>", self.op(), self.fill), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let x = if self.bytes { self.inputs } else { words(self.inputs) };
        vec![vec![self.rows, x], vec![self.rows, list_words(self.inputs, self.fill)]]
    }
}
