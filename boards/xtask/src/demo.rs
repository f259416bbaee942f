//! `cargo xtask demo`: from a fresh machine to recognised digits on both emulated boards.

use crate::artifact::{self, Files, Simulated};
use crate::board;
use crate::emulate::{self, Options};
use crate::error::Result;
use crate::firmware::Opt;
use crate::out::{out, outln};
use crate::setup;
use std::fmt::Write;
use std::time::Duration;

/// Where it runs: few boards, so that little has to be installed.
const BOARDS: [&str; 2] = ["mps2-an386", "microbit"];
/// Pixels of an image's side.
const SIDE: usize = 8;
/// Images that are drawn.
const SHOWN: usize = 6;

/// What the demo draws of an input: 64 gray values in 0..=1, the right digit and the one that was answered.
pub struct Digit {
    /// Row after row.
    pub pixels: Vec<f32>,
    /// The right answer.
    pub label: usize,
    /// The network's.
    pub answer: usize,
}

/// Sets up, runs the digits model on the boards, and shows what came out.
pub fn run() -> Result<()> {
    outln!("Setting up");
    let boards = BOARDS.map(board::find).into_iter().collect::<Result<Vec<_>>>()?;
    setup::install(&boards)?;
    let files = Files::digits();
    let mut reports = Vec::new();
    let mut last = None;
    for board in &boards {
        outln!("Compiling tests/models/digits/model.onnx for {} ({})", board.name, board.core);
        let simulated = artifact::simulate(&files, |b| b.name("digits").target(board.kernels()), None)?;
        outln!("Running {} test images", simulated.artifact.rows);
        let options = Options { opt: Opt::Speed, limit: Duration::from_secs(120) };
        let report = emulate::run(board, &simulated.artifact, options);
        artifact::discard(&simulated.artifact)?;
        reports.push(report?);
        last = Some(simulated);
    }
    // All boards give the same answers, or the verdict below is an error.
    if let Some(simulated) = &last {
        out!("\n{}", draw(&digits(simulated)));
        outln!("\n{}", emulate::table(&reports));
        if let Some(evaluation) = &simulated.artifact.evaluation {
            let percent = |share: Option<f64>| share.map_or("-".into(), |s| format!("{:.2} %", 100.0 * s));
            outln!("The float model's accuracy on these images is {};", percent(evaluation.float_accuracy));
            outln!("it and the boards agree on {} of them.", percent(evaluation.agreement));
        }
    }
    reports.iter().try_for_each(emulate::Report::verdict)
}

/// The images to draw: the first of the test set, and the first that the network gets wrong.
fn digits(simulated: &Simulated) -> Vec<Digit> {
    let labels = simulated.labels.as_deref().unwrap_or_default();
    let wrong = (0..labels.len()).find(|&row| simulated.classes[row] != labels[row]);
    let first = (0..labels.len()).filter(|&row| Some(row) != wrong).take(SHOWN - 1);
    let digit = |row: usize| Digit {
        // The data set's gray values are 0 to 16.
        pixels: simulated.rows.row(row)[0].iter().map(|v| v / 16.0).collect(),
        label: labels[row],
        answer: simulated.classes[row],
    };
    first.chain(wrong).map(digit).collect()
}

/// Images side by side, two rows of pixels a line, with the answers below.
pub fn draw(digits: &[Digit]) -> String {
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
        let mark = if digit.answer == digit.label { String::new() } else { format!(" (is {})", digit.label) };
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
        assert!(lines[SIDE].contains('3') && lines[SIDE].contains("5 (is 3)"));
        assert!(lines[0].starts_with("  ") && lines[SIDE - 1].trim_end().ends_with('█'));
    }
}
