//! A part of a plan that runs for a few rows or columns at a time.

use super::{Buffer, Constant, Fields, Kernel};
use crate::plan::simulate::Simulator;
use crate::plan::{Plan, Type};

/// What a tile is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Rows: elements of the last axis.
    Rows,
    /// Columns: elements of the first axis of a matrix.
    Columns,
}

/// See [`tinymlp::kernels::Rows`] and [`tinymlp::kernels::Columns`].
#[derive(Clone, Debug)]
pub struct Tiles {
    /// What runs for a tile, of which operands and result are rows, also where they are columns of the whole.
    pub body: Plan,
    /// What tiles are made of.
    pub along: Along,
    /// How many rows or columns there are.
    pub count: usize,
}

impl Tiles {
    /// Rows or columns of a tile.
    pub fn tile(&self) -> usize {
        self.body.values[self.body.outputs[0].value].shape[0]
    }

    /// How often the body runs.
    pub fn runs(&self) -> usize {
        self.count / self.tile()
    }

    /// The operands of tile `k`, rows as the body takes them.
    pub fn operands(&self, k: usize, x: &[&Buffer]) -> Vec<Buffer> {
        x.iter().map(|x| take(x, &self.elements(k, x.len()))).collect()
    }

    /// Where the elements of tile `k` lie in a value of `len` elements.
    fn elements(&self, k: usize, len: usize) -> Vec<usize> {
        let (features, first) = (len / self.count, k * self.tile());
        let of = |row: usize, i: usize| match self.along {
            Along::Rows => row * features + i,
            Along::Columns => i * self.count + row,
        };
        (first..first + self.tile()).flat_map(|row| (0..features).map(move |i| of(row, i))).collect()
    }
}

/// Some elements of a buffer.
fn take(x: &Buffer, places: &[usize]) -> Buffer {
    match x {
        Buffer::I8(x) => Buffer::I8(places.iter().map(|&k| x[k]).collect()),
        Buffer::I16(x) => Buffer::I16(places.iter().map(|&k| x[k]).collect()),
        _ => unreachable!("tiles are of activations"),
    }
}

impl Kernel for Tiles {
    fn op(&self) -> &'static str {
        match self.along {
            Along::Rows => "Rows",
            Along::Columns => "Columns",
        }
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let mut simulator = Simulator::new(&self.body);
        for k in 0..self.runs() {
            simulator.run(&self.operands(k, x));
            let places = self.elements(k, y.len());
            match (simulator.value(self.body.outputs[0].value), &mut *y) {
                (Buffer::I8(from), Buffer::I8(y)) => places.iter().zip(from).for_each(|(&k, &q)| y[k] = q),
                (Buffer::I16(from), Buffer::I16(y)) => places.iter().zip(from).for_each(|(&k, &q)| y[k] = q),
                _ => unreachable!("tiles are of activations"),
            }
        }
    }

    fn constant(&self) -> Constant {
        Constant { ty: self.op().into(), fields: Fields::Unit }
    }

    fn constant_bytes(&self) -> usize {
        self.body.constant_bytes()
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let values = self.body.inputs.iter().map(|input| input.value).chain([self.body.outputs[0].value]);
        let view = |value: usize| match (self.along, self.body.values[value].features()) {
            (Along::Rows, features) => vec![self.count, features],
            (Along::Columns, features) => vec![features, self.count],
        };
        values.map(view).collect()
    }

    fn tiles(&self) -> Option<&Tiles> {
        Some(self)
    }

    fn calls(&self) -> usize {
        self.runs()
    }

    fn macs(&self) -> u64 {
        self.body.macs() * self.runs() as u64
    }

    fn in_place(&self) -> bool {
        let views = self.views();
        views.first() == views.last()
    }

    fn scratch(&self) -> Option<(Type, usize)> {
        let words = self.body.arena_bytes / 4;
        (words > 0).then_some((Type::I32, words))
    }
}
