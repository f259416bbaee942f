//! From int8 activations to pairs of 16-bit ones.

use crate::plan::kernels::{Buffer, Constant, Fields, Kernel};
use tinymlp::arch::armv7em::dynamic;

/// See [`tinymlp::arch::armv7em::Widen`].
#[derive(Clone, Debug)]
pub struct Widen {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub elements: usize,
    /// Words of a row of the result.
    pub words: usize,
    /// Code for this length alone.
    pub own: bool,
}

impl Kernel for Widen {
    fn op(&self) -> &'static str {
        "Widen"
    }

    fn module(&self) -> &'static str {
        "arch::armv7em"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::I8(x), Buffer::Words(y)) = (x[0], y) else { unreachable!("Widen takes int8 to words") };
        for (x, y) in x.chunks_exact(self.elements).zip(y.chunks_exact_mut(self.words)) {
            dynamic::widen(x, y);
        }
    }

    fn constant(&self) -> Constant {
        let own = if self.own { self.elements } else { 0 };
        Constant { ty: format!("Widen::<{own}>"), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.elements], vec![self.rows, self.words]]
    }
}
