//! What someone wearing an accelerometer does: windows of samples, features in integers, a network of four classes.
//!
//! The network is `tests/models/motion`, whose script has the same features.

pub mod features;
pub mod lis3dh;

use core::fmt;
use features::{Features, features};
use heapless::HistoryBuf;

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
