//! Whether a machine sounds as it did: samples of a microphone, log-mel frames, an autoencoder that has learned one kind of
//! machine, and how far off it is.
//!
//! The network is that of the MLPerf Tiny benchmark `ad01` (640-128x4-8-128x4-640), or another one with inputs and outputs
//! of [`FRAMES`] frames of [`BANDS`] bands in decibels. What is normal is learned on the spot: the first windows after the
//! start, in which the machine has to run as it should, say how far off the network is then. An anomaly is what they would
//! not have shown.

mod fft;
pub mod mel;

use mel::{BANDS, Frame, HOP, LENGTH, Spectrum};

/// Frames of a window.
pub const FRAMES: usize = 5;
/// Numbers that the network takes and gives.
pub const INPUT: usize = FRAMES * BANDS;
/// Windows from which the threshold is learned: two seconds.
pub const LEARNING: u32 = 64;
/// One part in so many of a new score goes into the level.
const SMOOTHING: u32 = 3;
/// Standard deviations from the mean of normal levels to the threshold.
const DEVIATIONS: u64 = 6;

/// How a quantized number is a real one, `scale * (q - zero_point)`, in steps of 1/256 decibel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// 1/256 decibel a step, times 2^8.
    step: i32,
    /// Steps a 1/256 decibel, times 2^24.
    per_unit: i32,
    zero_point: i32,
}

impl Scale {
    /// That of a network's input or output. To be called for a constant, so that no float is computed on the device.
    pub const fn new(scale: f32, zero_point: i32) -> Self {
        let units = 256.0 * scale as f64;
        Self { step: (units * 256.0 + 0.5) as i32, per_unit: (16_777_216.0 / units + 0.5) as i32, zero_point }
    }

    /// The nearest quantized number of a number of 1/256 decibels.
    pub const fn quantize(self, value: i16) -> i8 {
        let steps = (value as i64 * self.per_unit as i64 + (1 << 23)) >> 24;
        let q = steps + self.zero_point as i64;
        if q < i8::MIN as i64 {
            i8::MIN
        } else if q > i8::MAX as i64 {
            i8::MAX
        } else {
            q as i8
        }
    }

    /// What a quantized number stands for, in 1/65536 decibels.
    const fn fine(self, q: i8) -> i32 {
        (q as i32 - self.zero_point) * self.step
    }
}

/// What is made of a window's score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It helps to say what is normal.
    Learning,
    /// It is as it was.
    Normal,
    /// It is not.
    Anomaly,
}

impl Verdict {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Learning => "learning",
            Verdict::Normal => "normal",
            Verdict::Anomaly => "anomaly",
        }
    }
}

/// What a window has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// Mean square of the network's error, in 1/256 square decibels.
    pub score: u32,
    /// Mean of the last scores, in which new ones weigh more.
    pub level: u32,
    /// What follows.
    pub verdict: Verdict,
}

/// Learns what levels are normal, and tells others from them.
#[derive(Clone, Debug)]
pub struct Judge {
    /// In 1/256 of a score's unit.
    level: u64,
    seen: u32,
    sum: u64,
    squares: u64,
    threshold: u64,
}

impl Judge {
    /// One that knows nothing.
    pub const fn new() -> Self {
        Self { level: 0, seen: 0, sum: 0, squares: 0, threshold: 0 }
    }

    /// Takes the score of a window.
    pub fn judge(&mut self, score: u32) -> Heard {
        let new = u64::from(score) << 8;
        self.level = if self.seen == 0 { new } else { self.level - (self.level >> SMOOTHING) + (new >> SMOOTHING) };
        let level = self.level >> 8;
        let verdict = if self.seen < LEARNING {
            self.seen += 1;
            self.sum += level;
            // A level has at most 32 bits, and there are 64: a sum of squares that is too large says that nothing is
            // normal there.
            self.squares = self.squares.saturating_add(level * level);
            if self.seen == LEARNING {
                let mean = self.sum / u64::from(LEARNING);
                let variance = (self.squares / u64::from(LEARNING)).saturating_sub(mean * mean);
                self.threshold = mean + DEVIATIONS * variance.isqrt();
            }
            Verdict::Learning
        } else if level > self.threshold {
            Verdict::Anomaly
        } else {
            Verdict::Normal
        };
        Heard { score, level: level as u32, verdict }
    }

    /// The level above which a sound is not normal, once it is known.
    pub fn threshold(&self) -> Option<u64> {
        (self.seen == LEARNING).then_some(self.threshold)
    }
}

impl Default for Judge {
    fn default() -> Self {
        Self::new()
    }
}

/// Slides a window over frames, and scores it.
#[derive(Debug)]
pub struct Detector<N> {
    /// Quantized, the oldest frame first.
    window: [i8; INPUT],
    missing: usize,
    input: Scale,
    output: Scale,
    network: N,
    judge: Judge,
}

impl<N: FnMut(&[i8; INPUT], &mut [i8; INPUT])> Detector<N> {
    /// A detector that has heard nothing, with a network and the scales of its input and output.
    pub const fn new(input: Scale, output: Scale, network: N) -> Self {
        Self { window: [0; INPUT], missing: FRAMES, input, output, network, judge: Judge::new() }
    }

    /// Takes a frame; gives what the window that ends with it shows, once there is one.
    pub fn push(&mut self, frame: &Frame) -> Option<Heard> {
        self.window.copy_within(BANDS.., 0);
        for (q, &value) in self.window[INPUT - BANDS..].iter_mut().zip(frame) {
            *q = self.input.quantize(value);
        }
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return None;
        }
        let mut output = [0; INPUT];
        (self.network)(&self.window, &mut output);
        let errors = self.window.iter().zip(&output).map(|(&x, &y)| self.input.fine(x) - self.output.fine(y));
        // In 1/256 decibels an error has at most 18 bits.
        let square = |error: i32| {
            let error = i64::from(error >> 8);
            (error * error) as u64
        };
        let sum: u64 = errors.map(square).sum();
        Some(self.judge.judge(((sum / INPUT as u64) >> 8) as u32))
    }

    /// The level above which a sound is not normal, once it is known.
    pub fn threshold(&self) -> Option<u64> {
        self.judge.threshold()
    }
}

/// Cuts samples into frames that overlap by half, and hands their spectra to a [`Detector`].
#[derive(Debug)]
pub struct Listener<N> {
    samples: [i16; LENGTH],
    filled: usize,
    spectrum: Spectrum,
    detector: Detector<N>,
}

impl<N: FnMut(&[i8; INPUT], &mut [i8; INPUT])> Listener<N> {
    /// A listener that has heard nothing.
    pub const fn new(detector: Detector<N>) -> Self {
        Self { samples: [0; LENGTH], filled: 0, spectrum: Spectrum::new(), detector }
    }

    /// Takes a sample, of the full range of 16 bits; gives what it completes.
    pub fn push(&mut self, sample: i16) -> Option<Heard> {
        *self.samples.get_mut(self.filled)? = sample;
        self.filled += 1;
        if self.filled < LENGTH {
            return None;
        }
        let frame = self.spectrum.frame(&self.samples);
        self.samples.copy_within(HOP.., 0);
        self.filled = LENGTH - HOP;
        self.detector.push(&frame)
    }

    /// The level above which a sound is not normal, once it is known.
    pub fn threshold(&self) -> Option<u64> {
        self.detector.threshold()
    }
}
