//! Leaky rectifier with a slope per channel.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::PRelu`].
#[derive(Clone, Debug)]
pub struct PRelu {
    /// Periods.
    pub rows: usize,
    /// Of the input.
    pub zero_point: i32,
    /// Factor of positive inputs.
    pub positive: i32,
    /// Factor of negative inputs by channel.
    pub negative: Vec<i32>,
    /// Zero point and rounding.
    pub offset: i32,
    /// Binary places.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for PRelu {
    fn op(&self) -> &'static str {
        "PRelu"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let scalars = [self.zero_point, self.positive, self.offset];
        let PRelu { negative, shift, limits, .. } = self;
        activation!(x[0], x => activation!(y, y => dynamic::p_relu(x, scalars, negative, *shift, limits.clamp(), y)));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("PRelu<{}, {}>", self.limits.ty.name(), self.negative.len()),
            fields: Fields::Named(vec![
                ("zero_point", Field::Integer(self.zero_point.into())),
                ("positive", Field::Integer(self.positive.into())),
                ("negative", Field::row("i32", 4, self.negative.clone())),
                ("offset", Field::Integer(self.offset.into())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.negative.len()]; 2]
    }
}
