//! A factor and an offset per channel; changes of scale or type.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::Affine`].
#[derive(Clone, Debug)]
pub struct Affine {
    /// Periods.
    pub rows: usize,
    /// By channel.
    pub multiplier: Vec<i32>,
    /// By channel.
    pub offset: Vec<i32>,
    /// Binary places.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for Affine {
    fn op(&self) -> &'static str {
        "Affine"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Affine { multiplier, offset, shift, limits, .. } = self;
        activation!(x[0], x => activation!(y, y => dynamic::affine(x, multiplier, offset, *shift, limits.clamp(), y)));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("Affine<{}, {}>", self.limits.ty.name(), self.multiplier.len()),
            fields: Fields::Named(vec![
                ("multiplier", Field::row("i32", 4, self.multiplier.clone())),
                ("offset", Field::row("i32", 4, self.offset.clone())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.multiplier.len()]; 2]
    }

    fn macs(&self) -> u64 {
        (self.rows * self.multiplier.len()) as u64
    }
}
