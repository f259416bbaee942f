//! The budget: what every row may cost. `--check` compares with it, `--update-budget` writes it.
//!
//! Counts depend on the compiler. With another than the one that the budget was made with, what is above it is said
//! but is no failure: a new compiler's figures are looked at and recorded, and changes of our own are seen before or
//! after it, not with it.

use crate::bench::row::Row;
use crate::error::{Context, Error, Result};
use crate::workspace;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// A figure may be this share above its budget; one that is as far below is noted.
const TOLERANCE: f64 = 0.02;

const UPDATE: &str = "cargo xtask bench --update-budget";

/// What one row may cost.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Instructions of an inference, mean over the rows that run by default.
    pub instructions: i64,
    /// Bytes of flash.
    pub flash: i64,
}

/// By board, model and variant.
type Entries = BTreeMap<String, BTreeMap<String, BTreeMap<String, Limits>>>;

/// The file.
#[derive(Clone, Debug, Deserialize)]
pub struct Budget {
    rustc: String,
    #[serde(flatten)]
    entries: Entries,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// What is above its budget, or has none.
    pub failures: Vec<String>,
    /// What is to be known.
    pub notes: Vec<String>,
}

fn path() -> PathBuf {
    workspace::boards().join("xtask/bench/budget.toml")
}

impl Budget {
    /// The file of this checkout.
    pub fn read() -> Result<Self> {
        let path = path();
        let text =
            fs::read_to_string(&path).context(|| format!("cannot read {} ({UPDATE} writes it)", path.display()))?;
        toml::from_str(&text).context(|| path.display().to_string())
    }

    /// Compares what was measured with what it may be, by the compiler of this release.
    pub fn check(&self, rows: &[Row], rustc: &str) -> Findings {
        let mut found = Findings::default();
        for row in rows {
            let limits = self.entries.get(&row.board).and_then(|e| e.get(&row.model)?.get(&row.variant));
            let (limits, cost) = match (limits, cost(row)) {
                (Some(&limits), Some(cost)) => (limits, cost),
                (None, Some(_)) => {
                    found.failures.push(format!("{} has no budget: {UPDATE}", row.title()));
                    continue;
                }
                (Some(_), None) => {
                    let why = row.note.as_deref().unwrap_or("it did not run");
                    found.failures.push(format!("{} has a budget, but {why}", row.title()));
                    continue;
                }
                (None, None) => continue,
            };
            for (what, cost, limit) in
                [("instructions", cost.instructions, limits.instructions), ("bytes of flash", cost.flash, limits.flash)]
            {
                let change = (cost - limit) as f64 / limit.max(1) as f64;
                let text = format!("{}: {cost} {what}, budget {limit} ({:+.1} %)", row.title(), 100.0 * change);
                if change > TOLERANCE {
                    found.failures.push(text);
                } else if change < -TOLERANCE {
                    found.notes.push(format!("{text}: {UPDATE} tightens it"));
                }
            }
        }
        if rustc != self.rustc {
            found.notes.append(&mut found.failures);
            let note = format!(
                "the budget was made with rustc {}, this is {rustc}: what is above it is said here and is no failure",
                self.rustc
            );
            found.notes.insert(0, note);
        }
        found
    }

    /// Records what was measured. Entries of rows that were not measured stay.
    pub fn update(rows: &[Row], rustc: &str) -> Result<()> {
        let path = path();
        let old = if path.is_file() { Some(Self::read()?) } else { None };
        let mut entries = match old {
            Some(old) if old.rustc != rustc => {
                // One file, one compiler.
                if let Some(name) = old.first_unmeasured(rows) {
                    return Err(Error::new(format!(
                        "the budget was made with rustc {}, this is {rustc}: measure every model on every board, not \
                         only some ({name} was not measured)",
                        old.rustc
                    )));
                }
                old.entries
            }
            old => old.map(|budget| budget.entries).unwrap_or_default(),
        };
        for row in rows {
            let models = entries.entry(row.board.clone()).or_default();
            let variants = models.entry(row.model.clone()).or_default();
            match cost(row) {
                Some(cost) => variants.insert(row.variant.clone(), cost),
                None => variants.remove(&row.variant),
            };
        }
        let text = Self { rustc: rustc.into(), entries }.text();
        fs::write(&path, text).context(|| format!("cannot write {}", path.display()))
    }

    /// An entry that none of the rows is for.
    fn first_unmeasured(&self, rows: &[Row]) -> Option<String> {
        let models = self.entries.iter().flat_map(|(board, models)| models.iter().map(move |m| (board, m)));
        let mut entries = models.flat_map(|(board, (model, v))| v.keys().map(move |variant| (board, model, variant)));
        let measured = |(board, model, variant): &(&String, &String, &String)| {
            rows.iter().any(|row| (&row.board, &row.model, &row.variant) == (*board, *model, *variant))
        };
        let (board, model, variant) = entries.find(|entry| !measured(entry))?;
        Some(format!("{model} {variant} on {board}"))
    }

    fn text(&self) -> String {
        let mut text = format!(
            "# What every model may cost on every board: `cargo xtask bench --check` fails above it, `{UPDATE}`\n\
             # writes it. Counts depend on the compiler and on the rows that run by default.\n\n\
             rustc = \"{}\"\n",
            self.rustc
        );
        for (board, models) in &self.entries {
            for (model, variants) in models.iter().filter(|(_, variants)| !variants.is_empty()) {
                let _ = writeln!(text, "\n[{board}.{model}]");
                for (variant, Limits { instructions, flash }) in variants {
                    let _ = writeln!(text, "{variant} = {{ instructions = {instructions}, flash = {flash} }}");
                }
            }
        }
        text
    }
}

fn cost(row: &Row) -> Option<Limits> {
    let figures = row.figures.as_ref()?;
    Some(Limits { instructions: figures.instructions_mean.round() as i64, flash: figures.flash_bytes })
}

impl Findings {
    /// All that is above its budget, as one error.
    pub fn verdict(&self) -> Result<()> {
        match self.failures.as_slice() {
            [] => Ok(()),
            failures => Err(Error::new(format!("not within the budget:\n  {}", failures.join("\n  ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row::Figures;

    fn row(model: &str, figures: Option<(f64, i64)>) -> Row {
        let figures = figures.map(|(instructions_mean, flash_bytes)| Figures {
            rows: 1,
            instructions_mean,
            predicted_instructions: None,
            predicted_instructions_max: None,
            predicted_flash_bytes: None,
            predicted_ram_and_stack_bytes: None,
            instructions_min: 0,
            instructions_max: 0,
            instructions_per_mac: 0.0,
            cycles_mean: None,
            flash_bytes,
            ram_bytes: 0,
            stack_bytes: 0,
            quality: None,
        });
        Row {
            board: "b".into(),
            core: "c".into(),
            model: model.into(),
            shape: String::new(),
            variant: "default".into(),
            macs: 1,
            constant_bytes: None,
            note: figures.is_none().then(|| "it does not fit".into()),
            figures,
            fastest_peer: None,
            smallest_peer: None,
            target: None,
        }
    }

    fn budget() -> Budget {
        toml::from_str("rustc = \"1\"\n[b.m]\ndefault = { instructions = 1000, flash = 500 }\n").unwrap()
    }

    #[test]
    fn the_file_reads_as_it_was_written() {
        let budget = budget();
        let again: Budget = toml::from_str(&budget.text()).unwrap();
        assert_eq!((again.rustc, again.entries), (budget.rustc, budget.entries));
    }

    #[test]
    fn all_that_is_above_is_a_failure_and_what_is_below_is_noted() {
        let check = |figures| budget().check(&[row("m", figures)], "1");
        assert_eq!(check(Some((1020.0, 490))), Findings::default());
        let above = check(Some((1021.0, 511)));
        assert_eq!(above.failures.len(), 2);
        let message = above.verdict().unwrap_err().to_string();
        assert!(message.contains("m default on b: 1021 instructions, budget 1000 (+2.1 %)"), "{message}");
        assert!(message.contains("511 bytes of flash, budget 500"), "{message}");
        let below = check(Some((979.0, 500)));
        assert!(below.verdict().is_ok() && below.notes.len() == 1 && below.notes[0].contains("-2.1 %"), "{below:?}");
    }

    #[test]
    fn a_row_without_a_budget_and_a_budget_without_a_row_are_failures() {
        let found = budget().check(&[row("new", Some((1.0, 1))), row("m", None), row("never", None)], "1");
        assert_eq!(found.failures.len(), 2, "{found:?}");
        assert!(found.failures[0].contains("new default on b has no budget: cargo xtask bench --update-budget"));
        assert!(found.failures[1].contains("m default on b has a budget, but it does not fit"));
    }

    #[test]
    fn rows_that_were_not_measured_are_named() {
        assert_eq!(budget().first_unmeasured(&[row("m", None)]), None);
        assert_eq!(budget().first_unmeasured(&[row("n", None)]), Some("m default on b".into()));
    }

    #[test]
    fn another_compiler_is_said_and_fails_nothing() {
        let found = budget().check(&[row("m", Some((5000.0, 500)))], "2");
        assert!(found.verdict().is_ok());
        assert!(found.notes[0].contains("made with rustc 1, this is 2") && found.notes[1].contains("+400.0 %"));
    }
}
