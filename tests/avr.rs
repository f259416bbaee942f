//! Modules for AVR: on the host they compute what the portable plan does, from the same constants as on the target.

use std::path::Path;
use std::process::Command;

use tinymlp_codegen::plan::simulate::{Simulator, quantize};
use tinymlp_codegen::{Compiled, Core, Mode};
use tinymlp_tests::models::{Fixture, exported, made, not_run, trained};
use tinymlp_tests::program::{Program, simulated, text, there_and_back};
use tinymlp_tests::project::{Project, succeed};

const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// Every model that compiles, in one of the modes, and for the portable kernels.
fn cases() -> Vec<(Fixture, Compiled, Compiled)> {
    let compile = |(k, fixture): (usize, Fixture)| {
        let mode = [Mode::Size, Mode::Balanced, Mode::Speed][k % 3];
        let portable = fixture.builder().compile().ok()?;
        let builder = fixture.builder().target(Core::Avr).mode(mode);
        let builder = if k % 2 == 0 { builder } else { builder.constant_time() };
        let avr = builder.compile().unwrap_or_else(|e| panic!("{}: {e}", fixture.name));
        Some((fixture, portable, avr))
    };
    let made = made(&Path::new(TEMPORARY).join("avr-models"));
    trained().into_iter().chain(exported()).chain(made).enumerate().filter_map(compile).collect()
}

#[test]
fn modules_for_avr_equal_portable_ones() {
    let cases = cases();
    let mut program = Program::new(Project::new(TEMPORARY, "avr", ""));
    let (mut expected, mut layers, mut portable_layers) = (Vec::new(), 0, Vec::new());
    let (formatted, mut files) = (Project::new(TEMPORARY, "avr-formatted", ""), Vec::new());
    for (k, (fixture, portable, avr)) in cases.iter().enumerate() {
        for step in &avr.plan.steps {
            match (step.kernel.op(), step.kernel.module()) {
                (_, "arch::avr") => layers += 1,
                ("Gemm", _) => portable_layers.push(format!("{}: {}", fixture.name, step.name)),
                _ => {}
            }
        }
        // Every constant that only `lpm` reads is in program memory, and none besides.
        let source = text(&avr.module);
        let flash = "#[cfg_attr(target_arch = \"avr\", unsafe(link_section = \".progmem.data\"))]\nstatic ";
        assert_eq!(source.matches(flash).count(), source.matches(": avr::").count(), "{}", fixture.name);
        assert_eq!(source.matches("progmem").count(), source.matches(flash).count(), "{}", fixture.name);
        let rows = fixture.rows(&portable.graph);
        let mut simulator = Simulator::new(&portable.plan);
        let mut inputs = Vec::new();
        expected.push(there_and_back(rows.len(), |row| {
            let plan = &portable.plan;
            let x: Vec<_> = plan.inputs.iter().zip(rows.row(row)).map(|(i, x)| quantize(plan, i, x)).collect();
            inputs.extend(x.iter().flat_map(|x| x.bytes()));
            simulated(portable, &mut simulator, &x)
        }));
        program.add(&avr.module, false, &inputs);
        let file = format!("src/{k}.rs");
        formatted.write(&file, source);
        files.push(file);
    }
    assert!(layers > 100, "{layers} layers with kernels of AVR");
    // Products that leave 24 bits or multipliers of more than 16 are rare.
    assert!(portable_layers.len() * 20 < layers, "{layers} layers, and {portable_layers:#?}");
    for (((fixture, ..), expected), found) in cases.iter().zip(expected).zip(program.run()) {
        assert!(found.rows == expected, "{}", fixture.name);
    }
    if Command::new("rustfmt").arg("--version").output().is_err() {
        return not_run("rustfmt is not installed", "REQUIRE_TOOLS");
    }
    let mut rustfmt = Command::new("rustfmt");
    succeed(rustfmt.current_dir(&formatted.folder).args(["--check", "--edition", "2024"]).args(&files));
}
