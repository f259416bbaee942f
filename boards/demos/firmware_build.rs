//! The build script of the demos' firmware: memory layout, linker scripts, and the network of the demo that is asked for.

use std::env;
use std::fs;
use std::path::Path;
use tinymlp_codegen::plan::simulate::quantize;
use tinymlp_codegen::{Builder, Result};

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=../firmware_build.rs");
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rustc-link-search={}", env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    // One has no memory for a log, the other no probe that reads it.
    let has_log = !["microbit", "mps2-an386"].contains(&env!("CARGO_PKG_NAME"));
    let log = has_log.then_some("-Tdefmt.x");
    for argument in ["-Tlink.x", "--nmagic"].into_iter().chain(log) {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // One at a time: each is the network of its own binary.
    let asked_for = |demo: &str| env::var_os(format!("CARGO_FEATURE_{demo}")).is_some();
    match () {
        () if asked_for("ANOMALY") => anomaly(),
        () if asked_for("DIGITS") => digits(),
        () if asked_for("MOTION") => motion(),
        () if asked_for("NLP") => nlp(),
        () => Ok(()),
    }
}

/// The network of MLPerf Tiny is no part of this repository: `cargo xtask demo anomaly` says where it is.
fn anomaly() -> Result<()> {
    let [model, calibration] = ["TINYMLP_AD_MODEL", "TINYMLP_AD_CALIBRATION"].map(|variable| {
        println!("cargo::rerun-if-env-changed={variable}");
        env::var(variable).unwrap_or_else(|_| {
            panic!(
                "{variable} names no file: let `cargo xtask demo anomaly` set it, which takes --model and --calibration"
            )
        })
    });
    Builder::new(model).calibration(calibration).name("network").generate()
}

fn digits() -> Result<()> {
    let builder = Builder::new("../../../tests/models/digits/model.onnx")
        .calibration("../../../tests/models/digits/calibration.npy")
        .name("network");
    builder.generate()?;
    // There are so few grays that what they are for the network is a table, by the conversion of the host.
    let plan = builder.compile()?.plan;
    let grays: Vec<f32> = (0..=16u8).map(f32::from).collect();
    let levels: Vec<i8> = quantize(&plan, &plan.inputs[0], &grays).bytes().into_iter().map(|b| b as i8).collect();
    write(
        "levels.rs",
        &format!(
            "/// The input's value for every gray.\npub const LEVELS: tinymlp_demos::digits::Levels = {levels:?};\n"
        ),
    );
    Ok(())
}

fn motion() -> Result<()> {
    Builder::new("../../../tests/models/motion/model.onnx")
        .calibration("../../../tests/models/motion/calibration.npy")
        .name("network")
        .io("f32".parse()?)
        .generate()
}

fn nlp() -> Result<()> {
    // Where 1.3 MB of flash and 30 KB of RAM are free, the larger one.
    let size = if env!("CARGO_PKG_NAME") == "mps2-an386" { "base" } else { "x-small" };
    Builder::new(format!("../../../tests/models/pnlp/snips-{size}.onnx"))
        .calibration("../../../tests/models/pnlp/snips.calibration.tsv")
        .name("network")
        .generate()
}

fn write(file: &str, text: &str) {
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&folder).join(file), text).expect("OUT_DIR is writable");
}
