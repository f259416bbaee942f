//! From int8 activations to a list of those that are not -128.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{Buffer, Constant, Fields, Kernel};
use tinymlp::arch::armv6m::{dynamic, list_words};

/// See [`tinymlp::arch::armv6m::List`].
#[derive(Clone, Debug)]
pub struct List {
    /// Rows.
    pub rows: usize,
    /// Elements of a row, a multiple of eight.
    pub elements: usize,
}

impl List {
    /// Instructions of a row of which so many elements are listed. Counted from the assembly.
    fn instructions(&self, listed: f64) -> f64 {
        (7 + 4 * self.elements + 3 * self.elements / 8 + 7) as f64 + 2.0 * listed
    }
}

impl Kernel for List {
    fn op(&self) -> &'static str {
        "List"
    }

    fn module(&self) -> &'static str {
        "arch::armv6m"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::I8(x), Buffer::Words(y)) = (x[0], y) else { unreachable!("List takes int8 to words") };
        for (x, y) in x.chunks_exact(self.elements).zip(y.chunks_exact_mut(list_words(self.elements))) {
            dynamic::list(x, y);
        }
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let instructions = Instructions {
            mean: self.instructions(seen.listed(self.elements, 1)),
            max: self.instructions(self.elements as f64),
        };
        Some(Cost {
            instructions: instructions.times(self.rows),
            code: vec![Function { name: "armv6m::list".into(), bytes: 134 }],
            stack: 20,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        Constant { ty: "List".into(), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.elements], vec![self.rows, list_words(self.elements)]]
    }
}
