//! Cortex-M0, M0+, M23, M3: unsigned bytes behind their sum.

use super::{Architecture, Layer, Target};
use crate::plan::kernels::{Kernel, armv6m};
use crate::plan::layout::{Layout, Packing};
use crate::plan::{Type, Value};
use std::sync::Arc;

pub(super) struct Armv6m;

/// Bytes from 0 behind their sum.
const BYTES: Packing = Packing { bits: 8, signed: false, offset: 128, multiple: 4, header: 1, interleaved: false };

/// Share of zeros from which a test of each input pays: three instructions for each against 25 for a group of eight.
const EACH: f64 = 0.15;
/// Share from which a test of four at once pays as well.
const WORDS: f64 = 0.65;

impl Architecture for Armv6m {
    fn takes(&self, layer: &Layer) -> bool {
        let Layer { gemm, x, y, .. } = layer;
        let (min, max) = (gemm.limits.min, gemm.limits.max);
        // The sums as they are formed: of weights plus 128, less 128 times the sum of the inputs.
        let fits = gemm.weight.chunks_exact(gemm.inputs).zip(&gemm.bias).all(|(row, &bias)| {
            let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
            let magnitude: i64 = row.iter().map(|&w| i64::from(w).abs()).sum();
            // The rounding is added to the scaled sum, which is smaller.
            let bias = (i64::from(bias) - sum * 128).abs();
            bias + 255 * (magnitude + 128 * row.len() as i64) < 1 << 31 && bias + 255 * magnitude < 1 << 30
        });
        x.quant.ty == Type::I8
            && y.quant.ty == Type::I8
            && (min, max) == Type::I8.limits()
            && gemm.shift == 0
            && armv6m::multiplier_shift(&gemm.multiplier).is_some()
            && fits
    }

    fn entry(&self, x: &Value) -> (Layout, Option<Arc<dyn Kernel>>) {
        let elements = x.features();
        let rows = x.len() / elements.max(1);
        (Layout::Words(BYTES), Some(Arc::new(armv6m::Offset { rows, elements })))
    }

    fn between(&self) -> Layout {
        Layout::Words(BYTES)
    }

    fn layer(&self, layer: &Layer, _: Layout, y: Layout, target: Target) -> Arc<dyn Kernel> {
        // A byte is 0 where the integer is the smallest.
        let smallest = |value: &Value| value.quant.zero_point == Type::I8.limits().0;
        let skip = match layer.zeros {
            _ if target.constant_time || !smallest(layer.x) => armv6m::Skip::None,
            zeros if zeros >= WORDS && layer.gemm.inputs.is_multiple_of(4) => armv6m::Skip::Words,
            zeros if zeros >= EACH => armv6m::Skip::Each,
            _ => armv6m::Skip::None,
        };
        let time = match target.constant_time {
            true => armv6m::Time::Constant,
            false if smallest(layer.y) => armv6m::Time::Relu,
            false => armv6m::Time::Branches,
        };
        Arc::new(armv6m::Gemm::new(layer.gemm, y != Layout::Plain, skip, time))
    }
}
