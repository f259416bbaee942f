//! Cortex-M4, M7, M33: pairs of 16-bit activations, weights of two outputs in one lane.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::kernels::{Kernel, armv7em};
use crate::plan::layout::{Layout, Packing};
use crate::plan::{Type, Value};
use std::sync::Arc;

pub(super) struct Armv7em;

/// What `sxtb16` makes of int8.
const WIDENED: Packing = Packing { bits: 16, signed: true, offset: 0, multiple: 8, header: 0, interleaved: true };
/// What a layer leaves for the next: zero is the smallest.
const BETWEEN: Packing = Packing { bits: 16, signed: true, offset: 128, multiple: 8, header: 0, interleaved: false };

impl Architecture for Armv7em {
    fn takes(&self, layer: &Layer) -> bool {
        let Layer { gemm, x, y, .. } = layer;
        let (min, max) = (gemm.limits.min, gemm.limits.max);
        // Between layers inputs are 0..=255; that is the larger of the two ranges they can have.
        let offset = BETWEEN.offset;
        let fits = gemm.weight.chunks_exact(gemm.inputs).zip(&gemm.bias).all(|(row, &bias)| {
            let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
            let magnitude: i64 = row.iter().map(|&w| i64::from(w).abs()).sum();
            let folded = i64::from(bias) - sum * i64::from(offset);
            i64::from(bias).abs().max(folded.abs()) + magnitude * 255 < 1 << 23
        });
        x.quant.ty == Type::I8
            && y.quant.ty == Type::I8
            && (min, max) == Type::I8.limits()
            && gemm.shift == 0
            && gemm.multiplier.iter().all(|m| m % 256 == 0)
            && fits
    }

    fn entry(&self, x: &Value) -> (Layout, Option<Arc<dyn Kernel>>) {
        let elements = x.features();
        let rows = x.len() / elements.max(1);
        let kernel = armv7em::Widen { rows, elements, words: WIDENED.words(elements) };
        (Layout::Words(WIDENED), Some(Arc::new(kernel)))
    }

    fn between(&self) -> Layout {
        Layout::Words(BETWEEN)
    }

    fn layer(&self, layer: &Layer, x: Layout, y: Layout, target: Target) -> Arc<dyn Kernel> {
        let Layout::Words(packing) = x else { unreachable!("layers read packed values") };
        let unroll = match target.mode {
            Mode::Size => 1,
            Mode::Balanced => 2,
            Mode::Speed => 4,
        };
        Arc::new(armv7em::Gemm::new(layer.gemm, packing, y != Layout::Plain, unroll))
    }
}
