//! Layer normalization.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use std::sync::Arc;
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::LayerNormalization`].
#[derive(Clone, Debug)]
pub struct LayerNormalization {
    /// Rows.
    pub rows: usize,
    /// Beside the variance.
    pub epsilon: i64,
    /// By element of a row.
    pub multiplier: Vec<i32>,
    /// By element of a row.
    pub bias: Vec<i32>,
    /// Binary places of the biases.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for LayerNormalization {
    fn op(&self) -> &'static str {
        "LayerNormalization"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let constants = (self.epsilon.unsigned_abs(), &self.multiplier[..], &self.bias[..], self.shift);
        activation!(x[0], x => activation!(y, y => dynamic::layer_normalization(x, constants, self.limits.clamp(), y)));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("LayerNormalization<{}, {}>", self.limits.ty.name(), self.bias.len()),
            fields: Fields::Named(vec![
                ("epsilon", Field::Integer(self.epsilon)),
                ("multiplier", Field::row("i32", 4, self.multiplier.clone())),
                ("bias", Field::row("i32", 4, self.bias.clone())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.bias.len()]; 2]
    }

    fn of_rows(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        (self.rows == count).then(|| Arc::new(Self { rows: tile, ..self.clone() }) as Arc<dyn Kernel>)
    }
}
