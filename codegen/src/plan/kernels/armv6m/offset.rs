//! From int8 activations to unsigned bytes with their sum.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
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

    fn cost(&self, _: &Seen) -> Option<Cost> {
        // Of an aligned operand: two words at a time, 64 times before the sums are added up; then bytes.
        let (eights, bytes) = (self.elements / 8, self.elements % 8);
        let blocks = 15 * eights.div_ceil(64) + eights.saturating_sub(1) / 64;
        let single = if bytes > 0 { 1 + 8 * bytes } else { 0 };
        let instructions = 8 + 2 + blocks + 18 * eights + 4 + 2 + single + 4;
        Some(Cost {
            instructions: Instructions::fixed(instructions).times(self.rows),
            code: vec![Function { name: "armv6m::offset".into(), bytes: 128 }],
            stack: 28,
            fixed: true,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        Constant { ty: "Offset".into(), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.elements], vec![self.rows, words(self.elements)]]
    }
}
