//! From int8 activations to pairs of 16-bit ones.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
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

    fn cost(&self, _: &Seen) -> Option<Cost> {
        let n = self.elements;
        let [odd, sixteens] = [n % 4, n % 16];
        let part = |present: bool, instructions: usize| if present { instructions } else { 0 };
        let (name, instructions, bytes, stack) = match self.own {
            true => {
                let whole = 2 + n / 8 * 7 + part(n % 8 >= 4, 4) + part(odd > 0, 5);
                let bytes = 4 + n / 8 * 26 + part(n % 8 >= 4, 14) + part(odd > 0, 18);
                (format!("armv7em::widen<{n}>"), whole, bytes, 16)
            }
            false => {
                // Sixteen, four, one at a time.
                let fours = sixteens / 4 * 7 + part(sixteens >= 4 && odd == 0, 1);
                let ones = [0, 2 + 4, 2 + 8, 2 + 10][odd];
                ("armv7em::widen".into(), 6 + n / 16 * 16 + fours + ones, 122, 24)
            }
        };
        let instructions = Instructions::fixed(instructions).times(self.rows);
        Some(Cost { instructions, code: vec![Function { name, bytes }], stack, fixed: true, ..Cost::default() })
    }

    fn constant(&self) -> Constant {
        let own = if self.own { self.elements } else { 0 };
        Constant { ty: format!("Widen::<{own}>"), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.elements], vec![self.rows, self.words]]
    }
}
