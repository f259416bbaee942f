//! One line of the result: a model, generated in one way, on one board. The names are those of `--json`.

use crate::bench::models::{Model, Prepared, Quality};
use crate::bench::recorded::{Best, Recorded, Target};
use crate::board::Board;
use crate::emulate::Report;
use crate::error::Result;
use serde::Serialize;

/// What was measured, or why it could not be.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the board.
    pub board: String,
    /// Its core.
    pub core: String,
    /// Name of the model.
    pub model: String,
    /// Its layers.
    pub shape: String,
    /// How it was generated; the peer's name for one that is not ours.
    pub variant: String,
    /// Multiply-accumulate operations of an inference.
    pub macs: u64,
    /// Bytes of constants in the generated module, of a row of ours.
    pub constant_bytes: Option<usize>,
    /// The figures, where the model runs on the board.
    pub figures: Option<Figures>,
    /// Why there are none, or what is to be known of them.
    pub note: Option<String>,
    /// The recorded peer that is fastest.
    pub fastest_peer: Option<Best>,
    /// The recorded peer that takes least flash.
    pub smallest_peer: Option<Best>,
    /// What tinymlp aims at.
    pub target: Option<Target>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Inferences that ran on the board.
    pub rows: usize,
    /// Instructions of an inference, mean over the rows.
    pub instructions_mean: f64,
    /// Instructions of an inference that the generator predicts, where it does.
    pub predicted_instructions: Option<f64>,
    /// Instructions that it predicts no inference exceeds.
    pub predicted_instructions_max: Option<u64>,
    /// Flash that it predicts.
    pub predicted_flash_bytes: Option<usize>,
    /// RAM and stack that it predicts.
    pub predicted_ram_and_stack_bytes: Option<usize>,
    /// Instructions of the shortest inference.
    pub instructions_min: u64,
    /// Instructions of the longest inference.
    pub instructions_max: u64,
    /// Instructions for every multiply-accumulate operation, in the mean.
    pub instructions_per_mac: f64,
    /// Cycles of an inference, mean over the rows, where the emulator has them.
    pub cycles_mean: Option<f64>,
    /// Flash, less that of the same firmware without the model.
    pub flash_bytes: i64,
    /// RAM, less that of the same firmware without the model; no stack.
    pub ram_bytes: i64,
    /// Deepest stack.
    pub stack_bytes: u32,
    /// How well the model does on all its test rows.
    #[serde(flatten)]
    pub quality: Option<Quality>,
}

impl Row {
    /// A row of ours without figures yet.
    pub fn new(board: &Board, model: &Model, variant: &str, prepared: &Prepared, recorded: &Recorded) -> Self {
        Self {
            constant_bytes: Some(prepared.constant_bytes),
            fastest_peer: recorded.fastest(&board.core, model.name),
            smallest_peer: recorded.smallest(&board.core, model.name),
            target: recorded.target(&board.core, model.name),
            ..Self::of_peer(board, model, variant, prepared.macs)
        }
    }

    /// A row of a peer without figures yet.
    pub fn of_peer(board: &Board, model: &Model, peer: &str, macs: u64) -> Self {
        Self {
            board: board.name.clone(),
            core: board.core.clone(),
            model: model.name.into(),
            shape: model.shape.into(),
            variant: peer.into(),
            macs,
            constant_bytes: None,
            figures: None,
            note: None,
            fastest_peer: None,
            smallest_peer: None,
            target: None,
        }
    }

    /// The row with what a run gave. A board without room for the model is a row; anything else that goes wrong is
    /// an error.
    pub fn with(mut self, report: Result<Report>, quality: Option<Quality>) -> Result<Self> {
        match report {
            Ok(report) => {
                report.verdict()?;
                self.figures = Some(Figures::new(&report, self.macs, quality));
                Ok(self)
            }
            Err(error) if error.is_too_big() => {
                // The first line: what follows is where the run's files are.
                self.note = error.to_string().lines().next().map(str::to_owned);
                Ok(self)
            }
            Err(error) => Err(error),
        }
    }

    /// What a message calls this row.
    pub fn title(&self) -> String {
        format!("{} {} on {}", self.model, self.variant, self.board)
    }
}

impl Figures {
    /// The figures of a run.
    pub fn new(report: &Report, macs: u64, quality: Option<Quality>) -> Self {
        Self {
            rows: report.rows,
            instructions_mean: report.instructions_mean,
            predicted_instructions: report.predicted_instructions,
            predicted_instructions_max: report.predicted_instructions_max,
            predicted_flash_bytes: report.predicted_flash_bytes,
            predicted_ram_and_stack_bytes: report.predicted_ram_and_stack_bytes,
            instructions_min: report.instructions_min,
            instructions_max: report.instructions_max,
            instructions_per_mac: report.instructions_mean / macs.max(1) as f64,
            cycles_mean: report.cycles_mean,
            flash_bytes: report.flash_bytes,
            ram_bytes: report.ram_bytes,
            stack_bytes: report.stack_bytes,
            quality,
        }
    }
}
