//! Cortex-M0, M0+, M23, M3: unsigned bytes behind their sum.

use super::{Architecture, Layer, Target};
use crate::plan::kernels::{Kernel, armv6m};
use crate::plan::layout::{Layout, Packing};
use crate::plan::{Type, Value};
use std::sync::Arc;

pub(super) struct Armv6m;

/// Bytes from 0 behind their sum.
const BYTES: Packing = Packing { bits: 8, signed: false, offset: 128, multiple: 4, header: 1, interleaved: false };

/// What a sum may reach: the scaled one, which is smaller, still has the rounding added.
const LIMIT: i64 = 1 << 30;

impl Architecture for Armv6m {
    fn takes(&self, layer: &Layer) -> bool {
        let Layer { gemm, x, y, .. } = layer;
        let (min, max) = (gemm.limits.min, gemm.limits.max);
        // Only the sums themselves count: what leaves the registers on the way comes back.
        let fits = (0..gemm.outputs).all(|o| {
            let (low, high) = gemm.sums(o, Type::I8.limits());
            low.abs().max(high.abs()) < LIMIT
        });
        x.quant.ty == Type::I8
            && y.quant.ty == Type::I8
            && (min, max) == Type::I8.limits()
            && gemm.shift == 0
            && armv6m::multiplier_shifts(&gemm.multiplier).is_some()
            && fits
    }

    fn operand(&self, layer: &Layer, _: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        if layer.x.layout != Layout::Plain {
            return (layer.x.layout, None);
        }
        let offset = armv6m::Offset { rows: layer.gemm.rows, elements: layer.gemm.inputs };
        (Layout::Words(BYTES), Some(Arc::new(offset)))
    }

    fn between(&self) -> Layout {
        Layout::Words(BYTES)
    }

    fn sorts(&self) -> bool {
        true
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        // A byte is 0 where the integer is the smallest.
        let smallest = |value: &Value| value.quant.zero_point == Type::I8.limits().0;
        let time = match target.constant_time {
            true => armv6m::Time::Constant,
            false if smallest(layer.y) => armv6m::Time::Relu,
            false => armv6m::Time::Branches,
        };
        let tests = match (target.constant_time || !smallest(layer.x), layer.gemm.inputs.is_multiple_of(4)) {
            (true, _) => &[armv6m::Skip::None][..],
            (false, false) => &[armv6m::Skip::None, armv6m::Skip::Each],
            (false, true) => &[armv6m::Skip::None, armv6m::Skip::Each, armv6m::Skip::Words],
        };
        let bytes = layer.y.layout != Layout::Plain;
        let kernels = tests.iter().map(|&skip| armv6m::Gemm::new(layer.gemm, bytes, skip, time));
        let fewest = kernels.min_by(|a, b| a.mean(&layer.seen).total_cmp(&b.mean(&layer.seen)));
        fewest.map_or_else(
            || unreachable!("there is a kernel without a test"),
            |kernel| Arc::new(kernel) as Arc<dyn Kernel>,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Core, Mode, tests};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_kernel_computes_what_the_portable_one_does(
            case in tests::cases(40, 40), common: bool, relu: [bool; 2],
        ) {
            let mut case = tests::short(case, common);
            if relu[0] {
                case.x_zero_point = -128;
            }
            if relu[1] {
                case.gemm.limits.zero_point = -128;
            }
            for target in tests::targets(Core::Armv6m) {
                tests::compare(&Armv6m, &case, target);
            }
        }
    }

    #[test]
    fn layers_are_taken() {
        for (inputs, outputs) in [(1, 1), (3, 2), (64, 8), (30, 10), (17, 33)] {
            let case = tests::case(inputs, outputs, |k| k % 3 == 0);
            let target = Target { core: Core::Armv6m, mode: Mode::Balanced, constant_time: false };
            assert!(!tests::compare(&Armv6m, &case, target).is_empty());
        }
    }
}
