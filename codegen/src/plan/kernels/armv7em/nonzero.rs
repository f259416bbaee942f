//! Lists of the activations that are not zero.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{Buffer, Constant, Fields, Kernel};
use crate::plan::layout::Packing;
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
    /// How all pairs would lie.
    pub packing: Packing,
}

/// Pairs of a row, packed so, that are not both zero.
pub(crate) fn nonzero_pairs(packing: Packing, row: &[bool]) -> usize {
    let mut pairs = vec![false; packing.words(row.len())];
    row.iter().enumerate().for_each(|(k, &set)| pairs[packing.position(k) / 2] |= set);
    pairs.iter().filter(|&&set| set).count()
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

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let all = self.packing.words(self.inputs);
        let fill = |pairs: usize| match pairs {
            0 => 5 * self.fill,
            _ => 2 + 5 * (pairs.next_multiple_of(self.fill) - pairs),
        };
        let row = |row: &[bool]| {
            let pairs = super::nonzero_pairs(self.packing, row);
            let list = match self.bytes {
                false => 4 + 5 * all + pairs,
                true => {
                    // The second pair of four elements takes one more, and four zeros skip both.
                    let fours = row.chunks(4).filter(|four| four.contains(&true)).count();
                    let second = row.chunks(4).filter(|four| four[1] || four[3]).count();
                    5 + 6 * row.len() / 4 + 4 * fours + pairs + second
                }
            };
            list + fill(pairs) + 6
        };
        let full = row(&vec![true; self.inputs]);
        // The fewest pairs that need as long a list are a little dearer.
        let max = (full + 5 * (self.fill - 1)) as f64;
        let instructions = Instructions { mean: seen.mean(full, row), max };
        let name = format!("armv7em::{}<{}>", self.op(), self.fill);
        let (bytes, stack) = if self.bytes { (82, 16) } else { (54, 8) };
        Some(Cost {
            instructions: instructions.times(self.rows),
            code: vec![Function { name, bytes }],
            stack,
            fixed: false,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        Constant { ty: format!("{}::<{}>", self.op(), self.fill), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let x = if self.bytes { self.inputs } else { words(self.inputs) };
        vec![vec![self.rows, x], vec![self.rows, list_words(self.inputs, self.fill)]]
    }
}
