//! `cargo xtask demo`: from a fresh machine to recognised digits on both emulated boards.

use crate::artifact::{self, Artifact};
use crate::board;
use crate::emulate::{self, Options};
use crate::error::{Error, Result};
use crate::firmware::Opt;
use crate::setup;
use std::fmt::Write;
use std::time::Duration;

/// Pixels of an image's side.
const SIDE: usize = 8;
/// Images that are drawn.
const SHOWN: usize = 6;

/// What the demo draws of an input: 64 gray values in 0..=1, the right digit and the one that was answered.
struct Digit {
    pixels: Vec<f32>,
    label: usize,
    answer: usize,
}

/// Sets up, runs the digits model on every board that can be emulated, and shows what came out.
pub fn run() -> Result<()> {
    println!("Setting up");
    setup::run()?;
    let (artifact, digits) = digits()?;
    let mut reports = Vec::new();
    for board in board::all()?.iter().filter(|board| board.emulator.is_some()) {
        println!("Running {} images on {} ({})", artifact.rows, board.name, board.core);
        let options = Options { opt: Opt::Speed, limit: Duration::from_secs(120) };
        reports.push(emulate::run(board, &artifact, options)?);
    }
    print!("\n{}", draw(&digits));
    println!("\n{}", emulate::table(&reports));
    reports.iter().try_for_each(emulate::Report::verdict)
}

/// The shipped model with its test images.
fn digits() -> Result<(Artifact, Vec<Digit>)> {
    // Until the generator can be called, the hand-written module stands in and there is nothing to draw.
    let artifact = artifact::fixture("two-layers", 100)?;
    if artifact.rows == 0 { Err(Error::new("no images")) } else { Ok((artifact, Vec::new())) }
}

/// Images side by side, two rows of pixels a line, with the answers below.
fn draw(digits: &[Digit]) -> String {
    let shown = &digits[..digits.len().min(SHOWN)];
    let mut text = String::new();
    for line in 0..SIDE {
        for digit in shown {
            for column in 0..SIDE {
                let gray = digit.pixels.get(line * SIDE + column).copied().unwrap_or_default().clamp(0.0, 1.0);
                let shade = [' ', '░', '▒', '▓', '█'][(gray * 4.0).round() as usize];
                text.extend([shade, shade]);
            }
            text.push_str("  ");
        }
        text.push('\n');
    }
    for digit in shown {
        let mark = if digit.answer == digit.label { "" } else { " (wrong)" };
        let caption = format!("{}{mark}", digit.answer);
        let _ = write!(text, "{caption:^width$}  ", width = 2 * SIDE);
    }
    if shown.is_empty() { String::new() } else { text + "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_has_a_line_for_every_row_of_pixels_and_one_for_the_answers() {
        let digit = |answer| Digit { pixels: (0..64).map(|i| i as f32 / 63.0).collect(), label: 3, answer };
        let text = draw(&[digit(3), digit(5)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), SIDE + 1);
        assert!(lines[..SIDE].iter().all(|line| line.chars().count() == 2 * (2 * SIDE + 2)));
        assert!(lines[SIDE].contains('3') && lines[SIDE].contains("5 (wrong)"));
        assert!(lines[0].starts_with("  ") && lines[SIDE - 1].trim_end().ends_with('█'));
    }
}
