//! Cortex-M0, M0+, M23, M3: unsigned bytes behind their sum.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::kernels::{Kernel, armv6m};
use crate::plan::layout::{Layout, Packing};
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

    fn operand(&self, layer: &Layer, target: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        if layer.x.layout != Layout::Plain {
            return (layer.x.layout, None);
        }
        let (rows, elements) = (layer.gemm.rows, layer.gemm.inputs);
        let offset = armv6m::Offset { rows, elements };
        // Whether the layer saves with a list what the list costs.
        let skips = !target.constant_time && smallest(layer.x);
        if skips && target.mode == Mode::Speed && elements <= LISTED && armv6m::Gemm::lists(layer.gemm) {
            let list = armv6m::List { rows, elements };
            let bytes = [&offset as &dyn Kernel, &gemm(layer, Layout::Words(BYTES), target)];
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

    fn sorts(&self) -> bool {
        true
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        Arc::new(gemm(layer, layer.x.layout, target))
    }
}

/// Whether a byte is 0 where the integer stands for zero.
fn smallest(value: &Value) -> bool {
    value.quant.zero_point == Type::I8.limits().0
}

/// The kernel of a layer whose operand has a layout, with the fewest instructions in the mean.
fn gemm(layer: &Layer, x: Layout, target: Target) -> armv6m::Gemm {
    let time = match target.constant_time {
        true => armv6m::Time::Constant,
        false if smallest(layer.y) => armv6m::Time::Relu,
        false => armv6m::Time::Branches,
    };
    let varies = !target.constant_time && smallest(layer.x);
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
    use crate::plan::kernels::Buffer;
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
