//! The result as text: for the terminal, and for README.md.

use crate::bench::models::Quality;
use crate::bench::recorded::{Best, Target};
use crate::bench::row::{Figures, Row};
use crate::bench::variants;
use crate::error::Result;
use crate::markers;
use crate::workspace;
use std::fmt::Write;

/// For the terminal: a table a board, in it every model's own rows and then those of the peers.
pub fn terminal(rows: &[Row], peers: &[Row]) -> String {
    let mut text = String::new();
    for board in rows.chunk_by(|a, b| a.board == b.board) {
        let _ = writeln!(text, "\n{} ({})", board[0].board, board[0].core);
        let mut lines = vec![HEAD.map(String::from).to_vec()];
        // One note of several variants is one line.
        let mut notes: Vec<(&str, &str, Vec<&str>)> = Vec::new();
        for model in board.chunk_by(|a, b| a.model == b.model) {
            let is_here = |peer: &&Row| (&peer.board, &peer.model) == (&model[0].board, &model[0].model);
            for row in model.iter().chain(peers.iter().filter(is_here)) {
                lines.push(line(row));
                let Some(note) = &row.note else { continue };
                match notes.iter_mut().find(|(model, known, _)| (*model, *known) == (&row.model, note)) {
                    Some((.., variants)) => variants.push(&row.variant),
                    None => notes.push((&row.model, note, vec![&row.variant])),
                }
            }
        }
        text.push_str(&aligned(&lines));
        for (model, note, variants) in notes {
            let _ = writeln!(text, "{model} {}: {note}", variants.join(", "));
        }
    }
    text
}

const HEAD: [&str; 14] = [
    "model",
    "variant",
    "instructions",
    "predicted",
    "max",
    "per MAC",
    "cycles",
    "flash",
    "RAM",
    "stack",
    "quality (float)",
    "fastest peer",
    "least flash",
    "target",
];

fn line(row: &Row) -> Vec<String> {
    let mut line = vec![row.model.clone(), row.variant.clone()];
    match &row.figures {
        Some(figures) => line.extend(cells(figures)),
        None => line.extend(std::iter::repeat_n("-".into(), 9)),
    }
    let beside = [
        row.fastest_peer.as_ref().map(|best| speed(best, row.figures.as_ref())),
        row.smallest_peer.as_ref().map(|best| format!("{} {}", grouped(best.cost.flash), best.name)),
        row.target.as_ref().map(|t| target(t, row.constant_bytes)),
    ];
    line.extend(beside.map(|cell| cell.unwrap_or("-".into())));
    line
}

fn cells(figures: &Figures) -> [String; 9] {
    [
        grouped(figures.instructions_mean.round() as u64),
        figures.predicted_instructions.map_or("-".into(), |mean| grouped(mean.round() as u64)),
        grouped(figures.instructions_max),
        format!("{:.2}", figures.instructions_per_mac),
        figures.cycles_mean.map_or("-".into(), |cycles| grouped(cycles.round() as u64)),
        grouped(figures.flash_bytes.unsigned_abs()),
        grouped(figures.ram_bytes.unsigned_abs()),
        grouped(figures.stack_bytes.into()),
        figures.quality.map_or("-".into(), quality),
    ]
}

fn quality(quality: Quality) -> String {
    match quality {
        Quality::Accuracy { quantized, float } => format!("{:.2} % ({:.2} %)", 100.0 * quantized, 100.0 * float),
        Quality::Score { quantized, float } => format!("score {quantized:.4} ({float:.4})"),
    }
}

/// What the fastest peer takes, who it is, and how much of that ours is.
fn speed(best: &Best, ours: Option<&Figures>) -> String {
    let (theirs, ours, unit) = match (best.cost.cycles, best.cost.instructions) {
        (Some(cycles), _) => (cycles, ours.and_then(|f| f.cycles_mean), " cycles"),
        (None, instructions) => (instructions.unwrap_or_default(), ours.map(|f| f.instructions_mean), ""),
    };
    let share = ours.map_or(String::new(), |ours| format!(" (ours {:.0} %)", 100.0 * ours / theirs.max(1) as f64));
    format!("{}{unit} {}{share}", grouped(theirs), best.name)
}

fn target(target: &Target, constant_bytes: Option<usize>) -> String {
    let flash =
        target.flash.or(target.flash_beside_constants.zip(constant_bytes).map(|(bytes, all)| bytes + all as u64));
    let parts = [
        (target.instructions, ""),
        (target.zero_skip, " zero-skip"),
        (target.cycles, " cycles"),
        (flash, " B"),
        (target.ram_and_stack, " B RAM + stack"),
    ];
    let parts = parts.into_iter().filter_map(|(figure, unit)| Some(format!("{}{unit}", grouped(figure?))));
    parts.collect::<Vec<_>>().join(", ")
}

/// Columns as wide as their widest cell; figures to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            let _ = match column {
                2..=9 => write!(row, "{cell:>width$}  "),
                _ => write!(row, "{cell:<width$}  "),
            };
        }
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes the table between the markers of README.md.
pub fn update_readme(rows: &[Row], rustc: &str) -> Result<()> {
    markers::update(&workspace::root().join("README.md"), "bench", &markdown(rows, rustc))
}

/// The tables for README.md, one a model: a row a core, a column a variant. The shipped models are of the same shapes as
/// others, and only shown without those.
fn markdown(rows: &[Row], rustc: &str) -> String {
    let mut text = format!("Measured by `cargo xtask bench --update-readme` with rustc {rustc}.\n");
    let is_shipped = |row: &&Row| row.model.starts_with("shipped-");
    let only_shipped = rows.iter().all(|row| is_shipped(&row));
    let models: Vec<&str> = rows.iter().filter(|r| only_shipped || !is_shipped(r)).map(|r| r.model.as_str()).collect();
    let names: Vec<&str> = variants::ALL.iter().filter(|v| v.models.is_empty()).map(|v| v.name).collect();
    for model in distinct(models.into_iter()) {
        let of_model: Vec<&Row> = rows.iter().filter(|row| row.model == model).collect();
        let macs = of_model
            .iter()
            .find_map(|row| row.figures.as_ref())
            .map_or(0.0, |f| f.instructions_mean / f.instructions_per_mac);
        let found =
            of_model.iter().find_map(|row| row.figures.as_ref()?.quality).map_or(String::new(), |found| match found {
                Quality::Accuracy { quantized, float } => {
                    format!("; accuracy {:.2} % (float {:.2} %)", 100.0 * quantized, 100.0 * float)
                }
                Quality::Score { quantized, float } => format!("; score {quantized:.4} (float {float:.4})"),
            });
        let head = names.iter().map(|name| format!(" {name} |")).collect::<String>();
        let _ = write!(
            text,
            "\n**{model}** {}, {} multiplications{found}:\n\n\
             | core |{head} fastest peer | flash default, size | least flash of a peer | RAM + stack default, size |\n\
             | --- |{} --- | --- | --- | --- |\n",
            of_model[0].shape,
            grouped(macs.round() as u64),
            " --- |".repeat(names.len()),
        );
        let mut too_small = Vec::new();
        for name in distinct(of_model.iter().map(|row| row.board.as_str())) {
            let board: Vec<&Row> = of_model.iter().copied().filter(|row| row.board == name).collect();
            let of_variant = |name: &str| board.iter().find(|row| row.variant == name)?.figures.as_ref();
            let Some(figures) = of_variant(names[0]) else {
                too_small.push(board[0].core.as_str());
                continue;
            };
            let instructions: String =
                names.iter().map(|name| format!(" {} |", of_variant(name).map_or("-".into(), time))).collect();
            let both = |cell: &dyn Fn(&Figures) -> u64| {
                let size = of_variant("size").map_or("-".into(), |f| grouped(cell(f)));
                format!("{}, {size} B", grouped(cell(figures)))
            };
            let peer = |best: &Option<Best>, cell: &dyn Fn(&Best) -> String| best.as_ref().map_or("-".into(), cell);
            let _ = writeln!(
                text,
                "| {} |{instructions} {} | {} | {} | {} |",
                board[0].core,
                peer(&board[0].fastest_peer, &|best| speed(best, Some(figures))),
                both(&|f| f.flash_bytes.unsigned_abs()),
                peer(&board[0].smallest_peer, &|best| format!("{} {}", grouped(best.cost.flash), best.name)),
                both(&|f| f.ram_bytes.unsigned_abs() + u64::from(f.stack_bytes)),
            );
        }
        if !too_small.is_empty() {
            let _ = writeln!(text, "\nIt does not fit the boards with {}.", too_small.join(", "));
        }
    }
    text
}

/// Every name once, in the order in which they come first.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    names.for_each(|name| {
        if !found.contains(&name) {
            found.push(name)
        }
    });
    found
}

/// Mean and largest number of instructions, and cycles where the emulator counts them.
fn time(figures: &Figures) -> String {
    let mean = grouped(figures.instructions_mean.round() as u64);
    let most = match figures.instructions_max as f64 > figures.instructions_mean {
        true => format!(" (at most {})", grouped(figures.instructions_max)),
        false => String::new(),
    };
    let cycles = figures.cycles_mean.map_or(String::new(), |c| format!("; {} cycles", grouped(c.round() as u64)));
    format!("{mean}{most}{cycles}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 12, 123, 1234, 12_345, 123_456, 1_234_567].map(grouped).join(" "),
            "0 12 123 1,234 12,345 123,456 1,234,567"
        );
    }
}
