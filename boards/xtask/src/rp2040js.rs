//! rp2040js: counts cycles and instructions of an RP2040.

use crate::elf;
use crate::emulator::{self, Cost};
use crate::error::{Context, Result};
use crate::metrics::{self, Calibration};
use crate::protocol::{CALIBRATION_ROUNDS, Failure, Header};
use crate::workspace;
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
