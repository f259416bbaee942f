//! What firmware and host exchange. `xtask` compiles this very file, so the two cannot disagree.
//!
//! * [`INPUTS`]: one row after the other, each exactly the bytes of the model's input type.
//! * [`OUTPUTS`]: likewise, the bytes of the model's output type.
//! * [`METRICS`]: the words of [`Header`], then those of [`Row`] for every input row.
//!
//! All words are little-endian. A run ends with the code 0 or that of a [`Failure`].
//!
//! How time is measured is the processor's: ticks of SysTick, instructions, or nothing where the emulator counts by
//! itself between marks (then ticks are 0).

/// Name of the input file, in the emulator's working directory.
pub const INPUTS: &str = "inputs.bin";
/// Name of the output file.
pub const OUTPUTS: &str = "outputs.bin";
/// Name of the file of measurements.
pub const METRICS: &str = "metrics.bin";

/// First word of the file of measurements: `TML2`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"TML2");

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
    /// An empty function.
    pub empty: Span,
    /// The calibration loop.
    pub calibration: Span,
}

/// The measurement of one inference.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its time.
    pub span: Span,
    /// Stack that the inference used, in bytes.
    pub stack_bytes: u32,
}

/// Time between two readings of a timer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Ticks; those of a narrow timer are modulo its size.
    pub ticks: u64,
    /// The timer wrapped at least once.
    pub wrapped: bool,
}

/// Why a firmware ended early.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Failure {
    /// `inputs.bin` is not in the working directory.
    OpenInputs,
    /// `outputs.bin` cannot be created.
    CreateOutputs,
    /// `metrics.bin` cannot be created.
    CreateMetrics,
    /// `inputs.bin` ends within a row.
    ShortRow,
    /// `outputs.bin` did not take a row.
    WriteOutputs,
    /// `metrics.bin` did not take a row.
    WriteMetrics,
    /// An inference used all the memory that statics leave free.
    StackOverflow,
    /// A panic.
    Panic,
    /// A fault: an access outside the memory, or an instruction that the processor does not have.
    Fault,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::OpenInputs,
        Self::CreateOutputs,
        Self::CreateMetrics,
        Self::ShortRow,
        Self::WriteOutputs,
        Self::WriteMetrics,
        Self::StackOverflow,
        Self::Panic,
        Self::Fault,
    ];

    /// The code that the run ends with. Small numbers are the emulators' own.
    pub const fn code(self) -> u8 {
        64 + self as u8
    }
}

impl Span {
    /// Bit of the second word that says the timer wrapped.
    const WRAPPED: u32 = 1 << 31;

    /// The span as written.
    pub fn to_words(self) -> [u32; 2] {
        [self.ticks as u32, (self.ticks >> 32) as u32 | if self.wrapped { Self::WRAPPED } else { 0 }]
    }

    /// The span that was written.
    pub fn from_words([low, high]: [u32; 2]) -> Self {
        let ticks = (high & !Self::WRAPPED) as u64;
        Self { ticks: ticks << 32 | low as u64, wrapped: high & Self::WRAPPED != 0 }
    }
}

impl Header {
    /// Words of a header.
    pub const WORDS: usize = 8;

    /// The header as written.
    pub fn to_words(self) -> [u32; Self::WORDS] {
        let [[a, b], [c, d]] = [self.empty.to_words(), self.calibration.to_words()];
        [MAGIC, self.input_bytes, self.output_bytes, self.scratch_bytes, a, b, c, d]
    }

    /// The header that was written, if these words are one.
    pub fn from_words(words: [u32; Self::WORDS]) -> Option<Self> {
        let [MAGIC, input_bytes, output_bytes, scratch_bytes, a, b, c, d] = words else {
            return None;
        };
        let [empty, calibration] = [Span::from_words([a, b]), Span::from_words([c, d])];
        Some(Self { input_bytes, output_bytes, scratch_bytes, empty, calibration })
    }
}

impl Row {
    /// Words of a row.
    pub const WORDS: usize = 3;

    /// The row as written.
    pub fn to_words(self) -> [u32; Self::WORDS] {
        let [a, b] = self.span.to_words();
        [a, b, self.stack_bytes]
    }

    /// The row that was written.
    pub fn from_words([a, b, stack_bytes]: [u32; Self::WORDS]) -> Self {
        Self { span: Span::from_words([a, b]), stack_bytes }
    }
}
