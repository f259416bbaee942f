//! `cargo xtask emulate`: runs a model on an emulated board and compares every output with the host, bit for bit.

use crate::artifact::Artifact;
use crate::board::Board;
use crate::elf::{self, Forbidden};
use crate::emulator::{self, Run};
use crate::error::{Context, Error, Result};
use crate::firmware::{self, Content, Opt};
use crate::protocol::INPUTS;
use crate::setup;
use crate::workspace::{self, RunFolder};
use serde::Serialize;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Optimization of the firmware.
    pub opt: Opt,
    /// The emulator is stopped after this time.
    pub limit: Duration,
}

/// What came out. The names are those of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the board.
    pub board: String,
    /// Its core.
    pub core: String,
    /// Inferences that ran.
    pub rows: usize,
    /// Every output is the host's.
    pub bit_exact: bool,
    /// The first output that is not.
    pub first_difference: Option<String>,
    /// Instructions of one inference, mean over the rows.
    pub instructions_mean: f64,
    /// Instructions of the shortest inference.
    pub instructions_min: u64,
    /// Instructions of the longest inference.
    pub instructions_max: u64,
    /// Instructions of one inference that the generator predicts, in the mean over the calibration data; only where the
    /// module is for the board's core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_instructions: Option<f64>,
    /// Instructions that it predicts no inference exceeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_instructions_max: Option<u64>,
    /// Processor cycles of one inference, mean over the rows; only from an emulator that knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles_mean: Option<f64>,
    /// Cycles of the shortest inference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles_min: Option<u64>,
    /// Cycles of the longest inference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles_max: Option<u64>,
    /// Flash of the firmware less flash of the same firmware without the model.
    pub flash_bytes: i64,
    /// Flash that the generator predicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_flash_bytes: Option<usize>,
    /// RAM of the firmware less RAM of the same firmware without the model; no stack.
    pub ram_bytes: i64,
    /// RAM with the deepest stack that the generator predicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_ram_and_stack_bytes: Option<usize>,
    /// The generator promises that the time is the same whatever the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_data_independent: Option<bool>,
    /// Size of the model's scratch type.
    pub scratch_bytes: u32,
    /// Deepest stack of an inference.
    pub stack_bytes: u32,
    /// Share of rows with the right answer, where there are labels; of a text model with slots, the exact matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantized_accuracy: Option<f64>,
    /// Of a text model: instructions of the front end, mean over the texts. The network takes the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front_end_instructions_mean: Option<f64>,
    /// Instructions of the front end for a word that the network sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions_per_word: Option<f64>,
    /// What the device answered, row after row.
    #[serde(skip)]
    pub outputs: Vec<u8>,
    /// Symbols of panics, allocation, formatting and software floating point in the firmware: none is right.
    pub forbidden_symbols: Vec<Forbidden>,
    /// Optimization level.
    pub opt: Opt,
    /// The compiler, on which the counts depend.
    pub rustc: String,
}

impl Report {
    /// The report, or what is wrong in it.
    pub fn verdict(&self) -> Result<()> {
        if let Some(difference) = &self.first_difference {
            return Err(Error::new(format!("{} differs from the host: {difference}", self.board)));
        }
        if let Some(Forbidden { symbol, reason }) = self.forbidden_symbols.first() {
            let more = match self.forbidden_symbols.len() - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            return Err(Error::new(format!("the firmware for {} contains {reason}: {symbol}{more}", self.board)));
        }
        Ok(())
    }
}

/// Share of a figure that its prediction may miss it by.
#[cfg(test)]
const TOLERANCE: f64 = 0.1;

#[cfg(test)]
impl Report {
    /// What the generator predicted and the board does not confirm.
    pub fn wrong_predictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let ram = self.ram_bytes + i64::from(self.stack_bytes);
        for (what, predicted, found) in [
            ("instructions", self.predicted_instructions, self.instructions_mean),
            ("bytes of flash", self.predicted_flash_bytes.map(|bytes| bytes as f64), self.flash_bytes as f64),
            ("bytes of RAM and stack", self.predicted_ram_and_stack_bytes.map(|bytes| bytes as f64), ram as f64),
        ] {
            let Some(predicted) = predicted else { continue };
            if (predicted - found).abs() > TOLERANCE * found {
                wrong.push(format!("{found:.0} {what}, predicted {predicted:.0}"));
            }
        }
        if let Some(most) = self.predicted_instructions_max.filter(|&most| most < self.instructions_max) {
            wrong.push(format!("{} instructions, predicted at most {most}", self.instructions_max));
        }
        // Where cycles are known they are the time: an instruction that is skipped may take the time it would have.
        let instructions = (self.instructions_min, self.instructions_max);
        let (least, most) = self.cycles_min.zip(self.cycles_max).unwrap_or(instructions);
        if self.predicted_data_independent == Some(true) && least != most {
            wrong.push(format!("{least} to {most}, where one time was promised"));
        }
        wrong
    }
}

/// Builds the firmware and runs all rows of the artifact on the board.
pub fn run(board: &Board, artifact: &Artifact, options: Options) -> Result<Report> {
    if artifact.rows == 0 {
        return Err(Error::new("there are no input rows"));
    }
    setup::require(board)?;
    let mut folder = RunFolder::new(&board.name)?;
    let packed = board.is_packed().then(|| artifact.packed());
    match run_in(&folder, board, packed.as_ref().unwrap_or(artifact), options) {
        Ok(report) => Ok(report),
        Err(error) => {
            let kept = folder.keep().display();
            Err(error.and(format_args!("\n(the run's files: {kept})")))
        }
    }
}

/// Builds the model's firmware alone and compares its answers with the host's: for tests, which need no figures.
#[cfg(test)]
pub fn compare(board: &Board, artifact: &Artifact, options: Options) -> Result<()> {
    let folder = RunFolder::new(&board.name)?;
    let (elf, Run { outputs, .. }) = emulated(folder.path(), board, artifact, Content::Model, options)?;
    match (first_difference(artifact, &outputs), elf::inspect(&elf)?.forbidden.first()) {
        (Some(difference), _) => Err(Error::new(format!("{} differs from the host: {difference}", board.name))),
        (None, Some(Forbidden { symbol, reason })) => Err(Error::new(format!("{reason} on {}: {symbol}", board.name))),
        (None, None) => Ok(()),
    }
}

fn run_in(folder: &RunFolder, board: &Board, artifact: &Artifact, options: Options) -> Result<Report> {
    let folder = folder.path();
    let (elf, Run { header, rows, outputs }) = emulated(folder, board, artifact, Content::Model, options)?;
    let empty = firmware::build(board, &artifact.module, Content::Empty, options.opt, folder)?;
    let (image, empty) = (elf::inspect(&elf)?, elf::inspect(&empty)?);
    let instructions = Spread::of(rows.iter().map(|row| row.instructions));
    let front_end = artifact.texts.as_ref().map(|_| front_end(folder, board, artifact, options)).transpose()?;
    let cycles: Option<Vec<u64>> = rows.iter().map(|row| row.cycles).collect();
    let cycles = cycles.map(|cycles| Spread::of(cycles.into_iter()));

    let first_difference = first_difference(artifact, &outputs);
    let predicted = artifact.predicted.as_ref().filter(|predicted| predicted.target == board.kernels().to_string());
    Ok(Report {
        board: board.name.clone(),
        core: board.core.clone(),
        rows: artifact.rows,
        bit_exact: first_difference.is_none(),
        first_difference,
        instructions_mean: instructions.mean,
        instructions_min: instructions.min,
        instructions_max: instructions.max,
        predicted_instructions: predicted.map(|p| p.instructions_mean),
        predicted_instructions_max: predicted.map(|p| p.instructions_max),
        cycles_mean: cycles.map(|cycles| cycles.mean),
        cycles_min: cycles.map(|cycles| cycles.min),
        cycles_max: cycles.map(|cycles| cycles.max),
        flash_bytes: image.flash_bytes.cast_signed() - empty.flash_bytes.cast_signed(),
        predicted_flash_bytes: predicted.map(|p| p.flash_bytes),
        predicted_ram_and_stack_bytes: predicted.map(|p| p.ram_bytes + p.stack_bytes),
        ram_bytes: image.ram_bytes.cast_signed() - empty.ram_bytes.cast_signed(),
        predicted_data_independent: predicted.map(|p| p.data_independent),
        scratch_bytes: header.scratch_bytes,
        stack_bytes: rows.iter().map(|row| row.stack_bytes).max().unwrap_or_default(),
        quantized_accuracy: match &artifact.texts {
            Some(texts) => texts.evaluation.map(|e| e.quantized.exact.unwrap_or(e.quantized.intent)),
            None => artifact.evaluation.as_ref().and_then(|e| e.quantized_accuracy),
        },
        front_end_instructions_mean: front_end,
        instructions_per_word: front_end
            .zip(artifact.texts.as_ref())
            .map(|(mean, texts)| mean * artifact.rows as f64 / texts.words.max(1) as f64),
        outputs,
        forbidden_symbols: image.forbidden,
        opt: options.opt,
        rustc: workspace::rustc_version()?,
    })
}

/// Builds the firmware and runs the rows; gives its ELF file and what it did.
fn emulated(
    folder: &Path,
    board: &Board,
    artifact: &Artifact,
    content: Content,
    options: Options,
) -> Result<(PathBuf, Run)> {
    let elf = firmware::build(board, &artifact.module, content, options.opt, folder)?;
    let inputs = folder.join(INPUTS);
    fs::write(&inputs, &artifact.inputs).context(|| format!("cannot write {}", inputs.display()))?;
    let run = emulator::run(board, &elf, folder, options.limit)?;
    let Run { header, rows, outputs } = &run;
    let [input_bytes, output_bytes] = [&artifact.inputs, &artifact.outputs].map(|all| all.len() / artifact.rows);
    let sizes = [header.input_bytes, header.output_bytes].map(|bytes| bytes as usize);
    if sizes != [input_bytes, output_bytes] {
        return Err(Error::new(format!(
            "a row has {input_bytes} bytes of input and {output_bytes} of output, but the firmware's types have {} \
             and {}",
            sizes[0], sizes[1]
        )));
    }
    if rows.len() != artifact.rows || outputs.len() != artifact.rows * output_bytes {
        return Err(Error::new(format!("the firmware ran {} of {} rows", rows.len(), artifact.rows)));
    }
    Ok((elf, run))
}

/// Instructions of a text model's front end, in the mean over the texts: a firmware of its own runs it.
fn front_end(folder: &Path, board: &Board, artifact: &Artifact, options: Options) -> Result<f64> {
    let folder = folder.join("front-end");
    fs::create_dir_all(&folder).context(|| format!("cannot create {}", folder.display()))?;
    let (_, Run { rows, .. }) = emulated(&folder, board, artifact, Content::FrontEnd, options)?;
    Ok(Spread::of(rows.iter().map(|row| row.instructions)).mean)
}

/// Mean and extremes of counts.
#[derive(Clone, Copy, Debug)]
struct Spread {
    mean: f64,
    min: u64,
    max: u64,
}

impl Spread {
    fn of(counts: impl ExactSizeIterator<Item = u64> + Clone) -> Self {
        let rows = counts.len() as f64;
        Self {
            mean: counts.clone().sum::<u64>() as f64 / rows,
            min: counts.clone().min().unwrap_or_default(),
            max: counts.max().unwrap_or_default(),
        }
    }
}

/// Row, element and both values of the first output that is not the host's.
fn first_difference(artifact: &Artifact, device: &[u8]) -> Option<String> {
    let row_bytes = artifact.outputs.len() / artifact.rows;
    let at = (artifact.outputs.iter().zip(device)).position(|(host, device)| host != device)?;
    let (row, byte) = (at / row_bytes, at % row_bytes);
    let fields = &artifact.output_type;
    let field = fields.iter().find(|f| (f.offset..f.offset + f.count * f.element.bytes()).contains(&byte));
    let Some(field) = field else {
        // Between two fields: the types would have to be declared with padding.
        return Some(format!("row {row}, byte {byte}"));
    };
    let element = (byte - field.offset) / field.element.bytes();
    let offset = row * row_bytes + field.offset + element * field.element.bytes();
    let [host, device] = [&artifact.outputs, device].map(|bytes| field.element.read(bytes, offset));
    let name = field.name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
    Some(format!("row {row}, element {name}{element}: host {host}, device {device}"))
}

/// The reports as a table, one column a board.
pub fn table(reports: &[Report]) -> String {
    type Cell = fn(&Report) -> String;
    let rows: [(&str, Cell); 16] = [
        ("core", |r| r.core.clone()),
        ("rows", |r| r.rows.to_string()),
        ("equal to the host", |r| if r.bit_exact { "all, bit for bit".into() } else { "NO".into() }),
        ("accuracy", |r| r.quantized_accuracy.map_or("-".into(), |a| format!("{:.2} %", 100.0 * a))),
        ("instructions, mean", |r| format!("{:.1}", r.instructions_mean)),
        ("front end, mean", |r| r.front_end_instructions_mean.map_or("-".into(), |mean| format!("{mean:.1}"))),
        ("front end, a word", |r| r.instructions_per_word.map_or("-".into(), |mean| format!("{mean:.1}"))),
        ("predicted, mean", |r| r.predicted_instructions.map_or("-".into(), |mean| format!("{mean:.1}"))),
        ("instructions, max", |r| r.instructions_max.to_string()),
        ("cycles, mean", |r| r.cycles_mean.map_or("-".into(), |mean| format!("{mean:.1}"))),
        ("cycles, max", |r| r.cycles_max.map_or("-".into(), |max| max.to_string())),
        ("flash of the model", |r| format!("{} B", r.flash_bytes)),
        ("RAM of the model", |r| format!("{} B", r.ram_bytes)),
        ("stack", |r| format!("{} B", r.stack_bytes)),
        ("forbidden symbols", |r| match r.forbidden_symbols.len() {
            0 => "none".into(),
            n => n.to_string(),
        }),
        ("opt-level", |r| r.opt.level().into()),
    ];
    let mut text = String::new();
    let mut line = |title: &str, cell: &dyn Fn(&Report) -> String| {
        let _ = write!(text, "{title:<20}");
        for report in reports {
            let _ = write!(text, "{:>20}", cell(report));
        }
        text.push('\n');
    };
    line("", &|r| r.board.clone());
    for (title, cell) in rows {
        line(title, &cell);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Element, Field};
    use crate::fixture;

    #[test]
    fn a_difference_names_row_element_and_values() {
        let mut artifact = fixture::named("two-layers", 3).unwrap();
        assert_eq!(first_difference(&artifact, &artifact.outputs), None);
        let mut device = artifact.outputs.clone();
        device[24] = device[24].wrapping_add(1);
        let host = artifact.outputs[24] as i8;
        let expected = format!("row 2, element 4: host {host}, device {}", host.wrapping_add(1));
        assert_eq!(first_difference(&artifact, &device), Some(expected));

        artifact.rows = 1;
        artifact.outputs = vec![1, 2, 3, 0, 255, 255];
        artifact.output_type = vec![
            Field { name: Some("scores".into()), offset: 0, count: 3, element: Element::I8 },
            Field { name: Some("label".into()), offset: 4, count: 1, element: Element::I16 },
        ];
        let text = first_difference(&artifact, &[1, 2, 3, 0, 255, 254]).unwrap();
        assert_eq!(text, "row 0, element label 0: host -1, device -257");
    }
}
