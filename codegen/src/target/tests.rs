//! What the tests of all targets share: random layers, and the portable kernel to compare with.

use super::{Core, Mode, Target};
use crate::plan::kernels::{Buffer, Gemm, Kernel, Limits};
use crate::plan::{Place, Quant, Type, Value};
use proptest::prelude::*;

/// A layer, its input's zero point, and two rows of inputs of which many are that zero.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) gemm: Gemm,
    pub(super) x_zero_point: i32,
    pub(super) x: Vec<i8>,
}

/// Values with the extremes as often as all others together.
fn extremes(low: i32, high: i32) -> impl Strategy<Value = i32> + Clone {
    prop_oneof![Just(low), Just(high), low..=high, low..=high]
}

fn weight() -> impl Strategy<Value = i8> {
    prop_oneof![Just(0), Just(127), Just(-127), -127..=127i8, -127..=127i8, -10..=10i8]
}

/// Any layer that the portable kernel computes without overflow, of 1..=`inputs` inputs and 1..=`outputs` outputs.
pub(super) fn cases(inputs: usize, outputs: usize) -> impl Strategy<Value = Case> {
    (1..=inputs, 1..=outputs, extremes(-128, 127), extremes(-128, 127)).prop_flat_map(
        |(i, o, x_zero_point, zero_point)| {
            // The sums of products stay below 40 * 127 * 255.
            let bias = prop_oneof![extremes(-(1 << 30), 1 << 30), -100_000..100_000, -1000..1000];
            let multiplier = prop_oneof![extremes(0, i32::MAX), 0..1 << 26, (1..1 << 16i32).prop_map(|m| m << 8)];
            let x = prop_oneof![Just(x_zero_point as i8), any::<i8>(), Just(-128), Just(127)];
            (
                prop::collection::vec(weight(), i * o),
                prop::collection::vec(bias, o),
                prop::collection::vec(multiplier, o),
                prop::collection::vec(x, 2 * i),
            )
                .prop_map(move |(weight, bias, multiplier, x)| {
                    let limits = Limits { ty: Type::I8, zero_point, min: -128, max: 127 };
                    let gemm = Gemm { rows: 2, inputs: i, outputs: o, weight, bias, multiplier, shift: 0, limits };
                    Case { gemm, x_zero_point, x }
                })
        },
    )
}

/// Every target with this core.
pub(super) fn targets(core: Core) -> Vec<Target> {
    let modes = [Mode::Size, Mode::Balanced, Mode::Speed];
    modes.iter().flat_map(|&mode| [false, true].map(|constant_time| Target { core, mode, constant_time })).collect()
}

/// An int8 tensor of two rows.
pub(super) fn value(features: usize, zero_point: i32) -> Value {
    Value {
        name: String::new(),
        shape: vec![2, features],
        quant: Quant { ty: Type::I8, scale: 1.0, zero_point },
        place: Place::Arena(0),
        tensor: 0,
        layout: Default::default(),
        order: None,
        constant: None,
    }
}

/// What a kernel computes of the case's inputs.
pub(super) fn results(kernel: &dyn Kernel, case: &Case) -> Vec<i32> {
    let mut y = Buffer::new(Type::I8, 2 * case.gemm.outputs);
    kernel.run(&[&Buffer::I8(case.x.clone())], &mut y);
    y.integers()
}
