//! What someone wearing an accelerometer does: windows of samples, features in integers, a network of four classes.
//!
//! The network is `tests/models/motion`, whose script has the same features.

pub mod features;
pub mod lis3dh;

use core::fmt;
use embedded_hal::i2c::I2c;
use features::{Features, features};
use heapless::HistoryBuf;
use lis3dh::{Error, Lis3dh, Waiting};

/// Samples of a window: 3.2 s at [`RATE_HZ`].
pub const WINDOW: usize = 32;
/// New samples from one decision to the next.
pub const HOP: usize = 8;
/// Samples a second.
pub const RATE_HZ: u32 = 10;
/// An acceleration in thousandths of standard gravity: x, y, z.
pub type Sample = [i16; 3];
/// What the network gives: a score an activity.
pub type Scores = [i8; 4];

/// In the order of the network's classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activity {
    /// Standing still.
    Standing,
    /// Walking.
    Walking,
    /// Running.
    Running,
    /// Strokes with a racket.
    Badminton,
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standing, Self::Walking, Self::Running, Self::Badminton];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Activity::Standing => "standing",
            Activity::Walking => "walking",
            Activity::Running => "running",
            Activity::Badminton => "badminton",
        }
    }
}

/// What a window shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The activity with the best score; the first of several.
    pub activity: Activity,
    /// All scores.
    pub scores: Scores,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.scores;
        write!(f, "{} {a} {b} {c} {d}", self.activity.name())
    }
}

/// Collects samples and decides every [`HOP`] of them, once it has a window.
#[derive(Debug)]
pub struct Monitor<N> {
    window: HistoryBuf<Sample, WINDOW>,
    missing: usize,
    network: N,
}

impl<N: FnMut(&Features) -> Scores> Monitor<N> {
    /// A monitor that has seen nothing, with a network.
    pub const fn new(network: N) -> Self {
        Self { window: HistoryBuf::new(), missing: WINDOW, network }
    }

    /// Takes a sample; gives what the window shows, where it is time to decide.
    pub fn push(&mut self, sample: Sample) -> Option<Decision> {
        self.window.write(sample);
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return None;
        }
        self.missing = HOP;
        let mut window = [[0; 3]; WINDOW];
        window.iter_mut().zip(self.window.oldest_ordered()).for_each(|(to, from)| *to = *from);
        let scores = (self.network)(&features(&window));
        let mut best = (Activity::Standing, i8::MIN);
        for (activity, &score) in Activity::ALL.into_iter().zip(&scores) {
            if score > best.1 {
                best = (activity, score);
            }
        }
        Some(Decision { activity: best.0, scores })
    }

    /// Forgets what it has seen: to be called where samples are missing.
    pub fn restart(&mut self) {
        self.window.clear();
        self.missing = WINDOW;
    }
}

/// A sensor and a monitor. A sensor that fails is started again at the next look: a loose wire must not be the end.
#[derive(Debug)]
pub struct Watch<I, N> {
    sensor: Lis3dh<I>,
    monitor: Monitor<N>,
    measuring: bool,
}

impl<I: I2c, N: FnMut(&Features) -> Scores> Watch<I, N> {
    /// Nothing is sent yet.
    pub const fn new(bus: I, network: N) -> Self {
        Self { sensor: Lis3dh::new(bus), monitor: Monitor::new(network), measuring: false }
    }

    /// Takes all samples that wait, and hands on what is decided; gives what there was. To be called whenever a decision is
    /// due, and before the sensor has more than it holds.
    ///
    /// # Errors
    /// A bus that does not work, or another part. What was seen before is forgotten then.
    pub fn look(&mut self, mut decided: impl FnMut(Decision)) -> Result<Waiting, Error<I::Error>> {
        let result = self.try_look(&mut decided);
        self.measuring = result.is_ok();
        if !self.measuring {
            self.monitor.restart();
        }
        result
    }

    fn try_look(&mut self, decided: &mut impl FnMut(Decision)) -> Result<Waiting, Error<I::Error>> {
        if !self.measuring {
            self.sensor.start()?;
            return Ok(Waiting { samples: 0, overrun: false });
        }
        let waiting = self.sensor.waiting()?;
        if waiting.overrun {
            self.monitor.restart();
        }
        for _ in 0..waiting.samples {
            if let Some(decision) = self.monitor.push(self.sensor.sample()?) {
                decided(decision);
            }
        }
        Ok(waiting)
    }
}
