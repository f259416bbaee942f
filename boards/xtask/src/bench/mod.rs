//! `cargo xtask bench`: what every model costs on every emulated board, beside recorded peers and targets.
//!
//! [`models`] and [`variants`] are the tables of what is measured, `bench/recorded.toml` has the figures of others and
//! `bench/budget.toml` those that must not get worse.

mod budget;
pub mod models;
mod peers;
mod recorded;
mod row;
pub mod table;
pub mod variants;

use crate::artifact;
use crate::board::{self, Board};
use crate::emulate::{self, Options};
use crate::error::{Context, Error, Result};
use crate::out::{out, outln};
use crate::{setup, workspace};
use budget::Budget;
use clap::Args;
use models::{Model, Prepared};
use recorded::Recorded;
use row::Row;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;
pub use table::grouped;
use variants::Variant;

/// What to measure, and what to do with it.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Only boards with this core, or the board of this name (repeatable).
    #[arg(long = "core", value_name = "NAME")]
    cores: Vec<String>,
    /// Only this model (repeatable).
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// Only this way of generating (repeatable).
    #[arg(long = "variant", value_name = "NAME")]
    variants: Vec<String>,
    /// Run the first so many rows of every model, instead of as many as the table of models says.
    #[arg(long, conflicts_with_all = ["check", "update_budget", "update_readme"])]
    rows: Option<usize>,
    /// Measure peers from crates.io and PyPI too: builds them into the same firmware. Needs Python and C compilers.
    #[arg(long)]
    peers: bool,
    /// Fail where a figure is more than 2 % above its budget.
    #[arg(long)]
    check: bool,
    /// Record the figures as the budget.
    #[arg(long, conflicts_with = "check")]
    update_budget: bool,
    /// Write the table in README.md anew.
    #[arg(long, conflicts_with_all = ["cores", "models"])]
    update_readme: bool,
}

/// Measures, prints, and compares or records as asked.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.rows == Some(0) {
        return Err(Error::new("--rows 0 leaves no row to run"));
    }
    let boards = boards(&arguments.cores)?;
    let (models, absent) = models::named(&arguments.models)?;
    let variants = variants::named(&arguments.variants)?;
    if arguments.update_readme && variants.len() < variants::ALL.len() {
        return Err(Error::new("README.md shows all variants, but not all are to be measured: leave out --variant"));
    }
    boards.iter().try_for_each(setup::require)?;
    if arguments.peers {
        peers::require(&boards)?;
    }
    let budget = if arguments.check { Some(Budget::read()?) } else { None };
    let rustc = workspace::rustc_version()?;
    let release = release(&rustc);

    let measured = measure(arguments, &boards, &models, &variants)?;
    if arguments.json {
        let document = json!({
            "rustc": rustc,
            "rows": measured.rows,
            "peers": measured.peers,
            "failures": measured.failures,
        });
        outln!("{}", serde_json::to_string_pretty(&document).context(|| "cannot write JSON".into())?);
    } else {
        out!("{}", table::terminal(&measured.rows, &measured.peers));
        outln!("\n{rustc}");
        absent.iter().for_each(|note| outln!("NOT RUN: {note}"));
    }
    if !measured.failures.is_empty() {
        return Err(Error::new(format!("not everything could be measured:\n  {}", measured.failures.join("\n  "))));
    }
    if arguments.update_budget {
        Budget::update(&measured.rows, release)?;
    }
    if arguments.update_readme {
        table::update_readme(&measured.rows, release)?;
    }
    let Some(budget) = budget else { return Ok(()) };
    let findings = budget.check(&measured.rows, release);
    findings.notes.iter().for_each(|note| eprintln!("note: {note}"));
    findings.verdict()
}

/// What came out of all runs.
struct Measured {
    rows: Vec<Row>,
    /// Rows of other implementations.
    peers: Vec<Row>,
    /// What went wrong, row by row: the others ran all the same.
    failures: Vec<String>,
}

fn measure(arguments: &Arguments, boards: &[Board], models: &[Model], variants: &[Variant]) -> Result<Measured> {
    let limit = arguments.rows;
    let recorded = Recorded::read()?;
    let mut measured = Measured { rows: Vec::new(), peers: Vec::new(), failures: Vec::new() };
    for model in models {
        let mut macs = 0;
        for variant in variants.iter().filter(|variant| variant.takes(model)) {
            let mut prepared = BTreeMap::new();
            for board in boards {
                let kernels = board.kernels();
                let prepared = match prepared.entry(kernels.to_string()) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        eprintln!("Compiling {} ({}, kernels: {kernels})", model.name, variant.name);
                        entry.insert(model.prepare(variant, kernels, limit)?)
                    }
                };
                macs = prepared.macs;
                let row = Row::new(board, model, variant.name, prepared, &recorded);
                let title = row.title();
                eprintln!("Running {} rows of {title}", prepared.artifact.rows);
                let options = Options { opt: variant.opt, limit: Duration::from_secs(600) };
                let run = || emulate::run(board, &prepared.artifact, options);
                match row.with(fits(board, prepared).and_then(|()| run()), prepared.quality) {
                    Ok(row) => measured.rows.push(row),
                    Err(error) => measured.failures.push(format!("{title}: {error}")),
                }
            }
            prepared.values().try_for_each(|prepared| artifact::discard(&prepared.artifact))?;
        }
        if arguments.peers {
            measured.peers.extend(peers::measure(boards, model, macs, limit)?);
        }
    }
    // Board by board; the sort is stable.
    measured.rows.sort_by_key(|row| boards.iter().position(|board| board.name == row.board));
    Ok(measured)
}

/// An error where a board has no room for the constants. It spares the build, in which a compiler for a processor of
/// 16 bits may fail at larger arrays than that can have.
fn fits(board: &Board, prepared: &Prepared) -> Result<()> {
    match (prepared.constant_bytes as u64).checked_sub(board.flash.bytes) {
        None | Some(0) => Ok(()),
        Some(more) => Err(Error::too_big(format!(
            "the model does not fit {}: its constants alone take {more} bytes more than the {} bytes of flash that the \
             board has",
            board.name, board.flash.bytes
        ))),
    }
}

/// The boards that can be emulated and have one of these cores or names; all of them for no names.
fn boards(names: &[String]) -> Result<Vec<Board>> {
    // A board that another covers is measured where it is named.
    let all: Vec<Board> = match names {
        [] => board::representative()?,
        _ => board::all()?.into_iter().filter(|board| board.emulator.is_some()).collect(),
    };
    let is = |board: &Board, name: &String| board.core == *name || board.name == *name;
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|board| is(board, name))) {
        let known = all.iter().map(|b| format!("{} ({})", b.core, b.name)).collect::<Vec<_>>().join(", ");
        return Err(Error::new(format!("there is no emulated core '{unknown}'. Known: {known}")));
    }
    Ok(all.into_iter().filter(|board| names.is_empty() || names.iter().any(|name| is(board, name))).collect())
}

/// `1.95.0` of `rustc 1.95.0 (..)`.
fn release(rustc: &str) -> &str {
    rustc.split(' ').nth(1).unwrap_or(rustc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_core_lists_the_known_ones() {
        let message = boards(&["z80".into()]).unwrap_err().to_string();
        assert!(message.contains("z80") && message.contains("cortex-m4f (mps2-an386)"), "{message}");
    }

    #[test]
    fn a_core_and_a_board_can_be_named() {
        let names = |names: [&str; 2]| -> Vec<_> {
            boards(&names.map(String::from)).unwrap().into_iter().map(|board| board.name).collect()
        };
        assert_eq!(names(["microbit", "cortex-m4f"]), ["mps2-an386", "microbit", "stm32f405"]);
    }

    #[test]
    fn the_release_is_found() {
        assert_eq!(release("rustc 1.95.0 (59807616e 2026-04-14); binary: rustc"), "1.95.0");
    }
}
