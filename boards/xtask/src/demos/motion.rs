//! The demo `motion`: an accelerometer that plays a recording.

use super::{play, say_cost};
use crate::board::{Board, Demo};
use crate::error::{Context, Error, Result};
use crate::out::outln;
use crate::rp2040js::{Played, Recording};
use crate::workspace;
use std::fs;
use std::path::Path;
use tinymlp_codegen::plan::simulate::{Simulator, quantize};
use tinymlp_codegen::{Builder, Compiled};
use tinymlp_demos::motion::features::Features;
use tinymlp_demos::motion::lis3dh::milli_g;
use tinymlp_demos::motion::{Activity, Decision, Monitor, Scores};

/// A recording, and the network that looks at it.
pub struct Recorded {
    compiled: Compiled,
    /// Each as the sensor's registers have it, with what was done then.
    samples: Vec<([i16; 3], Activity)>,
}

impl Recorded {
    /// The shipped recording: a while of every activity.
    pub fn load() -> Result<Self> {
        let folder = workspace::root().join("tests/models/motion");
        let builder = Builder::new(folder.join("model.onnx")).calibration(folder.join("calibration.npy"));
        let compiled = builder.compile().map_err(|error| Error::new(error.to_string()))?;
        Ok(Self { compiled, samples: read(&folder.join("recording.csv"))? })
    }

    /// The numbers that the emulated sensor has in its registers.
    pub fn numbers(&self) -> Vec<u16> {
        self.samples.iter().flat_map(|(registers, _)| registers.map(i16::cast_unsigned)).collect()
    }

    /// What this machine decides, with the activity at the end of each window. The firmware's own code, with the simulation
    /// as its network.
    pub fn decided_here(&self) -> Vec<(Decision, Activity)> {
        let mut monitor = Monitor::new(self.network());
        let decide = |(registers, activity): &([i16; 3], Activity)| {
            monitor.push(registers.map(milli_g)).map(|decision| (decision, *activity))
        };
        self.samples.iter().filter_map(decide).collect()
    }

    fn network(&self) -> impl FnMut(&Features) -> Scores {
        let plan = &self.compiled.plan;
        let mut simulator = Simulator::new(plan);
        move |features| {
            simulator.run(&[quantize(plan, &plan.inputs[0], &features.map(|feature| feature as f32))]);
            let bytes = simulator.value(plan.outputs[0].value).bytes();
            std::array::from_fn(|class| bytes.get(class).copied().unwrap_or_default() as i8)
        }
    }
}

/// Lines of x, y, z in thousandths of gravity, and the activity, below a line of names.
fn read(file: &Path) -> Result<Vec<([i16; 3], Activity)>> {
    let text = fs::read_to_string(file).context(|| format!("cannot read {}", file.display()))?;
    let sample = |line: &str| {
        let values: Vec<i16> = line.split(',').map(|value| value.parse().ok()).collect::<Option<_>>()?;
        let [x, y, z, activity] = values.try_into().ok()?;
        // 2 mg are one step in the upper twelve bits.
        Some(([x, y, z].map(|value| value / 2 * 16), *Activity::ALL.get(usize::try_from(activity).ok()?)?))
    };
    let parse = |line: &str| sample(line).ok_or_else(|| Error::new(format!("{}: '{line}'", file.display())));
    text.lines().skip(1).map(parse).collect()
}

/// What an emulated board sends: a line a decision.
pub fn decided(board: &Board, recorded: &Recorded) -> Result<Played> {
    play(board, Demo::Motion, &Vec::new(), Recording::I2c, &recorded.numbers())
}

/// Runs the demo on an emulated board.
pub fn emulated(board: &Board) -> Result<()> {
    let recorded = Recorded::load()?;
    outln!("{} samples of an accelerometer for {}", recorded.samples.len(), board.name);
    let played = decided(board, &recorded)?;
    let decisions = recorded.decided_here();
    if played.sent != lines(&decisions) {
        return Err(Error::new(format!("{} does not decide what the host decides", board.name)));
    }
    for (decision, activity) in &decisions {
        let mark = if decision.activity == *activity { "" } else { "  (the window ends in another one)" };
        outln!("{:<10} {:<10}{mark}", activity.name(), decision.activity.name());
    }
    outln!("Every score is the host's.");
    say_cost(&played)
}

/// The lines that a board sends for these decisions.
fn lines(decisions: &[(Decision, Activity)]) -> Vec<u8> {
    decisions.iter().map(|(decision, _)| format!("{decision}\r\n")).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board;
    use crate::emulated_tests::ready;
    use crate::setup;

    #[test]
    fn an_emulated_board_decides_as_the_host_does() {
        let recorded = Recorded::load().unwrap();
        let decisions = recorded.decided_here();
        // 64 samples of each activity: windows that end at the 32nd, and then every eighth.
        assert_eq!(decisions.len(), 1 + (4 * 64 - 32) / 8);
        // The windows that lie within one activity.
        let whole = (decisions.iter().enumerate()).filter(|(i, _)| (32 + 8 * i - 1) % 64 >= 31);
        whole.for_each(|(i, (decision, activity))| assert_eq!(decision.activity, *activity, "decision {i}"));

        let board = board::find("rp2040").unwrap();
        if !ready("the demo motion", setup::require(&board)) {
            return;
        }
        let played = decided(&board, &recorded).unwrap();
        assert_eq!(String::from_utf8_lossy(&played.sent), String::from_utf8_lossy(&lines(&decisions)));
        // It sleeps while the sensor collects.
        assert!(played.awake < 0.01, "{}", played.awake);
    }
}
