//! Real inputs and outputs: the conversions that modules bring, run as compiled, against the host simulation and
//! against exact arithmetic, up to the ends of the number types.

use std::collections::BTreeSet;
use std::path::Path;

use tinymlp_codegen::plan::kernels::Buffer;
use tinymlp_codegen::plan::simulate::{Simulator, quantize};
use tinymlp_codegen::plan::{Input, Plan, Type};
use tinymlp_codegen::{Compiled, Io};
use tinymlp_tests::models::{Fixture, exported, made, trained};
use tinymlp_tests::program::Program;
use tinymlp_tests::project::Project;

const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// Trained models (two have scales by feature), and one exported model for every number and shape of inputs and outputs.
fn fixtures(folder: &str) -> Vec<Fixture> {
    let mut seen = BTreeSet::new();
    let exported = exported().into_iter().filter(|f| {
        let ports = f.builder().graph().map(|g| {
            let ports = g.inputs.iter().chain(g.outputs.iter().map(|o| &o.tensor));
            ports.map(|&t| (g.tensors[t].shape.clone(), g.tensors[t].batched)).collect::<Vec<_>>()
        });
        ports.is_ok_and(|ports| seen.insert(ports))
    });
    trained().into_iter().chain(exported).chain(made(&Path::new(TEMPORARY).join(folder))).collect()
}

/// All fixtures with `io`, in both types of activations; what is refused must name `io`.
fn compiled(fixtures: &[Fixture], io: &str) -> Vec<(String, Compiled, Fixture)> {
    let format: Io = io.parse().expect("a type");
    let mut all = Vec::new();
    for fixture in fixtures {
        for int16 in [false, true] {
            let builder = if int16 { fixture.builder().int16("all") } else { fixture.builder() };
            let name = format!("{} with {io}{}", fixture.name, if int16 { " and int16" } else { "" });
            match builder.clone().io(format).compile() {
                Ok(compiled) => all.push((name, compiled, fixture.clone())),
                Err(error) if builder.compile().is_ok() => {
                    let text = error.to_string();
                    let named = text.contains(io) && (text.contains("input '") || text.contains("output '"));
                    assert!(named && text.contains("help:"), "{name}: {text}");
                }
                Err(_) => {}
            }
        }
    }
    all
}

/// What one row of a module's results holds.
struct Row {
    inputs: Vec<Vec<i32>>,
    outputs: Vec<Vec<i32>>,
    /// The bytes of the real outputs.
    real: Vec<Vec<u8>>,
}

/// The rows of a module's results, whose real numbers have `width` bytes.
fn rows(plan: &Plan, width: usize, mut bytes: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        let mut take = |n: usize| bytes.split_off(..n).expect("a whole row");
        let value = |v: usize| &plan.values[v];
        let mut next = |v: usize| integers(take(value(v).bytes()), value(v).quant.ty);
        let inputs = plan.inputs.iter().map(|i| next(i.value)).collect();
        let outputs = plan.outputs.iter().map(|o| next(o.value)).collect();
        let real = plan.outputs.iter().filter(|o| value(o.value).quant.ty != Type::U16);
        let real = real.map(|o| take(value(o.value).len() * width).to_vec()).collect();
        rows.push(Row { inputs, outputs, real });
    }
    rows
}

fn integers(bytes: &[u8], ty: Type) -> Vec<i32> {
    match ty {
        Type::I8 => bytes.iter().map(|&b| i32::from(b as i8)).collect(),
        Type::I16 => bytes.as_chunks().0.iter().map(|&b| i16::from_le_bytes(b).into()).collect(),
        Type::I32 => unreachable!("no output of a model"),
        Type::U16 => bytes.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b).into()).collect(),
    }
}

fn buffer(integers: &[i32], ty: Type) -> Buffer {
    match ty {
        Type::I8 => Buffer::I8(integers.iter().map(|&q| q as i8).collect()),
        Type::I16 => Buffer::I16(integers.iter().map(|&q| q as i16).collect()),
        Type::I32 => unreachable!("no input of a model"),
        Type::U16 => Buffer::U16(integers.iter().map(|&q| q as u16).collect()),
    }
}

/// The real size of a step and the real number of the zero point, for element `k` of an input.
fn scale_and_offset(plan: &Plan, input: &Input, k: usize) -> (f64, f64) {
    match &input.features {
        Some(f) => (f.scale[k % f.scale.len()], f.offset[k % f.scale.len()]),
        None => (plan.values[input.value].quant.scale, 0.0),
    }
}

/// The exact quantized value before rounding: saturated; the zero point for not-a-number.
fn exact(plan: &Plan, input: &Input, k: usize, x: f64) -> f64 {
    let quant = plan.values[input.value].quant;
    let (scale, offset) = scale_and_offset(plan, input, k);
    let (low, high) = quant.limits();
    let q = (x - offset) / scale + f64::from(quant.zero_point);
    if q.is_nan() { quant.zero_point.into() } else { q.clamp(low.into(), high.into()) }
}

/// Runs each model on the rows of its fixture and on rows full of each of the `extremes`; `number` is what the modules
/// read for a value of the fixture. Gives the rows read, by model, input and element, beside the results.
#[expect(clippy::type_complexity, reason = "one use")]
fn run<T: Copy>(
    project: &str,
    models: &[(String, Compiled, Fixture)],
    extremes: &[T],
    number: &dyn Fn(f32) -> T,
    bytes: &dyn Fn(T) -> Vec<u8>,
) -> Vec<(Vec<Vec<Vec<T>>>, Vec<Row>)> {
    let mut program = Program::new(Project::new(TEMPORARY, project, "\"float\", \"fixed\""));
    let mut given = Vec::new();
    for (_, compiled, fixture) in models {
        let rows = fixture.rows(&compiled.graph);
        let mut inputs: Vec<Vec<Vec<T>>> = (0..rows.len().min(20))
            .map(|r| rows.row(r).iter().map(|x| x.iter().map(|&v| number(v)).collect()).collect())
            .collect();
        for &extreme in extremes {
            inputs.push(inputs[0].iter().map(|x| vec![extreme; x.len()]).collect());
        }
        let flat: Vec<u8> = inputs.iter().flatten().flatten().flat_map(|&v| bytes(v)).collect();
        program.add(&compiled.module, true, &flat);
        given.push(inputs);
    }
    let width = bytes(extremes[0]).len();
    let results = program.run();
    let mut all = Vec::new();
    for ((given, results), (name, compiled, _)) in given.into_iter().zip(results).zip(models) {
        let plan = &compiled.plan;
        let rows = rows(plan, width, &results.rows);
        assert_eq!(rows.len(), 2 * given.len(), "{name}");
        // The network itself, from the inputs that the module quantized.
        let mut simulator = Simulator::new(plan);
        for row in &rows {
            let value = |v: usize| &plan.values[v];
            let x: Vec<_> =
                plan.inputs.iter().zip(&row.inputs).map(|(i, q)| buffer(q, value(i.value).quant.ty)).collect();
            simulator.run(&x);
            for (output, found) in plan.outputs.iter().zip(&row.outputs) {
                assert_eq!(&simulator.value(output.value).integers(), found, "{name}");
            }
        }
        all.push((given, rows));
    }
    all
}

#[test]
fn f32_inputs_and_outputs() {
    let models = compiled(&fixtures("f32-models"), "f32");
    let extremes = [
        0.0,
        -0.0,
        1.0,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MIN_POSITIVE,
        1e-42,
        -1e-42,
    ];
    let results = run("f32", &models, &extremes, &|v| v, &|v: f32| v.to_le_bytes().into());
    for ((name, compiled, _), (given, rows)) in models.iter().zip(results) {
        let plan = &compiled.plan;
        for (given, row) in given.iter().zip(&rows) {
            for ((input, x), found) in plan.inputs.iter().zip(given).zip(&row.inputs) {
                assert_eq!(&quantize(plan, input, x).integers(), found, "{name}: {x:?}");
                for (k, (&x, &q)) in x.iter().zip(found).enumerate() {
                    let exact = exact(plan, input, k, x.into());
                    // Half a step, and what single precision adds to it.
                    let (scale, offset) = scale_and_offset(plan, input, k);
                    let slack =
                        0.5 + f64::from(f32::EPSILON) * (2.0 * exact.abs() + 300.0 + 2.0 * (offset / scale).abs());
                    assert!((f64::from(q) - exact).abs() <= slack, "{name}: {x} gives {q}, exactly {exact}");
                }
            }
            let outputs = plan.outputs.iter().zip(&row.outputs);
            let real = outputs.filter(|(o, _)| plan.values[o.value].quant.ty != Type::U16);
            for ((output, q), real) in real.zip(&row.real) {
                let quant = plan.values[output.value].quant;
                for (&q, &real) in q.iter().zip(real.as_chunks().0) {
                    let (real, exact) = (f32::from_le_bytes(real), quant.real(q));
                    assert!(
                        (f64::from(real) - exact).abs() <= exact.abs() * f64::from(f32::EPSILON),
                        "{name}: {q} gives {real}, exactly {exact}"
                    );
                }
            }
        }
    }
}

#[test]
fn fixed_point_inputs_and_outputs() {
    let fixtures = fixtures("fixed-models");
    for (integer, fraction) in [(16, 16), (24, 8), (8, 24), (8, 8), (4, 4)] {
        let format = format!("I{integer}F{fraction}");
        let models = compiled(&fixtures, &format);
        let bits = integer + fraction;
        let one = 2f64.powi(fraction);
        let (least, greatest) = (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1);
        // As `Fixed::saturating_from_num` gives it.
        let number = |v: f32| ((f64::from(v) * one).round_ties_even() as i64).clamp(least, greatest);
        let extremes = [least, least + 1, greatest, greatest - 1, 0, 1, -1];
        let width = bits as usize / 8;
        let results = run(&format.to_lowercase(), &models, &extremes, &number, &|v| v.to_le_bytes()[..width].to_vec());
        println!("{} models take {format}", models.len());
        assert!(models.len() > 2 * 5, "{} models take {format}", models.len());
        for ((name, compiled, _), (given, rows)) in models.iter().zip(results) {
            let plan = &compiled.plan;
            for (given, row) in given.iter().zip(&rows) {
                for ((input, x), found) in plan.inputs.iter().zip(given).zip(&row.inputs) {
                    for (k, (&x, &q)) in x.iter().zip(found).enumerate() {
                        let exact = exact(plan, input, k, x as f64 / one);
                        let (scale, offset) = scale_and_offset(plan, input, k);
                        // Half a step; an offset that the type cannot hold exactly adds up to half a bit's worth.
                        let slack = 0.5 + if offset == 0.0 { 0.01 } else { 0.5 / (scale.abs() * one) + 0.01 };
                        let slack = slack.max(1.0);
                        assert!((f64::from(q) - exact).abs() <= slack, "{name}: {x} gives {q}, exactly {exact}");
                    }
                }
                let outputs = plan.outputs.iter().zip(&row.outputs);
                let real = outputs.filter(|(o, _)| plan.values[o.value].quant.ty != Type::U16);
                for ((output, q), real) in real.zip(&row.real) {
                    let quant = plan.values[output.value].quant;
                    for (&q, real) in q.iter().zip(real.chunks_exact(width)) {
                        let mut wide = [if real[width - 1] & 0x80 == 0 { 0 } else { 0xff }; 8];
                        wide[..width].copy_from_slice(real);
                        let found = i64::from_le_bytes(wide) as f64;
                        let exact = (quant.real(q) * one).clamp(least as f64, greatest as f64);
                        assert!((found - exact).abs() <= 1.0, "{name}: {q} gives {found} / {one}, exactly {exact}");
                    }
                }
            }
        }
    }
}

#[test]
fn types_that_cannot_hold_a_port_are_refused() {
    // Inputs of up to 4254.
    let wdbc = trained().remove(1);
    for format in ["I8F8", "I4F4", "I8F24"] {
        let error = wdbc.builder().io(format.parse().expect("a type")).compile().map(|_| ()).expect_err(format);
        let text = error.to_string();
        assert!(text.contains("input 'x'") && text.contains(format), "{text}");
    }
}
