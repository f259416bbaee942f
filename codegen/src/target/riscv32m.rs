//! RV32IMC: groups of sums in registers, zeros skipped.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::kernels::riscv32m::{Case, Code, Gemm, GemmPacked, Skip};
use crate::plan::kernels::{Dense, Kernel};
use crate::plan::layout::{Layout, Packing};
use crate::plan::{Type, Value};
use std::sync::Arc;
use tinymlp::arch::riscv32m::LARGEST;

pub(super) struct Riscv32m;

/// Bytes from 0.
const BYTES: Packing = Packing { bits: 8, signed: false, offset: 128, multiple: 4, header: 0, interleaved: false };

/// Weights of a layer whose inner loop is written out for more inputs: a longer loop takes a kilobyte.
const MANY: usize = 16 * 1024;

impl Architecture for Riscv32m {
    fn takes(&self, layer: &Layer) -> bool {
        let Layer { gemm, x, y, sums, .. } = layer;
        if *sums {
            return packed(layer, Target::default()).is_some();
        }
        // The sums are those of the portable kernel, which the quantization has bounded: added up in another order and,
        // where zeros are skipped, with the zero point on the other side, they are the same integers modulo 2^32.
        x.quant.ty == Type::I8
            && y.quant.ty == Type::I8
            && (gemm.limits.min, gemm.limits.max) == Type::I8.limits()
            && gemm.shift == 0
            && gemm.inputs > 0
            && gemm.outputs > 0
    }

    fn sums(&self) -> bool {
        true
    }

    fn packs(&self, layer: &Layer, target: Target) -> bool {
        // Layers between which bytes are unsigned do not share the code of the first and the last one. That pays where
        // zeros are skipped; else it saves an instruction a result.
        let pays = match target.mode {
            Mode::Size => false,
            Mode::Balanced => !target.constant_time,
            Mode::Speed => true,
        };
        pays && !layer.sums && self.takes(layer)
    }

    fn operand(&self, layer: &Layer, _: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        (layer.x.layout, None)
    }

    fn between(&self) -> Layout {
        Layout::Words(BYTES)
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        match packed(layer, target) {
            Some(packed) => Arc::new(packed),
            None => Arc::new(Gemm::new(layer.gemm, layer.x.quant.zero_point, code(layer, target))),
        }
    }
}

/// The kernel with packed weights, if it takes the layer and is to have it: in the small mode, as they take half the flash
/// and a third more instructions, and where no other kernel leaves sums as they are.
fn packed(layer: &Layer, target: Target) -> Option<GemmPacked> {
    let Layer { gemm, x, sums, .. } = *layer;
    if x.quant.ty != Type::I8 || !sums && target.mode != Mode::Size {
        return None;
    }
    let dense = Dense { layer: gemm, masks: None, sums };
    GemmPacked::new(dense, x.quant.zero_point, target.constant_time)
}

/// The code for a layer.
fn code(layer: &Layer, target: Target) -> Code {
    let Layer { gemm, x, y, ref seen, .. } = *layer;
    // How many outputs a group may have, and for how many multiplications the inner loop is written out.
    let (largest, written) = match target.mode {
        Mode::Size => (8, 8),
        // Beside many weights a little more code counts little.
        Mode::Balanced if gemm.weight.len() >= MANY => (16, 128),
        Mode::Balanced => (16, 32),
        Mode::Speed => (16, 256),
    };
    let case = Case::mean(seen, gemm.inputs);
    let relu = gemm.limits.zero_point == Type::I8.limits().0;
    let unsigned = |value: &Value| value.layout != Layout::Plain;
    let zero = if unsigned(x) { Type::I8.limits().0 } else { 0 };
    let skip = if x.quant.zero_point == zero { Skip::Zero } else { Skip::Equal };
    let skips = match (target.constant_time, target.mode) {
        (true, _) => vec![Skip::None],
        // The smallest code is the one that all layers share.
        (false, Mode::Size) => vec![Skip::Equal],
        (false, _) => vec![Skip::None, skip],
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
        x_unsigned: unsigned(x),
        y_unsigned: unsigned(y),
    });
    let count = |code: &Code| code.instructions(gemm.inputs, gemm.outputs, case);
    let fewest = codes.min_by(|a, b| count(a).total_cmp(&count(b)));
    fewest.unwrap_or_else(|| unreachable!("a layer has an output"))
}

#[cfg(test)]
mod tests {
    use super::super::{Core, tests};
    use super::*;
    use crate::plan::cost::Seen;
    use crate::plan::kernels::GemmSums;
    use crate::quantize::format::Format;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_kernel_computes_what_the_portable_one_does(case in tests::cases(40, 40), relu: [bool; 2]) {
            let mut case = case;
            if relu[0] {
                case.x_zero_point = -128;
            }
            if relu[1] {
                case.gemm.limits.zero_point = -128;
            }
            for target in tests::targets(Core::Rv32imc) {
                prop_assert!(!tests::compare(&Riscv32m, &case, target).is_empty());
            }
        }
    }

    proptest! {
        #[test]
        fn packed_layers_compute_what_the_portable_one_does(
            case in tests::cases(40, 40), format in tests::formats(), constant_time: bool,
        ) {
            let case = tests::of_format(case, format);
            let kernel = |sums| {
                let dense = Dense { layer: &case.gemm, masks: None, sums };
                GemmPacked::new(dense, case.x_zero_point, constant_time).unwrap()
            };
            prop_assert_eq!(tests::results(&kernel(false), &case), tests::results(&case.gemm, &case));
            let sums = GemmSums { layer: case.gemm.clone() };
            prop_assert_eq!(tests::sums_of(&kernel(true), &case), tests::sums_of(&sums, &case));
        }
    }

    #[test]
    fn the_small_mode_packs() {
        let op = |format, mode| {
            let case = tests::of_format(tests::case(64, 16, |_| false), format);
            tests::ops(&tests::compare(&Riscv32m, &case, Target { core: Core::Rv32imc, mode, constant_time: false }))
        };
        for format in [Format::Int4, Format::Ternary, Format::PowerOfTwo] {
            assert_eq!(op(format, Mode::Size), "GemmPacked");
            assert!(!op(format, Mode::Balanced).contains("GemmPacked"));
        }
    }

    #[test]
    fn groups_fit_the_outputs() {
        let group = |outputs, mode| {
            let target = Target { core: Core::Rv32imc, mode, constant_time: false };
            let case = tests::case(64, outputs, |_| false);
            let (x, y) = (tests::value(64, -128), tests::value(outputs, -128));
            let seen = Seen::default();
            code(&Layer { gemm: &case.gemm, sums: false, x: &x, y: &y, seen }, target).group
        };
        let balanced: Vec<usize> = [1, 2, 10, 16, 17, 32, 40, 100].map(|outputs| group(outputs, Mode::Balanced)).into();
        assert_eq!(balanced, [1, 2, 10, 16, 9, 16, 10, 10]);
        assert_eq!(group(32, Mode::Size), 8);
    }
}
