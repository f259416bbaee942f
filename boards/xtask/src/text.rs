//! `cargo xtask text`: what the shipped text models take on every emulated board that has room for them, and whether each
//! board answers utterances of four data sets as the host does, bit for bit.

use crate::artifact::{self, Artifact};
use crate::bench::grouped;
use crate::bench::{models, variants};
use crate::board::{self, Board};
use crate::emulate::{self, Options, Report};
use crate::error::{Error, Result};
use crate::firmware::Opt;
use crate::out::outln;
use crate::workspace;
use crate::{markers, setup};
use clap::Args;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tinymlp_codegen::text::features::{column, read};
use tinymlp_codegen::text::{Utterance, Utterances};
use tinymlp_codegen::{Builder, Core};

/// What to measure, and where it goes.
#[derive(Args)]
pub struct Arguments {
    /// Only the board of this name (repeatable).
    #[arg(long = "board", value_name = "NAME")]
    boards: Vec<String>,
    /// Only this model (repeatable).
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// Utterances of every set.
    #[arg(long, default_value_t = UTTERANCES)]
    utterances: usize,
    /// Write the tables in README.md anew.
    #[arg(long, conflicts_with_all = ["boards", "models", "utterances"])]
    update_readme: bool,
}

const UTTERANCES: usize = 200;

/// A model under `tests/models/pnlp`.
#[derive(Clone, Copy, Debug)]
pub struct TextModel {
    /// The file's name without its end.
    pub name: &'static str,
    shape: &'static str,
    calibration: &'static str,
}

/// All of them, the largest last.
pub const MODELS: &[TextModel] = &[
    TextModel { name: "small", shape: "12 words, windows of 3, 16 channels", calibration: "small.train.tsv" },
    TextModel { name: "snips-x-small", shape: "32 words, 64 channels", calibration: "snips.calibration.tsv" },
    TextModel {
        name: "snips-base",
        shape: "32 words, windows of 3, 256 channels",
        calibration: "snips.calibration.tsv",
    },
];

/// The sets, by the folder under `shared/data/text` beside the checkout. Test rows choose nothing, and are not read here.
pub const SETS: [&str; 4] = ["snips", "atis", "mtop/en", "clinc150"];

/// Some emulators are slow.
const LIMIT: Duration = Duration::from_secs(3 * 3600);

/// The dense network whose products are counted beside the models': its first layer has as many inputs as a mixer's.
const DENSE: &str = "shipped-digits";
/// Zeros are multiplied too.
const DENSE_VARIANT: &str = "constant-time";
const DENSE_ROWS: usize = 40;

impl TextModel {
    fn file(&self, name: &str) -> PathBuf {
        workspace::root().join("tests/models/pnlp").join(name)
    }

    /// Generates it for a core and runs the texts through the host simulation; gives the products behind the front end too.
    pub fn prepare(&self, core: Core, texts: &Utterances) -> Result<(Artifact, u64)> {
        let builder = Builder::new(self.file(&format!("{}.onnx", self.name))).calibration(self.file(self.calibration));
        // Of a name of its own, so that tests can run at once.
        let builder = builder.name(format!("{}_{core}", self.name.replace('-', "_"))).target(core);
        let compiled = builder.compile().map_err(|error| Error::new(error.to_string()))?;
        let macs = compiled.report.macs;
        Ok((artifact::simulate_texts(compiled, texts)?.artifact, macs))
    }
}

/// As many validation texts of every set as asked for, from all over its file; nothing for a set that is not there.
pub fn texts(of_each: usize) -> Result<Vec<(&'static str, Utterances)>> {
    let folder = workspace::root().join("../shared/data/text");
    let mut found = Vec::new();
    for set in SETS {
        let file = folder.join(set).join("valid.tsv.gz");
        if !file.is_file() {
            continue;
        }
        let table = read(&file).map_err(|error| Error::new(error.to_string()))?;
        let texts = column(&table, 2, &file).map_err(|error| Error::new(error.to_string()))?;
        let row = |text: &str| Utterance { text: text.as_bytes().to_vec(), ..Utterance::default() };
        let rows = texts.into_iter().map(row).collect();
        found.push((set, Utterances { file, rows }.sampled(of_each)));
    }
    Ok(found)
}

/// The texts of all sets, one set behind the other.
pub fn joined(sets: &[(&str, Utterances)]) -> Utterances {
    let rows = sets.iter().flat_map(|(_, texts)| texts.rows.iter().cloned()).collect();
    Utterances { file: sets.first().map(|(_, texts)| texts.file.clone()).unwrap_or_default(), rows }
}

/// What a model takes on a board.
#[derive(Debug)]
enum Cost {
    /// Every answer was the host's.
    Measured(Figures),
    /// The board has no room.
    TooBig,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// Of the model, without the firmware around it.
    flash: u64,
    /// Of the scratch and other statics.
    ram: u64,
    /// Of the output.
    output: usize,
    /// Of an encoder and all behind it.
    stack: u32,
    instructions: f64,
    instructions_max: u64,
    cycles: Option<f64>,
    /// Instructions of the front end for a word.
    word: f64,
    /// Instructions for a product behind the front end.
    product: f64,
    /// Instructions for a product of a dense network on the same board.
    dense: f64,
}

impl Figures {
    fn new(report: &Report, artifact: &Artifact, macs: u64, dense: f64) -> Self {
        let front_end = report.front_end_instructions_mean.unwrap_or_default();
        // Firmware without a network is not larger.
        let [flash, ram] = [report.flash_bytes, report.ram_bytes].map(|bytes| bytes.max(0).cast_unsigned());
        Self {
            flash,
            ram,
            output: artifact.outputs.len() / artifact.rows.max(1),
            stack: report.stack_bytes,
            instructions: report.instructions_mean,
            instructions_max: report.instructions_max,
            cycles: report.cycles_mean,
            word: report.instructions_per_word.unwrap_or_default(),
            product: (report.instructions_mean - front_end) / macs.max(1) as f64,
            dense,
        }
    }
}

/// A model with what was measured on every board.
type Measured<'b> = (TextModel, u64, Vec<(&'b Board, Cost)>);

/// Measures the models on the boards and compares every answer; prints the tables, or writes them into README.md.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.utterances == 0 {
        return Err(Error::new("--utterances 0 leaves nothing to run"));
    }
    let boards: Vec<Board> = board::all()?.into_iter().filter(|board| board.emulator.is_some()).collect();
    let board_names: Vec<_> = boards.iter().map(|board| board.name.as_str()).collect();
    let chosen = chosen("emulated board", &board_names, &arguments.boards)?;
    let boards: Vec<&Board> = chosen.into_iter().filter_map(|k| boards.get(k)).collect();
    let model_names: Vec<_> = MODELS.iter().map(|model| model.name).collect();
    let chosen = self::chosen("text model", &model_names, &arguments.models)?;
    let models = chosen.into_iter().filter_map(|k| MODELS.get(k).copied());
    boards.iter().try_for_each(|board| setup::require(board))?;

    let sets = texts(arguments.utterances)?;
    let absent: Vec<_> = SETS.into_iter().filter(|set| sets.iter().all(|(there, _)| there != set)).collect();
    if !absent.is_empty() {
        let message = format!("there is no shared/data/text beside this checkout with {}", absent.join(", "));
        if sets.is_empty() || arguments.update_readme {
            return Err(Error::new(format!("{message}: nothing was measured")));
        }
        outln!("NOT RUN: {message}");
    }
    let mut dense = BTreeMap::new();
    let mut measured: Vec<Measured> = Vec::new();
    for model in models {
        measured.push(measure(model, &boards, &sets, &mut dense)?);
    }
    let rustc = workspace::rustc_version()?;
    let release = rustc.split_whitespace().nth(1).unwrap_or("?");
    let text = tables(&measured, &sets, release);
    match arguments.update_readme {
        true => markers::update(&workspace::root().join("README.md"), "text", &text),
        false => {
            outln!("{text}\n{rustc}");
            Ok(())
        }
    }
}

/// Places of the names that were asked for; of all, if none was.
fn chosen(what: &str, all: &[&str], asked: &[String]) -> Result<Vec<usize>> {
    if let Some(unknown) = asked.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(Error::new(format!("there is no {what} '{unknown}'. Known: {}", all.join(", "))));
    }
    let is_asked = |name: &&str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    Ok((0..all.len()).filter(|&k| all.get(k).is_some_and(is_asked)).collect())
}

fn measure<'b>(
    model: TextModel,
    boards: &[&'b Board],
    sets: &[(&'static str, Utterances)],
    dense: &mut BTreeMap<String, f64>,
) -> Result<Measured<'b>> {
    let texts = joined(sets);
    let mut prepared = BTreeMap::new();
    let (mut products, mut costs) = (0, Vec::new());
    for &board in boards {
        let core = board.kernels();
        let (artifact, macs) = match prepared.entry(core.to_string()) {
            Entry::Occupied(entry) => &*entry.into_mut(),
            Entry::Vacant(entry) => &*entry.insert(model.prepare(core, &texts)?),
        };
        products = *macs;
        let begun = Instant::now();
        let cost = match emulated(board, artifact) {
            Ok(report) => {
                checked(&report, artifact, sets).map_err(|error| error.and(format_args!(" ({})", model.name)))?;
                let dense = match dense.entry(board.name.clone()) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => *entry.insert(dense_product(board)?),
                };
                Cost::Measured(Figures::new(&report, artifact, *macs, dense))
            }
            Err(error) if error.is_too_big() => Cost::TooBig,
            Err(error) => return Err(error),
        };
        eprintln!("{} on {}: {} s", model.name, board.name, begun.elapsed().as_secs());
        costs.push((board, cost));
    }
    prepared.values().try_for_each(|(artifact, _)| artifact::discard(artifact))?;
    Ok((model, products, costs))
}

/// Runs all texts, where the constants have room.
fn emulated(board: &Board, artifact: &Artifact) -> Result<Report> {
    // A compiler may fail on arrays beyond the address space, before a linker could say so.
    if artifact.predicted.as_ref().is_some_and(|predicted| predicted.flash_bytes as u64 > board.flash.bytes) {
        return Err(Error::too_big(format!("the model does not fit {}", board.name)));
    }
    emulate::run(board, artifact, Options { opt: Opt::Speed, limit: LIMIT })
}

/// Nothing, or which utterance is answered in another way, or what should not be in the firmware.
fn checked(report: &Report, artifact: &Artifact, sets: &[(&str, Utterances)]) -> Result<()> {
    let Err(error) = report.verdict() else { return Ok(()) };
    let rows = sets.iter().flat_map(|(set, texts)| texts.texts().map(move |text| (*set, text)));
    Err(match differing(&artifact.outputs, &report.outputs, rows) {
        Some((set, text)) => error.and(format_args!(", at '{}' of {set}", String::from_utf8_lossy(text))),
        None => error,
    })
}

/// The first of the rows whose outputs are not the host's.
fn differing<T>(host: &[u8], device: &[u8], rows: impl Iterator<Item = T>) -> Option<T> {
    let rows: Vec<T> = rows.collect();
    let row_bytes = host.len() / rows.len().max(1);
    let at = host.iter().zip(device).position(|(host, device)| host != device)?;
    rows.into_iter().nth(at / row_bytes.max(1))
}

/// Instructions for a product of the dense network.
fn dense_product(board: &Board) -> Result<f64> {
    let (models, _) = models::named(&[DENSE.to_owned()])?;
    let variants = variants::named(&[DENSE_VARIANT.to_owned()])?;
    let missing = || Error::new(format!("there is no {DENSE} of variant {DENSE_VARIANT}"));
    let (model, variant) = models.first().zip(variants.first()).ok_or_else(missing)?;
    let prepared = model.prepare(variant, board.kernels(), Some(DENSE_ROWS))?;
    let report = emulate::run(board, &prepared.artifact, Options { opt: variant.opt, limit: LIMIT });
    artifact::discard(&prepared.artifact)?;
    let report = report?;
    report.verdict()?;
    Ok(report.instructions_mean / prepared.macs.max(1) as f64)
}

fn tables(measured: &[Measured], sets: &[(&str, Utterances)], release: &str) -> String {
    let counts: Vec<_> = sets.iter().map(|(set, texts)| format!("{} of {set}", texts.rows.len())).collect();
    let mut text = format!(
        "Measured by `cargo xtask text --update-readme` with rustc {release}; every answer to the validation utterances \
         ({}) equals the host's, bit for bit.\n",
        counts.join(", ")
    );
    for (model, products, costs) in measured {
        let _ = write!(
            text,
            "\n**{}** {}; {} products behind the front end:\n\n\
             | board | flash | RAM: scratch + output + stack | instructions an utterance | front end, a word | a product | \
             a product, dense |\n| --- | --- | --- | --- | --- | --- | --- |\n",
            model.name,
            model.shape,
            grouped(*products),
        );
        let mut too_small = Vec::new();
        for (board, cost) in costs {
            match cost {
                Cost::Measured(figures) => text.push_str(&line(&board.name, figures)),
                Cost::TooBig => too_small.push(format!("`{}`", board.name)),
            }
        }
        if !too_small.is_empty() {
            let _ = writeln!(text, "\nIt does not fit {}.", too_small.join(", "));
        }
    }
    text
}

fn line(board: &str, figures: &Figures) -> String {
    let Figures { flash, ram, output, stack, instructions, instructions_max, cycles, word, product, dense } = *figures;
    let all = ram + output as u64 + u64::from(stack);
    let cycles = cycles.map_or(String::new(), |cycles| format!("; {} cycles", grouped(cycles.round() as u64)));
    let [flash, ram, output, stack, all] = [flash, ram, output as u64, stack.into(), all].map(grouped);
    let [instructions, word] = [instructions, word].map(|count| grouped(count.round() as u64));
    format!(
        "| `{board}` | {flash} | {ram} + {output} + {stack} = {all} B | {instructions} (at most {}){cycles} | {word} | \
         {product:.2} | {dense:.2} |\n",
        grouped(instructions_max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulated_tests::{not_run, ready};

    /// Utterances of every set: more than fifty of all.
    const OF_EACH: usize = 14;

    /// The models that a board answers with here: the largest of the usual ones where there is room. Those for which there is
    /// none, or whose emulator is slow, get the small one; the two smallest boards have no room for any.
    fn models(board: &Board) -> &'static [&'static str] {
        match board.name.as_str() {
            "mps2-an386" => &["snips-x-small", "snips-base"],
            "rp2040" | "stm32vldiscovery" => &["small"],
            "arduino-uno" | "riscv32ec" => &[],
            _ => &["snips-x-small"],
        }
    }

    #[test]
    fn boards_answer_utterances_of_four_sets_as_the_host_does() {
        let sets = texts(OF_EACH).unwrap();
        if sets.len() < SETS.len() {
            return not_run("utterances of four sets", "shared/data/text does not lie beside the repository");
        }
        let texts = joined(&sets);
        assert_eq!(texts.rows.len(), SETS.len() * OF_EACH);
        let mut prepared = BTreeMap::new();
        for board in board::all().unwrap().iter().filter(|board| board.emulator.is_some()) {
            if !ready("utterances of four sets", setup::require(board)) {
                continue;
            }
            for name in models(board) {
                let core = board.kernels();
                let model = MODELS.iter().find(|model| model.name == *name).unwrap();
                let key = (*name, core.to_string());
                let (artifact, _) = prepared.entry(key).or_insert_with(|| model.prepare(core, &texts).unwrap());
                let options = Options { opt: Opt::Speed, limit: Duration::from_secs(120) };
                emulate::compare(board, artifact, options).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
        prepared.values().for_each(|(artifact, _)| artifact::discard(artifact).unwrap());
    }

    #[test]
    fn every_model_of_the_folder_is_measured() {
        let folder = workspace::root().join("tests/models/pnlp");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "onnx")).collect();
        found.sort();
        let mut known: Vec<_> = MODELS.iter().map(|model| model.file(&format!("{}.onnx", model.name))).collect();
        known.sort();
        assert_eq!(found, known);
    }

    #[test]
    fn another_answer_names_the_utterance() {
        let set = |texts: [&str; 2]| Utterances {
            file: PathBuf::new(),
            rows: texts.map(|text| Utterance { text: text.into(), ..Utterance::default() }).into(),
        };
        let sets = [("snips", set(["a", "b"])), ("atis", set(["c", "d"]))];
        let rows = || sets.iter().flat_map(|(set, texts)| texts.texts().map(move |text| (*set, text)));
        let outputs: Vec<u8> = (0..8).collect();
        assert_eq!(differing(&outputs, &outputs, rows()), None);
        let device = [&outputs[..5], &[9, 6, 7]].concat();
        assert_eq!(differing(&outputs, &device, rows()), Some(("atis", &b"c"[..])));
    }
}
