//! What the tests of all targets share: random layers, and the portable kernel to compare with.

use super::{Architecture, Core, Layer, Mode, Target};
use crate::plan::cost::Seen;
use crate::plan::kernels::{
    Add, Along, Buffer, Exponentials, Gemm, GemmColumns, GemmPacked, GemmSums, Kernel, LayerNormalization, Limits,
    Lookup, Mul, ReduceSum, SoftmaxColumns,
};
use crate::plan::layout::{Layout, Packing};
use crate::plan::simulate::Simulator;
use crate::plan::tile::Tiling;
use crate::plan::{Input, Output, Place, Plan, Quant, Step, Type, Value, ValueId};
use crate::quantize::format::Format;
use proptest::prelude::*;
use std::sync::Arc;

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
        quant: Quant::new(Type::I8, 1.0, zero_point),
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

/// The case with numbers that the targets without a wide multiply take: biases of 22 bits, multipliers of 16 significant
/// bits and multiples of 256, with one cut for all where `common`.
pub(super) fn short(mut case: Case, common: bool) -> Case {
    case.gemm.bias.iter_mut().for_each(|b| *b >>= 9);
    let cut = |m: i32| (32 - m.leading_zeros()).saturating_sub(16).max(8);
    let largest = case.gemm.multiplier.iter().copied().max().unwrap_or(0);
    for m in &mut case.gemm.multiplier {
        let cut = cut(if common { largest } else { *m });
        *m = *m >> cut << cut;
    }
    case
}

/// The case with weights of a format, the extreme ones for the extreme ones.
pub(super) fn of_format(mut case: Case, format: Format) -> Case {
    let levels: Vec<i8> = format.levels().collect();
    case.gemm.weight.iter_mut().for_each(|w| *w = levels[(*w as i32 + 127) as usize * (levels.len() - 1) / 254]);
    case
}

/// Formats of fewer than eight bits.
pub(super) fn formats() -> impl Strategy<Value = Format> {
    let packed = Format::ALL.into_iter().filter(|&format| format != Format::Int8);
    prop::sample::select(packed.collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn packed_layers_compute_what_others_do(case in cases(40, 12), format in formats(), shift in 0u32..2) {
        let mut case = of_format(case, format);
        case.gemm.shift = shift;
        case.gemm.bias.iter_mut().for_each(|bias| *bias >>= 1);
        let packed = GemmPacked::new(case.gemm.dense().unwrap()).unwrap();
        prop_assert_eq!(results(&packed, &case), results(&case.gemm, &case));
        let layer = case.gemm.clone();
        let sums = GemmSums { layer };
        let packed = GemmPacked::new(sums.dense().unwrap()).unwrap();
        prop_assert_eq!(sums_of(&packed, &case), sums_of(&sums, &case));
        prop_assert!(packed.constant().bytes() <= sums.constant().bytes());
    }
}

/// The sums that a kernel computes of the case's inputs.
pub(super) fn sums_of(kernel: &dyn Kernel, case: &Case) -> Vec<i32> {
    let mut y = Buffer::new(Type::I32, 2 * case.gemm.outputs);
    kernel.run(&[&Buffer::I8(case.x.clone())], &mut y);
    y.integers()
}

/// Compares what an architecture's kernels make of a case with what the portable kernel does, for operands and results
/// as they are and as they lie between layers. Gives the kernels, none where the layer is not taken.
pub(super) fn compare(architecture: &dyn Architecture, case: &Case, target: Target) -> Vec<Arc<dyn Kernel>> {
    let (inputs, outputs) = (case.gemm.inputs, case.gemm.outputs);
    let expected = results(&case.gemm, case);
    let nonzero: Vec<Vec<bool>> = case
        .x
        .chunks_exact(inputs)
        .map(|row| row.iter().map(|&x| i32::from(x) != case.x_zero_point).collect())
        .collect();
    let seen = Seen { nonzero: &nonzero, ..Seen::default() };
    let packs = {
        let (x, y) = (value(inputs, case.x_zero_point), value(outputs, case.gemm.limits.zero_point));
        architecture.packs(&Layer { gemm: &case.gemm, sums: false, x: &x, y: &y, seen }, target)
    };
    let layouts = if packs { vec![Layout::Plain, architecture.between()] } else { vec![Layout::Plain] };
    let mut kernels = Vec::new();
    for (x_layout, y_layout) in layouts.iter().flat_map(|&x| layouts.iter().map(move |&y| (x, y))) {
        let x = Value { layout: x_layout, ..value(inputs, case.x_zero_point) };
        let y = Value { layout: y_layout, ..value(outputs, case.gemm.limits.zero_point) };
        let layer = Layer { gemm: &case.gemm, sums: false, x: &x, y: &y, seen };
        if !architecture.takes(&layer) {
            return Vec::new();
        }
        let mut operand = match x_layout {
            Layout::Words(packing) => Buffer::Words(pack(&packing, &case.x, inputs)),
            _ => Buffer::I8(case.x.clone()),
        };
        let (layout, conversion) = architecture.operand(&layer, target);
        let made = Value { layout, ..x.clone() };
        if let Some(kernel) = conversion {
            let mut words = Buffer::Words(vec![!0; made.bytes() / 4]);
            kernel.run(&[&operand], &mut words);
            let Buffer::Words(found) = &words else { unreachable!() };
            let found =
                found.chunks_exact(layout.words(inputs) * layout.rows()).flat_map(|row| layout.unpack(row, inputs));
            assert!(found.eq(case.x.iter().map(|&x| i32::from(x))), "{kernel:?} changes its operand");
            operand = words;
            kernels.push(kernel);
        }
        let kernel = architecture.layer(&Layer { x: &made, ..layer }, target);
        let found = match y_layout {
            Layout::Plain => {
                let mut y = Buffer::new(Type::I8, 2 * outputs);
                kernel.run(&[&operand], &mut y);
                y.integers()
            }
            _ => {
                let mut words = Buffer::Words(vec![!0; y.bytes() / 4]);
                kernel.run(&[&operand], &mut words);
                let Buffer::Words(found) = words else { unreachable!() };
                found.chunks_exact(y_layout.words(outputs)).flat_map(|row| y_layout.unpack(row, outputs)).collect()
            }
        };
        assert_eq!(found, expected, "{target:?}, {x_layout:?} to {y_layout:?}, {}", kernel.op());
        kernels.push(kernel);
    }
    kernels
}

/// Rows of words as a layer leaves them; a header is the sum of the lanes.
fn pack(packing: &Packing, x: &[i8], inputs: usize) -> Vec<i32> {
    let lanes = 32 / packing.bits as usize;
    let row = |row: &[i8]| {
        let mut words = vec![0; packing.words(inputs)];
        for (k, &x) in row.iter().enumerate() {
            let (lane, at) = (i32::from(x) + packing.offset, packing.position(k));
            words[packing.header + at / lanes] |= lane << (packing.bits as usize * (at % lanes));
            words[..packing.header].iter_mut().for_each(|sum| *sum += lane);
        }
        words
    };
    x.chunks_exact(inputs).flat_map(row).collect()
}

/// A layer after a ReLU, of whose inputs those are zero that `zero` says.
pub(super) fn case(inputs: usize, outputs: usize, zero: impl Fn(usize) -> bool) -> Case {
    let limits = Limits { ty: Type::I8, zero_point: -128, min: -128, max: 127 };
    let weight = (0..inputs * outputs).map(|k| (k * 37 % 255) as u8 as i8).map(|w| w.max(-127)).collect();
    let multiplier = vec![3_000_064 / 256 * 256; outputs];
    let bias = (0..outputs as i32).map(|o| 1000 * o - 2000).collect();
    let x = (0..2 * inputs).map(|k| if zero(k) { -128 } else { (k * 11 % 200) as i32 as i8 | 1 }).collect();
    Case { gemm: Gemm { rows: 2, inputs, outputs, weight, bias, multiplier, shift: 0, limits }, x_zero_point: -128, x }
}

/// Names of kernels.
pub(super) fn ops(kernels: &[Arc<dyn Kernel>]) -> String {
    kernels.iter().map(|k| k.op()).collect::<Vec<_>>().join(" ")
}

/// A layer of which operands or results are int16, and two rows of inputs.
#[derive(Clone, Debug)]
pub(super) struct WideCase {
    pub(super) gemm: Gemm,
    pub(super) x: Vec<i16>,
    int16: bool,
}

impl WideCase {
    /// Type of the operands.
    pub(super) fn x_type(&self) -> Type {
        if self.int16 { Type::I16 } else { Type::I8 }
    }
}

/// Layers with int16 operands or results whose sums fit 32 bits.
pub(super) fn wide_cases(inputs: usize, outputs: usize) -> impl Strategy<Value = WideCase> {
    let case = |(case, x, y, reach): (Case, bool, bool, Vec<i16>)| {
        let Case { mut gemm, x: bytes, .. } = case;
        let ty = if y { Type::I16 } else { Type::I8 };
        let (min, max) = ty.limits();
        let relu = y && gemm.weight[0] > 0;
        let zero_point = if y { 0 } else { gemm.limits.zero_point };
        gemm.limits = Limits { ty, zero_point, min: if relu { 0 } else { min }, max };
        let wide = bytes.iter().zip(reach.iter().cycle()).map(|(&b, &r)| if x { r } else { b.into() });
        WideCase { x: wide.collect(), gemm, int16: x }
    };
    let reach = prop_oneof![Just(i16::MIN), Just(i16::MAX), any::<i16>(), -300..300i16];
    (cases(inputs, outputs), any::<bool>(), any::<bool>(), prop::collection::vec(reach, 7)).prop_map(case)
}

/// What a kernel computes of the case's inputs.
pub(super) fn wide_results(kernel: &dyn Kernel, case: &WideCase) -> Vec<i32> {
    let integers: Vec<i32> = case.x.iter().map(|&x| x.into()).collect();
    let mut y = Buffer::new(case.gemm.limits.ty, 2 * case.gemm.outputs);
    kernel.run(&[&Buffer::from_integers(case.x_type(), &integers)], &mut y);
    y.integers()
}

#[test]
fn flags_choose_among_the_cores_of_a_triple() {
    let armv8m = "thumbv8m.main-none-eabihf";
    for (triple, flags, core) in [
        (armv8m, "", Core::Armv7em),
        (armv8m, "-Ctarget-cpu=cortex-m33", Core::Armv7em),
        (armv8m, "-Ctarget-cpu=cortex-m55", Core::Helium),
        (armv8m, "-C\u{1f}target-cpu=cortex-m85\u{1f}-Clink-arg=-Tlink.x", Core::Helium),
        (armv8m, "-Ctarget-cpu=cortex-m33\u{1f}-Ctarget-feature=+fp,-dsp", Core::Armv6m),
        (armv8m, "-Ctarget-cpu=something-new", Core::Armv7em),
        ("thumbv7em-none-eabihf", "-Ctarget-cpu=cortex-m7", Core::Armv7em),
        ("x86_64-unknown-linux-gnu", "-Ctarget-cpu=native", Core::Portable),
    ] {
        assert_eq!(Core::of_build(triple, flags), core, "{triple} {flags}");
    }
}

/// Every weight times every activation, on every core in every mode: the bias takes back the product of one row, so that
/// its result shows a deviation of one; the other row leaves the weight.
#[test]
fn every_product_is_exact() {
    let weights: Vec<i8> = (-127..=127).collect();
    for x in -128..127i8 {
        let inputs = 4;
        let mut weight = vec![0; inputs * weights.len()];
        weight.iter_mut().step_by(inputs).zip(&weights).for_each(|(w, &of)| *w = of);
        let bias = weights.iter().map(|&w| -i32::from(w) * i32::from(x)).collect();
        // Nearly 1/2.
        let multiplier = vec![0x7fff_0000; weights.len()];
        let limits = Limits { ty: Type::I8, zero_point: 0, min: -128, max: 127 };
        let outputs = weights.len();
        let gemm = Gemm { rows: 2, inputs, outputs, weight, bias, multiplier, shift: 0, limits };
        let case = Case { gemm, x_zero_point: -128, x: vec![x, -128, -128, -128, x + 1, -128, -128, -128] };
        assert!(results(&case.gemm, &case)[..outputs].iter().all(|&y| y == 0));
        for core in Core::ALL {
            let Some(architecture) = core.architecture() else { continue };
            for target in targets(core) {
                assert!(!compare(architecture, &case, target).is_empty(), "{core} does not take the layer");
            }
        }
    }
}

/// A mixer of `[positions, width]` with one block and attention pooling, whose numbers come from a seed; the result of the
/// block is also a result of the plan where `open`.
fn mixer([positions, width, hidden]: [usize; 3], open: bool, seed: u64) -> Plan {
    let mut state = seed;
    let mut next = |low: i32, high: i32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + ((state >> 33) % (high - low + 1) as u64) as i32
    };
    let limits = Limits { ty: Type::I8, zero_point: 3, min: -128, max: 127 };
    let mut layer = |inputs: usize, outputs: usize| {
        let weight: Vec<i8> = (0..inputs * outputs).map(|_| next(-127, 127) as i8).collect();
        let bias: Vec<i32> = (0..outputs).map(|_| next(-9000, 9000)).collect();
        (weight, bias, (0..outputs).map(|_| next(20_000, 40_000) << 8).collect::<Vec<i32>>())
    };
    let mut rows = |inputs, outputs| {
        let (weight, bias, multiplier) = layer(inputs, outputs);
        Gemm { rows: positions, inputs, outputs, weight, bias, multiplier, shift: 0, limits }
    };
    let channels = [rows(width, hidden), rows(hidden, width), rows(width, width), rows(width, width)];
    let mut columns = |inputs, outputs| {
        let (weight, bias, multiplier) = layer(inputs, outputs);
        GemmColumns { extents: [1, inputs, width], weight, bias, multiplier, shift: 0, limits }
    };
    let tokens = [columns(positions, hidden), columns(hidden, positions)];
    let normalization = LayerNormalization {
        rows: positions,
        epsilon: 77,
        multiplier: (0..width).map(|_| next(20_000_000, 60_000_000)).collect(),
        bias: (0..width).map(|_| next(-9000, 9000)).collect(),
        shift: 8,
        limits,
    };
    let table = |len| Lookup { len, ty: Type::I8, table: (0..256).map(|k| (k * 7 % 256) - 128).collect() };
    let len = positions * width;
    let add = Add { len, multiplier: [40_000, 50_000], offset: 1 << 15, shift: 16, limits };
    let fine = (0..200).map(|d| (65535.0 * (-0.03 * f64::from(d)).exp()).round() as u16).collect();
    let exponentials = Exponentials { fine, coarse: Vec::new() };
    let softmax = SoftmaxColumns {
        extents: [1, positions, width],
        exponentials,
        levels: 256,
        limits: Limits { zero_point: -128, ..limits },
    };
    let product = Mul { len, zero_point: [-128, 3], multiplier: 1 << 28, shift: 0, limits };
    let sum = ReduceSum { extents: [1, positions, width], offset: 0, multiplier: 1 << 29, shift: 0, limits };
    let [first, second, attention, valued] = channels;
    let [mixed, unmixed] = tokens;
    let (whole, wide, tall) = (vec![positions, width], vec![positions, hidden], vec![hidden, width]);
    let mut plan = Plan {
        name: "mixer".into(),
        sha256: String::new(),
        quantization: String::new(),
        target: Target::default(),
        values: vec![Value { place: Place::Input(0), shape: whole.clone(), ..value(width, 3) }],
        steps: Vec::new(),
        inputs: vec![Input { name: "x".into(), value: 0, shape: whole.clone(), features: None }],
        outputs: Vec::new(),
        arena_bytes: 0,
        notes: Vec::new(),
        text: None,
    };
    let mut push = |kernel: Arc<dyn Kernel>, inputs: &[ValueId], shape: &[usize]| {
        let output = plan.values.len();
        plan.values.push(Value { shape: shape.to_vec(), ..value(width, 3) });
        plan.steps.push(Step {
            name: format!("step {output}"),
            origin: kernel.op().into(),
            kernel,
            inputs: inputs.to_vec(),
            output,
            bound: None,
            table_error: None,
            in_place: false,
            scratch: None,
        });
        output
    };
    let n = push(Arc::new(normalization.clone()), &[0], &whole);
    let t = push(Arc::new(mixed), &[n], &tall);
    let t = push(Arc::new(table(hidden * width)), &[t], &tall);
    let t = push(Arc::new(unmixed), &[t], &whole);
    let u = push(Arc::new(add.clone()), &[0, t], &whole);
    let n = push(Arc::new(normalization), &[u], &whole);
    let c = push(Arc::new(first), &[n], &wide);
    let c = push(Arc::new(table(hidden * positions)), &[c], &wide);
    let c = push(Arc::new(second), &[c], &whole);
    let y = push(Arc::new(add), &[u, c], &whole);
    let a = push(Arc::new(attention), &[y], &whole);
    let a = push(Arc::new(softmax), &[a], &whole);
    let v = push(Arc::new(valued), &[y], &whole);
    let p = push(Arc::new(product), &[a, v], &whole);
    let r = push(Arc::new(sum), &[p], &[1, width]);
    for (k, of) in [r, y].into_iter().take(if open { 2 } else { 1 }).enumerate() {
        plan.values[of].place = Place::Output(k);
        let shape = plan.values[of].shape.clone();
        plan.outputs.push(Output { name: format!("y{k}"), value: of, shape, labels: None });
    }
    plan.place_values();
    plan
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Chains that run for a few rows or columns at a time give what their steps do one after the other, with the kernels of
    /// every core.
    #[test]
    fn tiles_give_the_same(
        positions in 2..=9usize, width in 2..=9usize, hidden in 1..=20usize, open: bool, seed: u64, x in prop::collection::vec(any::<i8>(), 81),
    ) {
        let plan = mixer([positions, width, hidden], open, seed);
        let inputs = vec![Buffer::I8(x[..positions * width].to_vec())];
        let mut flat = Simulator::new(&plan);
        flat.run(&inputs);
        for size in 1..=4 {
            let tiled = plan.clone().tiled(Tiling { size, single: size > 1 });
            let mut simulator = Simulator::new(&tiled);
            simulator.run(&inputs);
            for output in &plan.outputs {
                prop_assert_eq!(flat.integers(output.value), simulator.integers(output.value), "size {}", size);
            }
        }
        for core in Core::ALL {
            for target in targets(core) {
                let tiling = core.architecture().map_or(super::PORTABLE_TILING, Architecture::tiling);
                let own = plan.clone().tiled(tiling).with_kernels(target, std::slice::from_ref(&inputs));
                let mut simulator = Simulator::new(&own);
                simulator.run(&inputs);
                for output in &plan.outputs {
                    prop_assert_eq!(flat.integers(output.value), simulator.integers(output.value), "{:?}", target);
                }
            }
        }
    }
}

#[test]
fn what_lies_between_exists_for_a_tile() {
    let [positions, width, hidden] = [32, 64, 256];
    for core in Core::ALL {
        let plan = mixer([positions, width, hidden], true, 1);
        let before = plan.arena_bytes;
        let tiling = core.architecture().map_or(super::PORTABLE_TILING, Architecture::tiling);
        let inputs = vec![Buffer::I8((0..positions * width).map(|k| (k * 37) as u8 as i8).collect())];
        let plan = plan.tiled(tiling).with_kernels(Target { core, ..Target::default() }, &[inputs]);
        let along =
            |along: Along| plan.steps.iter().filter_map(|s| s.kernel.tiles()).filter(|t| t.along == along).count();
        // Tokens and the pooling; channels and, where operands are packed, the two layers of the attention.
        assert_eq!((along(Along::Columns), along(Along::Rows)), (2, if tiling.single { 3 } else { 1 }), "{core}");
        // Two matrices, and a few rows of the hidden layer.
        let most = 2 * positions * width + tiling.size * 8 * hidden;
        assert!(plan.arena_bytes <= most && before > 16_000, "{core}: {} of {before}", plan.arena_bytes);
    }
}
