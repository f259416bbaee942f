//! rp2040js: counts cycles and instructions of an RP2040.

use crate::elf;
use crate::emulator::{self, Cost};
use crate::error::{Context, Error, Result};
use crate::metrics::{self, Calibration};
use crate::protocol::{CALIBRATION_ROUNDS, Failure, Header};
use crate::workspace;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The call and the return take 2 cycles each; a round of the loop takes 3, the last one 2; the reading takes 2.
const CYCLES: Calibration = Calibration { empty: 4, calibration: 3 * CALIBRATION_ROUNDS as u64 - 1 + 4, reading: 2 };
/// Where flash is, boot loader included.
const FLASH: usize = 0x1000_0000;

/// Runs `elf` with `folder` as working directory until it ends.
pub fn measure(elf: &Path, folder: &Path, limit: Duration) -> Result<(Header, Vec<Cost>)> {
    let flash = folder.join("flash.bin");
    fs::write(&flash, elf::flash_image(elf, FLASH)?).context(|| format!("cannot write {}", flash.display()))?;
    let mut command = Command::new("node");
    command.arg(workspace::boards().join("xtask/emulators/rp2040.mjs")).arg(package()).arg(&flash);
    command.args([elf::symbol(elf, "__sheap")?.to_string(), Failure::Fault.code().to_string()]);
    let measurements = emulator::execute(command, folder, limit)?;
    metrics::counted(&measurements, folder, &CYCLES)
}

/// Runs a device's firmware as it is; gives the byte in which it records how its self-test went, 0 if it has not ended
/// within half a second of the chip's time.
#[cfg(test)]
pub fn self_test(elf: &Path, folder: &Path) -> Result<u64> {
    let flash = folder.join("flash.bin");
    fs::write(&flash, elf::flash_image(elf, FLASH)?).context(|| format!("cannot write {}", flash.display()))?;
    let mut command = Command::new("node");
    command.arg(workspace::boards().join("xtask/emulators/rp2040_device.mjs")).arg(package()).arg(&flash);
    command.args([&elf::symbol(elf, "TINYMLP_SELF_TEST")?.to_string(), "0.5"]);
    let output = command.output().context(|| "cannot run node".into())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().context(|| format!("rp2040js printed '{}'", text.trim()))
}

/// What a recording is of.
#[derive(Clone, Copy, Debug)]
pub enum Recording {
    /// Bytes that arrive at UART0, as numbers below 256; a greater number is a pause of so many milliseconds more than 256.
    Serial,
    /// Samples of a LIS3DH, as its three registers of 16 bits.
    I2c,
    /// Values of the converter.
    Adc,
}

/// What a demo's firmware has done.
#[derive(Debug, Deserialize)]
pub struct Played {
    /// What it sent on UART0.
    #[serde(skip)]
    pub sent: Vec<u8>,
    /// The firmware.
    #[serde(skip)]
    pub elf: PathBuf,
    /// How long it ran, in the chip's time.
    pub seconds: f64,
    /// The share of the time that the processor did not sleep.
    pub awake: f64,
}

/// Runs a demo's firmware as it is, with a recording in the place of what is connected to the chip.
pub fn play(elf: &Path, folder: &Path, recording: Recording, numbers: &[u16]) -> Result<Played> {
    let [flash, file] = ["flash.bin", "recording.bin"].map(|file| folder.join(file));
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    for (file, bytes) in [(&flash, elf::flash_image(elf, FLASH)?), (&file, bytes)] {
        fs::write(file, bytes).context(|| format!("cannot write {}", file.display()))?;
    }
    let kind = match recording {
        Recording::Serial => "serial",
        Recording::I2c => "i2c",
        Recording::Adc => "adc",
    };
    let mut command = Command::new("node");
    command.arg(workspace::boards().join("xtask/emulators/rp2040_demo.mjs")).arg(package());
    let output = command.arg(&flash).arg(kind).arg(&file).output().context(|| "cannot run node".into())?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Error::new(format!("the firmware failed in the emulator: {}", text.trim())));
    }
    let played: Played = serde_json::from_str(&text).context(|| format!("rp2040js printed '{}'", text.trim()))?;
    Ok(Played { sent: output.stdout, elf: elf.to_owned(), ..played })
}

/// The folder that npm installs into.
pub fn prefix() -> PathBuf {
    workspace::target().join("npm")
}

fn package() -> PathBuf {
    prefix().join("node_modules/rp2040js")
}

/// Whether this version is installed.
pub fn is_installed(version: &str) -> bool {
    let text = fs::read_to_string(package().join("package.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    manifest.get("version").and_then(serde_json::Value::as_str) == Some(version)
}
