//! Softmax along another axis than the last.

use super::softmax::ty;
use super::{Buffer, Constant, Exponentials, Field, Fields, Kernel, Limits, Softmax, activation};
use std::sync::Arc;
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::SoftmaxColumns`].
#[derive(Clone, Debug)]
pub struct SoftmaxColumns {
    /// Matrices, their rows, their columns.
    pub extents: [usize; 3],
    /// Tables.
    pub exponentials: Exponentials,
    /// Steps in an output of 1.
    pub levels: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for SoftmaxColumns {
    fn op(&self) -> &'static str {
        "SoftmaxColumns"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let [_, rows, columns] = self.extents;
        let exponential = self.exponentials.borrow();
        activation!(x[0], x => activation!(y, y => {
            dynamic::softmax_columns(x, rows, columns, exponential, self.levels, self.limits.clamp(), y);
        }));
    }

    fn constant(&self) -> Constant {
        let mut fields = self.exponentials.fields();
        fields.push(("levels", Field::Integer(self.levels.into())));
        fields.push(("output", Field::Limits(self.limits)));
        Constant { ty: ty("SoftmaxColumns", &self.limits, &self.exponentials), fields: Fields::Named(fields) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![self.extents.to_vec(); 2]
    }

    fn of_columns(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        let SoftmaxColumns { extents: [1, row, columns], levels, limits, .. } = *self else { return None };
        (columns == count).then(|| {
            let exponentials = self.exponentials.clone();
            Arc::new(Softmax { rows: tile, row, exponentials, levels, limits }) as Arc<dyn Kernel>
        })
    }
}
