//! RV32EC: products by table, zeros skipped where that is faster; packed weights.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::Type;
use crate::plan::cost::Seen;
use crate::plan::kernels::riscv32e::{self, Code, Gemm, PackedCode};
use crate::plan::kernels::riscv32m::Case;
use crate::plan::kernels::{self, Dense, Kernel};
use crate::plan::layout::Layout;
use std::sync::Arc;
use tinymlp::arch::riscv32e::largest;

pub(super) struct Riscv32e;

impl Architecture for Riscv32e {
    fn takes(&self, layer: &Layer) -> bool {
        layer.x.quant.ty == Type::I8 && (takes_whole(layer) || packed(layer, Target::default()).is_some())
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
        let whole = || {
            let code = code(layer.gemm, &layer.seen, target);
            Gemm::new(layer.gemm, layer.x.quant.zero_point, code)
        };
        match packed(layer, target) {
            Some(packed) if !takes_whole(layer) || packs(&packed, &whole(), layer, target.mode) => Arc::new(packed),
            _ => Arc::new(whole()),
        }
    }
}

/// Whether a layer is to have packed weights: they take half the flash, and no table of triangular numbers.
fn packs(packed: &riscv32e::GemmPacked, whole: &Gemm, layer: &Layer, mode: Mode) -> bool {
    let mean = |kernel: &dyn Kernel| kernel.cost(&layer.seen).map_or(0.0, |cost| cost.instructions.mean);
    match mode {
        Mode::Size => true,
        // Layers of few outputs take longer, but one that is not packed brings the table with it.
        Mode::Balanced => mean(packed) <= 1.5 * mean(whole),
        Mode::Speed => mean(packed) < mean(whole),
    }
}

/// Whether the kernel with weights of eight bits gives the results bit for bit: its sums are those of the portable one
/// modulo 2^32.
fn takes_whole(layer: &Layer) -> bool {
    let Layer { gemm, x, y, sums, .. } = layer;
    let top = riscv32e::top(&gemm.multiplier);
    !sums
        && x.quant.ty == Type::I8
        && y.quant.ty == Type::I8
        && (gemm.limits.min, gemm.limits.max) == Type::I8.limits()
        && gemm.shift == 0
        && gemm.inputs > 0
        && gemm.outputs > 0
        && gemm.multiplier.iter().all(|&m| riscv32e::bits(m as u32, top) <= 30)
        && riscv32e::fits(gemm)
}

/// The kernel with packed weights, if it takes the layer.
fn packed(layer: &Layer, target: Target) -> Option<riscv32e::GemmPacked> {
    // Sums on the stack, and how often two weights stand in the code.
    let (block, unroll) = match target.mode {
        Mode::Size => (32, 1),
        Mode::Balanced => (64, 2),
        Mode::Speed => (64, 4),
    };
    let code = PackedCode {
        block: block.min(layer.gemm.outputs.next_multiple_of(2)),
        unroll: unroll.min(layer.gemm.outputs.div_ceil(2)),
        skip: !target.constant_time,
        constant_time: target.constant_time,
    };
    let dense = Dense { layer: layer.gemm, masks: None, sums: layer.sums };
    riscv32e::GemmPacked::new(dense, layer.x.quant.zero_point, code)
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
    use crate::plan::kernels::GemmSums;
    use crate::quantize::format::Format;
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
            let layer = Layer { gemm: &case.gemm, sums: false, x: &x, y: &y, seen };
            prop_assert!(Riscv32e.takes(&layer));
            let expected = tests::results(&case.gemm, &case);
            for target in tests::targets(Core::Rv32ec) {
                let kernel = Riscv32e.layer(&layer, target);
                prop_assert_eq!(&tests::results(&*kernel, &case), &expected, "{:?}", target);
            }
        }
    }

    proptest! {
        #[test]
        fn packed_layers_compute_what_the_portable_one_does(
            case in tests::cases(40, 70), format in tests::formats(), cut in prop_oneof![Just(None), (0u32..17).prop_map(Some)],
            shift in 0u32..3, max in prop_oneof![Just(127), -127..127i32],
        ) {
            let mut case = tests::of_format(case, format);
            case.gemm.bias.iter_mut().for_each(|bias| *bias = *bias / 20 * 2 + 1000);
            case.gemm.multiplier.iter_mut().for_each(|multiplier| *multiplier &= !1);
            if let Some(cut) = cut {
                // A truncated ReLU: one power of two for all outputs.
                case.gemm.multiplier.fill((1 << 30) >> cut);
                case.gemm.shift = shift;
                case.gemm.limits.max = max;
            }
            let (inputs, outputs) = (case.gemm.inputs, case.gemm.outputs);
            let (x, y) = (tests::value(inputs, case.x_zero_point), tests::value(outputs, 0));
            let expected = tests::results(&case.gemm, &case);
            let sums = GemmSums { layer: case.gemm.clone() };
            for target in tests::targets(Core::Rv32ec) {
                let layer = Layer { gemm: &case.gemm, sums: false, x: &x, y: &y, seen: Seen::default() };
                prop_assert!(Riscv32e.takes(&layer));
                let kernel = packed(&layer, target).unwrap();
                prop_assert_eq!(&tests::results(&kernel, &case), &expected, "{:?}", target);
                let kernel = packed(&Layer { sums: true, ..layer }, target).unwrap();
                prop_assert_eq!(tests::sums_of(&kernel, &case), tests::sums_of(&sums, &case), "{:?}", target);
            }
        }
    }

    #[test]
    fn the_small_mode_packs_and_others_where_it_costs_little_time() {
        let case = tests::case(64, 64, |_| false);
        let op = |case: &tests::Case, mode| {
            let (x, y) = (tests::value(64, -128), tests::value(64, -128));
            let layer = Layer { gemm: &case.gemm, sums: false, x: &x, y: &y, seen: Seen::default() };
            Riscv32e.layer(&layer, Target { core: Core::Rv32ec, mode, constant_time: false }).op()
        };
        let int4 = tests::of_format(case.clone(), Format::Int4);
        let ternary = tests::of_format(case.clone(), Format::Ternary);
        assert_eq!(op(&case, Mode::Size), "Gemm");
        assert_eq!(op(&int4, Mode::Size), "GemmPacked");
        assert_eq!(op(&ternary, Mode::Speed), "GemmPacked");
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
            Riscv32e.takes(&Layer { gemm, sums: false, x: &x, y: &y, seen: Seen::default() })
        };
        assert!(takes(&layer((1 << 29) - 129, 2)));
        assert!(!takes(&layer((1 << 29) - 128, 2)));
        assert!(!takes(&layer(0, 1)));
    }
}
