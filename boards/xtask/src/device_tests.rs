//! Tests of the firmware that is flashed: every template builds as a project of its own, and what an emulator can run as it
//! is passes its self-test there. What is not installed is said, and a failure with `REQUIRE_EMULATORS=1`.

use crate::board::{self, Board};
use crate::elf;
use crate::emulated_tests::{not_run, ready};
use crate::firmware;
use crate::rp2040js;
use crate::setup;
use crate::workspace::{self, RunFolder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tinymlp_codegen::project::{self, Project, Settings};

/// Bytes that the base of a board's firmware may be above what is found.
const SPARE: u64 = 1024;

/// A project for the board, with a model that fits all of them.
fn project(board: &Board, folder: &Path) -> Project {
    let model = |file: &str| workspace::root().join("tests/models/wdbc").join(file);
    Project {
        folder: folder.join(format!("project-{}", board.name)),
        board: project::board(&board.name).unwrap(),
        model: model("model.onnx"),
        calibration: model("calibration.npy"),
        settings: Settings::default(),
    }
}

/// What is built beside the network is what `boards.toml` says, and not much less: new projects rely on it.
fn has_its_base(board: &Board, project: &Project, image: &elf::Image) {
    let predicted = project.compile().unwrap().report.predicted.unwrap();
    let base = board.base.unwrap_or_default();
    for (memory, image, network, base) in [
        ("flash", image.flash_bytes, predicted.flash_bytes, base.flash),
        ("ram", image.ram_bytes, predicted.ram_bytes, base.ram),
    ] {
        let found = image.saturating_sub(network as u64);
        assert!((found..=found + SPARE).contains(&base), "{}: base.{memory} is {base}, found {found}", board.name);
    }
}

#[test]
fn every_template_builds_and_fits() {
    for board in board::all().unwrap().into_iter().filter(|board| board.device.is_some()) {
        if !ready("templates", setup::require_target(&board)) {
            continue;
        }
        let folder = RunFolder::new("template").unwrap();
        let project = project(&board, folder.path());
        project.create().unwrap();
        let image = elf::inspect(&firmware::build_device(&board, &project.folder).unwrap()).unwrap();
        has_its_base(&board, &project, &image);
        assert!(image.flash_bytes <= board.flash.bytes && image.ram_bytes <= board.ram.bytes, "{}", board.name);
        let passed = match board.name.as_str() {
            "arduino-uno" => in_simavr(&board),
            "rp2040" => in_rp2040js(&board, folder.path()),
            "microbit" => in_qemu(&board, folder.path()),
            _ => continue,
        };
        assert!(passed.is_none_or(|passed| passed), "{} does not pass its self-test", board.name);
    }
}

/// How the self-test went, by the byte that the firmware leaves; none before its end.
fn recorded(byte: u64) -> Option<bool> {
    match byte {
        0 => None,
        byte => Some(byte == u64::from(b'P')),
    }
}

fn elf_of(board: &Board) -> PathBuf {
    workspace::target().join("flash").join(format!("{}.elf", board.name))
}

/// simavr ends where the firmware sleeps without interrupts, and prints what it has sent.
fn in_simavr(board: &Board) -> Option<bool> {
    if setup::find_program("simavr").is_none() {
        not_run("an Arduino's self-test", "there is no program simavr");
        return None;
    }
    let mut command = Command::new("simavr");
    let output = command.args(["-m", "atmega328p", "-f", "16000000"]).arg(elf_of(board)).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).contains("golden vectors: PASS"))
}

fn in_rp2040js(board: &Board, folder: &Path) -> Option<bool> {
    if !ready("a Pico's self-test", setup::require(board)) {
        return None;
    }
    let byte = rp2040js::self_test(&elf_of(board), folder).unwrap();
    Some(recorded(byte) == Some(true))
}

/// QEMU's monitor reads the byte, again and again.
fn in_qemu(board: &Board, folder: &Path) -> Option<bool> {
    use std::io::Write;
    if !ready("a micro:bit's self-test", setup::require(board)) {
        return None;
    }
    let address = elf::symbol(&elf_of(board), "TINYMLP_SELF_TEST").unwrap();
    let log = folder.join("monitor.log");
    let mut child = Command::new("qemu-system-arm")
        .args(["-M", "microbit", "-display", "none", "-serial", "null", "-monitor", "stdio", "-kernel"])
        .arg(elf_of(board))
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut monitor = child.stdin.take().unwrap();
    let mut passed = None;
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(100));
        writeln!(monitor, "xp /1bx {address:#x}").unwrap();
        let text = fs::read_to_string(&log).unwrap_or_default();
        let bytes = text.lines().filter_map(|line| line.rsplit_once(": 0x")).map(|(_, byte)| byte.trim());
        passed = bytes.filter_map(|byte| u64::from_str_radix(byte, 16).ok()).find_map(recorded);
        if passed.is_some() {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    Some(passed == Some(true))
}
