//! RV32EC: products by table, zeros skipped where that is faster.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::Type;
use crate::plan::cost::Seen;
use crate::plan::kernels::riscv32e::{self, Code, Gemm};
use crate::plan::kernels::riscv32m::Case;
use crate::plan::kernels::{self, Kernel};
use crate::plan::layout::Layout;
use std::sync::Arc;
use tinymlp::arch::riscv32e::largest;

pub(super) struct Riscv32e;

impl Architecture for Riscv32e {
    fn takes(&self, layer: &Layer) -> bool {
        let Layer { gemm, x, y, .. } = layer;
        // The sums are those of the portable kernel modulo 2^32. The multiplication adds up to three times a sum to what
        // is less than that sum, so 30 bits have to hold it.
        let fits = gemm.weight.chunks_exact(gemm.inputs.max(1)).zip(&gemm.bias).all(|(row, &bias)| {
            let magnitude: i64 = row.iter().map(|&w| i64::from(w).abs()).sum();
            i64::from(bias).abs() + magnitude * 128 < 1 << 29
        });
        let top = riscv32e::top(&gemm.multiplier);
        x.quant.ty == Type::I8
            && y.quant.ty == Type::I8
            && (gemm.limits.min, gemm.limits.max) == Type::I8.limits()
            && gemm.shift == 0
            && gemm.inputs > 0
            && gemm.outputs > 0
            && gemm.multiplier.iter().all(|&m| riscv32e::bits(m as u32, top) <= 30)
            && fits
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
    // For how many multiplications the inner loop is written out.
    let written = match target.mode {
        Mode::Size => 1,
        Mode::Balanced => 12,
        Mode::Speed => 36,
    };
    let (case, product) = (Case::mean(seen, gemm.inputs), riscv32e::product(&gemm.multiplier));
    let skips: &[bool] = if target.constant_time { &[false] } else { &[false, true] };
    let groups = skips.iter().flat_map(|&skip| (1..=largest(skip).min(gemm.outputs)).map(move |group| (group, skip)));
    let codes = groups.map(|(group, skip)| Code {
        group,
        unroll: (written / group).clamp(1, 8),
        skip,
        relu: gemm.limits.zero_point == Type::I8.limits().0 && !target.constant_time,
        constant_time: target.constant_time,
    });
    let count = |code: &Code| riscv32e::instructions(code, gemm.inputs, gemm.outputs, product, case);
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
        fn every_kernel_computes_what_the_portable_one_does(mut case in tests::cases(40, 40), zeros in 0.0f64..1.0) {
            // Sums of 30 bits instead of 32, and multipliers of 30 instead of 31.
            case.gemm.bias.iter_mut().for_each(|bias| *bias = *bias / 5 * 2 + 1000);
            case.gemm.multiplier.iter_mut().for_each(|multiplier| *multiplier &= !1);
            let (x, y) = (tests::value(case.gemm.inputs, case.x_zero_point), tests::value(case.gemm.outputs, 0));
            let row: Vec<bool> = (0..100).map(|k| f64::from(k) >= 100.0 * zeros).collect();
            let nonzero = [row];
            let seen = Seen { nonzero: &nonzero, ..Seen::default() };
            let layer = Layer { gemm: &case.gemm, x: &x, y: &y, seen };
            prop_assert!(Riscv32e.takes(&layer));
            let expected = tests::results(&case.gemm, &case);
            for target in tests::targets(Core::Rv32ec) {
                let kernel = Riscv32e.layer(&layer, target);
                prop_assert_eq!(&tests::results(&*kernel, &case), &expected, "{:?}", target);
            }
        }
    }

    #[test]
    fn what_the_multiplication_has_no_room_for_stays_portable() {
        let limits = kernels::Limits { ty: Type::I8, zero_point: 0, min: -128, max: 127 };
        let layer = |bias, multiplier| {
            let (bias, multiplier) = (vec![bias; 2], vec![multiplier, 1 << 30]);
            kernels::Gemm { rows: 2, inputs: 1, outputs: 2, weight: vec![1, -1], bias, multiplier, shift: 0, limits }
        };
        let takes = |gemm: &kernels::Gemm| {
            let (x, y) = (tests::value(1, 0), tests::value(2, 0));
            Riscv32e.takes(&Layer { gemm, x: &x, y: &y, seen: Seen::default() })
        };
        assert!(takes(&layer((1 << 29) - 129, 2)));
        assert!(!takes(&layer((1 << 29) - 128, 2)));
        assert!(!takes(&layer(0, 1)));
    }
}
