//! Whether a board has room for a model, before anything is compiled for it.

use super::{Board, Settings};
use crate::error::{Problem, Result};
use crate::quantize::format::Format;
use crate::target::Mode;
use crate::{Builder, Compiled};
use std::fmt::Write;

/// What a model takes, by prediction where its core has one: bytes of flash, and of RAM with the stack.
fn needs(compiled: &Compiled) -> (usize, usize) {
    let report = &compiled.report;
    match &report.predicted {
        Some(p) => (p.flash_bytes, p.ram_bytes + p.stack_bytes),
        None => (report.flash_bytes, report.ram_bytes),
    }
}

/// What is left beside the firmware itself: its start-up, its clocks, its log.
fn fits(board: &Board, (flash, ram): (usize, usize)) -> bool {
    let base = board.base.unwrap_or_default();
    flash + base.flash <= board.flash.bytes && ram + base.ram <= board.ram.bytes
}

/// An error where the model and the firmware around it are more than the board has: with what takes the room, and which other ways would fit.
pub(super) fn check(board: &Board, compiled: &Compiled, builder: &Builder, settings: &Settings) -> Result<()> {
    let needed = needs(compiled);
    if fits(board, needed) {
        return Ok(());
    }
    let (flash, ram) = needed;
    let base = board.base.unwrap_or_default();
    let mut text = format!(
        "the model does not fit: it needs {flash} bytes of flash and {ram} of RAM, the board has {} and {}, of which the \
         firmware takes {} and {}\n\n",
        board.flash.bytes, board.ram.bytes, base.flash, base.ram
    );
    let _ = writeln!(text, "    {:<32}{:>12}{:>10}{:>10}", "layer", "constants", "code", "RAM");
    for layer in &compiled.report.layers {
        let (code, ram) = layer.predicted.as_ref().map_or((0, 0), |cost| (cost.code_bytes, cost.ram_bytes));
        let name: String = layer.name.chars().take(30).collect();
        let _ = writeln!(text, "    {name:<32}{:>12}{code:>10}{ram:>10}", layer.flash_bytes);
    }
    let _ = writeln!(text, "\n    {:<32}{:>12}{:>10}{:>10}", "instead", "flash", "RAM", "SQNR");
    let mut found = None;
    for (name, other) in alternatives(settings) {
        let Ok(compiled) = other.of(builder.clone()).compile() else { continue };
        let needed = needs(&compiled);
        let noise = compiled.report.layers.last().and_then(|layer| layer.sqnr_db);
        let noise = noise.map_or("-".into(), |db| format!("{db:.1} dB"));
        let word = if fits(board, needed) { "fits" } else { "too big" };
        let _ = writeln!(text, "    {name:<32}{:>12}{:>10}{noise:>10}  {word}", needed.0, needed.1);
        if fits(board, needed) && found.is_none() {
            found = Some(name);
        }
    }
    let help = match found {
        Some(name) => format!("{name} fits; `tinymlp evaluate` says what it costs in accuracy"),
        None => "none of these fits: train a smaller network, or take a larger board".into(),
    };
    Err(Problem::new(board.name.clone(), text.trim_end()).help(help).into())
}

/// Smaller ways than the one that was asked for, the least harmful first.
fn alternatives(settings: &Settings) -> Vec<(String, Settings)> {
    let mut ways = Vec::new();
    if settings.mode != Mode::Size {
        ways.push(("--mode size".to_owned(), Settings { mode: Mode::Size, ..settings.clone() }));
    }
    for format in [Format::Int4, Format::PowerOfTwo, Format::Ternary] {
        if settings.weights != Some(format) {
            let other = Settings { mode: Mode::Size, weights: Some(format), ..settings.clone() };
            ways.push((format!("--mode size --weights {format}"), other));
        }
    }
    ways
}
