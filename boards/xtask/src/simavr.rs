//! simavr: counts cycles and instructions of an AVR, by a small program around its library that is compiled when it
//! is first needed.

use crate::board::Simavr;
use crate::elf;
use crate::emulator::{self, Cost};
use crate::error::{Context, Error, Result};
use crate::metrics::{self, Calibration};
use crate::protocol::{CALIBRATION_ROUNDS, Failure, Header};
use crate::workspace;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The call takes 3 cycles and the return 4; a round of the loop takes 4, the last one 3.
const CYCLES: Calibration =
    Calibration { empty: 3 + 4, calibration: 4 * CALIBRATION_ROUNDS as u64 - 1 + 3 + 4, reading: 1 };

/// Runs `elf` with `folder` as working directory until it ends.
pub fn measure(simavr: &Simavr, elf: &Path, folder: &Path, limit: Duration) -> Result<(Header, Vec<Cost>)> {
    let flash = folder.join("flash.bin");
    fs::write(&flash, elf::flash_image(elf, 0)?).context(|| format!("cannot write {}", flash.display()))?;
    // The offset tells data addresses from code in AVR's ELF files.
    let statics_end = elf::symbol(elf, "_ebss")? & 0xffff;
    let mut command = Command::new(runner()?);
    command.arg(&flash).args([&simavr.mcu, &simavr.hz.to_string(), &statics_end.to_string()]);
    command.arg(Failure::Fault.code().to_string());
    let measurements = emulator::execute(command, folder, limit)?;
    metrics::counted(&measurements, folder, &CYCLES)
}

/// The program, compiled if it is not there or older than its source.
fn runner() -> Result<PathBuf> {
    let source = workspace::boards().join("xtask/emulators/simavr.c");
    let folder = workspace::target().join("emulators");
    fs::create_dir_all(&folder).context(|| format!("cannot create {}", folder.display()))?;
    let lock_path = folder.join("simavr.lock");
    let lock = File::create(&lock_path).context(|| format!("cannot create {}", lock_path.display()))?;
    lock.lock().context(|| format!("cannot lock {}", lock_path.display()))?;
    let program = folder.join("simavr");
    let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    if time(&program).is_some_and(|built| time(&source).is_none_or(|changed| changed < built)) {
        return Ok(program);
    }
    let output = Command::new("cc")
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-o"])
        .args([&program, &source])
        .arg("-lsimavr")
        .output()
        .context(|| "cannot run cc".into())?;
    match output.status.success() {
        true => Ok(program),
        false => {
            let messages = String::from_utf8_lossy(&output.stderr);
            Err(Error::new(format!("{} does not compile:\n{messages}", source.display())))
        }
    }
}

/// Whether simavr's library can be compiled against.
pub fn has_library() -> bool {
    let output = Command::new("cc").args(["-E", "-include", "simavr/sim_avr.h", "-x", "c", "/dev/null"]).output();
    output.is_ok_and(|output| output.status.success())
}
