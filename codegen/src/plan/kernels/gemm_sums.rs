//! Fully connected layer whose sums are the result.

use super::{Buffer, Constant, Dense, Field, Fields, Gemm, Kernel, activation};
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::GemmSums`].
#[derive(Clone, Debug)]
pub struct GemmSums {
    /// The layer; it has no multipliers.
    pub layer: Gemm,
}

impl Kernel for GemmSums {
    fn op(&self) -> &'static str {
        "GemmSums"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I32(y) = y else { unreachable!("sums are i32") };
        let Gemm { inputs, weight, bias, .. } = &self.layer;
        activation!(x[0], x => dynamic::gemm_sums(x, *inputs, weight, bias, y));
    }

    fn constant(&self) -> Constant {
        let Gemm { inputs, outputs, bias, .. } = &self.layer;
        Constant {
            ty: format!("GemmSums<{inputs}, {outputs}>"),
            fields: Fields::Named(vec![("weight", self.layer.weights()), ("bias", Field::row("i32", 4, bias.clone()))]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        self.layer.views()
    }

    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense { layer: &self.layer, masks: None, sums: true })
    }

    fn macs(&self) -> u64 {
        self.layer.macs()
    }
}
