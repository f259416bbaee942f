//! AVR with a multiplier: constants in program memory, sums of three bytes in registers.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::kernels::{Kernel, avr};
use crate::plan::layout::Layout;
use crate::plan::{Step, Type};
use std::sync::Arc;

pub(super) struct Avr;

impl Architecture for Avr {
    fn takes(&self, layer: &Layer) -> bool {
        layer.x.quant.ty == Type::I8
            && layer.y.quant.ty == Type::I8
            && avr::Gemm::new(layer.gemm, false, false, 1).is_some()
    }

    fn operand(&self, _: &Layer, _: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        (Layout::Plain, None)
    }

    fn between(&self) -> Layout {
        Layout::Plain
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        let unroll = match target.mode {
            Mode::Size => 1,
            Mode::Balanced => 2,
            Mode::Speed => 4,
        };
        let may_skip = !target.constant_time && layer.x.quant.zero_point == -128;
        let kernels = [false, true].into_iter().filter(|&skip| may_skip || !skip);
        let kernels = kernels.filter_map(|skip| avr::Gemm::new(layer.gemm, skip, !target.constant_time, unroll));
        let fewest = kernels.min_by(|a, b| a.mean(&layer.seen).total_cmp(&b.mean(&layer.seen)));
        fewest.map_or_else(|| unreachable!("the layer was taken"), |kernel| Arc::new(kernel) as Arc<dyn Kernel>)
    }

    fn other(&self, kernel: &dyn Kernel) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(avr::Lookup::new(kernel.lookup()?)?))
    }

    fn note(&self, step: &Step) -> Option<String> {
        let (bytes, op, name) = (step.kernel.constant().bytes(), step.kernel.op(), &step.name);
        let text =
            || format!("'{name}' keeps the portable kernel {op}: on AVR its {bytes} bytes of constants take RAM");
        // Not worth a word where it is a few scales.
        (bytes >= 64).then(text)
    }
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
