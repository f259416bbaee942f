//! Fully connected layer of which some bits of the summands are left out.

use super::{Buffer, Constant, Dense, Field, Fields, Gemm, Kernel};
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::GemmMasked`] and [`tinymlp::kernels::GemmMaskedSums`].
#[derive(Clone, Debug)]
pub struct GemmMasked {
    /// The layer, whose biases do not contain the operand's zero point, which is -128.
    pub layer: Gemm,
    /// `outputs x inputs`: the bits of the operand that count.
    pub masks: Vec<u8>,
    /// Whether the sums are the result; then the layer has no multipliers.
    pub sums: bool,
}

impl Kernel for GemmMasked {
    fn op(&self) -> &'static str {
        if self.sums { "GemmMaskedSums" } else { "GemmMasked" }
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I8(x) = x[0] else { unreachable!("masked operands are int8") };
        let Gemm { inputs, weight, bias, multiplier, shift, limits, .. } = &self.layer;
        let constants = (&weight[..], &self.masks[..], &bias[..]);
        match y {
            Buffer::I32(y) => dynamic::gemm_masked_sums(x, *inputs, constants, y),
            Buffer::I8(y) => {
                dynamic::gemm_masked(x, *inputs, constants, (&multiplier[..], *shift), limits.clamp(), y);
            }
            _ => unreachable!("masked results are int8 or sums"),
        }
    }

    fn constant(&self) -> Constant {
        let Gemm { inputs, outputs, bias, multiplier, shift, limits, .. } = &self.layer;
        let mask = Field::Array {
            element: "u8",
            width: 1,
            extents: vec![*outputs, *inputs],
            values: self.masks.iter().map(|&m| m.into()).collect(),
        };
        let mut fields =
            vec![("weight", self.layer.weights()), ("mask", mask), ("bias", Field::row("i32", 4, bias.clone()))];
        if !self.sums {
            fields.extend([
                ("multiplier", Field::row("i32", 4, multiplier.clone())),
                ("shift", Field::Integer((*shift).into())),
                ("output", Field::Limits(*limits)),
            ]);
        }
        Constant { ty: format!("{}<{inputs}, {outputs}>", self.op()), fields: Fields::Named(fields) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        self.layer.views()
    }

    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense { layer: &self.layer, masks: Some(&self.masks), sums: self.sums })
    }

    fn macs(&self) -> u64 {
        self.layer.macs()
    }
}
