//! One operand of a concatenation.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::Concat`].
#[derive(Clone, Debug)]
pub struct Concat {
    /// Rows of the output.
    pub rows: usize,
    /// Elements of the operand in a row.
    pub block: usize,
    /// Elements of the output in a row.
    pub width: usize,
    /// Where the operand begins in a row.
    pub at: usize,
    /// Factor.
    pub multiplier: i32,
    /// Zero points and rounding.
    pub offset: i32,
    /// Binary places.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for Concat {
    fn op(&self) -> &'static str {
        "Concat"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Concat { block, width, at, multiplier, offset, shift, limits, .. } = *self;
        activation!(x[0], x => activation!(y, y => {
            dynamic::concat(x, block, [multiplier, offset], shift, limits.clamp(), at, width, y);
        }));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("Concat<{}, {}>", self.limits.ty.name(), self.at),
            fields: Fields::Named(vec![
                ("multiplier", Field::Integer(self.multiplier.into())),
                ("offset", Field::Integer(self.offset.into())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.block], vec![self.rows, self.width]]
    }
}
