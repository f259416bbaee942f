//! The demo `anomaly`: a converter that plays the sound of a machine.
//!
//! The network is that of MLPerf Tiny. There is no raw sound of its machine at hand, only frames of one, so that the
//! recording is made here: hum and noise, and after some seconds a rattle. The network's error on the hum is not small, as
//! it has never heard it, but steady; the frames of the real sound are used by a test.

use super::{environment, play, say_cost};
use crate::artifact::Files;
use crate::bench::models;
use crate::board::{Board, Demo};
use crate::error::{Error, Result};
use crate::out::outln;
use crate::rp2040js::{Played, Recording};
use std::f64::consts::TAU;
use std::path::PathBuf;
use tinymlp_codegen::plan::Output;
use tinymlp_codegen::plan::kernels::Buffer;
use tinymlp_codegen::plan::simulate::Simulator;
use tinymlp_codegen::{Builder, Compiled};
use tinymlp_demos::anomaly::mel::{HOP, RATE_HZ};
use tinymlp_demos::anomaly::{Detector, Heard, INPUT, Listener, Scale};

/// Seconds of the recording.
const SECONDS: f64 = 3.2;
/// When the rattle begins: what is normal is learned by then.
const RATTLE: f64 = 2.4;

/// The model that was named, or the benchmark's, with calibration data.
pub fn files(named: Option<(PathBuf, PathBuf)>) -> Result<Files> {
    if let Some((model, calibration)) = named {
        return Ok(Files { inputs: calibration.clone(), model, calibration, labels: None });
    }
    let (found, _) = models::named(&["ad01".to_owned()]).map_err(|error| {
        error.and(". Name the network by --model and --calibration; the benchmark's is ad01 of mlcommons/tiny, as ONNX")
    })?;
    found.first().ok_or_else(|| Error::new("there is no model ad01"))?.files()
}

/// The recording as the converter gives it: 12 bits around the middle.
pub fn numbers() -> Vec<u16> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    let rate = f64::from(RATE_HZ);
    let sample = |n: usize| {
        let t = n as f64 / rate;
        let hum: f64 = [(100.0, 0.2), (200.0, 0.12), (300.0, 0.08), (1250.0, 0.03)]
            .iter()
            .map(|(frequency, strength)| strength * (TAU * frequency * t).sin())
            .sum();
        let knock = (t * 25.0).fract() * 0.04;
        let rattle = if t > RATTLE { 0.3 * (-knock * 200.0).exp() * (TAU * 3100.0 * knock).sin() } else { 0.0 };
        let value = hum + rattle + 0.02 * noise();
        (2048.0 + 2047.0 * value).round().clamp(0.0, 4095.0) as u16
    };
    (0..(SECONDS * rate) as usize).map(sample).collect()
}

/// The network's scales, and itself by simulation.
pub struct Autoencoder(Compiled);

impl Autoencoder {
    /// Compiles it.
    pub fn load(files: &Files) -> Result<Self> {
        let builder = Builder::new(&files.model).calibration(&files.calibration);
        let compiled = builder.compile().map_err(|error| Error::new(error.to_string()))?;
        let sizes =
            compiled.plan.inputs.iter().map(|input| input.value).chain(compiled.plan.outputs.iter().map(|o| o.value));
        match sizes.map(|value| compiled.plan.values[value].len()).collect::<Vec<_>>().as_slice() {
            [INPUT, INPUT] => Ok(Self(compiled)),
            _ => Err(Error::new(format!("{} is no network of {INPUT} inputs and outputs", files.model.display()))),
        }
    }

    /// The firmware's own detector.
    pub fn detector(&self) -> Detector<impl FnMut(&[i8; INPUT], &mut [i8; INPUT])> {
        let plan = &self.0.plan;
        let scale = |value: usize| {
            let quant = plan.values[value].quant;
            Scale::new(quant.scale as f32, quant.zero_point)
        };
        let mut simulator = Simulator::new(plan);
        let Output { value: output, .. } = plan.outputs[0];
        Detector::new(scale(plan.inputs[0].value), scale(output), move |input, to| {
            simulator.run(&[Buffer::I8(input.to_vec())]);
            to.iter_mut().zip(simulator.value(output).bytes()).for_each(|(to, byte)| *to = byte as i8);
        })
    }

    /// What this machine hears in the converter's values.
    pub fn heard_here(&self, numbers: &[u16]) -> Vec<Heard> {
        let mut listener = Listener::new(self.detector());
        numbers.iter().filter_map(|&value| listener.push((value as i16 - 2048) << 4)).collect()
    }
}

/// The lines that a board sends.
fn lines(heard: &[Heard]) -> String {
    heard.iter().map(|heard| format!("{} {} {}\r\n", heard.score, heard.level, heard.verdict.name())).collect()
}

/// What an emulated board sends: a line a window.
pub fn heard(board: &Board, files: &Files, numbers: &[u16]) -> Result<Played> {
    play(board, Demo::Anomaly, &environment(Some(files)), Recording::Adc, numbers)
}

/// Runs the demo on an emulated board.
pub fn emulated(board: &Board, files: &Files) -> Result<()> {
    let numbers = numbers();
    let windows = Autoencoder::load(files)?.heard_here(&numbers);
    outln!("{SECONDS} s of a machine for {}, which begins to rattle after {RATTLE} s", board.name);
    let played = heard(board, files, &numbers)?;
    if String::from_utf8_lossy(&played.sent) != lines(&windows) {
        return Err(Error::new(format!("{} does not hear what the host hears", board.name)));
    }
    let mut before = None;
    // A window ends with the last of its frames.
    let first = numbers.len() - (windows.len() - 1) * HOP;
    for (window, heard) in
        windows.iter().enumerate().filter(|(_, heard)| before.replace(heard.verdict) != Some(heard.verdict))
    {
        let seconds = (first + window * HOP) as f64 / f64::from(RATE_HZ);
        outln!("{seconds:>5.2} s: {} (level {:.1} dB^2)", heard.verdict.name(), f64::from(heard.level) / 256.0);
    }
    outln!("Every score is the host's.");
    say_cost(&played)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board;
    use crate::emulated_tests::{not_run, ready};
    use crate::setup;
    use tinymlp_demos::anomaly::Verdict;
    use tinymlp_demos::anomaly::mel::BANDS;

    fn benchmark() -> Option<Files> {
        let found = files(None);
        if let Err(missing) = &found {
            assert!(std::env::var_os("REQUIRE_SHARED").is_none_or(|value| value != "1"), "{missing}");
            not_run("the demo anomaly", &missing.to_string());
        }
        found.ok()
    }

    #[test]
    fn a_real_sound_scores_what_the_benchmark_publishes() {
        let Some(files) = benchmark() else { return };
        let sound = files.model.with_file_name("normal_id_01_00000000_hist_librosa.bin");
        let bytes = std::fs::read(sound).unwrap();
        let bands: Vec<i16> =
            bytes.as_chunks().0.iter().map(|&b| (256.0 * f32::from_le_bytes(b)).round() as i16).collect();
        let autoencoder = Autoencoder::load(&files).unwrap();
        let mut detector = autoencoder.detector();
        let heard: Vec<Heard> = bands.as_chunks::<BANDS>().0.iter().filter_map(|frame| detector.push(frame)).collect();
        assert_eq!(heard.len(), 196);
        let mean = heard.iter().map(|heard| f64::from(heard.score) / 256.0).sum::<f64>() / heard.len() as f64;
        // Published for the float model; quantization may add to it.
        assert!((mean / 9.7071 - 1.0).abs() < 0.02, "{mean}");
        // A normal sound stays normal.
        assert!(heard.iter().all(|heard| heard.verdict != Verdict::Anomaly));
    }

    #[test]
    fn an_emulated_board_hears_what_the_host_hears() {
        let Some(files) = benchmark() else { return };
        let numbers = numbers();
        let windows = Autoencoder::load(&files).unwrap().heard_here(&numbers);
        let rattle = numbers.len() - ((SECONDS - RATTLE) * f64::from(RATE_HZ)) as usize;
        let frames = |samples: usize| samples / HOP - 1 - 4;
        let (normal, rattling) = windows.split_at(frames(rattle));
        assert!(normal.iter().all(|heard| heard.verdict != Verdict::Anomaly));
        assert!(normal.iter().any(|heard| heard.verdict == Verdict::Normal));
        // Half a second later at most.
        assert!(rattling[16..].iter().all(|heard| heard.verdict == Verdict::Anomaly));

        let board = board::find("rp2040").unwrap();
        if !ready("the demo anomaly", setup::require(&board)) {
            return;
        }
        let played = heard(&board, &files, &numbers).unwrap();
        assert_eq!(String::from_utf8_lossy(&played.sent), lines(&windows));
        // There is time left from one frame to the next.
        assert!(played.awake < 0.6, "{}", played.awake);
    }
}
