//! Product of two tensors.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use std::sync::Arc;
use tinymlp::kernels::{self, dynamic};

/// See [`tinymlp::kernels::Mul`].
#[derive(Clone, Debug)]
pub struct Mul {
    /// Elements.
    pub len: usize,
    /// Of the operands.
    pub zero_point: [i32; 2],
    /// Factor.
    pub multiplier: i32,
    /// See [`tinymlp::requantize`].
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for Mul {
    fn op(&self) -> &'static str {
        "Mul"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Mul { zero_point, multiplier, shift, limits, .. } = *self;
        activation!(x[0], a => activation!(x[1], b => activation!(y, y => {
            dynamic::mul(a, b, kernels::Mul { zero_point, multiplier, shift, output: limits.clamp() }, y);
        })));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("Mul<{}>", self.limits.ty.name()),
            fields: Fields::Named(vec![
                ("zero_point", Field::row("i32", 4, self.zero_point.to_vec())),
                ("multiplier", Field::Integer(self.multiplier.into())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.len]; 3]
    }

    fn macs(&self) -> u64 {
        self.len as u64
    }

    fn of_rows(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        let len = self.len.is_multiple_of(count).then(|| self.len / count * tile)?;
        Some(Arc::new(Self { len, ..self.clone() }))
    }

    fn of_columns(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        self.of_rows(count, tile)
    }
}
