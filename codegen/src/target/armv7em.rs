//! Cortex-M4, M7, M33: pairs of 16-bit activations, weights of two outputs in one lane.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::Type;
use crate::plan::kernels::{Kernel, armv7em};
use crate::plan::layout::{Layout, Packing};
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

    fn between(&self) -> Layout {
        Layout::Words(BETWEEN)
    }

    fn sorts(&self) -> bool {
        true
    }

    fn operand(&self, layer: &Layer, target: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        let armv7em::Sizes { rows, inputs, .. } = armv7em::Sizes::of(layer.gemm);
        let plain = layer.x.layout == Layout::Plain;
        if skipping_pays(layer, target) {
            let (packing, fill) = (pairs(layer), unroll(target.mode));
            let kernel = armv7em::Nonzero { rows, inputs, bytes: plain, fill, packing };
            return (Layout::Nonzero { pairs: packing, fill }, Some(Arc::new(kernel)));
        }
        if !plain {
            return (layer.x.layout, None);
        }
        (Layout::Words(WIDENED), Some(Arc::new(widen(rows, inputs, target))))
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        match layer.x.layout {
            Layout::Nonzero { pairs, fill } => {
                Arc::new(armv7em::GemmNonzero::new(layer.gemm, pairs, layer.y.layout != Layout::Plain, fill))
            }
            Layout::Words(x) => Arc::new(every_pair(layer, x, target)),
            Layout::Plain => unreachable!("layers read packed values"),
        }
    }
}

/// How often inner loops stand in the code.
fn unroll(mode: Mode) -> usize {
    match mode {
        Mode::Size => 1,
        Mode::Balanced => 2,
        Mode::Speed => 4,
    }
}

/// What brings int8 activations into pairs.
fn widen(rows: usize, inputs: usize, target: Target) -> armv7em::Widen {
    // Straight code where it is not much more than a loop.
    let own = target.mode == Mode::Speed && (4..=64).contains(&inputs);
    armv7em::Widen { rows, elements: inputs, words: WIDENED.words(inputs), own }
}

/// The kernel that multiplies every pair, for an operand packed as `x`.
fn every_pair(layer: &Layer, x: Packing, target: Target) -> armv7em::Gemm {
    // Immediate operands reach that far.
    let own = target.mode == Mode::Speed && x.words(layer.gemm.inputs) < 1024;
    armv7em::Gemm::new(layer.gemm, x, layer.y.layout != Layout::Plain, unroll(target.mode), own)
}

/// The pairs that a list for the layer is made of: bytes are paired as `uxtb16` takes them.
fn pairs(layer: &Layer) -> Packing {
    let plain = layer.x.layout == Layout::Plain;
    Packing { signed: false, offset: 128, ..if plain { WIDENED } else { BETWEEN } }
}

/// Whether a list of the pairs that are not zero saves instructions, by the calibration data.
fn skipping_pays(layer: &Layer, target: Target) -> bool {
    let armv7em::Sizes { rows, inputs, outputs } = armv7em::Sizes::of(layer.gemm);
    let zero_is_smallest = layer.x.quant.zero_point == Type::I8.limits().0;
    let plain = layer.x.layout == Layout::Plain;
    if target.constant_time || !zero_is_smallest || outputs % 8 != 0 || plain && inputs % 4 != 0 {
        return false;
    }
    let (packing, fill) = (pairs(layer), unroll(target.mode));
    let mean = |kernel: &dyn Kernel| kernel.cost(&layer.seen).map_or(0.0, |cost| cost.instructions.mean);
    let list = armv7em::Nonzero { rows, inputs, bytes: plain, fill, packing };
    let of_list = armv7em::GemmNonzero::new(layer.gemm, packing, layer.y.layout != Layout::Plain, fill);
    let (conversion, every) = match plain {
        true => (mean(&widen(rows, inputs, target)), every_pair(layer, WIDENED, target)),
        false => (0.0, every_pair(layer, BETWEEN, target)),
    };
    mean(&list) + mean(&of_list) < conversion + mean(&every)
}
