//! `cargo xtask flash`: builds a board's firmware, flashes it, shows its log, and waits for what its self-test reports.

use crate::board::{self, Board, Flasher, Log};
use crate::elf;
use crate::error::{Context, Error, Result};
use crate::firmware;
use crate::out::outln;
use crate::{setup, uf2, workspace};
use clap::Args;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tinymlp_codegen::project::{self, Project, Settings};
use tinymlp_codegen::{Format, Mode};

/// What to flash, and how.
#[derive(Args)]
pub struct Arguments {
    /// Name of the board: see `cargo xtask boards`.
    board: String,
    /// The model file; digits, if not given.
    #[arg(long, requires = "calibration")]
    model: Option<PathBuf>,
    /// Representative inputs, for quantization; the golden vectors are taken from them.
    #[arg(long, requires = "model")]
    calibration: Option<PathBuf>,
    /// Format of the weights: int8, int4, ternary, pow2 or pow2-nonzero.
    #[arg(long, value_name = "FORMAT", requires = "model")]
    weights: Option<Format>,
    /// What comes first: size, balanced or speed.
    #[arg(long, default_value = "balanced", requires = "model")]
    mode: Mode,
    /// Inputs of so many bits, 1 to 8.
    #[arg(long, value_name = "BITS", requires = "model")]
    input_bits: Option<u32>,
    /// Give the class, an index, instead of a number a class.
    #[arg(long, requires = "model")]
    argmax: bool,
    /// The way to flash, where the board has several.
    #[arg(long, value_enum)]
    with: Option<Flasher>,
    /// The serial port, of a board that is flashed or reports by one.
    #[arg(long)]
    port: Option<PathBuf>,
    /// Build, say where the firmware is, and flash nothing.
    #[arg(long)]
    build_only: bool,
    /// Seconds to wait for the report.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

/// Builds, flashes, waits. An error where the self-test does not pass.
pub fn run(arguments: &Arguments) -> Result<()> {
    let board = board::find(&arguments.board)?;
    let package = package(&board, arguments)?;
    let flasher = match arguments.with {
        Some(flasher) if !board.flashed_by.contains(&flasher) => {
            let known = board.flashed_by.iter().map(|f| f.name()).collect::<Vec<_>>().join(", ");
            return Err(Error::new(format!("{} is not flashed by {}, but by: {known}", board.name, flasher.name())));
        }
        Some(flasher) => flasher,
        None => board.flashed_by.first().copied().unwrap_or(Flasher::ProbeRs),
    };
    if !arguments.build_only {
        ready(&board, flasher)?;
    }
    setup::require_target(&board)?;
    outln!("Building {}", package.display());
    let elf = firmware::build_device(&board, &package)?;
    let image = elf::inspect(&elf)?;
    outln!("{}: {} B of flash, {} B of RAM without the stack", elf.display(), image.flash_bytes, image.ram_bytes);
    if arguments.build_only {
        return Ok(());
    }
    let limit = Duration::from_secs(arguments.timeout);
    match flasher {
        Flasher::ProbeRs => by_probe(&board, &elf, arguments.port.as_deref(), limit),
        Flasher::Espflash => {
            succeed(Command::new("espflash").args(["flash", "--chip", "esp32c3"]).arg(&elf), &board)?;
            outln!("flashed. The report goes to a debug probe: see it by --with probe-rs");
            Ok(())
        }
        Flasher::Avrdude => by_avrdude(&board, &elf, arguments.port.as_deref(), limit),
        Flasher::Uf2 => by_copy(&board, &elf),
    }
}

/// The folder of the firmware: the board's own, or a project made for this model.
fn package(board: &Board, arguments: &Arguments) -> Result<PathBuf> {
    let own = board.device()?;
    let (Some(model), Some(calibration)) = (&arguments.model, &arguments.calibration) else { return Ok(own) };
    let Arguments { weights, mode, input_bits, argmax, .. } = *arguments;
    let folder = workspace::target().join("flash").join(format!("{}-project", board.name));
    let _ = fs::remove_dir_all(&folder);
    let text = |error: tinymlp_codegen::Error| Error::new(error.to_string());
    let project = Project {
        folder,
        board: project::board(&board.name).map_err(text)?,
        model: model.clone(),
        calibration: calibration.clone(),
        settings: Settings { weights, mode, input_bits, arg_max: argmax },
    };
    project.create().map_err(text)?;
    Ok(project.folder)
}

/// An error that says what to install or to plug in.
pub fn ready(board: &Board, flasher: Flasher) -> Result<()> {
    let plug = board.plug.as_deref().unwrap_or("connect the board");
    let others = board.flashed_by.iter().filter(|&&other| other != flasher).map(|other| {
        let alone = if *other == Flasher::Uf2 { ", which needs no debug probe" } else { "" };
        format!("; or use --with {}{alone}", other.name())
    });
    let others: String = others.collect();
    if !setup::has_flasher(flasher) {
        let command = match flasher {
            Flasher::ProbeRs => "cargo install probe-rs-tools --locked",
            Flasher::Espflash => "cargo install espflash --locked",
            _ if cfg!(target_os = "macos") => "brew install avrdude",
            _ => "sudo apt-get install avrdude",
        };
        let name = flasher.name();
        return Err(Error::new(format!(
            "{name} is not installed, which flashes {}. Install it: {command}\nThen {plug}{others}",
            board.name
        )));
    }
    if flasher != Flasher::ProbeRs {
        return Ok(());
    }
    let output = Command::new("probe-rs").arg("list").output().context(|| "cannot run probe-rs list".into())?;
    if has_probe(&String::from_utf8_lossy(&output.stdout)) {
        return Ok(());
    }
    Err(Error::new(format!(
        "there is no debug probe. To flash {}, {plug}{others}. If it is connected, the user may lack the right to it: \
         https://probe.rs/docs/getting-started/probe-setup",
        board.name
    )))
}

/// Whether `probe-rs list` has found one: it numbers them.
fn has_probe(listing: &str) -> bool {
    listing.lines().any(|line| line.trim_start().starts_with("[0]"))
}

fn by_probe(board: &Board, elf: &Path, port: Option<&Path>, limit: Duration) -> Result<()> {
    let chip = board.chip.as_deref().unwrap_or_default();
    if let Some(Log::Serial(baud)) = board.log {
        succeed(Command::new("probe-rs").args(["download", "--chip", chip]).arg(elf), board)?;
        let port = serial_port(port)?;
        let lines = lines_of(open_serial(&port, baud)?);
        succeed(Command::new("probe-rs").args(["reset", "--chip", chip]), board)?;
        return judge(watch(&lines, limit), board);
    }
    let mut child = Command::new("probe-rs")
        .args(["run", "--chip", chip])
        .arg(elf)
        .stdout(Stdio::piped())
        .spawn()
        .context(|| "cannot run probe-rs".into())?;
    let lines = child.stdout.take().map(lines_of);
    let report = lines.map_or(Report::Silent, |lines| watch(&lines, limit));
    // It shows the log for as long as it is let.
    let _ = child.kill();
    let _ = child.wait();
    judge(report, board)
}

fn by_avrdude(board: &Board, elf: &Path, port: Option<&Path>, limit: Duration) -> Result<()> {
    let Some(Log::Serial(baud)) = board.log else {
        return Err(Error::new("avrdude flashes boards with a serial line"));
    };
    let port = serial_port(port)?;
    let mut command = Command::new("avrdude");
    command.args(["-p", "atmega328p", "-c", "arduino", "-b", "115200", "-D", "-P"]).arg(&port);
    succeed(command.arg("-U").arg(format!("flash:w:{}:e", elf.display())), board)?;
    // Opening the port resets the board, so that it reports once more.
    let lines = lines_of(open_serial(&port, baud)?);
    judge(watch(&lines, limit), board)
}

fn by_copy(board: &Board, elf: &Path) -> Result<()> {
    let chip = board.chip.as_deref().unwrap_or_default();
    let family = uf2::family(chip).ok_or_else(|| Error::new(format!("{chip} takes no UF2 files")))?;
    const FLASH: u32 = 0x1000_0000;
    let file = elf.with_extension("uf2");
    let blocks = uf2::blocks(&elf::flash_image(elf, FLASH as usize)?, FLASH, family);
    fs::write(&file, blocks).context(|| format!("cannot write {}", file.display()))?;
    let drive = uf2::drive()?;
    fs::copy(&file, drive.join("tinymlp.uf2")).context(|| format!("cannot copy to {}", drive.display()))?;
    outln!("copied to {}. The LED is on where the self-test passes; a debug probe shows the log", drive.display());
    Ok(())
}

fn succeed(command: &mut Command, board: &Board) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().context(|| format!("cannot run {program}"))?;
    match status.success() {
        true => Ok(()),
        false => {
            let plug = board.plug.as_deref().unwrap_or_default();
            Err(Error::new(format!("{program} could not flash {}. To flash it, {plug}", board.name)))
        }
    }
}

/// The port that was named, or the only one there is.
pub fn serial_port(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(port) = named {
        return Ok(port.to_owned());
    }
    let is_port = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ["ttyACM", "ttyUSB", "cu.usb"].iter().any(|start| name.starts_with(start))
    };
    let mut ports: Vec<PathBuf> = fs::read_dir("/dev")
        .map(|entries| entries.flatten().map(|entry| entry.path()).filter(is_port).collect())
        .unwrap_or_default();
    ports.sort();
    match ports.as_slice() {
        [port] => Ok(port.clone()),
        [] => Err(Error::new("there is no serial port: connect the board by USB, or name the port by --port")),
        several => {
            let names = several.iter().map(|port| port.display().to_string()).collect::<Vec<_>>().join(", ");
            Err(Error::new(format!("there are several serial ports: name the board's by --port ({names})")))
        }
    }
}

pub fn open_serial(port: &Path, baud: u32) -> Result<File> {
    let option = if cfg!(target_os = "macos") { "-f" } else { "-F" };
    let set = Command::new("stty").arg(option).arg(port).args([&baud.to_string(), "raw", "-echo"]).status();
    if !set.is_ok_and(|status| status.success()) {
        return Err(Error::new(format!("cannot set {} to {baud} baud by stty", port.display())));
    }
    File::options().read(true).write(true).open(port).context(|| format!("cannot open {}", port.display()))
}

/// Lines as they come, until the other end closes.
fn lines_of(source: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n').map_while(std::result::Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What a device has reported.
#[derive(Debug, PartialEq)]
enum Report {
    Pass,
    /// With the line that says so.
    Fail(String),
    Silent,
}

/// Shows the lines until one reports, none comes any more, or the time is over.
fn watch(lines: &mpsc::Receiver<String>, limit: Duration) -> Report {
    let start = Instant::now();
    while let Ok(line) = lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
        outln!("{line}");
        if line.contains("golden vectors: PASS") {
            return Report::Pass;
        }
        if line.contains(": FAIL") || line.contains("panicked") {
            return Report::Fail(line);
        }
    }
    Report::Silent
}

fn judge(report: Report, board: &Board) -> Result<()> {
    match report {
        Report::Pass => {
            outln!("{} computes what the host computes", board.name);
            Ok(())
        }
        Report::Fail(line) => {
            Err(Error::new(format!("{} does not compute what the host computes: {line}", board.name)))
        }
        Report::Silent => {
            let plug = board.plug.as_deref().unwrap_or_default();
            Err(Error::new(format!("{} has reported nothing. To flash it, {plug}", board.name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(text: &str) -> Report {
        watch(&lines_of(std::io::Cursor::new(text.to_owned())), Duration::from_secs(5))
    }

    #[test]
    fn a_report_is_what_the_device_says() {
        assert_eq!(
            watched("INFO one inference: 9 cycles\r\nINFO self-test of 8 golden vectors: PASS\r\n"),
            Report::Pass
        );
        let line = "ERROR self-test: FAIL: vector 2, element 5: the host has -3, this device 4";
        assert_eq!(watched(&format!("INFO x\n{line}\n")), Report::Fail(line.into()));
        assert_eq!(watched("ERROR panicked at src/main.rs"), Report::Fail("ERROR panicked at src/main.rs".into()));
        assert_eq!(watched("INFO nothing else"), Report::Silent);
    }

    #[test]
    fn a_silent_or_wrong_device_is_an_error() {
        let board = board::find("microbit-v2").unwrap();
        assert!(judge(Report::Pass, &board).is_ok());
        assert!(judge(Report::Fail("x".into()), &board).is_err());
        assert!(judge(Report::Silent, &board).unwrap_err().to_string().contains("by USB"));
    }

    #[test]
    fn probes_are_numbered() {
        assert!(!has_probe("No debug probes were found.\n"));
        assert!(has_probe("The following debug probes were found:\n[0]: BBC micro:bit CMSIS-DAP -- 0d28:0204\n"));
    }

    #[test]
    fn what_is_missing_is_said_with_the_command() {
        for board in board::all().unwrap().into_iter().filter(|board| board.device.is_some()) {
            assert!(board.plug.is_some(), "{}", board.name);
            for &flasher in board.flashed_by.iter().filter(|&&flasher| !setup::has_flasher(flasher)) {
                let message = ready(&board, flasher).unwrap_err().to_string();
                assert!(message.contains(flasher.name()) && message.contains("install"), "{message}");
            }
        }
    }
}
