//! `cargo xtask test`: everything that is checked, as a list of named steps, on the host and on emulated boards.

use crate::board::{self, Board};
use crate::error::{Context, Error, Result};
use crate::out::outln;
use crate::workspace;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// One command.
struct Step {
    name: String,
    folder: PathBuf,
    arguments: String,
    environment: Vec<(&'static str, String)>,
}

/// What the steps have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    passed: u32,
    failed: u32,
}

/// Runs all steps, whatever fails, and says at the end what did.
pub fn run() -> Result<()> {
    let mut total = Tally::default();
    let mut summary = Vec::new();
    for step in steps()? {
        outln!("\n== {}: cargo {} ({})", step.name, step.arguments, step.folder.display());
        let start = Instant::now();
        let tally = execute(&step)?;
        let seconds = start.elapsed().as_secs_f64();
        let word = if tally.failed == 0 { "ok" } else { "FAILED" };
        summary.push(format!(
            "{word:<7} {seconds:>6.1} s  {} ({} passed, {} failed)",
            step.name, tally.passed, tally.failed
        ));
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    outln!("\n{}", summary.join("\n"));
    outln!("{} passed, {} failed", total.passed, total.failed);
    match total.failed {
        0 => Ok(()),
        _ => Err(Error::new("not everything passed")),
    }
}

fn steps() -> Result<Vec<Step>> {
    // In the tests, a missing emulator is a failure here, and a message in a plain `cargo test`.
    const EMULATORS: &[(&str, &str)] = &[("REQUIRE_EMULATORS", "1")];
    const NO_WARNINGS: &[(&str, &str)] = &[("RUSTDOCFLAGS", "-D warnings")];
    let root = workspace::root();
    let host = |name: &str, arguments: &str, environment: &[(&'static str, &str)]| Step {
        name: name.into(),
        folder: root.clone(),
        arguments: arguments.into(),
        environment: environment.iter().map(|&(key, value)| (key, value.to_owned())).collect(),
    };
    let mut steps = vec![
        host("format", "fmt --all --check", &[]),
        host("lints", "clippy --workspace --all-targets --all-features -- -D warnings", &[]),
        host("documentation", "doc --workspace --no-deps --all-features", NO_WARNINGS),
        host("tinymlp without features", "clippy --package tinymlp -- -D warnings", &[]),
        host("tinymlp-codegen as build scripts use it", "clippy --package tinymlp-codegen --lib -- -D warnings", &[]),
        host("tests, host and emulated boards", "test --workspace --all-features --no-fail-fast", EMULATORS),
        host("instructions and flash within the budget", "xtask bench --check --variant default --variant size", &[]),
    ];
    steps.extend(oldest_compiler()?);
    // Firmware packages are outside the workspace. The harness and the runtime have no target of their own: they get
    // all of theirs, with the configuration that a board of that target has.
    let boards = board::all()?;
    let mut package = |folder: PathBuf, arguments: String, board: Option<&Board>| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}: {}", arguments.split(" -- ").next().unwrap_or_default());
        steps.push(Step { name, folder, arguments, environment: board.map(Board::environment).unwrap_or_default() });
    };
    let harness = workspace::boards().join("harness");
    package(harness.clone(), "fmt --check".into(), None);
    let targets: BTreeMap<_, _> = boards.iter().rev().map(|board| (board.target.as_str(), board)).collect();
    for board in targets.into_values() {
        let Some(folder) = board.folders().into_iter().next() else { continue };
        let target = match board.cargo_target() == board.target {
            true => board.target.clone(),
            false => folder.join(board.cargo_target()).display().to_string(),
        };
        let with = format!("--target {target} --config {}", folder.join(".cargo/config.toml").display());
        package(
            workspace::root().join("runtime"),
            format!("clippy --release {with} --features defmt,fixed,float -- -D warnings"),
            Some(board),
        );
        package(harness.clone(), format!("clippy --release {with} -- -D warnings"), Some(board));
    }
    for board in &boards {
        for folder in board.folders() {
            package(folder, "fmt --check".into(), None);
        }
        if let Some(&demo) = board.demos.first() {
            package(board.demo(demo)?, "fmt --check".into(), None);
        }
        // What is flashed is compiled by the tests, as the projects that are copies of it; so are the demos.
        if let Ok(folder) = board.measured() {
            package(folder, "clippy --release -- -D warnings".into(), Some(board));
        }
    }
    let device = workspace::boards().join("device");
    package(device.clone(), "fmt --check".into(), None);
    for features in ["", " --features defmt"] {
        let arguments = format!("clippy --release --target thumbv7em-none-eabihf{features} -- -D warnings");
        package(device.clone(), arguments, None);
    }
    Ok(steps)
}

/// A check with the oldest compiler that Cargo.toml promises, unless this run's is that one.
fn oldest_compiler() -> Result<Option<Step>> {
    let manifest = workspace::root().join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).context(|| format!("cannot read {}", manifest.display()))?;
    let promised = text.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let promised = promised.ok_or_else(|| Error::new("Cargo.toml says no rust-version"))?.trim_matches('"').to_owned();
    if workspace::rustc_version()?.starts_with(&format!("rustc {promised}.")) {
        outln!("rust-version: {promised} is the compiler of this run, so every step checks it");
        return Ok(None);
    }
    let name = format!("{promised}.0");
    let installed = Command::new("rustup").args(["run", &name, "rustc", "-V"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        outln!("NOT RUN: rust-version {promised} (rustup toolchain install {name})");
        return Ok(None);
    }
    Ok(Some(Step {
        name: format!("rust-version {promised}"),
        folder: workspace::root(),
        arguments: "check --package tinymlp --package tinymlp-codegen --all-features --target-dir target/oldest".into(),
        environment: vec![("RUSTUP_TOOLCHAIN", name)],
    }))
}

/// Runs a step with its output shown, and counts its tests; a step without tests counts as one.
fn execute(step: &Step) -> Result<Tally> {
    let mut command: Command = workspace::cargo();
    if step.folder != workspace::root() {
        command.env("CARGO_TARGET_DIR", workspace::target().join("firmware"));
    }
    let mut child = command
        .args(step.arguments.split(' '))
        .current_dir(&step.folder)
        .envs(step.environment.iter().map(|(key, value)| (key, value)))
        .stdout(Stdio::piped())
        .spawn()
        .context(|| "cannot run cargo".into())?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(std::result::Result::ok) {
            let line = String::from_utf8_lossy(&line);
            // A closed terminal must not end the tests.
            let _ = writeln!(std::io::stdout(), "{line}");
            if let Some(Tally { passed, failed }) = test_result(&line) {
                tally.passed += passed;
                tally.failed += failed;
            }
        }
    }
    let status = child.wait().context(|| "lost cargo".into())?;
    match (status.success(), tally) {
        (true, Tally { passed: 0, .. }) => tally.passed = 1,
        // It did not compile, or it died.
        (false, Tally { failed: 0, .. }) => tally.failed = 1,
        _ => {}
    }
    Ok(tally)
}

/// The counts in a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; ..`.
fn test_result(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |word| {
        let part = counts.split("; ").find_map(|part| part.strip_suffix(word))?;
        part.trim().parse().ok()
    };
    Some(Tally { passed: count(" passed")?, failed: count(" failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_results_are_counted() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(test_result(ok), Some(Tally { passed: 12, failed: 0 }));
        let failed = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(test_result(failed), Some(Tally { passed: 3, failed: 2 }));
        assert_eq!(test_result("test kernels::tests::x ... ok"), None);
    }
}
