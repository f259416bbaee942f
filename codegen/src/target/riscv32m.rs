//! RV32IMC: groups of sums in registers, zeros skipped.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::Type;
use crate::plan::kernels::riscv32m::{Code, Gemm};
use crate::plan::kernels::{self, Kernel};
use crate::plan::layout::Layout;
use std::sync::Arc;
use tinymlp::arch::riscv32m::{LARGEST, groups};

pub(super) struct Riscv32m;

impl Architecture for Riscv32m {
    fn takes(&self, layer: &Layer) -> bool {
        let Layer { gemm, x, y, .. } = layer;
        // The sums are those of the portable kernel, which the quantization has bounded: added up in another order and,
        // where zeros are skipped, with the zero point on the other side, they are the same integers modulo 2^32.
        x.quant.ty == Type::I8
            && y.quant.ty == Type::I8
            && (gemm.limits.min, gemm.limits.max) == Type::I8.limits()
            && gemm.shift == 0
            && gemm.inputs > 0
            && gemm.outputs > 0
    }

    fn operand(&self, _: &Layer, _: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        (Layout::Plain, None)
    }

    fn between(&self) -> Layout {
        Layout::Plain
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        let code = code(layer.gemm, layer.zeros, target);
        Arc::new(Gemm::new(layer.gemm, layer.x.quant.zero_point, code))
    }
}

/// The code for a layer with this share of zero inputs.
fn code(gemm: &kernels::Gemm, zeros: f64, target: Target) -> Code {
    // How many outputs a group may have, and for how many multiplications the inner loop is written out.
    let (largest, written) = match target.mode {
        Mode::Size => (8, 8),
        Mode::Balanced => (16, 32),
        Mode::Speed => (16, 128),
    };
    // Instructions but for skipped zeros: see the kernel.
    let cost = |group: usize, unroll: usize| {
        let passes = 3 * gemm.inputs.div_ceil(unroll) + if gemm.inputs.is_multiple_of(unroll) { 0 } else { 3 };
        groups(gemm.outputs, group) * (gemm.inputs * (3 * group + 1) + passes + 9 * group + 12)
    };
    // Only where speed is all that counts, layers do without sharing the code for the inputs of one.
    let unroll = |group: usize| {
        let most = (written / group).clamp(1, LARGEST);
        let all = if target.mode == Mode::Speed { 1..=most } else { most..=most };
        all.min_by_key(|&unroll| cost(group, unroll)).unwrap_or(1)
    };
    let candidates = 1..=largest.min(gemm.outputs);
    let group = candidates.min_by_key(|&group| cost(group, unroll(group))).unwrap_or(1);
    // A zero costs 2 instructions instead of 3 an output and 1; every other input 2 more.
    let gain = zeros * (3 * group + 1) as f64 - 2.0;
    let relu = gemm.limits.zero_point == Type::I8.limits().0;
    Code {
        group,
        unroll: unroll(group),
        // The smallest code is the one that all layers share.
        skip: (gain > 0.0 || target.mode == Mode::Size) && !target.constant_time,
        relu: relu && target.mode != Mode::Size && !target.constant_time,
        constant_time: target.constant_time,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Core, tests};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_kernel_computes_what_the_portable_one_does(case in tests::cases(40, 40), zeros in 0.0f64..1.0) {
            let (x, y) = (tests::value(case.gemm.inputs, case.x_zero_point), tests::value(case.gemm.outputs, 0));
            let layer = Layer { gemm: &case.gemm, x: &x, y: &y, zeros, nonzero: &[] };
            prop_assert!(Riscv32m.takes(&layer));
            let expected = tests::results(&case.gemm, &case);
            for target in tests::targets(Core::Rv32imc) {
                let kernel = Riscv32m.layer(&layer, target);
                prop_assert_eq!(&tests::results(&*kernel, &case), &expected, "{:?}", target);
            }
        }
    }

    #[test]
    fn groups_fit_the_outputs() {
        let layer = |inputs, outputs| {
            let limits = kernels::Limits { ty: Type::I8, zero_point: -128, min: -128, max: 127 };
            let (weight, constants) = (vec![1; inputs * outputs], vec![0; outputs]);
            kernels::Gemm {
                rows: 1,
                inputs,
                outputs,
                weight,
                bias: constants.clone(),
                multiplier: constants,
                shift: 0,
                limits,
            }
        };
        let group = |outputs, mode| {
            let target = Target { core: Core::Rv32imc, mode, constant_time: false };
            code(&layer(64, outputs), 0.0, target).group
        };
        let balanced: Vec<usize> = [1, 2, 10, 16, 17, 32, 40, 100].map(|outputs| group(outputs, Mode::Balanced)).into();
        assert_eq!(balanced, [1, 2, 10, 16, 9, 16, 10, 10]);
        assert_eq!(group(32, Mode::Size), 8);
    }
}
