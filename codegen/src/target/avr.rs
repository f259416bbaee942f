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
        let cycles = |kernel: &GemmPacked| kernel.cycles(&layer.seen);
        let product = |kernel: &GemmPacked| cycles(kernel) * kernel.flash() as f64;
        let (most, flash) = bytes.as_ref().map_or((f64::INFINITY, usize::MAX), |b| (b.cycles(&layer.seen), b.flash()));
        let packed = match target.mode {
            Mode::Size => packed.into_iter().filter(|p| p.flash() < flash).min_by_key(GemmPacked::flash),
            // Flash is saved, and not for much time: for none, where only the code is smaller.
            Mode::Balanced => packed
                .into_iter()
                .filter(|p| p.flash() < flash && cycles(p) <= if p.bits() < 8 { 1.25 } else { 1.0 } * most)
                .min_by(|a, b| product(a).total_cmp(&product(b))),
            Mode::Speed => {
                packed.into_iter().filter(|p| cycles(p) < most).min_by(|a, b| cycles(a).total_cmp(&cycles(b)))
            }
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
/// instructions in the mean. Weights of eight bits with sums of three bytes are for layers that nothing else takes.
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
    let only = layer.sums || !takes_bytes(layer);
    let kernels = Storage::all(&layer.gemm.weight).into_iter().filter_map(best);
    kernels.filter(|kernel| only || kernel.bits() < 8 || kernel.narrow()).collect()
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
        fn every_kernel_computes_what_the_portable_one_does(case in tests::cases(40, 40), common: bool) {
            let case = tests::short(case, common);
            for target in tests::targets(Core::Avr) {
                tests::compare(&Avr, &case, target);
            }
        }
    }

    /// The case with inputs of -128 to `highest`, the first row of which gives output 0 its largest sum, the second its
    /// least.
    fn at_the_ends(mut case: tests::Case, highest: i8) -> tests::Case {
        let inputs = case.gemm.inputs;
        for (k, x) in case.x.iter_mut().enumerate() {
            let largest = (case.gemm.weight[k % inputs] > 0) == (k < inputs);
            *x = if largest { highest } else { -128 };
        }
        case
    }

    proptest! {
        /// Every kernel of every storage that takes the layer, whether it would be chosen or not, bit for bit.
        #[test]
        fn packed_weights_give_the_same(
            case in tests::cases(40, 40), format in prop::sample::select(Format::ALL.to_vec()), common: bool, bits in 1..=8u32,
            ends: bool, skip: bool, short: bool, shift in 0..6u32,
        ) {
            let mut case = tests::of_format(tests::short(case, common), format);
            let highest = ((1i32 << bits) - 129) as i8;
            case.x.iter_mut().for_each(|x| *x = (*x).min(highest));
            if ends {
                case = at_the_ends(case, highest);
            }
            if short {
                case.gemm.limits.zero_point = -128;
            }
            // Sums of few bits are raised.
            case.gemm.shift = shift;
            case.gemm.bias.iter_mut().for_each(|bias| *bias >>= shift);
            let sums = GemmSums { layer: case.gemm.clone() };
            for storage in Storage::all(&case.gemm.weight) {
                let kernel = |sums| {
                    let dense = Dense { layer: &case.gemm, masks: None, sums };
                    GemmPacked::new(dense, highest.into(), storage, skip, short)
                };
                if let Some(kernel) = kernel(false) {
                    prop_assert_eq!(tests::results(&kernel, &case), tests::results(&case.gemm, &case), "{:?}", kernel);
                }
                let kernel = kernel(true).unwrap();
                prop_assert_eq!(tests::sums_of(&kernel, &case), tests::sums_of(&sums, &case), "{:?}", kernel);
            }
        }
    }

    #[test]
    fn sums_have_two_bytes_where_they_fit() {
        let narrow = |weights: &[i8], highest: i32, outputs: usize| {
            let mut case = tests::case(weights.len(), outputs, |_| false);
            case.gemm.weight = weights.repeat(outputs);
            let dense = Dense { layer: &case.gemm, masks: None, sums: true };
            let storage = Storage::all(weights)[0];
            let kernel = GemmPacked::new(dense, highest, storage, false, false).unwrap();
            (kernel.bits(), kernel.narrow())
        };
        // Sums up to 32,640, and with inputs of one step more 32,768; both of them negative.
        assert_eq!(narrow(&[1; 128], 126, 2), (2, true));
        assert_eq!(narrow(&[2; 64], 127, 2), (4, true));
        assert_eq!(narrow(&[4; 32], 127, 2), (4, true));
        assert_eq!(narrow(&[[4; 32].as_slice(), &[1]].concat(), 127, 2), (4, false));
        assert_eq!(narrow(&[[-4; 32].as_slice(), &[-1, 1]].concat(), 127, 2), (4, false));
        // Exactly the least, and one more than the largest.
        assert_eq!(narrow(&[-32; 64], -112, 2), (4, true));
        assert_eq!(narrow(&[32; 64], -112, 2), (4, false));
        // Of four outputs of a byte two have 14 bits.
        assert_eq!(narrow(&[1; 32], 127, 4), (2, true));
        assert_eq!(narrow(&[1; 33], 127, 4), (2, false));
        assert_eq!(narrow(&[1; 33], 127, 2), (2, true));
    }

    #[test]
    fn the_small_mode_packs() {
        let op = |format, mode| {
            let case = tests::of_format(tests::case(64, 16, |_| false), format);
            tests::ops(&tests::compare(&Avr, &case, Target { core: Core::Avr, mode, constant_time: false }))
        };
        for format in [Format::Int4, Format::Ternary, Format::PowerOfTwo] {
            assert!(op(format, Mode::Size).contains("GemmPacked"), "{format}");
        }
        // Where it costs no time, or little.
        for format in [Format::Int4, Format::Ternary] {
            assert!(op(format, Mode::Balanced).contains("GemmPacked"), "{format}");
        }
        assert!(!op(Format::PowerOfTwo, Mode::Balanced).contains("GemmPacked"));
    }

    #[test]
    fn names() {
        assert_eq!(Core::of_triple("avr-none"), Core::Avr);
        for name in ["avr", "atmega328p", "arduino-uno", "avr-none"] {
            assert_eq!(name.parse(), Ok(Core::Avr));
        }
    }
}
