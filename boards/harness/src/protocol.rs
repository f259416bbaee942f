//! The files that firmware and host exchange. `xtask` compiles this very file, so the two cannot disagree.
//!
//! * [`INPUTS`]: one row after the other, each exactly the bytes of the model's input type.
//! * [`OUTPUTS`]: likewise, the bytes of the model's output type.
//! * [`METRICS`]: the words of [`Header`], then those of [`Row`] for every input row.
//!
//! All words are little-endian.

/// Name of the input file, in the emulator's working directory.
pub const INPUTS: &str = "inputs.bin";
/// Name of the output file.
pub const OUTPUTS: &str = "outputs.bin";
/// Name of the file of measurements.
pub const METRICS: &str = "metrics.bin";

/// First word of the file of measurements: `TML1`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"TML1");

/// Instructions of the empty function that is measured at start: the call and the return.
pub const EMPTY_INSTRUCTIONS: u32 = 2;
/// Rounds of the calibration loop.
pub const CALIBRATION_ROUNDS: u32 = 1000;
/// Instructions of the calibration: two a round, the call and the return.
pub const CALIBRATION_INSTRUCTIONS: u32 = 2 * CALIBRATION_ROUNDS + EMPTY_INSTRUCTIONS;

/// What the firmware says of itself before the first row.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Size of the model's input type.
    pub input_bytes: u32,
    /// Size of the model's output type.
    pub output_bytes: u32,
    /// Size of the model's scratch type.
    pub scratch_bytes: u32,
    /// Timer ticks around an empty function.
    pub empty_ticks: u32,
    /// Timer ticks around the calibration loop.
    pub calibration_ticks: u32,
}

/// The measurement of one inference.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Timer ticks, modulo 2^24.
    pub ticks: u32,
    /// The timer wrapped at least once.
    pub wrapped: bool,
    /// Stack that the inference used, in bytes.
    pub stack_bytes: u32,
}

impl Header {
    /// Words of a header.
    pub const WORDS: usize = 6;

    /// The header as written.
    pub fn to_words(self) -> [u32; Self::WORDS] {
        [MAGIC, self.input_bytes, self.output_bytes, self.scratch_bytes, self.empty_ticks, self.calibration_ticks]
    }

    /// The header that was written, if these words are one.
    pub fn from_words(words: [u32; Self::WORDS]) -> Option<Self> {
        let [MAGIC, input_bytes, output_bytes, scratch_bytes, empty_ticks, calibration_ticks] = words else {
            return None;
        };
        Some(Self { input_bytes, output_bytes, scratch_bytes, empty_ticks, calibration_ticks })
    }
}

impl Row {
    /// Words of a row.
    pub const WORDS: usize = 2;
    /// Bit of the first word that says the timer wrapped.
    const WRAPPED: u32 = 1 << 31;

    /// The row as written.
    pub fn to_words(self) -> [u32; Self::WORDS] {
        [self.ticks | if self.wrapped { Self::WRAPPED } else { 0 }, self.stack_bytes]
    }

    /// The row that was written.
    pub fn from_words([ticks, stack_bytes]: [u32; Self::WORDS]) -> Self {
        Self { ticks: ticks & !Self::WRAPPED, wrapped: ticks & Self::WRAPPED != 0, stack_bytes }
    }
}
