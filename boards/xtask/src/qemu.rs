//! Runs a firmware in QEMU, with a time limit.

use crate::board::Qemu;
use crate::error::{Context, Error, Result};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Runs `elf` with `folder` as working directory until it ends.
///
/// One instruction takes `2^shift` nanoseconds of the emulated clock.
pub fn run(qemu: &Qemu, elf: &Path, folder: &Path, shift: u32, limit: Duration) -> Result<()> {
    let log_path = folder.join("emulator.log");
    let log = File::create(&log_path).context(|| format!("cannot create {}", log_path.display()))?;
    let errors = log.try_clone().context(|| "cannot share a file".into())?;
    let mut child = Command::new(&qemu.binary)
        .args(["-M", &qemu.machine, "-display", "none", "-monitor", "none", "-serial", "null"])
        .args(["-semihosting-config", "enable=on,target=native", "-icount", &format!("shift={shift}"), "-kernel"])
        .arg(elf)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .context(|| format!("cannot run {}", qemu.binary))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait().context(|| format!("lost {}", qemu.binary))? {
            Some(status) => break status,
            None if start.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                let seconds = limit.as_secs();
                return Err(Error::new(format!(
                    "the firmware did not end within {seconds} s: give it more with --timeout, or fewer rows"
                )));
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.success() {
        return Ok(());
    }
    let messages = fs::read_to_string(&log_path).unwrap_or_default();
    // What the firmware's fault handler says, and QEMU where the handler itself found no stack.
    if messages.contains("hard fault") || messages.contains("Lockup") {
        return Err(Error::new(
            "the firmware crashed: the stack ran out of its memory, or it read or wrote where none is",
        ));
    }
    Err(Error::new(format!("the firmware failed in the emulator ({status}): {}", messages.trim())))
}
