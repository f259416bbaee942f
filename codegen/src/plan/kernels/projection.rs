//! The first layer of a text model.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use crate::graph::eval::counted;
use crate::plan::cost::{Cost, Seen};
use tinymlp::text::projection;

/// See [`tinymlp::text::Projection`]. It is the encoder's: [`infer`](tinymlp::Model::infer) finds its rows in the scratch
/// memory.
#[derive(Clone, Debug)]
pub struct Projection {
    /// Words that have a row.
    pub positions: usize,
    /// Buckets of a word, one a hash function.
    pub hashes: usize,
    /// Counters of a word.
    pub buckets: usize,
    /// Words of a window.
    pub span: usize,
    /// `features x outputs`.
    pub weight: Vec<i8>,
    /// By output.
    pub bias: Vec<i32>,
    /// By output.
    pub multiplier: Vec<i32>,
    /// Of all outputs.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Projection {
    /// Computes a row from the features that are counted.
    fn row<Y: tinymlp::Element>(&self, features: &[usize], y: &mut [Y]) {
        let constants = (&self.weight[..], &self.bias[..], &self.multiplier[..], self.shift);
        projection(features.iter().copied(), constants, self.limits.clamp(), y);
    }

    /// The row of a window without words.
    fn empty(&self) -> Vec<i32> {
        let mut row = Buffer::new(self.limits.ty, self.bias.len());
        activation!(&mut row, y => self.row(&[], y));
        row.integers()
    }
}

impl Kernel for Projection {
    fn op(&self) -> &'static str {
        "Projection"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let words: Vec<usize> = x[0].integers().into_iter().map(|b| b as usize).collect();
        activation!(y, y => for (t, y) in y.chunks_exact_mut(self.bias.len()).enumerate() {
            self.row(&counted(&words, self.hashes, t, (self.buckets, self.span)), y);
        });
    }

    fn constant(&self) -> Constant {
        let (outputs, element) = (self.bias.len(), self.limits.ty);
        let weight = Field::Array {
            element: "i8",
            width: 1,
            extents: vec![self.buckets * self.span, outputs],
            values: self.weight.iter().map(|&w| w.into()).collect(),
        };
        Constant {
            ty: format!("Projection<{}, {}, {outputs}>", element.name(), self.buckets * self.span),
            fields: Fields::Named(vec![
                ("weight", weight),
                ("bias", Field::row("i32", 4, self.bias.clone())),
                ("multiplier", Field::row("i32", 4, self.multiplier.clone())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
                ("empty", Field::row(element.name(), element.bytes(), self.empty())),
            ]),
        }
    }

    fn empty_row(&self) -> Option<Vec<i32>> {
        Some(self.empty())
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.positions, self.hashes], vec![self.positions, self.bias.len()]]
    }

    fn module(&self) -> &'static str {
        "text"
    }

    /// Nothing: it is no part of an inference, and its time is the text's.
    fn cost(&self, _: &Seen) -> Option<Cost> {
        Some(Cost { estimated: true, ..Cost::default() })
    }

    fn calls(&self) -> usize {
        0
    }
}
