//! The boards, as `boards.toml` describes them.

use crate::error::{Context, Error, Result};
use crate::workspace;
use clap::ValueEnum;
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;
use tinymlp_codegen::Core;

/// One board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// What commands call it.
    pub name: String,
    /// What people call it.
    pub description: String,
    /// Processor core.
    pub core: String,
    /// Rust target.
    pub target: String,
    /// Where its standard library comes from.
    #[serde(default)]
    pub library: Library,
    /// Folder under `boards/` with the firmware that is measured in the emulator, and name of its binary.
    pub package: Option<String>,
    /// The board on which long tests run instead, as its core has the same kernels.
    pub covered_by: Option<String>,
    /// Folder under `boards/devices` with the firmware that is flashed, and name of its binary.
    pub device: Option<String>,
    /// What that firmware takes without a network.
    pub base: Option<Base>,
    /// The demos that have firmware for it.
    #[serde(default)]
    pub demos: Vec<Demo>,
    /// Name for probe-rs.
    pub chip: Option<String>,
    /// Frequency of the core, as the device's firmware sets it up.
    pub clock_hz: Option<u64>,
    /// What flashes it, the usual way first.
    #[serde(default)]
    pub flashed_by: Vec<Flasher>,
    /// What to connect to flash it.
    pub plug: Option<String>,
    /// How the device's firmware reports.
    pub log: Option<Log>,
    /// Program memory.
    pub flash: Memory,
    /// Data memory.
    pub ram: Memory,
    /// A linker that does not come with Rust.
    pub linker: Option<Tool>,
    /// How to emulate it.
    pub emulator: Option<Emulator>,
}

/// A demo with firmware for real peripherals.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Demo {
    /// Handwritten digits that come over a serial line.
    Digits,
    /// What someone wearing an accelerometer does.
    Motion,
    /// Whether a machine sounds as it did.
    Anomaly,
    /// An assistant that answers sentences.
    Nlp,
}

impl Demo {
    /// What commands and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Demo::Digits => "digits",
            Demo::Motion => "motion",
            Demo::Anomaly => "anomaly",
            Demo::Nlp => "nlp",
        }
    }
}

/// Where `core` for a target comes from.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    /// Rustup has it.
    #[default]
    Rustup,
    /// Cargo builds it from the component rust-src. The package's configuration says how.
    Source,
}

/// A way to get firmware onto a board.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Flasher {
    /// A debug probe, by probe-rs.
    ProbeRs,
    /// The chip's boot loader on a serial line, by espflash.
    Espflash,
    /// The boot loader of an Arduino, by avrdude.
    Avrdude,
    /// A copy to the drive that the boot loader shows.
    Uf2,
}

impl Flasher {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Flasher::ProbeRs => "probe-rs",
            Flasher::Espflash => "espflash",
            Flasher::Avrdude => "avrdude",
            Flasher::Uf2 => "uf2",
        }
    }
}

/// How the firmware of a device reports.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// defmt, through the debug probe.
    Rtt,
    /// Lines of text on a serial line of so many baud.
    Serial(u32),
}

/// What a device's firmware takes beside a network.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Bytes of program memory.
    pub flash: u64,
    /// Bytes of statics.
    pub ram: u64,
}

/// A region of memory.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// First address.
    pub origin: u64,
    /// Size.
    pub bytes: u64,
}

/// A program from the machine's package manager.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What is called.
    pub program: String,
    /// Debian package.
    pub apt: String,
    /// Homebrew formula.
    pub brew: String,
}

/// An emulator by the program that runs it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Emulator {
    /// QEMU with semihosting.
    Qemu(Qemu),
    /// simavr with the program in `emulators/simavr.c`.
    Simavr(Simavr),
    /// rp2040js with the program in `emulators/rp2040.mjs`.
    Rp2040js(Rp2040js),
}

/// A machine of QEMU.
#[derive(Clone, Debug, Deserialize)]
pub struct Qemu {
    /// Program.
    #[serde(flatten)]
    pub tool: Tool,
    /// Its `-M`.
    pub machine: String,
    /// Its `-cpu`, where that is not the machine's own.
    pub cpu: Option<String>,
    /// Its `-bios`.
    pub bios: Option<String>,
    /// Frequency of the emulated SysTick; absent where the core counts instructions itself.
    pub systick_hz: Option<u64>,
}

/// A chip of simavr.
#[derive(Clone, Debug, Deserialize)]
pub struct Simavr {
    /// Its name there.
    pub mcu: String,
    /// Its clock.
    pub hz: u64,
}

/// The emulator of one chip.
#[derive(Clone, Debug, Deserialize)]
pub struct Rp2040js {
    /// Its version at npm.
    pub version: String,
}

#[derive(Deserialize)]
struct File {
    board: Vec<Board>,
}

/// All boards, in the order of the file.
pub fn all() -> Result<Vec<Board>> {
    let path = workspace::boards().join("boards.toml");
    let text = fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
    let file: File = toml::from_str(&text).context(|| path.display().to_string())?;
    Ok(file.board)
}

/// The boards that are emulated for the long tests and the benchmark: one for every set of kernels and counter.
pub fn representative() -> Result<Vec<Board>> {
    Ok(all()?.into_iter().filter(|board| board.emulator.is_some() && board.covered_by.is_none()).collect())
}

/// The board of that name.
pub fn find(name: &str) -> Result<Board> {
    let boards = all()?;
    let names = boards.iter().map(|b| b.name.as_str()).collect::<Vec<_>>().join(", ");
    let unknown = || Error::new(format!("there is no board '{name}'. Known: {names}"));
    boards.into_iter().find(|b| b.name == name).ok_or_else(unknown)
}

impl Board {
    /// The kernels that the generator has for it.
    pub fn kernels(&self) -> Core {
        self.core.parse().unwrap_or_default()
    }

    /// The folder of the firmware that is measured in the emulator.
    pub fn measured(&self) -> Result<PathBuf> {
        let package = self.package.as_ref().ok_or_else(|| self.not_emulated())?;
        Ok(workspace::boards().join(package))
    }

    /// The folder of the firmware that is flashed.
    pub fn device(&self) -> Result<PathBuf> {
        let none = || Error::new(format!("{} is emulated only: there is no such board to flash", self.name));
        Ok(workspace::devices().join(self.device.as_ref().ok_or_else(none)?))
    }

    /// The folder of the firmware of its demos.
    pub fn demo(&self, demo: Demo) -> Result<PathBuf> {
        if self.demos.contains(&demo) {
            return Ok(workspace::boards().join("demos").join(&self.name));
        }
        let names: Vec<_> = all()?.into_iter().filter(|b| b.demos.contains(&demo)).map(|b| b.name).collect();
        let known = names.join(", ");
        Err(Error::new(format!("the demo {} has no firmware for {}. It has some for: {known}", demo.name(), self.name)))
    }

    /// The folders of all its firmware.
    pub fn folders(&self) -> Vec<PathBuf> {
        [self.measured(), self.device()].into_iter().flatten().collect()
    }

    /// What `cargo --target` wants, in a package's folder: the target's name, or the file that describes it.
    pub fn cargo_target(&self) -> String {
        let specification = format!("{}.json", self.target);
        match self.folders().iter().any(|folder| folder.join(&specification).is_file()) {
            true => specification,
            false => self.target.clone(),
        }
    }

    /// The environment that cargo needs for it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        match self.library {
            Library::Rustup => Vec::new(),
            // Building `core` is an unstable option of cargo; the package's configuration asks for it.
            Library::Source => vec![("RUSTC_BOOTSTRAP", "1".into())],
        }
    }

    /// Whether its types have no alignment.
    pub fn is_packed(&self) -> bool {
        self.core == "avr"
    }

    /// The emulator, or an error that says there is none.
    pub fn emulator(&self) -> Result<&Emulator> {
        self.emulator.as_ref().ok_or_else(|| self.not_emulated())
    }

    fn not_emulated(&self) -> Error {
        Error::new(format!("there is no emulator for {}", self.name))
    }
}

impl Emulator {
    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Emulator::Qemu(qemu) => &qemu.tool.program,
            Emulator::Simavr(_) => "simavr",
            Emulator::Rp2040js(_) => "rp2040js",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that follows `key =` on the line of a memory.x that starts with `region`.
    fn linker_number(text: &str, region: &str, key: &str) -> u64 {
        let line = text.lines().find(|l| l.trim_start().starts_with(region)).unwrap();
        let value = line.split(key).nth(1).unwrap().trim_start_matches([' ', '=']);
        let value = value.split([',', ' ']).next().unwrap();
        match (value.strip_prefix("0x"), value.strip_suffix('K')) {
            (Some(hex), _) => u64::from_str_radix(hex, 16).unwrap(),
            (_, Some(kib)) => kib.parse::<u64>().unwrap() * 1024,
            _ => value.parse().unwrap(),
        }
    }

    #[test]
    fn packages_agree_with_the_file() {
        for board in all().unwrap() {
            assert_eq!(board.package.is_some(), board.emulator.is_some(), "{}", board.name);
            let device = [board.clock_hz.is_some(), board.log.is_some(), !board.flashed_by.is_empty()];
            assert_eq!([board.device.is_some(); 3], device, "{}", board.name);
            assert!(!board.folders().is_empty(), "{} has no firmware", board.name);
            for package in board.folders() {
                let config = fs::read_to_string(package.join(".cargo/config.toml")).unwrap();
                assert!(config.contains(&format!("target = \"{}\"", board.cargo_target())), "target of {}", board.name);
                // Some chips' support crates bring their own.
                let Ok(layout) = fs::read_to_string(package.join("memory.x")) else {
                    assert_eq!(board.core, "rv32imc", "{} has no memory.x", package.display());
                    continue;
                };
                for (region, memory) in [("FLASH", board.flash), ("RAM", board.ram)] {
                    let linker = Memory {
                        origin: linker_number(&layout, region, "ORIGIN"),
                        bytes: linker_number(&layout, region, "LENGTH"),
                    };
                    assert_eq!(linker, memory, "{region} in {}", package.display());
                }
            }
        }
    }

    #[test]
    fn runners_flash_the_boards() {
        for board in all().unwrap().into_iter().filter(|board| board.device.is_some()) {
            let config = fs::read_to_string(board.device().unwrap().join(".cargo/config.toml")).unwrap();
            let expected = match (&board.flashed_by[0], &board.chip) {
                (Flasher::ProbeRs, Some(chip)) => format!("probe-rs run --chip {chip}\""),
                (flasher, _) => format!("runner = \"{}", flasher.name()),
            };
            assert!(config.contains(&expected), "runner of {}: {expected}", board.name);
        }
    }

    #[test]
    fn covered_boards_have_the_kernels_of_the_others() {
        let boards = all().unwrap();
        for board in boards.iter().filter(|board| board.covered_by.is_some()) {
            let other = find(board.covered_by.as_ref().unwrap()).unwrap();
            assert_eq!(board.kernels(), other.kernels(), "{}", board.name);
            assert!(other.emulator.is_some() && other.covered_by.is_none(), "{}", board.name);
        }
    }

    #[test]
    fn an_unknown_board_lists_the_known_ones() {
        let message = find("arduino-nano").unwrap_err().to_string();
        assert!(message.contains("arduino-nano") && message.contains("mps2-an386, microbit, "), "{message}");
    }
}
