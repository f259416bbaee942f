//! Fully connected layer with weights of four or two bits.

use super::{Buffer, Constant, Dense, Field, Fields, Gemm, Kernel, activation};
use crate::quantize::format::Format;
use tinymlp::kernels::{INT4, POWER_OF_TWO, TERNARY, dynamic, packed_len, weight_bits, weight_code};

/// See [`tinymlp::kernels::GemmPacked`] and [`tinymlp::kernels::GemmPackedSums`].
#[derive(Clone, Debug)]
pub struct GemmPacked {
    layer: Gemm,
    sums: bool,
    format: u8,
    weight: Vec<u8>,
}

/// The runtime's format of four or two bits that holds all weights, if there is one.
pub fn packed_format(weights: &[i8]) -> Option<u8> {
    match Format::of(weights) {
        Format::Int8 => None,
        Format::Int4 => Some(INT4),
        Format::Ternary => Some(TERNARY),
        Format::PowerOfTwo | Format::PowerOfTwoNonzero => Some(POWER_OF_TWO),
    }
}

/// The bytes of weights in a format that holds them, the first in the lowest bits.
pub fn pack(format: u8, weights: impl IntoIterator<Item = i8>) -> Vec<u8> {
    let bits = weight_bits(format);
    let weights: Vec<i8> = weights.into_iter().collect();
    let byte = |weights: &[i8]| {
        weights.iter().enumerate().fold(0, |byte, (k, &w)| byte | weight_code(format, w) << (k * bits))
    };
    weights.chunks(8 / bits).map(byte).collect()
}

impl GemmPacked {
    /// A layer; none where it has masks, or weights that need eight bits.
    pub fn new(of: Dense) -> Option<Self> {
        let Dense { layer, masks: None, sums } = of else { return None };
        let format = packed_format(&layer.weight)?;
        let rows = layer.weight.chunks_exact(layer.inputs.max(1));
        let weight = rows.flat_map(|row| pack(format, row.iter().copied())).collect();
        Some(Self { layer: layer.clone(), sums, format, weight })
    }
}

impl Kernel for GemmPacked {
    fn op(&self) -> &'static str {
        if self.sums { "GemmPackedSums" } else { "GemmPacked" }
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Gemm { inputs, bias, multiplier, shift, limits, .. } = &self.layer;
        let weight = &self.weight[..];
        if let (true, Buffer::I32(y)) = (self.sums, &mut *y) {
            return activation!(x[0], x => match self.format {
                POWER_OF_TWO => dynamic::gemm_packed_sums::<POWER_OF_TWO, _>(x, *inputs, weight, bias, y),
                TERNARY => dynamic::gemm_packed_sums::<TERNARY, _>(x, *inputs, weight, bias, y),
                _ => dynamic::gemm_packed_sums::<INT4, _>(x, *inputs, weight, bias, y),
            });
        }
        let constants = (weight, &bias[..], &multiplier[..], *shift);
        activation!(x[0], x => activation!(y, y => match self.format {
            POWER_OF_TWO => dynamic::gemm_packed::<POWER_OF_TWO, _, _>(x, *inputs, constants, limits.clamp(), y),
            TERNARY => dynamic::gemm_packed::<TERNARY, _, _>(x, *inputs, constants, limits.clamp(), y),
            _ => dynamic::gemm_packed::<INT4, _, _>(x, *inputs, constants, limits.clamp(), y),
        }));
    }

    fn constant(&self) -> Constant {
        let Gemm { inputs, outputs, bias, multiplier, shift, limits, .. } = &self.layer;
        let (format, n) = (self.format, packed_len(self.format, *inputs));
        let weight = Field::Array {
            element: "u8",
            width: 1,
            extents: vec![*outputs, n],
            values: self.weight.iter().map(|&w| w.into()).collect(),
        };
        let mut fields = vec![("weight", weight), ("bias", Field::row("i32", 4, bias.clone()))];
        if self.sums {
            let ty = format!("GemmPackedSums<{format}, {inputs}, {outputs}, {n}>");
            return Constant { ty, fields: Fields::Named(fields) };
        }
        fields.push(("multiplier", Field::row("i32", 4, multiplier.clone())));
        fields.push(("shift", Field::Integer((*shift).into())));
        fields.push(("output", Field::Limits(*limits)));
        let ty = format!("GemmPacked<{}, {format}, {inputs}, {outputs}, {n}>", limits.ty.name());
        Constant { ty, fields: Fields::Named(fields) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        self.layer.views()
    }

    fn macs(&self) -> u64 {
        self.layer.macs()
    }
}
