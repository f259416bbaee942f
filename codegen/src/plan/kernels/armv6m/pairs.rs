//! From int8 activations of two rows to words that hold both.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{Buffer, Constant, Fields, Kernel};
use tinymlp::arch::armv6m::{ROUND, dynamic, pair_words};

/// See [`tinymlp::arch::armv6m::Pairs`].
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Rows, an even number.
    pub rows: usize,
    /// Elements of a row.
    pub elements: usize,
}

impl Kernel for Pairs {
    fn op(&self) -> &'static str {
        "Pairs"
    }

    fn module(&self) -> &'static str {
        "arch::armv6m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::I8(x), Buffer::Words(y)) = (x[0], y) else { unreachable!("Pairs takes int8 to words") };
        for (x, y) in x.chunks_exact(2 * self.elements).zip(y.chunks_exact_mut(pair_words(self.elements))) {
            let (first, second) = x.split_at(self.elements);
            dynamic::pairs(&[first, second], y);
        }
    }

    fn cost(&self, _: &Seen) -> Option<Cost> {
        let (twos, one) = (self.elements / 2, self.elements % 2);
        let zeros = (self.elements.next_multiple_of(ROUND) - self.elements) / 2;
        let instructions = 11 + 17 * twos + 3 + 8 * one + 4 + 3 * zeros + 3;
        Some(Cost {
            instructions: Instructions::fixed(instructions).times(self.rows / 2),
            code: vec![Function { name: "armv6m::pairs".into(), bytes: 98 }],
            stack: 24,
            fixed: true,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        Constant { ty: "Pairs".into(), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.elements], vec![self.rows / 2, pair_words(self.elements)]]
    }

    fn calls(&self) -> usize {
        self.rows / 2
    }
}
