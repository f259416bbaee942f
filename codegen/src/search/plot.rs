//! The picture of a front.

use super::front::Front;
use std::fmt::Write;

/// Size of the picture, and the lines around what is drawn.
const SIZE: [f64; 2] = [760.0, 480.0];
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 56.0;

/// Accuracy against cost, as an SVG: of each point on the rows held out, and, smaller, on the rows that steered; lines for
/// the reference and the budgets, and the names of the points that were chosen for them.
pub(super) fn svg(front: &Front) -> String {
    let all: Vec<_> = front.points.iter().chain([&front.exact]).collect();
    let least_drop = front.budgets.iter().map(|b| front.reference_accuracy - b.max_drop);
    let accuracies = all.iter().flat_map(|p| [p.accuracy, p.steering_accuracy]).chain([front.reference_accuracy]);
    let (low, high) = accuracies.chain(least_drop).fold((1.0f64, 0.0f64), |(low, high), a| (low.min(a), high.max(a)));
    let y_step = step((high - low).max(0.01) * 100.0);
    let (low, high) = ((100.0 * low / y_step).floor() * y_step, ((100.0 * high / y_step).ceil() * y_step).min(100.0));
    let most = all.iter().map(|p| front.price(p)).fold(1.0, f64::max);
    let x_step = step(most);
    let most = (most / x_step).ceil() * x_step;
    let x = |cost: f64| LEFT + cost / most * (SIZE[0] - LEFT - RIGHT);
    let y = |share: f64| SIZE[1] - BOTTOM - (100.0 * share - low) / (high - low).max(1e-9) * (SIZE[1] - TOP - BOTTOM);
    let [width, height] = SIZE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut text = |at: [f64; 2], anchor: &str, style: &str, text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ =
            writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\"{style}>{text}</text>", at[0], at[1]);
    };
    let unit = match front.objective.as_str() {
        "flash" => "predicted flash [bytes]",
        "ram" => "predicted RAM [bytes]",
        "adders" => "full adders and comparator bits",
        _ => "predicted instructions per inference",
    };
    let on = if front.objective == "adders" { String::new() } else { format!(", {} ({})", front.target, front.mode) };
    text([LEFT, 20.0], "start", " font-size=\"14\"", &format!("{}: accuracy against {unit}{on}", front.model));
    let legend = format!(
        "filled: {} rows held out; ring: {} rows that steered; square: not approximated",
        front.held_out_rows, front.steering_rows
    );
    text([LEFT, 38.0], "start", " fill=\"#555\"", &legend);
    text([(LEFT + width - RIGHT) / 2.0, height - 14.0], "middle", "", unit);
    let middle = (TOP + height - BOTTOM) / 2.0;
    text([18.0, middle], "middle", &format!(" transform=\"rotate(-90 18 {middle:.1})\""), "accuracy [%]");
    let ticks = |from: f64, to: f64, step: f64| {
        (0..).map(move |k| from + step * f64::from(k)).take_while(move |&v| v <= to + step * 1e-6)
    };
    let mut lines = String::new();
    for cost in ticks(0.0, most, x_step) {
        text([x(cost), height - BOTTOM + 18.0], "middle", "", &format!("{cost:.0}"));
        line(&mut lines, [x(cost), TOP, x(cost), height - BOTTOM], "#e5e5e5", "");
    }
    let digits = usize::from(y_step < 1.0);
    for percent in ticks(low, high, y_step) {
        let at = y(percent / 100.0);
        text([LEFT - 6.0, at + 4.0], "end", "", &format!("{percent:.digits$}"));
        line(&mut lines, [LEFT, at, width - RIGHT, at], "#e5e5e5", "");
    }
    let reference = y(front.reference_accuracy);
    line(&mut lines, [LEFT, reference, width - RIGHT, reference], "#333", "");
    text([LEFT + 4.0, reference - 4.0], "start", " fill=\"#333\"", "float reference, rows held out");
    for (k, budget) in front.budgets.iter().enumerate() {
        let at = y(front.reference_accuracy - budget.max_drop);
        line(&mut lines, [LEFT, at, width - RIGHT, at], "#b8860b", " stroke-dasharray=\"6 4\"");
        let label = format!("{} % budget", 100.0 * budget.max_drop);
        // Beside each other, as small drops lie close together.
        text([width - RIGHT - 4.0 - 80.0 * k as f64, at - 4.0], "end", " fill=\"#8a6508\"", &label);
    }
    for budget in &front.budgets {
        let Some(point) = budget.point.as_ref().and_then(|name| front.point(name)) else { continue };
        let at = [x(front.price(point)), y(point.accuracy) + 20.0];
        text(at, "middle", " fill=\"#b22222\"", &format!("{}: {} %", point.name, 100.0 * budget.max_drop));
    }
    let mut marks = String::new();
    for point in &front.points {
        let chosen = front.budgets.iter().any(|b| b.point.as_ref() == Some(&point.name));
        let color = if chosen { "#b22222" } else { "#1f5fa8" };
        let at = x(front.price(point));
        let (held, steering) = (y(point.accuracy), y(point.steering_accuracy));
        let _ = writeln!(
            marks,
            "<circle cx=\"{at:.1}\" cy=\"{steering:.1}\" r=\"3\" fill=\"none\" stroke=\"{color}\" stroke-opacity=\"0.5\"/>\n\
             <circle cx=\"{at:.1}\" cy=\"{held:.1}\" r=\"4\" fill=\"{color}\"/>",
        );
    }
    let (at, held) = (x(front.price(&front.exact)), y(front.exact.accuracy));
    let _ =
        writeln!(marks, "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" fill=\"#333\"/>", at - 4.0, held - 4.0);
    // Lines lie below text and marks.
    let head = out.find("<text").unwrap_or(out.len());
    out.insert_str(head, &lines);
    out + &marks + "</svg>\n"
}

fn line(out: &mut String, [x1, y1, x2, y2]: [f64; 4], color: &str, more: &str) {
    let _ =
        writeln!(out, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\"{more}/>");
}

/// A round distance of five to ten marks over a range.
fn step(range: f64) -> f64 {
    let decade = 10f64.powf((range / 5.0).log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|k| k * decade).find(|&step| range / step >= 4.0).unwrap_or(decade)
}
