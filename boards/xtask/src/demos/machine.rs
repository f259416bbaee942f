//! A board in QEMU whose serial line is at hand.

use crate::board::{Board, Emulator};
use crate::error::{Context, Error, Result};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running emulator. It ends with this.
pub struct Machine(Child);

impl Machine {
    /// Starts a firmware.
    pub fn start(board: &Board, elf: &Path) -> Result<Self> {
        let Some(Emulator::Qemu(qemu)) = &board.emulator else {
            return Err(Error::new(format!("the serial line of {} cannot be typed at in its emulator", board.name)));
        };
        let mut command = Command::new(&qemu.tool.program);
        command.args(["-M", &qemu.machine, "-display", "none", "-monitor", "none", "-serial", "stdio", "-kernel"]);
        let child = command.arg(elf).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Ok(Self(child.context(|| format!("cannot run {}", qemu.tool.program))?))
    }

    /// The ends of its serial line; once.
    pub fn line(&mut self) -> Result<(ChildStdin, ChildStdout)> {
        let ends = self.0.stdin.take().zip(self.0.stdout.take());
        ends.ok_or_else(|| Error::new("the emulator's line is in use"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
