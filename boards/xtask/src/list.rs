//! `cargo xtask boards`: what boards there are, what is installed for them, what can be emulated here.

use crate::board::{self, Board, Emulator, Flasher, Log};
use crate::error::{Context, Result};
use crate::out::{out, outln};
use crate::{costs, setup};
use clap::Args;
use serde_json::json;

/// How to print them.
#[derive(Args)]
pub struct Arguments {
    /// One object a board.
    #[arg(long)]
    json: bool,
    /// The table in README.md.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Measure what the networks of the demos take on every board: flash, RAM and stack, instructions and cycles.
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    costs: bool,
    /// Only on these boards (repeatable).
    #[arg(long = "board", value_name = "NAME", requires = "costs")]
    boards: Vec<String>,
    /// Write the table of costs in README.md anew.
    #[arg(long, requires = "costs", conflicts_with = "boards")]
    update_readme: bool,
}

/// Prints all boards.
pub fn run(arguments: &Arguments) -> Result<()> {
    let boards = match arguments.boards.as_slice() {
        [] => board::all()?,
        named => named.iter().map(|name| board::find(name)).collect::<Result<_>>()?,
    };
    if arguments.costs {
        costs::run(&boards, arguments.update_readme)?;
    } else if arguments.json {
        let objects: Vec<_> = boards.iter().map(object).collect();
        outln!("{}", serde_json::to_string_pretty(&objects).context(|| "cannot write JSON".into())?);
    } else if arguments.markdown {
        out!("{}", markdown(&boards));
    } else {
        out!("{}", terminal(&boards));
    }
    Ok(())
}

fn object(board: &Board) -> serde_json::Value {
    json!({
        "name": board.name,
        "core": board.core,
        "target": board.target,
        "chip": board.chip,
        "emulator": board.emulator.as_ref().map(Emulator::name),
        "flash_bytes": board.flash.bytes,
        "ram_bytes": board.ram.bytes,
    })
}

fn terminal(boards: &[Board]) -> String {
    let mut rows = vec![["board", "", "core", "flash", "RAM", "build", "flashing", "emulation"].map(String::from)];
    rows.extend(boards.iter().map(|board| {
        let state = |missing: Vec<String>| match missing.is_empty() {
            true => "ready".to_owned(),
            false => format!("missing: {}", missing.join(", ")),
        };
        let flashing = board.flashed_by.iter().map(|flasher| match setup::has_flasher(*flasher) {
            true => flasher.name().to_owned(),
            false => format!("{} (missing)", flasher.name()),
        });
        let emulation = board.emulator.as_ref().map(|e| format!("{}: {}", e.name(), state(setup::missing(board))));
        let none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        [
            board.name.clone(),
            board.description.clone(),
            board.core.clone(),
            kib(board.flash.bytes),
            kib(board.ram.bytes),
            state(setup::missing_to_build(board)),
            none(flashing.collect::<Vec<_>>().join(", ")),
            none(emulation.unwrap_or_default()),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            3 | 4 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text.push_str("What is missing to build and emulate, `cargo xtask setup` installs; `cargo xtask flash BOARD` says how to get the rest.\n");
    text
}

/// A table of what the file says, which is the same on every machine.
fn markdown(boards: &[Board]) -> String {
    let mut text = "| board | core | clock | flash, RAM | flashed by | reports by | emulated by |\n".to_owned();
    text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for board in boards {
        let or = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or("-".into());
        let flashers = board.flashed_by.iter().map(|flasher| match flasher {
            Flasher::Uf2 => "UF2",
            flasher => flasher.name(),
        });
        let log = board.log.map(|log| match log {
            Log::Rtt => "defmt".to_owned(),
            Log::Serial(baud) => format!("serial, {baud} baud"),
        });
        text.push_str(&format!(
            "| `{}`: {} | {} | {} | {}, {} | {} | {} | {} |\n",
            board.name,
            board.description,
            board.core,
            or(board.clock_hz.map(|hz| format!("{} MHz", hz / 1_000_000))),
            kib(board.flash.bytes),
            kib(board.ram.bytes),
            or(Some(flashers.collect::<Vec<_>>().join(", "))),
            or(log),
            or(board.emulator.as_ref().map(|emulator| emulator.name().to_owned())),
        ));
    }
    text
}

fn kib(bytes: u64) -> String {
    format!("{} KB", bytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;
    use std::collections::BTreeSet;

    #[test]
    fn every_board_is_one_object_with_all_keys() {
        let boards = board::all().unwrap();
        let names: BTreeSet<_> = boards.iter().map(|board| &board.name).collect();
        assert_eq!(names.len(), boards.len());
        let keys = ["chip", "core", "emulator", "flash_bytes", "name", "ram_bytes", "target"];
        for board in &boards {
            let object = object(board);
            let found: BTreeSet<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(found, BTreeSet::from(keys));
            assert!(object["flash_bytes"].is_u64() && object["ram_bytes"].is_u64());
            assert_eq!(object["emulator"].is_null(), board.emulator.is_none());
        }
    }

    #[test]
    fn the_readme_has_the_table() {
        let text = std::fs::read_to_string(workspace::root().join("README.md")).unwrap();
        let table = markdown(&board::all().unwrap());
        assert!(text.contains(&table), "README.md wants `cargo xtask boards --markdown`:\n{table}");
    }
}
