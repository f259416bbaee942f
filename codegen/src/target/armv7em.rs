//! Cortex-M4, M7, M33: pairs of 16-bit activations, weights of two outputs in one lane.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::Type;
use crate::plan::kernels::{Dense, Kernel, armv7em};
use crate::plan::layout::{Layout, Packing};
use crate::plan::tile::Tiling;
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
        match layer.sums {
            true => packed(layer, Target::default()).is_some(),
            false => fits_a_lane(layer) || armv7em::GemmWide::takes(layer.gemm),
        }
    }

    fn sums(&self) -> bool {
        true
    }

    fn packs(&self, layer: &Layer, target: Target) -> bool {
        // The smallest code packs nothing.
        target.mode != Mode::Size && !layer.sums && fits_a_lane(layer)
    }

    fn between(&self) -> Layout {
        Layout::Words(BETWEEN)
    }

    fn tiling(&self) -> Tiling {
        // Operands are packed.
        Tiling { size: 1, single: true }
    }

    fn sorts(&self) -> bool {
        true
    }

    fn operand(&self, layer: &Layer, target: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        let armv7em::Sizes { rows, inputs, .. } = armv7em::Sizes::of(layer.gemm);
        let plain = layer.x.layout == Layout::Plain;
        let small = target.mode == Mode::Size && armv7em::GemmBytes::new(layer.gemm).is_some();
        if small || packed(layer, target).is_some() || !fits_a_lane(layer) {
            return (Layout::Plain, None);
        }
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
            Layout::Plain | Layout::List | Layout::Pairs => {
                match (packed(layer, target), armv7em::GemmBytes::new(layer.gemm)) {
                    (Some(kernel), _) => Arc::new(kernel),
                    (None, Some(kernel)) if fits_a_lane(layer) => Arc::new(kernel),
                    _ => Arc::new(armv7em::GemmWide::new(layer.gemm, layer.x.quant.ty)),
                }
            }
        }
    }
}

/// The kernel with packed weights, if it takes the layer and is to have it: in the small mode, and where no other kernel
/// leaves sums as they are.
fn packed(layer: &Layer, target: Target) -> Option<armv7em::GemmPacked> {
    let Layer { gemm, x, sums, .. } = *layer;
    if x.quant.ty != Type::I8 || !sums && target.mode != Mode::Size {
        return None;
    }
    let skip = !target.constant_time && x.quant.zero_point == Type::I8.limits().0;
    armv7em::GemmPacked::new(Dense { layer: gemm, masks: None, sums }, x.quant.limits(), skip)
}

/// Whether two outputs fit one lane.
fn fits_a_lane(Layer { gemm, x, y, .. }: &Layer) -> bool {
    // Only the sums themselves count: what leaves the registers on the way comes back.
    let sums = |o: usize| {
        let (low, high) = gemm.sums(o, Type::I8.limits());
        low >= -LIMIT && high < LIMIT
    };
    x.quant.ty == Type::I8
        && y.quant.ty == Type::I8
        && (gemm.limits.min, gemm.limits.max) == Type::I8.limits()
        && gemm.shift == 0
        && gemm.multiplier.iter().all(|m| m % 256 == 0)
        && (0..gemm.outputs).all(sums)
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
    if target.constant_time
        || target.mode == Mode::Size
        || !zero_is_smallest
        || outputs % 8 != 0
        || plain && inputs % 4 != 0
    {
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

#[cfg(test)]
mod tests {
    use super::super::{Core, tests};
    use super::*;
    use crate::plan::kernels::GemmSums;
    use crate::quantize::format::Format;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_kernel_computes_what_the_portable_one_does(case in tests::cases(40, 40), common: bool, relu: bool) {
            let mut case = tests::short(case, common);
            if relu {
                case.x_zero_point = -128;
            }
            for target in tests::targets(Core::Armv7em) {
                tests::compare(&Armv7em, &case, target);
            }
        }

        #[test]
        fn whole_accumulators_and_multipliers(case in tests::cases(40, 40)) {
            for target in tests::targets(Core::Armv7em) {
                let kernels = tests::compare(&Armv7em, &case, target);
                prop_assert!(case.gemm.inputs < 4 || !kernels.is_empty());
            }
        }

        /// Every packed kernel, whether it would be chosen or not.
        #[test]
        fn packed_layers_compute_what_the_portable_one_does(
            case in tests::cases(40, 40), format in tests::formats(), common: bool, skip: bool, narrow: bool,
        ) {
            let mut case = tests::of_format(tests::short(case, common), format);
            if narrow {
                case.gemm.bias.iter_mut().for_each(|bias| *bias >>= 8);
            }
            let expected = tests::results(&case.gemm, &case);
            let kernel = |sums| {
                let dense = Dense { layer: &case.gemm, masks: None, sums };
                armv7em::GemmPacked::new(dense, Type::I8.limits(), skip)
            };
            let takes = case.gemm.inputs >= 4 && narrow;
            let scaled = kernel(false);
            prop_assert!(scaled.is_some() || !(takes && common));
            if let Some(kernel) = scaled {
                prop_assert_eq!(tests::results(&kernel, &case), expected);
            }
            let sums = kernel(true);
            prop_assert!(sums.is_some() || !takes);
            if let Some(kernel) = sums {
                let whole = GemmSums { layer: case.gemm.clone() };
                prop_assert_eq!(tests::sums_of(&kernel, &case), tests::sums_of(&whole, &case));
            }
        }

        #[test]
        fn int16_activations(case in tests::wide_cases(24, 12)) {
            prop_assume!(case.gemm.inputs >= 4);
            let expected = tests::wide_results(&case.gemm, &case);
            let kernel = armv7em::GemmWide::new(&case.gemm, case.x_type());
            prop_assert_eq!(tests::wide_results(&kernel, &case), expected);
        }
    }

    #[test]
    fn the_small_mode_packs_where_sums_have_room() {
        let op = |format, mode, bias| {
            let mut case = tests::of_format(tests::case(64, 16, |_| false), format);
            case.gemm.bias.fill(bias);
            tests::ops(&tests::compare(&Armv7em, &case, Target { core: Core::Armv7em, mode, constant_time: false }))
        };
        for format in [Format::Int4, Format::Ternary, Format::PowerOfTwo] {
            assert_eq!(op(format, Mode::Size, 0), "GemmPacked");
            assert!(!op(format, Mode::Balanced, 0).contains("GemmPacked"));
        }
        // The fourth sum of a lane has 20 bits, the eighth of a ternary one 18.
        assert_eq!(op(Format::Int4, Mode::Size, 1 << 19), "GemmBytes");
        assert_eq!(op(Format::Ternary, Mode::Size, 1 << 17), "GemmBytes");
        assert_eq!(op(Format::PowerOfTwo, Mode::Size, 1 << 19), "GemmPacked");
    }

    /// Layers of which the tests above would say nothing if they were not taken, and both ways of reading operands.
    #[test]
    fn layers_are_taken_and_zeros_are_skipped_where_they_are_many() {
        let ops = |zeros: usize, constant_time| {
            let case = tests::case(64, 16, |k| k % 64 < zeros);
            let target = Target { core: Core::Armv7em, mode: Mode::Balanced, constant_time };
            tests::ops(&tests::compare(&Armv7em, &case, target))
        };
        let dense = "Widen Gemm Widen GemmPairs Gemm GemmPairs";
        assert_eq!(ops(0, false), dense);
        assert_eq!(ops(60, true), dense);
        let lists =
            "NonzeroBytes GemmNonzero NonzeroBytes GemmNonzeroPairs Nonzero GemmNonzero Nonzero GemmNonzeroPairs";
        assert_eq!(ops(60, false), lists);
        let case = tests::case(64, 16, |_| false);
        let small = Target { core: Core::Armv7em, mode: Mode::Size, constant_time: false };
        assert_eq!(tests::ops(&tests::compare(&Armv7em, &case, small)), "GemmBytes");
    }

    #[test]
    fn sums_that_do_not_fit_beside_another_get_registers_of_their_own() {
        let fits = |inputs| {
            let mut case = tests::case(inputs, 2, |_| false);
            case.gemm.weight.fill(127);
            let kernels = tests::compare(&Armv7em, &case, Target { core: Core::Armv7em, ..Target::default() });
            tests::ops(&kernels) != "GemmWide"
        };
        // The least sum is -2000 - 127 * 128 * inputs, and must not be below -2^23.
        assert!(fits(515) && !fits(516));
    }
}
