//! From int8 activations to unsigned bytes with their sum.

use crate::plan::kernels::{Buffer, Constant, Fields, Kernel};
use tinymlp::arch::armv6m::{dynamic, words};

/// See [`tinymlp::arch::armv6m::Offset`].
#[derive(Clone, Debug)]
pub struct Offset {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub elements: usize,
}

impl Kernel for Offset {
    fn op(&self) -> &'static str {
        "Offset"
    }

    fn module(&self) -> &'static str {
        "arch::armv6m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::I8(x), Buffer::Words(y)) = (x[0], y) else { unreachable!("Offset takes int8 to words") };
        for (x, y) in x.chunks_exact(self.elements).zip(y.chunks_exact_mut(words(self.elements))) {
            dynamic::offset(x, y);
        }
    }

    fn constant(&self) -> Constant {
        Constant { ty: "Offset".into(), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.elements], vec![self.rows, words(self.elements)]]
    }
}
