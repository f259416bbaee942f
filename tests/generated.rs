//! What is emitted is what is simulated: every model that can be imported, in int8 and in int16, compiled and run on
//! its own inputs, gives the integers of the host simulation; and what the modules say of themselves is true.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use tinymlp_codegen::plan::simulate::{Simulator, quantize};
use tinymlp_codegen::plan::{Plan, Step, Type};
use tinymlp_codegen::{Builder, Compiled, Core, Emission, Format, Io, Mode, Result, Target};
use tinymlp_tests::models::{Fixture, exported, made, not_run, trained};
use tinymlp_tests::program::{Program, simulated, there_and_back};
use tinymlp_tests::project::{Project, succeed};

const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// How a model is compiled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    Int8,
    Int16,
    /// Int16 activations in every other layer.
    Mixed,
    /// Int8 with the kernels of a target.
    For(Target),
    /// Functions in straight segments and a class from comparators of some bits, in int8 or int16.
    Approximate(Type),
    /// Straight-line code for a core, of layers with weights that are powers of two.
    Bespoke(Core),
    /// Weights of a format, inputs of six bits and the class as the result, with the kernels of a target.
    Packed(Format, Target),
}

struct Case {
    name: String,
    fixture: Fixture,
    variant: Variant,
    compiled: Compiled,
}

/// Everything that compiles, and what does not.
static CASES: LazyLock<(Vec<Case>, Vec<String>)> = LazyLock::new(|| {
    let (mut cases, mut refused) = (Vec::new(), Vec::new());
    let fixtures = trained().into_iter().chain(exported()).chain(made(&Path::new(TEMPORARY).join("generated-models")));
    // Every model for one target, and the trained ones and that with several readers of a value for all.
    let mut targets = targets().into_iter().cycle();
    for (k, fixture) in fixtures.enumerate() {
        let count = if k < trained().len() || ["heads", "packed"].contains(&fixture.name.as_str()) {
            self::targets().len()
        } else {
            1
        };
        let own: Vec<Variant> = targets.by_ref().take(count).map(Variant::For).collect();
        let mut formats = if k < trained().len() { packed() } else { Vec::new() };
        if k < trained().len() {
            formats.extend([Type::I8, Type::I16].map(Variant::Approximate));
        }
        if k < trained().len() || ["tuned", "packed", "x"].contains(&fixture.name.as_str()) {
            formats.extend([Core::Portable, Core::Armv6m, Core::Avr].map(Variant::Bespoke));
        }
        let own = own.into_iter().chain(formats);
        for variant in [Variant::Int8, Variant::Int16, Variant::Mixed].into_iter().chain(own) {
            let name = format!("{} ({variant:?})", fixture.name);
            match builder(&fixture, variant).and_then(|b| b.compile()) {
                Ok(compiled) => cases.push(Case { name, fixture: fixture.clone(), variant, compiled }),
                Err(error) => refused.push(format!("{name}: {error}")),
            }
        }
    }
    (cases, refused)
});

/// Every core in every mode.
fn targets() -> Vec<Target> {
    let modes = [Mode::Size, Mode::Balanced, Mode::Speed].map(|mode| (mode, false));
    let ways = modes.into_iter().chain([(Mode::Balanced, true)]);
    let all = ways.flat_map(|(mode, constant_time)| Core::ALL.map(|core| Target { core, mode, constant_time }));
    all.filter(|target| target.core != Core::Portable).collect()
}

/// Every format for every core.
fn packed() -> Vec<Variant> {
    let formats = [Format::Int4, Format::Ternary, Format::PowerOfTwo, Format::PowerOfTwoNonzero];
    let modes = [Mode::Size, Mode::Balanced, Mode::Speed].into_iter().cycle();
    let all = formats.into_iter().flat_map(|format| Core::ALL.map(|core| (format, core)));
    let target = |(core, mode)| Target {
        core,
        mode: if core == Core::Portable { Mode::default() } else { mode },
        ..Target::default()
    };
    all.zip(modes).map(|((format, core), mode)| Variant::Packed(format, target((core, mode)))).collect()
}

fn builder(fixture: &Fixture, variant: Variant) -> Result<Builder> {
    let builder = fixture.builder();
    match variant {
        Variant::Int8 => Ok(builder),
        Variant::Int16 => Ok(builder.int16("all")),
        Variant::Mixed => Ok(builder.graph()?.nodes.iter().step_by(2).fold(builder, |b, node| b.int16(&node.name))),
        Variant::For(Target { core, mode, constant_time }) => {
            let builder = builder.target(core).mode(mode);
            Ok(if constant_time { builder.constant_time() } else { builder })
        }
        Variant::Approximate(ty) => {
            let file = Path::new(TEMPORARY).join(format!("approximate-{}.json", ty.name()));
            // Half a step of int8 is 128 of int16.
            let error = if ty == Type::I8 { 2 } else { 128 };
            let text = format!(r#"{{"version":1,"activation":{{"max_error":{error}}},"argmax":{{"bits":4}}}}"#);
            std::fs::write(&file, text).expect("a file of quantization");
            let builder = builder.quantization(file).arg_max();
            Ok(if ty == Type::I8 { builder } else { builder.int16("all") })
        }
        Variant::Bespoke(core) => Ok(builder.weights(Format::PowerOfTwo).target(core).emission(Emission::Bespoke)),
        Variant::Packed(format, Target { core, mode, .. }) => {
            Ok(builder.weights(format).input_bits(6).arg_max().target(core).mode(mode))
        }
    }
}

#[test]
fn every_model_compiles_but_products_of_int16_and_what_is_tuned_to_int8() {
    let (cases, refused) = &*CASES;
    let known = |r: &&String| {
        r.contains("multiplies two computed int16")
            || ["tuned", "packed"]
                .iter()
                .any(|name| [" (Int16)", " (Mixed)"].iter().any(|v| r.starts_with(&(name.to_string() + v))))
    };
    assert_eq!(refused.iter().find(|r| !known(r)), None);
    assert!(cases.len() >= 3 * 226, "{} cases; refused: {refused:#?}", cases.len());
    let kernels = |own: bool| -> String {
        let steps = cases.iter().flat_map(|c| &c.compiled.plan.steps);
        // With those that run for every tile.
        let within = |step: &'static Step| step.kernel.tiles().map_or(&[][..], |tiles| &tiles.body.steps);
        let steps = steps.flat_map(|step| within(step).iter().chain([step]));
        let steps = steps.filter(|step| (step.kernel.module() != "kernels") == own);
        let name = |module: &str, op: &str| {
            format!("{}{op}", module.strip_prefix("arch::").map_or(String::new(), |m| format!("{m}::")))
        };
        let names: BTreeSet<String> =
            steps.map(|step| name(step.kernel.module().trim_start_matches("kernels"), step.kernel.op())).collect();
        names.into_iter().collect::<Vec<_>>().join(" ")
    };
    let all = "Add Affine ArgMax ArgMaxBits Columns Concat Div Gemm GemmColumns GemmMasked GemmMaskedSums GemmPacked GemmPackedSums GemmSums Interpolate LayerNormalization LogSoftmax Lookup MatMul Mul PRelu Piecewise ReduceMax ReduceSum Rows Softmax SoftmaxColumns Strided";
    assert_eq!(kernels(false), all, "the models are to have every kernel");
    println!("{}", kernels(true));
}

/// The kernels of a target give what the portable ones do, in every value of the plan.
#[test]
fn every_target_gives_the_same_integers() {
    let mut compared = 0;
    for case in &CASES.0 {
        let variant = match case.variant {
            Variant::For(_) => Variant::Int8,
            Variant::Packed(format, _) => Variant::Packed(format, Target::default()),
            _ => continue,
        };
        let portable = CASES.0.iter().find(|c| c.fixture.name == case.fixture.name && c.variant == variant);
        let portable = portable.expect("every variant for the portable core");
        let [plan, other] = [&case.compiled.plan, &portable.compiled.plan];
        let (mut here, mut there) = (Simulator::new(plan), Simulator::new(other));
        let rows = case.fixture.rows(&case.compiled.graph);
        for row in 0..rows.len() {
            here.run_real(&rows.row(row));
            there.run_real(&rows.row(row));
            // What is made tile by tile on one of them has no value of its own.
            let written = |plan: &Plan, v| plan.steps.iter().any(|step| step.output == v);
            for value in (0..other.values.len()).filter(|&v| written(other, v) && written(plan, v)) {
                assert_eq!(
                    here.integers(value),
                    there.integers(value),
                    "{}: row {row}, {}",
                    case.name,
                    plan.values[value].name
                );
            }
        }
        compared += 1;
    }
    assert!(compared >= 226, "{compared}");
}

/// Straight-line code gives the results that kernels with the same weights do.
#[test]
fn straight_line_code_gives_the_same_results() {
    let (mut compared, mut straight) = (0, 0);
    for case in &CASES.0 {
        let Variant::Bespoke(_) = case.variant else { continue };
        let portable = case.fixture.builder().weights(Format::PowerOfTwo).compile().expect("a model that compiles");
        let [plan, other] = [&case.compiled.plan, &portable.plan];
        straight += plan.steps.iter().filter(|step| step.kernel.op() == "Bespoke").count();
        let (mut here, mut there) = (Simulator::new(plan), Simulator::new(other));
        let rows = case.fixture.rows(&case.compiled.graph);
        for row in 0..rows.len() {
            here.run_real(&rows.row(row));
            there.run_real(&rows.row(row));
            for (a, b) in plan.outputs.iter().zip(&other.outputs) {
                assert_eq!(here.integers(a.value), there.integers(b.value), "{}: row {row}", case.name);
            }
        }
        compared += 1;
    }
    assert_eq!(compared, 21);
    assert!(straight >= compared, "{straight} steps of {compared} models");
}

/// The layers that read a list follow the step that makes it, several or one: nothing else is written meanwhile.
#[test]
fn lists_are_read_at_once() {
    let (mut shared, mut again) = (0, 0);
    for Case { name, compiled, .. } in &CASES.0 {
        let plan = &compiled.plan;
        for (k, made) in plan.steps.iter().enumerate().filter(|(_, s)| plan.values[s.output].layout.is_list()) {
            let reads = |step: &&Step| step.inputs.contains(&made.output);
            let at_once = plan.steps[k + 1..].iter().take_while(reads).count();
            assert_eq!(at_once, plan.steps.iter().filter(reads).count(), "{name}: {}", made.name);
            shared += usize::from(at_once > 1);
            again +=
                plan.steps[..k].iter().filter(|s| s.inputs == made.inputs && s.kernel.op() == made.kernel.op()).count();
        }
    }
    assert!(shared > 0 && again > 0, "{shared} lists for several layers, {again} made again");
}

#[test]
fn modules_compute_what_the_simulation_does() {
    let mut program = Program::new(Project::new(TEMPORARY, "generated", ""));
    let mut expected = Vec::new();
    for case in &CASES.0 {
        let (graph, plan) = (&case.compiled.graph, &case.compiled.plan);
        let rows = case.fixture.rows(graph);
        let mut simulator = Simulator::new(plan);
        let mut inputs = Vec::new();
        expected.push(there_and_back(rows.len(), |row| {
            let x: Vec<_> = plan.inputs.iter().zip(rows.row(row)).map(|(i, x)| quantize(plan, i, x)).collect();
            inputs.extend(x.iter().flat_map(|x| x.bytes()));
            simulated(&case.compiled, &mut simulator, &x)
        }));
        program.add(&case.compiled.module, false, &inputs);
    }
    let mut wrong = Vec::new();
    for ((case, expected), found) in CASES.0.iter().zip(expected).zip(program.run()) {
        let report = &case.compiled.report;
        let sizes = [found.scratch_size, found.scratch_bytes, found.constant_bytes, found.macs].map(u64::from);
        let reported = [report.ram_bytes as u64, report.ram_bytes as u64, report.flash_bytes as u64, report.macs];
        if sizes != reported {
            wrong.push(format!("{}: sizes {sizes:?}, reported {reported:?}", case.name));
        }
        if found.rows != expected {
            let differ = found.rows.iter().zip(&expected).filter(|(a, b)| a != b).count();
            wrong.push(format!("{}: {differ} of {} bytes differ", case.name, expected.len()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), CASES.0.len());
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for case in &CASES.0 {
        let again = builder(&case.fixture, case.variant).and_then(|b| b.compile());
        let again = again.unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert!(again.module == case.compiled.module, "{}", case.name);
        let json = |c: &Compiled| format!("{:?}", c.report);
        assert_eq!(json(&again), json(&case.compiled), "{}", case.name);
    }
}

#[test]
fn modules_are_formatted_in_every_style() {
    if Command::new("rustfmt").arg("--version").output().is_err() {
        return not_run("rustfmt is not installed", "REQUIRE_TOOLS");
    }
    let project = Project::new(TEMPORARY, "formatted", "");
    let mut files = Vec::new();
    for (k, case) in CASES.0.iter().chain(&*CONVERTING).enumerate() {
        let file = format!("src/{k}.rs");
        project.write(&file, &case.compiled.module.files[0].1);
        files.push(file);
    }
    for edition in ["2021", "2024"] {
        let mut rustfmt = Command::new("rustfmt");
        succeed(rustfmt.current_dir(&project.folder).args(["--check", "--edition", edition]).args(&files));
    }
}

/// Models that have all kernels between them, several inputs and outputs, labels and scales by feature, with every way
/// of input and output.
static CONVERTING: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let io = ["f32", "I16F16"].map(|io| io.parse::<Io>().expect("a type"));
    let mut cases = Vec::new();
    let mut kernels = BTreeSet::new();
    for case in &CASES.0 {
        let plan = &case.compiled.plan;
        let special = plan.inputs.len() > 1
            || plan.inputs.iter().any(|i| i.features.is_some() || i.shape.len() != 1)
            || plan.outputs.iter().any(|o| o.labels.is_some() || o.shape.len() != 1);
        // The calls differ by the types of a kernel's operands and results.
        let new = plan
            .steps
            .iter()
            .filter(|s| kernels.insert((s.kernel.op(), plan.types(s).0[0].name(), plan.types(s).1.name())));
        if new.count() > 0 || special {
            for io in io {
                let compiled = builder(&case.fixture, case.variant).and_then(|b| b.io(io).compile());
                let compiled = compiled.unwrap_or_else(|e| panic!("{}: {e}", case.name));
                let name = format!("{} with {io:?}", case.fixture.name);
                cases.push(Case { name, fixture: case.fixture.clone(), variant: case.variant, compiled });
            }
        }
    }
    cases
});

#[test]
fn modules_pass_clippy_and_ask_for_nothing_but_the_runtime() {
    let project = Project::new(TEMPORARY, "linted", "\"float\", \"fixed\"");
    if !project.cargo(&["clippy", "--version"]).output().is_ok_and(|o| o.status.success()) {
        return not_run("clippy is not installed", "REQUIRE_TOOLS");
    }
    // As strict as a careful user's crate.
    let mut library = String::from(
        "//! Generated modules.\n#![no_std]\n#![forbid(unsafe_code)]\n#![deny(warnings, missing_docs, unused, clippy::all)]\n",
    );
    for (k, case) in CONVERTING.iter().enumerate() {
        let module = &case.compiled.module;
        for (name, content) in &module.files {
            project.write(&format!("src/m{k}/{name}"), content);
        }
        library += &format!("/// {}.\npub mod m{k} {{\n    include!(\"m{k}/{}.rs\");\n}}\n", case.name, module.name);
    }
    project.write("src/lib.rs", library);
    succeed(&mut project.cargo(&["clippy", "--quiet", "--", "-D", "warnings"]));
}
