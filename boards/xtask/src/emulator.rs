//! Runs a firmware in its board's emulator, and says what every inference has cost.

use crate::board::{Board, Emulator};
use crate::error::{Context, Error, Result};
use crate::metrics;
use crate::protocol::{Failure, Header, OUTPUTS};
use crate::qemu;
use crate::rp2040js;
use crate::simavr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What one run has given.
#[derive(Debug)]
pub struct Run {
    /// The firmware's description of itself.
    pub header: Header,
    /// In the order of the inputs.
    pub rows: Vec<Cost>,
    /// The rows' outputs, one after the other.
    pub outputs: Vec<u8>,
}

/// What one inference has cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Instructions.
    pub instructions: u64,
    /// Processor cycles, of an emulator that knows them.
    pub cycles: Option<u64>,
    /// Stack in bytes.
    pub stack_bytes: u32,
}

/// Runs `elf` on the inputs that lie in `folder` until it ends, or `limit` has passed.
pub fn run(board: &Board, elf: &Path, folder: &Path, limit: Duration) -> Result<Run> {
    let (header, rows) = match board.emulator()? {
        Emulator::Qemu(machine) => qemu::measure(machine, elf, folder, limit)?,
        Emulator::Simavr(chip) => simavr::measure(chip, elf, folder, limit)?,
        Emulator::Rp2040js(_) => rp2040js::measure(elf, folder, limit)?,
    };
    let outputs = fs::read(folder.join(OUTPUTS)).context(|| format!("cannot read {OUTPUTS}"))?;
    Ok(Run { header, rows, outputs })
}

/// Runs the emulator with `folder` as working directory, and reads what the firmware has measured.
pub fn execute(mut command: Command, folder: &Path, limit: Duration) -> Result<metrics::Measurements> {
    let log_path = folder.join("emulator.log");
    let log = File::create(&log_path).context(|| format!("cannot create {}", log_path.display()))?;
    let errors = log.try_clone().context(|| "cannot share a file".into())?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .context(|| format!("cannot run {program}"))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait().context(|| format!("lost {program}"))? {
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
    judge(status, &fs::read_to_string(&log_path).unwrap_or_default())?;
    metrics::read(folder)
}

/// How a run has ended, in words where it did not end well.
fn judge(status: ExitStatus, messages: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let failure = Failure::ALL.into_iter().find(|failure| status.code() == Some(failure.code().into()));
    // QEMU stops with "Lockup" where a fault handler itself found no stack.
    let failure = failure.or(messages.contains("Lockup").then_some(Failure::Fault));
    Err(Error::new(match failure {
        Some(Failure::Fault) => {
            "the firmware crashed: the stack ran out of its memory, it read or wrote where none is, or it contains an \
             instruction that the core does not have"
                .into()
        }
        Some(Failure::StackOverflow) => {
            let message = "the stack ran out of its memory: an inference used all that the statics leave free";
            return Err(Error::stack_overflow(message));
        }
        Some(Failure::Panic) => "the firmware panicked".into(),
        Some(Failure::OpenInputs) => "the firmware found no inputs.bin".into(),
        Some(Failure::CreateOutputs | Failure::CreateMetrics) => "the firmware could not create its results".into(),
        Some(Failure::WriteOutputs | Failure::WriteMetrics) => "the firmware could not write its results".into(),
        Some(Failure::ShortRow) => "inputs.bin ends within a row".into(),
        None => format!("the firmware failed in the emulator ({status}): {}", messages.trim()),
    }))
}
