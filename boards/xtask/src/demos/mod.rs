//! `cargo xtask demo NAME`: a demo with real peripherals: on the emulated board with a recording in their place, or on a
//! board that is connected.

pub mod anomaly;
pub mod digits;
mod machine;
pub mod motion;
pub mod nlp;

use crate::artifact::Files;
use crate::board::{self, Board, Demo, Emulator, Flasher};
use crate::error::{Context, Error, Result};
use crate::out::outln;
use crate::rp2040js::{self, Played, Recording};
use crate::workspace::RunFolder;
use crate::{demo, elf, firmware, flash, setup};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a demo runs, if not told.
fn usual_board(demo: Demo) -> &'static str {
    match demo {
        Demo::Digits | Demo::Motion | Demo::Anomaly => "rp2040",
        Demo::Nlp => "microbit",
    }
}

/// What to run, and where.
#[derive(Args)]
pub struct Arguments {
    /// The demo; without one, test images through the network alone on two emulated boards.
    demo: Option<Demo>,
    /// Name of the board; if not given, microbit for nlp, and rp2040.
    #[arg(long, requires = "demo")]
    board: Option<String>,
    /// Flash a connected board by probe-rs and show its log, instead of emulating it.
    #[arg(long, requires = "demo")]
    flash: bool,
    /// Send images, or talk, to a board that has been flashed and is connected to this serial port.
    #[arg(long, requires = "demo", conflicts_with = "flash")]
    port: Option<PathBuf>,
    /// The network of the demo anomaly, with 640 inputs and outputs; the benchmark's beside this repository, if not given.
    #[arg(long, requires_all = ["demo", "calibration"])]
    model: Option<PathBuf>,
    /// Typical inputs of that network.
    #[arg(long, requires = "model")]
    calibration: Option<PathBuf>,
}

/// What a build script gets of files that are no part of the repository.
type Environment = Vec<(&'static str, PathBuf)>;

/// Runs a demo.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Some(demo) = arguments.demo else { return demo::run() };
    let board = board::find(arguments.board.as_deref().unwrap_or(usual_board(demo)))?;
    board.demo(demo)?;
    if let Some(port) = &arguments.port {
        return match demo {
            Demo::Digits => digits::over(&board, port),
            Demo::Nlp => nlp::over(port),
            Demo::Motion | Demo::Anomaly => {
                Err(Error::new(format!("the demo {} takes nothing from a serial port", demo.name())))
            }
        };
    }
    let autoencoder = match demo {
        Demo::Anomaly => Some(anomaly::files(arguments.model.clone().zip(arguments.calibration.clone()))?),
        _ => None,
    };
    if arguments.flash {
        return flash(&board, demo, &environment(autoencoder.as_ref()));
    }
    if !is_emulated(&board, demo) {
        let name = board.name;
        return Err(Error::new(format!("there is no emulator for the peripherals of {name}: --flash for a real one")));
    }
    if demo != Demo::Nlp {
        setup::install(std::slice::from_ref(&board))?;
    }
    match demo {
        Demo::Nlp => nlp::emulated(&board),
        Demo::Digits => digits::emulated(&board),
        Demo::Motion => motion::emulated(&board),
        Demo::Anomaly => autoencoder.map_or(Ok(()), |files| anomaly::emulated(&board, &files)),
    }
}

/// What the build script of the demo anomaly wants to know.
fn environment(files: Option<&Files>) -> Environment {
    files.map_or(Vec::new(), |files| {
        vec![("TINYMLP_AD_MODEL", files.model.clone()), ("TINYMLP_AD_CALIBRATION", files.calibration.clone())]
    })
}

/// Whether an emulator has the peripherals that a demo uses.
fn is_emulated(board: &Board, demo: Demo) -> bool {
    match board.emulator {
        Some(Emulator::Rp2040js(_)) => demo != Demo::Nlp,
        Some(Emulator::Qemu(_)) => matches!(demo, Demo::Nlp | Demo::Digits),
        _ => false,
    }
}

/// Builds the firmware, and runs it with a recording.
fn play(board: &Board, demo: Demo, environment: &Environment, kind: Recording, numbers: &[u16]) -> Result<Played> {
    let elf = firmware::build_demo(board, demo, environment)?;
    let folder = RunFolder::new(demo.name())?;
    rp2040js::play(&elf, folder.path(), kind, numbers)
}

/// What it cost to run so.
fn say_cost(played: &Played) -> Result<()> {
    let Played { seconds, awake, elf, .. } = played;
    say_size(elf)?;
    outln!("{seconds:.1} s of the board's time, of which the processor was awake {:.2} %", 100.0 * awake);
    Ok(())
}

/// What the firmware takes.
fn say_size(elf: &Path) -> Result<()> {
    let image = elf::inspect(elf)?;
    outln!("{} B of flash and {} B of RAM without the stack, with everything", image.flash_bytes, image.ram_bytes);
    Ok(())
}

/// Flashes, and shows the log for as long as it is let.
fn flash(board: &Board, demo: Demo, environment: &Environment) -> Result<()> {
    flash::ready(board, Flasher::ProbeRs)?;
    setup::require_target(board)?;
    let elf = firmware::build_demo(board, demo, environment)?;
    let chip = board.chip.as_deref().unwrap_or_default();
    let mut command = Command::new("probe-rs");
    let status = command.args(["run", "--chip", chip]).arg(elf).status().context(|| "cannot run probe-rs".into())?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::new(format!("probe-rs could not run the demo on {}", board.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulated_tests::{not_run, ready};
    use std::fs;

    #[test]
    fn every_demo_builds_and_fits() {
        for board in board::all().unwrap().iter().filter(|board| !board.demos.is_empty()) {
            let own = board.demo(board.demos[0]).unwrap();
            for file in ["memory.x", ".cargo/config.toml"] {
                let read = |folder: &Path| fs::read_to_string(folder.join(file)).unwrap();
                assert_eq!(read(&own), read(board.folders().last().unwrap()), "{file} of the demos on {}", board.name);
            }
            if !ready("demos", setup::require_target(board)) {
                continue;
            }
            for &demo in &board.demos {
                let autoencoder = match demo {
                    Demo::Anomaly => Some(anomaly::files(None)),
                    _ => None,
                };
                if let Some(Err(missing)) = autoencoder {
                    not_run("the demo anomaly", &missing.to_string());
                    continue;
                }
                let environment = environment(autoencoder.and_then(Result::ok).as_ref());
                let image = elf::inspect(&firmware::build_demo(board, demo, &environment).unwrap()).unwrap();
                assert!(image.flash_bytes <= board.flash.bytes && image.ram_bytes <= board.ram.bytes, "{}", board.name);
                // Elsewhere it has a hardware abstraction, which may panic.
                if board.device.is_none() {
                    assert_eq!(image.forbidden, [], "{} on {}", demo.name(), board.name);
                }
            }
        }
    }

    #[test]
    fn a_board_without_the_demo_is_told_which_have_it() {
        let message = board::find("microbit").unwrap().demo(Demo::Anomaly).unwrap_err().to_string();
        assert!(
            message.contains("anomaly") && message.contains("microbit") && message.ends_with("rp2040"),
            "{message}"
        );
    }
}
