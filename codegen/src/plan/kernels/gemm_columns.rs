//! Fully connected layer along another axis than the last.

use super::{Buffer, Constant, Field, Fields, Gemm, Kernel, Limits, activation};
use std::sync::Arc;
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::GemmColumns`].
#[derive(Clone, Debug)]
pub struct GemmColumns {
    /// Matrices, their rows, their columns.
    pub extents: [usize; 3],
    /// `outputs x inputs`.
    pub weight: Vec<i8>,
    /// By output.
    pub bias: Vec<i32>,
    /// By output.
    pub multiplier: Vec<i32>,
    /// Of all outputs.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for GemmColumns {
    fn op(&self) -> &'static str {
        "GemmColumns"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let [_, inputs, columns] = self.extents;
        let constants = (&self.weight[..], &self.bias[..], &self.multiplier[..], self.shift);
        activation!(x[0], x => activation!(y, y => {
            dynamic::gemm_columns(x, inputs, columns, constants, self.limits.clamp(), y);
        }));
    }

    fn constant(&self) -> Constant {
        let [_, inputs, _] = self.extents;
        let weight = Field::Array {
            element: "i8",
            width: 1,
            extents: vec![self.bias.len(), inputs],
            values: self.weight.iter().map(|&w| w.into()).collect(),
        };
        Constant {
            ty: format!("GemmColumns<{}, {inputs}, {}>", self.limits.ty.name(), self.bias.len()),
            fields: Fields::Named(vec![
                ("weight", weight),
                ("bias", Field::row("i32", 4, self.bias.clone())),
                ("multiplier", Field::row("i32", 4, self.multiplier.clone())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let [matrices, inputs, columns] = self.extents;
        vec![vec![matrices, inputs, columns], vec![matrices, self.bias.len(), columns]]
    }

    fn macs(&self) -> u64 {
        (self.extents.iter().product::<usize>() * self.bias.len()) as u64
    }

    fn of_columns(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        let GemmColumns { extents: [1, inputs, columns], shift, limits, .. } = *self else { return None };
        (columns == count).then(|| {
            let (weight, bias, multiplier) = (self.weight.clone(), self.bias.clone(), self.multiplier.clone());
            let outputs = bias.len();
            Arc::new(Gemm { rows: tile, inputs, outputs, weight, bias, multiplier, shift, limits }) as Arc<dyn Kernel>
        })
    }
}
