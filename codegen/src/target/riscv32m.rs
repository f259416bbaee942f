//! RV32IMC: groups of sums in registers, zeros skipped.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::Type;
use crate::plan::cost::Seen;
use crate::plan::kernels::riscv32m::{Case, Code, Gemm};
use crate::plan::kernels::{self, Kernel};
use crate::plan::layout::Layout;
use std::sync::Arc;
use tinymlp::arch::riscv32m::LARGEST;

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
        let code = code(layer.gemm, &layer.seen, target);
        Arc::new(Gemm::new(layer.gemm, layer.x.quant.zero_point, code))
    }
}

/// The code for a layer.
fn code(gemm: &kernels::Gemm, seen: &Seen, target: Target) -> Code {
    // How many outputs a group may have, and for how many multiplications the inner loop is written out.
    let (largest, written) = match target.mode {
        Mode::Size => (8, 8),
        Mode::Balanced => (16, 32),
        Mode::Speed => (16, 128),
    };
    let case = Case::mean(seen, gemm.inputs);
    let relu = gemm.limits.zero_point == Type::I8.limits().0;
    let skips: &[bool] = match (target.constant_time, target.mode) {
        (true, _) => &[false],
        // The smallest code is the one that all layers share.
        (false, Mode::Size) => &[true],
        (false, _) => &[false, true],
    };
    let mut codes = Vec::new();
    for group in 1..=largest.min(gemm.outputs) {
        let most = (written / group).clamp(1, LARGEST);
        // Only where speed is all that counts, layers do without sharing the code for the inputs of one.
        let unrolls = if target.mode == Mode::Speed { 1..=most } else { most..=most };
        codes.extend(unrolls.flat_map(|unroll| skips.iter().map(move |&skip| (group, unroll, skip))));
    }
    let codes = codes.into_iter().map(|(group, unroll, skip)| Code {
        group,
        unroll,
        skip,
        relu: relu && target.mode != Mode::Size && !target.constant_time,
        constant_time: target.constant_time,
    });
    let count = |code: &Code| code.instructions(gemm.inputs, gemm.outputs, case);
    let fewest = codes.min_by(|a, b| count(a).total_cmp(&count(b)));
    fewest.unwrap_or_else(|| unreachable!("a layer has an output"))
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
            let row: Vec<bool> = (0..100).map(|k| f64::from(k) >= 100.0 * zeros).collect();
            let nonzero = [(0..case.gemm.inputs).map(|k| row[k % 100]).collect()];
            let seen = Seen { nonzero: &nonzero, ..Seen::default() };
            let layer = Layer { gemm: &case.gemm, x: &x, y: &y, seen };
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
            code(&layer(64, outputs), &Seen::default(), target).group
        };
        let balanced: Vec<usize> = [1, 2, 10, 16, 17, 32, 40, 100].map(|outputs| group(outputs, Mode::Balanced)).into();
        assert_eq!(balanced, [1, 2, 10, 16, 9, 16, 10, 10]);
        assert_eq!(group(32, Mode::Size), 8);
    }
}
