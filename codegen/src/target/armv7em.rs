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

/// What the second of two outputs in a lane may reach.
const LIMIT: i64 = 1 << 23;

impl Architecture for Armv7em {
    fn takes(&self, layer: &Layer) -> bool {
        let Layer { gemm, x, y, .. } = layer;
        let (min, max) = (gemm.limits.min, gemm.limits.max);
        // Only the sums themselves count: what leaves the registers on the way comes back.
        let fits = (0..gemm.outputs).all(|o| {
            let (low, high) = gemm.sums(o, Type::I8.limits());
            low >= -LIMIT && high < LIMIT
        });
        x.quant.ty == Type::I8
            && y.quant.ty == Type::I8
            && (min, max) == Type::I8.limits()
            && gemm.shift == 0
            && gemm.multiplier.iter().all(|m| m % 256 == 0)
            && fits
    }

    fn entry(&self, x: &Value, target: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        let elements = x.features();
        let rows = x.len() / elements.max(1);
        // Straight code where it is not much more than a loop.
        let own = target.mode == Mode::Speed && (4..=64).contains(&elements);
        let kernel = armv7em::Widen { rows, elements, words: WIDENED.words(elements), own };
        (Layout::Words(WIDENED), Some(Arc::new(kernel)))
    }

    fn between(&self) -> Layout {
        Layout::Words(BETWEEN)
    }

    fn layer(&self, layer: &Layer, x: Layout, y: Layout, target: Target) -> Arc<dyn Kernel> {
        let Layout::Words(packing) = x else { unreachable!("layers read packed values") };
        let (unroll, own) = match target.mode {
            Mode::Size => (1, false),
            Mode::Balanced => (2, false),
            // Immediate operands reach that far.
            Mode::Speed => (4, packing.words(layer.gemm.inputs) < 1024),
        };
        Arc::new(armv7em::Gemm::new(layer.gemm, packing, y != Layout::Plain, unroll, own))
    }
}
