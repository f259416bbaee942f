//! Sum or difference of two tensors.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use std::sync::Arc;
use tinymlp::kernels::{self, dynamic};

/// See [`tinymlp::kernels::Add`].
#[derive(Clone, Debug)]
pub struct Add {
    /// Elements.
    pub len: usize,
    /// Of the operands.
    pub multiplier: [i32; 2],
    /// Zero points and rounding.
    pub offset: i32,
    /// Binary places.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for Add {
    fn op(&self) -> &'static str {
        "Add"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Add { multiplier, offset, shift, limits, .. } = *self;
        activation!(x[0], a => activation!(x[1], b => activation!(y, y => {
            dynamic::add(a, b, kernels::Add { multiplier, offset, shift, output: limits.clamp() }, y);
        })));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("Add<{}>", self.limits.ty.name()),
            fields: Fields::Named(vec![
                ("multiplier", Field::row("i32", 4, self.multiplier.to_vec())),
                ("offset", Field::Integer(self.offset.into())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.len]; 3]
    }

    fn of_rows(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        let len = self.len.is_multiple_of(count).then(|| self.len / count * tile)?;
        Some(Arc::new(Self { len, ..self.clone() }))
    }

    fn of_columns(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        self.of_rows(count, tile)
    }
}
