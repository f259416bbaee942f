//! Quotient of two tensors.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use tinymlp::kernels::{self, dynamic};

/// See [`tinymlp::kernels::Div`].
#[derive(Clone, Debug)]
pub struct Div {
    /// Elements.
    pub len: usize,
    /// Of the operands.
    pub zero_point: [i32; 2],
    /// Factor.
    pub multiplier: i32,
    /// Zero point and rounding.
    pub offset: i32,
    /// Binary places.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for Div {
    fn op(&self) -> &'static str {
        "Div"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Div { zero_point, multiplier, offset, shift, limits, .. } = *self;
        activation!(x[0], a => activation!(x[1], b => activation!(y, y => {
            dynamic::div(a, b, kernels::Div { zero_point, multiplier, offset, shift, output: limits.clamp() }, y);
        })));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("Div<{}>", self.limits.ty.name()),
            fields: Fields::Named(vec![
                ("zero_point", Field::row("i32", 4, self.zero_point.to_vec())),
                ("multiplier", Field::Integer(self.multiplier.into())),
                ("offset", Field::Integer(self.offset.into())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.len]; 3]
    }
}
