//! Tests that build firmware, and most of them run it. Where what they need is not installed they say so and pass,
//! but fail with `REQUIRE_EMULATORS=1`, which `cargo xtask test` sets.

use crate::artifact::{self, Artifact, Files};
use crate::bench::{models, variants};
use crate::board::{self, Board};
use crate::elf;
use crate::emulate::{self, Options, Report};
use crate::error::Result;
use crate::firmware::{self, Content, Opt};
use crate::fixture;
use crate::setup;
use crate::workspace::{self, RunFolder};
use std::env;
use std::io::Write;
use std::time::Duration;
use tinymlp_codegen::{Builder, Core, Emission, Format, Mode};

/// Cores with a floating-point unit, for which the compiler calls no helper.
const HAVE_FLOATS: [&str; 3] = ["cortex-m4f", "cortex-m33", "cortex-m55"];

/// Boards whose straight-line code is predicted within a tenth.
const PREDICTED: [&str; 3] = ["microbit", "mps2-an386", "riscv32ec"];

/// Boards on which the time of mixers is predicted within a tenth.
const MIXERS: [&str; 3] = ["microbit", "mps2-an386", "riscv32imc"];

/// Cores that multiply 32-bit numbers in software.
const MULTIPLY_SLOWLY: [&str; 2] = ["rv32ec", "avr"];
/// Bytes of RAM of boards that are too small for some of the tests, which then say that they did not run.
const SMALL: u64 = 2048;

/// Whether a test can run here.
pub(crate) fn ready(test: &str, requirement: Result<()>) -> bool {
    let Err(missing) = requirement else { return true };
    assert!(env::var_os("REQUIRE_EMULATORS").is_none_or(|value| value != "1"), "{missing}");
    not_run(test, &missing.to_string());
    false
}

/// Says so. Not eprintln!, which a passing test would swallow.
pub(crate) fn not_run(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {test}: {why}");
}

fn boards() -> Vec<Board> {
    board::representative().unwrap()
}

/// A report; none, and a line that says so, where the board is too small for the model.
fn emulate(test: &str, board: &Board, artifact: &Artifact, opt: Opt) -> Option<Report> {
    match emulate::run(board, artifact, Options { opt, limit: Duration::from_secs(120) }) {
        Ok(report) => Some(report),
        Err(error) if board.ram.bytes <= SMALL && error.to_string().contains("does not fit") => {
            let error = error.to_string();
            not_run(test, error.lines().next().unwrap_or_default());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn two_layers_equal_the_host_and_are_clean() {
    for board in boards() {
        if !ready("two layers", setup::require(&board)) {
            continue;
        }
        for opt in [Opt::Speed, Opt::Size] {
            let artifact = fixture::named("two-layers", 50).unwrap();
            let Some(report) = emulate("two layers", &board, &artifact, opt) else { continue };
            report.verdict().unwrap();
            assert!(report.bit_exact && report.rows == 50);
            // 2368 weights and 42 biases and multipliers of 4 bytes, and some code.
            assert!((2704..6000).contains(&report.flash_bytes), "{report:?}");
            assert_eq!(report.ram_bytes, 32, "{report:?}");
            assert_eq!(report.scratch_bytes, 32, "{report:?}");
            let most = if MULTIPLY_SLOWLY.contains(&board.core.as_str()) { 250 } else { 12 };
            // A vector has 16 products.
            let least = if board.core == "cortex-m55" { 2368 / 16 } else { 2368 };
            assert!((least..most * 2368).contains(&report.instructions_max), "{report:?}");
            assert!((8..1000).contains(&report.stack_bytes), "{report:?}");
        }
    }
}

#[test]
fn shipped_models_equal_the_host_and_are_clean() {
    for board in boards() {
        if !ready("shipped models", setup::require(&board)) {
            continue;
        }
        let mut ran = Vec::new();
        for (name, int16) in [("digits", None), ("wdbc", None), ("wine", None), ("wine", Some("all"))] {
            let simulated = artifact::simulate(&shipped(name), |b| int16.into_iter().fold(b, |b, l| b.int16(l)), None);
            let artifact = simulated.unwrap().artifact;
            let report = emulate(name, &board, &artifact, Opt::Speed);
            artifact::discard(&artifact).unwrap();
            let Some(report) = report else { continue };
            ran.push(name);
            report.verdict().unwrap();
            assert!(report.bit_exact && report.rows == artifact.rows);
            if board.core == "avr" {
                // Its constants are copied to RAM, where only loads find them.
                assert!(report.ram_bytes >= i64::from(report.scratch_bytes), "{report:?}");
            } else {
                // The report, the type and the ELF agree on RAM.
                assert_eq!(report.ram_bytes, i64::from(report.scratch_bytes), "{report:?}");
            }
            if name == "digits" && board.name == "mps2-an386" {
                assert!(report.flash_bytes <= 6000, "{report:?}");
                assert!(report.ram_bytes + i64::from(report.stack_bytes) <= 400, "{report:?}");
            }
        }
        assert!(ran.contains(&"wdbc"), "{} is too small for every model", board.name);
    }
}

/// Rows and columns run for a few at a time: the mixer is clean, equals the host, and takes the instructions that are
/// predicted, within a tenth.
#[test]
fn mixers_equal_the_host_and_are_clean() {
    for board in boards() {
        if !ready("mixers", setup::require(&board)) {
            continue;
        }
        for core in [Core::Portable, board.kernels()] {
            let builder = |b: Builder| b.name(format!("mixer-{core}")).target(core);
            let artifact = artifact::simulate(&shipped("mixer"), builder, Some(30)).unwrap().artifact;
            let report = emulate("mixers", &board, &artifact, Opt::Speed);
            artifact::discard(&artifact).unwrap();
            let Some(report) = report else { continue };
            report.verdict().unwrap();
            assert!(report.bit_exact && report.rows == 30);
            // Two matrices of 16 x 16, and a row of a hidden layer or two with their packed operands.
            assert!(report.scratch_bytes <= 900, "{report:?}");
            if let Some(predicted) = report.predicted_instructions.filter(|_| MIXERS.contains(&board.name.as_str())) {
                let wrong = (predicted - report.instructions_mean).abs() / report.instructions_mean;
                assert!(wrong <= 0.1, "{}: {predicted} predicted, {}", board.name, report.instructions_mean);
            }
        }
    }
}

/// Boards on which no other test runs.
#[test]
fn covered_boards_run() {
    for board in board::all().unwrap().into_iter().filter(|board| board.covered_by.is_some()) {
        if !ready("covered boards", setup::require(&board)) {
            continue;
        }
        let builder = |b: Builder| b.name(format!("covered-{}", board.name)).target(board.kernels());
        let artifact = artifact::simulate(&shipped("digits"), builder, Some(60)).unwrap().artifact;
        let report = emulate("covered boards", &board, &artifact, Opt::Speed);
        artifact::discard(&artifact).unwrap();
        let report = report.unwrap();
        report.verdict().unwrap();
        assert!(report.bit_exact && report.rows == 60);
        let wrong = report.wrong_predictions();
        assert!(wrong.is_empty(), "{}: {}", board.name, wrong.join("; "));
    }
}

/// The models of the benchmark that are there, generated in every way: instructions, flash, and RAM with stack are within a
/// tenth of what the generator predicts, no inference exceeds the predicted most, and where constant time is promised
/// every row takes the same.
#[test]
fn predictions_are_right() {
    let (models, absent) = models::named(&[]).unwrap();
    absent.iter().for_each(|why| not_run("predictions", why));
    for board in boards().into_iter().filter(|board| board.kernels() != Core::Portable) {
        if !ready("predictions", setup::require(&board)) {
            continue;
        }
        let (mut ran, mut promised) = (0, 0);
        for model in &models {
            for variant in variants::ALL.iter().filter(|variant| variant.takes(model)) {
                let prepared = model.prepare(variant, board.kernels(), Some(24)).unwrap();
                let options = Options { opt: variant.opt, limit: Duration::from_secs(120) };
                let fits = (prepared.constant_bytes as u64) < board.flash.bytes;
                let report = fits.then(|| emulate::run(&board, &prepared.artifact, options));
                artifact::discard(&prepared.artifact).unwrap();
                let report = match report {
                    Some(Ok(report)) => report,
                    Some(Err(error)) if !error.is_too_big() => panic!("{error}"),
                    _ => continue,
                };
                let wrong = report.wrong_predictions();
                assert!(wrong.is_empty(), "{} {} on {}: {}", model.name, variant.name, board.name, wrong.join("; "));
                assert!(report.predicted_instructions.is_some());
                ran += 1;
                promised += usize::from(report.predicted_data_independent == Some(true));
            }
        }
        let of_all = variants::ALL.iter().filter(|variant| variant.models.is_empty()).count();
        assert!(ran >= of_all && promised > 0, "{}: {ran} predictions, {promised} promises", board.name);
    }
}

#[test]
fn shipped_models_equal_the_host_with_the_kernels_of_the_board() {
    for board in boards().into_iter().filter(|board| board.kernels() != Core::Portable) {
        if !ready("shipped models with the kernels of the board", setup::require(&board)) {
            continue;
        }
        for name in ["digits", "wdbc", "wine"] {
            let simulated = artifact::simulate(
                &shipped(name),
                // Tests that run at once need names of their own.
                |b| b.name(format!("own-kernels-{name}")).target(board.kernels()),
                Some(40),
            );
            let artifact = simulated.unwrap().artifact;
            let report = emulate(name, &board, &artifact, Opt::Speed);
            artifact::discard(&artifact).unwrap();
            if let Some(report) = report {
                report.verdict().unwrap();
            }
        }
    }
}

/// Text goes to the board, and every answer is the host's. Padding included, the network has all the RAM there is.
#[test]
fn text_models_equal_the_host_and_are_clean() {
    let folder = workspace::root().join("tests/models/pnlp");
    let file = |name: &str| folder.join(format!("small.{name}"));
    let files = Files { model: file("onnx"), calibration: file("train.tsv"), inputs: file("test.tsv"), labels: None };
    let boards = boards().into_iter().filter(|board| board.kernels() != Core::Portable && board.ram.bytes > SMALL);
    for board in boards {
        if !ready("text models", setup::require(&board)) {
            continue;
        }
        let builder = |b: Builder| b.name("text").target(board.kernels());
        let artifact = artifact::simulate(&files, builder, Some(20)).unwrap().artifact;
        let report = emulate("text models", &board, &artifact, Opt::Size);
        artifact::discard(&artifact).unwrap();
        let report = report.unwrap();
        report.verdict().unwrap();
        assert!(report.bit_exact && report.rows == 20);
        assert!(report.quantized_accuracy.is_some_and(|exact| exact > 0.7), "{report:?}");
        let front_end = report.front_end_instructions_mean.unwrap();
        assert!((1000.0..0.7 * report.instructions_mean).contains(&front_end), "{report:?}");
        assert_eq!(report.ram_bytes, i64::from(report.scratch_bytes), "{report:?}");
    }
}

/// Weights of few bits and straight-line code, on boards that have kernels for them and on others.
#[test]
fn approximate_networks_equal_the_host_and_are_clean() {
    let boards = boards().into_iter().filter(|b| {
        ["microbit", "riscv32ec", "riscv32imc", "arduino-uno", "mps2-an386", "mps3-an547"].contains(&b.name.as_str())
    });
    for board in boards {
        if !ready("approximate networks", setup::require(&board)) {
            continue;
        }
        let run = |what: &str, files: &Files, mode: Mode, configure: &dyn Fn(Builder) -> Builder| {
            let name = format!("approximate-{}", what.replace(' ', "-"));
            let builder = |b: Builder| configure(b.name(&name).target(board.kernels()).mode(mode));
            let artifact = artifact::simulate(files, builder, Some(20)).unwrap().artifact;
            let opt = if mode == Mode::Size { Opt::Size } else { Opt::Speed };
            let report = emulate::run(&board, &artifact, Options { opt, limit: Duration::from_secs(120) });
            artifact::discard(&artifact).unwrap();
            match report {
                Ok(report) => {
                    report.verdict().unwrap();
                    true
                }
                Err(error) if error.is_too_big() => {
                    not_run(what, &format!("it does not fit {}", board.name));
                    false
                }
                Err(error) => panic!("{what} on {}: {error}", board.name),
            }
        };
        // The small mode has packed weights wherever there is a kernel for them; in the others some cores have.
        let size = [Format::Int4, Format::Ternary, Format::PowerOfTwo].map(|format| (format, Mode::Size));
        for (format, mode) in
            size.into_iter().chain([(Format::Ternary, Mode::Balanced), (Format::PowerOfTwo, Mode::Speed)])
        {
            let weights = |b: Builder| b.weights(format).input_bits(6).arg_max();
            assert!(run(&format!("digits {format}"), &shipped("digits"), mode, &weights), "{format} on {}", board.name);
        }
        // Inputs of few bits, so that sums have two bytes.
        let narrow = [Format::Int4, Format::Ternary, Format::PowerOfTwo];
        for format in narrow.into_iter().filter(|_| board.kernels() == Core::Avr) {
            let narrow = |b: Builder| b.weights(format).input_bits(3).arg_max();
            assert!(run(&format!("digits {format} of 3 bits"), &shipped("digits"), Mode::Balanced, &narrow));
        }
        let constant = |b: Builder| b.weights(Format::Int4).constant_time();
        assert!(run("digits in constant time", &shipped("digits"), Mode::Size, &constant), "{}", board.name);
        let straight = |b: Builder| b.weights(Format::PowerOfTwo).input_bits(4).arg_max().emission(Emission::Bespoke);
        assert!(run("wdbc as code", &shipped("wdbc"), Mode::Balanced, &straight), "{}", board.name);
        // Tuned: results are shifted, sums are compared.
        // By default Helium has other kernels.
        let by_default = (board.kernels() == Core::Helium).then_some(("model", Mode::Balanced));
        for (model, mode) in [("model", Mode::Size), ("model_pow2", Mode::Size)].into_iter().chain(by_default) {
            let file = |name: &str| workspace::root().join("tests/models/mnist16").join(name);
            let model = file(&format!("{model}.onnx"));
            let files = Files { model, calibration: file("calibration.npy"), inputs: file("test_x.npy"), labels: None };
            let fits = run("mnist16", &files, mode, &|b| b);
            assert!(fits || board.core == "avr", "mnist16 on {}", board.name);
        }
    }
}

/// What straight-line code of the shipped `wdbc` costs is within a tenth of what the generator predicts.
#[test]
fn predictions_of_straight_line_code_are_right() {
    for board in boards().into_iter().filter(|b| PREDICTED.contains(&b.name.as_str())) {
        if !ready("predictions of straight-line code", setup::require(&board)) {
            continue;
        }
        let straight = |b: Builder| {
            let b = b.name("predicted-code").target(board.kernels());
            b.weights(Format::PowerOfTwo).input_bits(4).arg_max().emission(Emission::Bespoke)
        };
        let artifact = artifact::simulate(&shipped("wdbc"), straight, Some(20)).unwrap().artifact;
        let report = emulate("predictions of straight-line code", &board, &artifact, Opt::Speed).unwrap();
        artifact::discard(&artifact).unwrap();
        let wrong = report.wrong_predictions();
        assert!(wrong.is_empty() && report.predicted_instructions.is_some(), "{}: {}", board.name, wrong.join("; "));
    }
}

/// Helium's kernels with it, and their portable loops on a board without.
#[test]
fn layers_of_vectors_equal_the_host() {
    for board in boards().into_iter().filter(|board| ["mps3-an547", "mps2-an386"].contains(&board.name.as_str())) {
        if !ready("layers of vectors", setup::require(&board)) {
            continue;
        }
        for opt in [Opt::Speed, Opt::Size] {
            let report = emulate("layers of vectors", &board, &fixture::named("vectors", 40).unwrap(), opt).unwrap();
            report.verdict().unwrap();
            assert!(report.bit_exact && report.rows == 40);
            if board.kernels() == Core::Helium {
                assert_eq!(report.instructions_min, report.instructions_max, "{report:?}");
            }
        }
    }
}

/// A made-up network with every kernel and two outputs of different types, and one with two inputs.
#[test]
fn every_kernel_equals_the_host_and_is_clean() {
    for board in boards() {
        if !ready("every kernel", setup::require(&board)) {
            continue;
        }
        for (name, data) in [("torch_kernels_ts", "input.npy"), ("torch_concat_inputs_ts", "input.npz")] {
            let file = |end: &str| workspace::root().join("tests/models/exporters").join(format!("{name}.{end}"));
            let files = Files { model: file("onnx"), calibration: file(data), inputs: file(data), labels: None };
            let artifact = artifact::simulate(&files, |b| b, None).unwrap().artifact;
            for opt in [Opt::Speed, Opt::Size] {
                let Some(report) = emulate(name, &board, &artifact, opt) else { continue };
                report.verdict().unwrap();
                assert!(report.bit_exact && report.rows == 8);
            }
            artifact::discard(&artifact).unwrap();
        }
    }
}

fn shipped(name: &str) -> Files {
    let folder = workspace::root().join("tests/models").join(name);
    let file = |name: &str| folder.join(name);
    Files {
        model: file("model.onnx"),
        calibration: file("calibration.npy"),
        inputs: file("test_x.npy"),
        labels: Some(file("test_y.npy")),
    }
}

/// A model that fits every board, with a few inputs.
fn small() -> Artifact {
    artifact::simulate(&shipped("wdbc"), |b| b, Some(20)).unwrap().artifact
}

#[test]
fn measurements_are_the_same_every_time() {
    for board in boards() {
        if !ready("repeated measurements", setup::require(&board)) {
            continue;
        }
        let artifact = small();
        let [first, second, third] = [(); 3].map(|()| {
            let r = emulate("repeated measurements", &board, &artifact, Opt::Speed).unwrap();
            let instructions = (r.instructions_mean, r.instructions_min, r.instructions_max);
            (instructions, r.cycles_mean, r.cycles_max, r.flash_bytes, r.ram_bytes, r.stack_bytes)
        });
        artifact::discard(&artifact).unwrap();
        assert_eq!(first, second);
        assert_eq!(first, third);
    }
}

#[test]
fn a_wrong_output_is_found() {
    for board in boards() {
        if !ready("a wrong output", setup::require(&board)) {
            continue;
        }
        let mut artifact = small();
        artifact.outputs[27] ^= 1;
        let report = emulate("a wrong output", &board, &artifact, Opt::Speed).unwrap();
        artifact::discard(&artifact).unwrap();
        assert!(!report.bit_exact);
        let message = report.verdict().unwrap_err().to_string();
        assert!(message.contains("row 13, element 1: host"), "{message}");
    }
}

#[test]
fn a_deep_stack_is_measured() {
    for board in boards() {
        if !ready("a deep stack", setup::require(&board)) {
            continue;
        }
        let (name, bytes) = if board.ram.bytes <= SMALL { ("small-stack", 700) } else { ("deep-stack", 9000) };
        let report = emulate("a deep stack", &board, &fixture::named(name, 3).unwrap(), Opt::Speed).unwrap();
        report.verdict().unwrap();
        assert!((bytes..bytes + 64).contains(&report.stack_bytes), "{report:?}");
        assert_eq!(report.ram_bytes, 0);
    }
}

#[test]
fn a_run_longer_than_the_timer_is_counted() {
    for board in boards() {
        if !ready("a long run", setup::require(&board)) {
            continue;
        }
        let report = emulate("a long run", &board, &fixture::named("long-run", 2).unwrap(), Opt::Speed).unwrap();
        report.verdict().unwrap();
        // Every round has the same instructions, and there are a few around them.
        let (round, rest) = (report.instructions_max / 1_000_000, report.instructions_max % 1_000_000);
        assert!(round >= 6 && rest < 100, "{report:?}");
        assert_eq!(report.instructions_min, report.instructions_max);
    }
}

#[test]
fn a_firmware_that_does_not_end_is_stopped() {
    for board in boards() {
        if !ready("a time limit", setup::require(&board)) {
            continue;
        }
        let options = Options { opt: Opt::Speed, limit: Duration::from_millis(1) };
        let artifact = fixture::named("long-run", 20).unwrap();
        let message = emulate::run(&board, &artifact, options).unwrap_err().to_string();
        assert!(message.contains("did not end within"), "{message}");
    }
}

#[test]
fn a_model_too_big_for_the_board_is_an_error_that_says_so() {
    for board in boards().into_iter().filter(|board| board.ram.bytes < 100_000) {
        if !ready("a model too big", setup::require(&board)) {
            continue;
        }
        let options = Options { opt: Opt::Speed, limit: Duration::from_secs(60) };
        let stack = emulate::run(&board, &fixture::named("too-deep", 1).unwrap(), options).unwrap_err().to_string();
        assert!(stack.contains("ran out of its memory"), "{stack}");
        let folder = RunFolder::new("too-big").unwrap();
        let module = fixture::module("too_big.rs", "TooBig");
        let error = firmware::build(&board, &module, Content::Model, Opt::Speed, folder.path()).unwrap_err();
        assert!(error.to_string().contains("does not fit"), "{error}");
    }
}

/// The board without a multiplier is emulated without one, so that its other results are those of code that has none.
#[test]
fn a_multiplication_ends_a_run_without_a_multiplier() {
    let artifact = Artifact {
        module: fixture::module("multiplies.rs", "Multiplies"),
        rows: 1,
        inputs: vec![7],
        outputs: vec![49],
        input_type: Vec::new(),
        output_type: Vec::new(),
        evaluation: None,
        predicted: None,
        texts: None,
    };
    for board in boards().iter().filter(|board| board.target.starts_with("riscv32")) {
        if !ready("a multiplication", setup::require(board)) {
            continue;
        }
        let options = Options { opt: Opt::Speed, limit: Duration::from_secs(60) };
        let result = emulate::run(board, &artifact, options);
        if board.core == "rv32ec" {
            let message = result.unwrap_err().to_string();
            assert!(message.contains("an instruction that the core does not have"), "{message}");
        } else {
            assert!(result.unwrap().bit_exact);
        }
    }
}

#[test]
fn unwanted_symbols_are_found() {
    for board in boards() {
        if !ready("unwanted symbols", setup::require_target(&board)) {
            continue;
        }
        for (file, type_name, part, reason) in [
            ("panics.rs", "Panics", "panic_bounds_check", "a panic"),
            ("unwraps.rs", "Unwraps", "unwrap_failed", "a panic"),
            ("floats.rs", "Floats", "mul", "floating point in software"),
        ] {
            let folder = RunFolder::new("symbols").unwrap();
            let module = fixture::module(file, type_name);
            let build = |content| {
                let elf = firmware::build(&board, &module, content, Opt::Speed, folder.path()).unwrap();
                elf::inspect(&elf).unwrap().forbidden
            };
            let found = build(Content::Model);
            let has_unit = HAVE_FLOATS.contains(&board.core.as_str()) && file == "floats.rs";
            let expected = found.iter().any(|f| f.symbol.contains(part) && f.reason == reason);
            assert_eq!(expected, !has_unit, "{file} on {}: {found:?}", board.name);
            // The same firmware without the model has nothing to find.
            assert_eq!(build(Content::Empty), [], "{file} on {}", board.name);
        }
    }
}
