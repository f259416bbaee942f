//! AVR with a multiplier: constants in program memory, sums of three or two bytes in registers.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::kernels::avr::{Gemm, GemmPacked, Lookup, Storage};
use crate::plan::kernels::{Dense, Kernel};
use crate::plan::layout::Layout;
use crate::plan::{Step, Type};
use std::sync::Arc;

pub(super) struct Avr;

impl Architecture for Avr {
    fn takes(&self, layer: &Layer) -> bool {
        layer.x.quant.ty == Type::I8 && (takes_bytes(layer) || !packed(layer, Target::default()).is_empty())
    }

    fn sums(&self) -> bool {
        true
    }

    fn operand(&self, _: &Layer, _: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        (Layout::Plain, None)
    }

    fn between(&self) -> Layout {
        Layout::Plain
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        let bytes = if takes_bytes(layer) { bytes(layer, target) } else { None };
        let packed = packed(layer, target);
        let mean = |kernel: &GemmPacked| kernel.mean(&layer.seen);
        let product = |kernel: &GemmPacked| mean(kernel) * kernel.flash() as f64;
        let (most, flash) = bytes.as_ref().map_or((f64::INFINITY, usize::MAX), |b| (b.mean(&layer.seen), b.flash()));
        let packed = match target.mode {
            Mode::Size => packed.into_iter().filter(|p| p.flash() < flash).min_by_key(GemmPacked::flash),
            // Flash is saved, and not for much time: for none, where only the code is smaller.
            Mode::Balanced => packed
                .into_iter()
                .filter(|p| p.flash() < flash && mean(p) <= if p.bits() < 8 { 1.25 } else { 1.0 } * most)
                .min_by(|a, b| product(a).total_cmp(&product(b))),
            Mode::Speed => packed.into_iter().filter(|p| mean(p) < most).min_by(|a, b| mean(a).total_cmp(&mean(b))),
        };
        match (packed, bytes) {
            (Some(packed), _) => Arc::new(packed),
            (None, Some(bytes)) => Arc::new(bytes),
            (None, None) => unreachable!("the layer was taken"),
        }
    }

    fn other(&self, kernel: &dyn Kernel) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(Lookup::new(kernel.lookup()?)?))
    }

    fn note(&self, step: &Step) -> Option<String> {
        let (bytes, op, name) = (step.kernel.constant().bytes(), step.kernel.op(), &step.name);
        let text =
            || format!("'{name}' keeps the portable kernel {op}: on AVR its {bytes} bytes of constants take RAM");
        // Not worth a word where it is a few scales.
        (bytes >= 64).then(text)
    }
}

/// Whether the kernel with a byte a weight and sums of three takes a layer.
fn takes_bytes(layer: &Layer) -> bool {
    !layer.sums && layer.y.quant.ty == Type::I8 && Gemm::new(layer.gemm, false, false, 1).is_some()
}

/// Whether inputs that are zero may be passed over.
fn skips(layer: &Layer, target: Target) -> impl Iterator<Item = bool> + Clone {
    let may_skip = !target.constant_time && layer.x.quant.zero_point == Type::I8.limits().0;
    [false, true].into_iter().filter(move |&skip| may_skip || !skip)
}

/// That kernel, with the fewest instructions in the mean.
fn bytes(layer: &Layer, target: Target) -> Option<Gemm> {
    let unroll = match target.mode {
        Mode::Size => 1,
        Mode::Balanced => 2,
        Mode::Speed => 4,
    };
    let kernels = skips(layer, target).filter_map(|skip| Gemm::new(layer.gemm, skip, !target.constant_time, unroll));
    kernels.min_by(|a, b| a.mean(&layer.seen).total_cmp(&b.mean(&layer.seen)))
}

/// The kernels with packed weights or sums of two bytes that take a layer: of every storage, the one with the fewest
/// instructions in the mean. Weights of eight bits with sums of three bytes are for layers whose sums are the result.
fn packed(layer: &Layer, target: Target) -> Vec<GemmPacked> {
    if !layer.sums && layer.y.quant.ty != Type::I8 {
        return Vec::new();
    }
    let dense = Dense { layer: layer.gemm, masks: None, sums: layer.sums };
    let best = |storage| {
        let kernel = |skip| GemmPacked::new(dense, layer.x.quant.max, storage, skip, !target.constant_time);
        let kernels = skips(layer, target).filter_map(kernel);
        kernels.min_by(|a, b| a.mean(&layer.seen).total_cmp(&b.mean(&layer.seen)))
    };
    let kernels = Storage::all(&layer.gemm.weight).into_iter().filter_map(best);
    kernels.filter(|kernel| layer.sums || kernel.bits() < 8 || kernel.narrow()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Core, tests};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_kernel_computes_what_the_portable_one_does(case in tests::cases(40, 40), common: bool) {
            let case = tests::short(case, common);
            for target in tests::targets(Core::Avr) {
                tests::compare(&Avr, &case, target);
            }
        }
    }

    #[test]
    fn names() {
        assert_eq!(Core::of_triple("avr-none"), Core::Avr);
        for name in ["avr", "atmega328p", "arduino-uno", "avr-none"] {
            assert_eq!(name.parse(), Ok(Core::Avr));
        }
    }
}
