//! QEMU: counts instructions, by way of the firmware's timer.

use crate::board::Qemu;
use crate::emulator::{self, Cost};
use crate::error::{Error, Result};
use crate::metrics::{INSTRUCTIONS, Measurements};
use crate::protocol::{Header, Row};
use crate::systick::{COARSE_SHIFT, FINE_SHIFT, Timer};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Runs `elf` with `folder` as working directory until it ends.
pub fn measure(qemu: &Qemu, elf: &Path, folder: &Path, limit: Duration) -> Result<(Header, Vec<Cost>)> {
    let run = |shift| emulator::execute(command(qemu, elf, shift), folder, limit);
    let Some(hz) = qemu.systick_hz else {
        let Measurements { header, rows } = run(0)?;
        let count = |ticks: u64| ticks.saturating_sub(INSTRUCTIONS.reading);
        INSTRUCTIONS.check("minstret", count(header.empty.ticks), count(header.calibration.ticks))?;
        let costs = rows.iter().map(|row| cost(row, count(row.span.ticks))).collect();
        return Ok((header, costs));
    };
    let fine = run(FINE_SHIFT)?;
    let timer = Timer { hz };
    timer.check(&fine.header)?;
    let coarse = match fine.rows.iter().any(|row| row.span.wrapped) {
        true => Some(run(COARSE_SHIFT)?.rows),
        false => None,
    };
    if coarse.as_ref().is_some_and(|coarse| coarse.len() != fine.rows.len()) {
        return Err(Error::new("two runs of the firmware differ in their number of rows"));
    }
    let counts = timer.count(&fine.rows, coarse.as_deref())?;
    let costs = fine.rows.iter().zip(counts).map(|(row, count)| cost(row, count)).collect();
    Ok((fine.header, costs))
}

fn cost(row: &Row, instructions: u64) -> Cost {
    Cost { instructions, cycles: None, stack_bytes: row.stack_bytes }
}

/// One instruction takes `2^shift` nanoseconds of the emulated clock.
fn command(qemu: &Qemu, elf: &Path, shift: u32) -> Command {
    let mut command = Command::new(&qemu.tool.program);
    command.args(["-M", &qemu.machine, "-display", "none", "-monitor", "none", "-serial", "null"]);
    if let Some(cpu) = &qemu.cpu {
        command.args(["-cpu", cpu]);
    }
    if let Some(bios) = &qemu.bios {
        command.args(["-bios", bios]);
    }
    command.args(["-semihosting-config", "enable=on,target=native", "-icount", &format!("shift={shift}"), "-kernel"]);
    command.arg(elf);
    command
}
