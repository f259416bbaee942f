//! Functions of one number, from tables.

use super::{Buffer, Constant, Field, Fields, Kernel, activation};
use crate::plan::Type;
use std::sync::Arc;
use tinymlp::Element;
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::Lookup`].
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Elements.
    pub len: usize,
    /// Type of the output.
    pub ty: Type,
    /// 256 outputs, by the input's bits.
    pub table: Vec<i32>,
}

/// See [`tinymlp::kernels::Interpolate`].
#[derive(Clone, Debug)]
pub struct Interpolate {
    /// Elements.
    pub len: usize,
    /// Type of the output.
    pub ty: Type,
    /// 513 nodes.
    pub table: Vec<i32>,
}

/// A table as an array of its element type. It has exactly `N` entries: quantization made it.
fn table<Y: Element, const N: usize>(values: &[i32]) -> [Y; N] {
    std::array::from_fn(|k| Y::truncate(values[k]))
}

impl Kernel for Lookup {
    fn op(&self) -> &'static str {
        "Lookup"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I8(x) = x[0] else { unreachable!("quantization gives Lookup int8 inputs") };
        activation!(y, y => dynamic::lookup(x, &table(&self.table), y));
    }

    fn constant(&self) -> Constant {
        let table = Field::row(self.ty.name(), self.ty.bytes(), self.table.clone());
        Constant { ty: format!("Lookup<{}>", self.ty.name()), fields: Fields::Named(vec![("table", table)]) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.len]; 2]
    }

    fn in_place(&self) -> bool {
        self.ty == Type::I8
    }

    fn lookup(&self) -> Option<&Lookup> {
        Some(self)
    }

    fn of_rows(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        let len = self.len.is_multiple_of(count).then(|| self.len / count * tile)?;
        Some(Arc::new(Self { len, ..self.clone() }))
    }

    fn of_columns(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        self.of_rows(count, tile)
    }
}

impl Kernel for Interpolate {
    fn op(&self) -> &'static str {
        "Interpolate"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I16(x) = x[0] else { unreachable!("quantization gives Interpolate int16 inputs") };
        activation!(y, y => dynamic::interpolate(x, &table(&self.table), y));
    }

    fn constant(&self) -> Constant {
        let table = Field::row(self.ty.name(), self.ty.bytes(), self.table.clone());
        Constant { ty: format!("Interpolate<{}>", self.ty.name()), fields: Fields::Named(vec![("table", table)]) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.len]; 2]
    }

    fn of_rows(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        let len = self.len.is_multiple_of(count).then(|| self.len / count * tile)?;
        Some(Arc::new(Self { len, ..self.clone() }))
    }

    fn of_columns(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        self.of_rows(count, tile)
    }
}
