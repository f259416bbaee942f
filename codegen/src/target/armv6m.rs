//! Cortex-M0, M0+, M23, M3: unsigned bytes behind their sum.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::kernels::{Kernel, armv6m};
use crate::plan::layout::{Layout, Packing};
use crate::plan::tile::Tiling;
use crate::plan::{Type, Value};
use std::sync::Arc;

pub(super) struct Armv6m;

/// Bytes from 0 behind their sum.
const BYTES: Packing = Packing { bits: 8, signed: false, offset: 128, multiple: 4, header: 1, interleaved: false };

/// Elements of a row that is listed, at most: an entry has eight bytes.
const LISTED: usize = 128;

/// What a sum may reach: the scaled one, which is smaller, still has the rounding added.
const LIMIT: i64 = 1 << 30;

impl Architecture for Armv6m {
    fn takes(&self, layer: &Layer) -> bool {
        let types = [layer.x.quant.ty, layer.y.quant.ty] == [Type::I8; 2];
        types && (bytes(layer) || !armv6m::GemmPacked::forms(layer.gemm, layer.x.quant.limits()).is_empty())
    }

    fn operand(&self, layer: &Layer, target: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        if layer.x.layout != Layout::Plain {
            return (layer.x.layout, None);
        }
        let (rows, elements) = (layer.gemm.rows, layer.gemm.inputs);
        let offset = armv6m::Offset { rows, elements };
        if let Some(layer_of_pairs) = pairs(layer, target) {
            let two = armv6m::Pairs { rows, elements };
            let price = |operand: &dyn Kernel, layer_of: &dyn Kernel| {
                let costs = [operand, layer_of].into_iter().filter_map(|kernel| kernel.cost(&layer.seen));
                let mean: f64 = costs.map(|cost| cost.instructions.mean).sum();
                // Packed weights save flash.
                if target.mode == Mode::Speed { mean } else { mean * layer_of.constant_bytes() as f64 }
            };
            if price(&two, &layer_of_pairs) < price(&offset, &*self.layer_of_words(layer, target)) {
                return (Layout::Pairs, Some(Arc::new(two)));
            }
        }
        // Whether the layer saves with a list what the list costs.
        let skips = !target.constant_time && smallest(layer.x);
        let fast = target.mode == Mode::Speed && elements <= LISTED;
        if skips && fast && bytes(layer) && armv6m::Gemm::lists(layer.gemm) {
            let list = armv6m::List { rows, elements };
            let bytes = [&offset as &dyn Kernel, &*self.layer_of_words(layer, target)];
            let listed = [&list as &dyn Kernel, &gemm(layer, Layout::List, target)];
            let mean = |kernels: [&dyn Kernel; 2]| -> f64 {
                kernels.iter().filter_map(|kernel| kernel.cost(&layer.seen)).map(|cost| cost.instructions.mean).sum()
            };
            if mean(listed) < mean(bytes) {
                return (Layout::List, Some(Arc::new(list)));
            }
        }
        (Layout::Words(BYTES), Some(Arc::new(offset)))
    }

    fn between(&self) -> Layout {
        Layout::Words(BYTES)
    }

    fn tiling(&self) -> Tiling {
        // Operands are packed.
        Tiling { size: 2, single: true }
    }

    fn sorts(&self) -> bool {
        true
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        match layer.x.layout {
            Layout::List => Arc::new(gemm(layer, Layout::List, target)),
            Layout::Pairs => Arc::new(armv6m::GemmPairs::new(layer.gemm, !target.constant_time)),
            _ => self.layer_of_words(layer, target),
        }
    }
}

/// A kernel with its instructions in the mean, its bytes of flash, and the bits of its weights.
type Candidate = (Arc<dyn Kernel>, f64, usize, usize);

impl Armv6m {
    /// The kernel of a layer whose operand is bytes behind their sum.
    fn layer_of_words(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        let kernel = |(kernel, ..): Candidate| kernel;
        let packed = packed(layer, target);
        let product = |c: &Candidate| c.1 * c.2 as f64;
        if !bytes(layer) {
            let best = match target.mode {
                Mode::Size => packed.into_iter().min_by_key(|c| c.2),
                Mode::Balanced => packed.into_iter().min_by(|a, b| product(a).total_cmp(&product(b))),
                Mode::Speed => packed.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)),
            };
            return best.map_or_else(|| unreachable!("the layer was taken"), kernel);
        }
        let bytes = gemm(layer, Layout::Words(BYTES), target);
        let (mean, flash) = (bytes.mean(&layer.seen), bytes.flash());
        let best = match target.mode {
            Mode::Size => packed.into_iter().filter(|c| c.2 < flash).min_by_key(|c| c.2),
            // Flash is saved, and not for much time: for none, where only the code is smaller.
            Mode::Balanced => packed
                .into_iter()
                .filter(|c| c.2 < flash && c.1 <= if c.3 < 8 { 1.25 } else { 1.0 } * mean)
                .min_by(|a, b| product(a).total_cmp(&product(b))),
            Mode::Speed => packed.into_iter().filter(|c| c.1 < mean).min_by(|a, b| a.1.total_cmp(&b.1)),
        };
        best.map_or_else(|| Arc::new(bytes) as Arc<dyn Kernel>, kernel)
    }
}

/// The kernel for two rows at a time, if it takes the layer and is to have it: the small mode has one kernel for all layers.
fn pairs(layer: &Layer, target: Target) -> Option<armv6m::GemmPairs> {
    let takes = target.mode != Mode::Size && layer.gemm.rows.is_multiple_of(2) && bytes(layer);
    (takes && layer.y.layout == Layout::Plain).then(|| armv6m::GemmPairs::new(layer.gemm, !target.constant_time))
}

/// Whether the kernel with a byte a weight takes a layer.
fn bytes(Layer { gemm, .. }: &Layer) -> bool {
    // Only the sums themselves count: what leaves the registers on the way comes back.
    let fits = |o: usize| {
        let (low, high) = gemm.sums(o, Type::I8.limits());
        low.abs().max(high.abs()) < LIMIT
    };
    (gemm.limits.min, gemm.limits.max) == Type::I8.limits()
        && gemm.shift == 0
        && armv6m::multiplier_shifts(&gemm.multiplier).is_some()
        && (0..gemm.outputs).all(fits)
}

/// The kernels with packed weights that take a layer: of every form, the one with the fewest instructions in the mean.
fn packed(layer: &Layer, target: Target) -> Vec<Candidate> {
    let (time, varies) = time(layer, target);
    let skips: &[armv6m::Skip] = match layer.gemm.inputs.is_multiple_of(4) {
        _ if !varies => &[armv6m::Skip::None],
        false => &[armv6m::Skip::None, armv6m::Skip::Each],
        true => &[armv6m::Skip::None, armv6m::Skip::Each, armv6m::Skip::Words],
    };
    let forms = armv6m::GemmPacked::forms(layer.gemm, layer.x.quant.limits());
    let best = |form| {
        let kernel = |&skip| armv6m::GemmPacked::new(layer.gemm, form, layer.y.layout != Layout::Plain, skip, time);
        let kernels = skips.iter().map(kernel).map(|kernel| (kernel.mean(&layer.seen), kernel));
        let (mean, kernel) = kernels.min_by(|a, b| a.0.total_cmp(&b.0))?;
        let (flash, bits) = (kernel.flash(), kernel.bits());
        Some((Arc::new(kernel) as Arc<dyn Kernel>, mean, flash, bits))
    };
    forms.into_iter().filter_map(best).collect()
}

/// How far the time of a layer's results may depend on the data, and whether that of its products may.
fn time(layer: &Layer, target: Target) -> (armv6m::Time, bool) {
    let time = match target.constant_time {
        true => armv6m::Time::Constant,
        false if smallest(layer.y) => armv6m::Time::Relu,
        false => armv6m::Time::Branches,
    };
    (time, !target.constant_time && smallest(layer.x))
}

/// Whether a byte is 0 where the integer stands for zero.
fn smallest(value: &Value) -> bool {
    value.quant.zero_point == Type::I8.limits().0
}

/// The kernel of a layer whose operand has a layout, with the fewest instructions in the mean.
fn gemm(layer: &Layer, x: Layout, target: Target) -> armv6m::Gemm {
    let (time, varies) = time(layer, target);
    let (first, others) = match layer.gemm.inputs.is_multiple_of(4) {
        _ if x == Layout::List => (armv6m::Skip::List, &[][..]),
        _ if !varies => (armv6m::Skip::None, &[][..]),
        false => (armv6m::Skip::None, &[armv6m::Skip::Each][..]),
        true => (armv6m::Skip::None, &[armv6m::Skip::Each, armv6m::Skip::Words][..]),
    };
    let kernel = |skip| armv6m::Gemm::new(layer.gemm, layer.y.layout != Layout::Plain, skip, time);
    others.iter().fold(kernel(first), |best, &skip| {
        let other = kernel(skip);
        if other.mean(&layer.seen) < best.mean(&layer.seen) { other } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Core, tests};
    use super::*;
    use crate::plan::cost::Seen;
    use crate::plan::kernels::Buffer;
    use crate::quantize::format::Format;
    use proptest::prelude::*;
    use tinymlp::arch::armv6m::list_words;

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

    proptest! {
        #[test]
        fn lists_give_the_same(case in tests::cases(8, 4), inputs in 1..=6usize, outputs in 1..=5usize, common: bool) {
            // A larger layer of the case's numbers: lists are for multiples of eight.
            let mut case = tests::short(case, common);
            let (inputs, outputs) = (8 * inputs, 8 * outputs);
            let gemm = &mut case.gemm;
            (gemm.inputs, gemm.outputs, gemm.limits.zero_point) = (inputs, outputs, -128);
            gemm.weight = gemm.weight.iter().copied().cycle().take(inputs * outputs).collect();
            gemm.bias = gemm.bias.iter().copied().cycle().take(outputs).collect();
            gemm.multiplier = gemm.multiplier.iter().copied().cycle().take(outputs).collect();
            case.x_zero_point = -128;
            case.x = case.x.iter().copied().cycle().take(2 * inputs).collect();
            let (x, y) = (tests::value(inputs, -128), tests::value(outputs, -128));
            let layer = Layer { gemm: &case.gemm, sums: false, x: &x, y: &y, seen: Default::default() };
            prop_assume!(Armv6m.takes(&layer));
            let target = Target { core: Core::Armv6m, mode: Mode::Speed, constant_time: false };
            let (mut list, mut found) = (Buffer::Words(vec![!0; 2 * list_words(inputs)]), Buffer::new(Type::I8, 2 * outputs));
            armv6m::List { rows: 2, elements: inputs }.run(&[&Buffer::I8(case.x.clone())], &mut list);
            super::gemm(&layer, Layout::List, target).run(&[&list], &mut found);
            prop_assert_eq!(found.integers(), tests::results(&case.gemm, &case));
        }
    }

    proptest! {
        /// Every packed kernel of a layer, whether it would be chosen or not, bit for bit; also with a power of two as
        /// multiplier, and with results of fewer bits.
        #[test]
        fn packed_weights_give_the_same(
            case in tests::cases(40, 40), bits in 0..4usize, shift: Option<bool>, narrow: bool, few: bool, relu: [bool; 2],
        ) {
            let mut case = tests::short(case, true);
            if bits == 3 {
                case = tests::of_format(case, Format::PowerOfTwo);
            }
            let gemm = &mut case.gemm;
            for w in &mut gemm.weight {
                *w = match bits { 0 => w.signum(), 1 => *w / 16, _ => *w };
            }
            if let Some(small) = shift {
                gemm.multiplier.fill(if small { 1 << 20 } else { 1 << 30 });
            }
            if relu[0] {
                (case.x_zero_point, gemm.limits.zero_point) = (-128, -128);
            }
            if few && shift.is_some() {
                gemm.limits.max = -113;
            }
            if narrow {
                // Biases that leave the sums as near as possible to both ends of 16 bits.
                gemm.bias.fill(0);
                for o in 0..gemm.outputs {
                    let (low, high) = gemm.sums(o, Type::I8.limits());
                    let (low, high) = (i64::from(i16::MIN) - low, i64::from(i16::MAX) - 8192 - high);
                    gemm.bias[o] = if o % 2 == 0 { low } else { high } as i32;
                }
            }
            let (x, y) = (tests::value(gemm.inputs, case.x_zero_point), tests::value(gemm.outputs, gemm.limits.zero_point));
            let expected = tests::results(&case.gemm, &case);
            // Nothing seen, so that no zero is skipped, and nothing but zeros, so that all are.
            let zeros = [vec![false; case.gemm.inputs]];
            let seen = [Seen::default(), Seen { nonzero: &zeros, ..Seen::default() }];
            for (constant_time, seen) in [(false, seen[0]), (false, seen[1]), (true, seen[0])] {
                let target = Target { core: Core::Armv6m, mode: Mode::Size, constant_time };
                for packs in [false, true] {
                    let y = Value { layout: if packs { Layout::Words(BYTES) } else { Layout::Plain }, ..y.clone() };
                    let layer = Layer { gemm: &case.gemm, x: &x, y: &y, sums: false, seen };
                    let mut words = Buffer::Words(vec![!0; 2 * BYTES.words(case.gemm.inputs)]);
                    armv6m::Offset { rows: 2, elements: case.gemm.inputs }.run(&[&Buffer::I8(case.x.clone())], &mut words);
                    for (kernel, ..) in packed(&layer, target) {
                        let found = if packs {
                            let mut found = Buffer::Words(vec![!0; y.bytes() / 4]);
                            kernel.run(&[&words], &mut found);
                            let Buffer::Words(found) = found else { unreachable!() };
                            found.chunks_exact(BYTES.words(case.gemm.outputs))
                                .flat_map(|row| BYTES.unpack(row, case.gemm.outputs)).collect()
                        } else {
                            let mut found = Buffer::new(Type::I8, 2 * case.gemm.outputs);
                            kernel.run(&[&words], &mut found);
                            found.integers()
                        };
                        prop_assert_eq!(&found, &expected, "{:?}", kernel);
                    }
                }
            }
        }
    }

    proptest! {
        /// Pairs of rows, whether they would be chosen or not.
        #[test]
        fn pairs_give_the_same(case in tests::cases(40, 12), common: bool, constant_time: bool) {
            let case = tests::short(case, common);
            let (x, y) = (tests::value(case.gemm.inputs, 0), tests::value(case.gemm.outputs, 0));
            let layer = Layer { gemm: &case.gemm, sums: false, x: &x, y: &y, seen: Default::default() };
            let target = Target { core: Core::Armv6m, mode: Mode::Speed, constant_time };
            let kernel = super::pairs(&layer, target);
            prop_assume!(kernel.is_some());
            let mut words = Buffer::Words(vec![!0; 2 * Layout::Pairs.words(case.gemm.inputs)]);
            armv6m::Pairs { rows: 2, elements: case.gemm.inputs }.run(&[&Buffer::I8(case.x.clone())], &mut words);
            let Buffer::Words(found) = &words else { unreachable!() };
            let unpacked = Layout::Pairs.unpack(found, case.gemm.inputs);
            prop_assert!(unpacked.into_iter().eq(case.x.iter().map(|&x| i32::from(x))));
            let mut found = Buffer::new(Type::I8, 2 * case.gemm.outputs);
            kernel.unwrap().run(&[&words], &mut found);
            prop_assert_eq!(found.integers(), tests::results(&case.gemm, &case));
        }
    }

    #[test]
    fn two_sums_share_a_register_up_to_16_bits() {
        let forms = |weight: i8, bias: i32| {
            let mut case = tests::case(128, 2, |_| false);
            case.gemm.weight.fill(weight);
            case.gemm.bias.fill(bias);
            let forms = armv6m::GemmPacked::forms(&case.gemm, Type::I8.limits());
            forms.iter().map(|form| (form.bits, form.pairs)).collect::<Vec<_>>()
        };
        // 128 inputs reach from -16384 to 16256.
        assert_eq!(forms(1, 16_511), [(2, false), (8, false), (2, true), (16, true)]);
        assert_eq!(forms(1, 16_512), [(2, false), (8, false)]);
        assert_eq!(forms(1, -16_384), [(2, false), (8, false), (2, true), (16, true)]);
        assert_eq!(forms(1, -16_385), [(2, false), (8, false)]);
        assert_eq!(forms(7, 0), [(4, false), (8, false)]);
        assert_eq!(forms(8, 0), [(4, false), (8, false)]);
        assert_eq!(forms(9, 0), [(8, false)]);
    }

    #[test]
    fn lists_are_for_speed_where_several_groups_read_them() {
        let ops = |inputs, outputs, mode, constant_time| {
            let case = tests::case(inputs, outputs, |k| k % 2 == 0);
            let target = Target { core: Core::Armv6m, mode, constant_time };
            tests::ops(&tests::compare(&Armv6m, &case, target))
        };
        assert!(ops(64, 32, Mode::Speed, false).contains("List"));
        for (inputs, outputs, mode, constant_time) in [
            (64, 32, Mode::Speed, true),
            (64, 32, Mode::Balanced, false),
            (64, 33, Mode::Speed, false),
            (64, 8, Mode::Speed, false),
            (68, 32, Mode::Speed, false),
            (136, 32, Mode::Speed, false),
        ] {
            assert!(!ops(inputs, outputs, mode, constant_time).contains("List"), "{inputs} {outputs} {mode}");
        }
        // Nothing but zeros.
        let case = tests::case(64, 32, |_| true);
        let target = Target { core: Core::Armv6m, mode: Mode::Speed, constant_time: false };
        assert!(!tests::compare(&Armv6m, &case, target).is_empty());
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
