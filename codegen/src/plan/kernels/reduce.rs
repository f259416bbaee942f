//! Sum, mean and maximum over one axis.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use std::sync::Arc;
use tinymlp::kernels::{self, dynamic};

/// See [`tinymlp::kernels::ReduceSum`].
#[derive(Clone, Debug)]
pub struct ReduceSum {
    /// Outer, reduced and inner extent.
    pub extents: [usize; 3],
    /// Zero point of the inputs.
    pub offset: i32,
    /// Factor.
    pub multiplier: i32,
    /// See [`tinymlp::requantize`].
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

/// See [`tinymlp::kernels::ReduceMax`].
#[derive(Clone, Debug)]
pub struct ReduceMax {
    /// Outer, reduced and inner extent.
    pub extents: [usize; 3],
}

impl Kernel for ReduceSum {
    fn op(&self) -> &'static str {
        "ReduceSum"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let ReduceSum { extents: [_, axis, inner], offset, multiplier, shift, limits } = *self;
        activation!(x[0], x => activation!(y, y => {
            let layer = kernels::ReduceSum { offset, multiplier, shift, output: limits.clamp() };
            dynamic::reduce_sum(x, axis, inner, layer, y);
        }));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("ReduceSum<{}>", self.limits.ty.name()),
            fields: Fields::Named(vec![
                ("offset", Field::Integer(self.offset.into())),
                ("multiplier", Field::Integer(self.multiplier.into())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let [outer, axis, inner] = self.extents;
        vec![vec![outer, axis, inner], vec![outer, inner]]
    }

    fn of_columns(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        let [outer, axis, columns] = self.extents;
        (outer == 1 && columns == count)
            .then(|| Arc::new(Self { extents: [tile, axis, 1], ..self.clone() }) as Arc<dyn Kernel>)
    }
}

impl Kernel for ReduceMax {
    fn op(&self) -> &'static str {
        "ReduceMax"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let [_, axis, inner] = self.extents;
        match (x[0], y) {
            (Buffer::I8(x), Buffer::I8(y)) => dynamic::reduce_max(x, axis, inner, y),
            (Buffer::I16(x), Buffer::I16(y)) => dynamic::reduce_max(x, axis, inner, y),
            _ => unreachable!("quantization gives ReduceMax one type"),
        }
    }

    fn constant(&self) -> Constant {
        Constant { ty: "ReduceMax".into(), fields: Fields::Unit }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let [outer, axis, inner] = self.extents;
        vec![vec![outer, axis, inner], vec![outer, inner]]
    }
}
