//! `cargo xtask boards --costs`: what the networks of the demos take on every board. Emulated ones measure; what is built for
//! the others says its flash and RAM, beside that of the same firmware without a network.

use crate::artifact::{self, Files};
use crate::bench::models;
use crate::bench::table::grouped;
use crate::board::Board;
use crate::elf;
use crate::emulate::{self, Options, Report};
use crate::error::{Error, Result};
use crate::firmware::{self, Opt};
use crate::out::outln;
use crate::workspace::{self, RunFolder};
use crate::{markers, setup};
use std::time::Duration;
use tinymlp_codegen::Mode;
use tinymlp_codegen::project::{self, Project, Settings};

/// A network of the demos.
struct Network {
    name: &'static str,
    shape: &'static str,
    /// The folder under `tests/models`; none for the benchmark's, which is no part of this repository.
    folder: Option<&'static str>,
    mode: Mode,
    /// Rows that run: few, where one takes long.
    rows: usize,
}

const NETWORKS: [Network; 4] = [
    Network { name: "motion", shape: "10-16-4", folder: Some("motion"), mode: Mode::Balanced, rows: 40 },
    Network { name: "digits", shape: "64-32-10", folder: Some("digits"), mode: Mode::Balanced, rows: 40 },
    Network { name: "mnist16, int4, small", shape: "256-64x3-10", folder: Some("mnist16"), mode: Mode::Size, rows: 10 },
    Network { name: "anomaly", shape: "640-128x4-8-128x4-640", folder: None, mode: Mode::Balanced, rows: 2 },
];

impl Network {
    fn files(&self) -> Result<Files> {
        let Some(folder) = self.folder else {
            let (found, _) = models::named(&["ad01".to_owned()])?;
            return found.first().ok_or_else(|| Error::new("there is no model ad01"))?.files();
        };
        let file = |name: &str| workspace::root().join("tests/models").join(folder).join(name);
        Ok(Files {
            model: file("model.onnx"),
            calibration: file("calibration.npy"),
            inputs: file("test_x.npy"),
            labels: None,
        })
    }

    fn opt(&self) -> Opt {
        if self.mode == Mode::Size { Opt::Size } else { Opt::Speed }
    }
}

/// What a network takes on a board.
#[derive(Debug, PartialEq)]
enum Cost {
    /// Measured in an emulator.
    Measured { flash: u64, ram: u64, stack: u32, instructions: f64, cycles: Option<f64> },
    /// As built, with everything that is flashed.
    Built { flash: u64, ram: u64 },
    /// The board has no room.
    TooBig,
}

/// Measures all networks on the boards, and prints the table, or writes it into README.md.
pub fn run(boards: &[Board], update_readme: bool) -> Result<()> {
    let mut rows = Vec::new();
    for board in boards {
        match board.emulator {
            Some(_) => setup::require(board)?,
            None => setup::require_target(board)?,
        }
        let mut costs = Vec::new();
        for network in &NETWORKS {
            eprintln!("{}: {}", board.name, network.name);
            costs.push(cost(board, network)?);
        }
        rows.push((board, costs));
    }
    let rustc = workspace::rustc_version()?;
    let release = rustc.split_whitespace().nth(1).unwrap_or("?");
    let text = table(&rows, release);
    match update_readme {
        true => markers::update(&workspace::root().join("README.md"), "costs", &text),
        false => {
            outln!("{text}");
            Ok(())
        }
    }
}

fn cost(board: &Board, network: &Network) -> Result<Cost> {
    let result = if board.emulator.is_some() { measured(board, network) } else { built(board, network) };
    match result {
        Err(error) if error.is_too_big() => Ok(Cost::TooBig),
        result => result,
    }
}

fn measured(board: &Board, network: &Network) -> Result<Cost> {
    let name = format!("costs_{}", board.name.replace('-', "_"));
    let configure = |builder: tinymlp_codegen::Builder| builder.name(&name).target(board.kernels()).mode(network.mode);
    let artifact = artifact::simulate(&network.files()?, configure, Some(network.rows))?.artifact;
    // A compiler may fail on arrays beyond the address space, before a linker could say so.
    if artifact.predicted.as_ref().is_some_and(|predicted| predicted.flash_bytes as u64 > board.flash.bytes) {
        artifact::discard(&artifact)?;
        return Ok(Cost::TooBig);
    }
    let options = Options { opt: network.opt(), limit: Duration::from_secs(600) };
    let report = emulate::run(board, &artifact, options);
    artifact::discard(&artifact)?;
    let report = report?;
    report.verdict()?;
    let Report { stack_bytes: stack, instructions_mean: instructions, cycles_mean: cycles, .. } = report;
    // Firmware without a network is not larger.
    let [flash, ram] = [report.flash_bytes, report.ram_bytes].map(|bytes| bytes.max(0).cast_unsigned());
    Ok(Cost::Measured { flash, ram, stack, instructions, cycles })
}

fn built(board: &Board, network: &Network) -> Result<Cost> {
    let text = |error: tinymlp_codegen::Error| Error::new(error.to_string());
    let files = network.files()?;
    let folder = RunFolder::new("costs")?;
    let project = Project {
        folder: folder.path().join(format!("costs-{}", board.name)),
        board: project::board(&board.name).map_err(text)?,
        model: files.model,
        calibration: files.calibration,
        settings: Settings { mode: network.mode, ..Settings::default() },
    };
    if let Err(error) = project.create() {
        let text = error.to_string();
        return Err(if text.contains("does not fit") { Error::too_big(text) } else { Error::new(text) });
    }
    let image = elf::inspect(&firmware::build_device(board, &project.folder)?)?;
    Ok(Cost::Built { flash: image.flash_bytes, ram: image.ram_bytes })
}

fn table(rows: &[(&Board, Vec<Cost>)], release: &str) -> String {
    let mut text = format!("Measured by `cargo xtask boards --costs --update-readme` with rustc {release}.\n\n");
    text.push_str("| board | firmware |");
    NETWORKS.iter().for_each(|network| text.push_str(&format!(" {} {} |", network.name, network.shape)));
    text.push_str(&format!("\n| --- | --- |{}\n", " --- |".repeat(NETWORKS.len())));
    for (board, costs) in rows {
        let base =
            board.base.map_or("-".to_owned(), |base| format!("{}, {} B", grouped(base.flash), grouped(base.ram)));
        text.push_str(&format!("| `{}` | {base} |", board.name));
        costs.iter().for_each(|cost| text.push_str(&format!(" {} |", cell(cost))));
        text.push('\n');
    }
    text
}

fn cell(cost: &Cost) -> String {
    match cost {
        Cost::Measured { flash, ram, stack, instructions, cycles } => {
            let cycles = cycles.map_or(String::new(), |cycles| format!(" ({} cycles)", grouped(cycles.round() as u64)));
            let [flash, ram, stack, instructions] =
                [*flash, *ram, u64::from(*stack), instructions.round() as u64].map(grouped);
            format!("{flash}, {ram} + {stack} B; {instructions}{cycles}")
        }
        Cost::Built { flash, ram } => format!("all {}, {} B; -", grouped(*flash), grouped(*ram)),
        Cost::TooBig => "does not fit".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board;

    #[test]
    fn cells_say_what_is_known() {
        let measured =
            Cost::Measured { flash: 12_345, ram: 8, stack: 900, instructions: 1_000_000.4, cycles: Some(12.6) };
        assert_eq!(cell(&measured), "12,345, 8 + 900 B; 1,000,000 (13 cycles)");
        assert_eq!(cell(&Cost::Built { flash: 10_000, ram: 0 }), "all 10,000, 0 B; -");
        assert_eq!(cell(&Cost::TooBig), "does not fit");
    }

    #[test]
    fn the_readme_has_a_row_for_every_board() {
        let text = std::fs::read_to_string(workspace::root().join("README.md")).unwrap();
        let (_, rest) = text.split_once("<!-- costs:begin -->").unwrap();
        let (table, _) = rest.split_once("<!-- costs:end -->").unwrap();
        for board in board::all().unwrap() {
            let row = table.lines().find(|line| line.starts_with(&format!("| `{}` |", board.name)));
            assert_eq!(row.unwrap().matches(" |").count(), 2 + NETWORKS.len(), "{}", board.name);
        }
    }
}
