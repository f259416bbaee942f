//! Charts as SVG text: lines and points over two axes, in panels.
//!
//! The text depends on the numbers alone. Colours are those of Okabe and Ito (2008), which do not rely on red and green;
//! series also differ by their markers and dashes. The background follows the reader's light or dark scheme.

use std::fmt::{self, Write};

/// Panels below each other or side by side, under one legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it shows, for those who cannot see it.
    pub description: String,
    /// In pixels.
    pub width: f64,
    /// Height of one panel's axes, in pixels.
    pub height: f64,
    /// Panels side by side.
    pub columns: usize,
    /// Names of the series, in the order of their numbers. A series without a name is not in the legend.
    pub series: Vec<String>,
    /// From left to right, then down.
    pub panels: Vec<Panel>,
}

/// What is drawn over one pair of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Above the axes; may be empty.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// From the back to the front.
    pub marks: Vec<Mark>,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it counts, with its unit.
    pub label: String,
    /// Number at its start.
    pub from: f64,
    /// Number at its end.
    pub to: f64,
    /// Numbers with their text.
    pub ticks: Vec<(f64, String)>,
    /// Whether equal distances are equal factors.
    pub logarithmic: bool,
}

/// Points of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Number of the series, which says colour, marker and dashes.
    pub series: usize,
    /// How the points are drawn.
    pub kind: Kind,
    /// Places on the axes. What is outside is not drawn.
    pub points: Vec<(f64, f64)>,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Joined.
    Line,
    /// Each held until the next.
    Steps,
    /// A marker each.
    Points,
    /// A marker each, and joined.
    LineAndPoints,
    /// A short upright stroke each.
    Ticks,
    /// Filled down to the end of the axis, paler.
    Area,
    /// A thin line in the colour of the axes, through all panels of its numbers.
    Guide,
}

impl Axis {
    /// Numbers from `from` to `to`, with ticks at multiples of 1, 2 or 5 times a power of ten.
    pub fn linear(label: &str, from: f64, to: f64) -> Self {
        let span = (to - from).abs().max(f64::MIN_POSITIVE);
        let power = 10f64.powf((span / 6.0).log10().floor());
        let fits = |step: &f64| span / step <= 6.5;
        let step = [1.0, 2.0, 5.0, 10.0].map(|k| k * power).into_iter().find(fits).unwrap_or(span);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (from / step - 1e-9).ceil();
        let numbers = (0..20).map(|k| (first + f64::from(k)) * step).take_while(|x| *x <= to + step * 1e-9);
        let ticks = numbers.map(|x| (x, number(x, decimals))).collect();
        Self { label: label.into(), from, to, ticks, logarithmic: false }
    }

    /// Positive numbers, ticks at powers of ten; of a short axis also at 2 and 5 times these.
    pub fn logarithmic(label: &str, from: f64, to: f64) -> Self {
        let decades = (to / from).log10();
        let factors: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (from.log10().floor() as i32)..=(to.log10().ceil() as i32);
        let numbers = powers.flat_map(|p| factors.iter().map(move |f| f * 10f64.powi(p)));
        let inside = numbers.filter(|x| (from * 0.999..=to * 1.001).contains(x));
        let ticks = inside.map(|x| (x, number(x, (-x.log10().floor()).max(0.0) as usize))).collect();
        Self { label: label.into(), from, to, ticks, logarithmic: true }
    }

    /// One place a name, the first at the end of the axis: at `names.len() - 1`, then down to 0.
    pub fn names<T: AsRef<str>>(label: &str, names: &[T]) -> Self {
        let top = names.len().saturating_sub(1) as f64;
        let ticks = names.iter().enumerate().map(|(k, name)| (top - k as f64, name.as_ref().to_owned())).collect();
        Self { label: label.into(), from: -0.6, to: top + 0.6, ticks, logarithmic: false }
    }

    /// Where a number is, from 0 to 1.
    fn place(&self, x: f64) -> f64 {
        if self.logarithmic {
            (x / self.from).ln() / (self.to / self.from).ln()
        } else {
            (x - self.from) / (self.to - self.from)
        }
    }
}

/// A number with thousands apart.
fn number(x: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", x.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (k, digit) in whole.chars().enumerate() {
        if k > 0 && (whole.len() - k).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    let sign = if x < 0.0 && text.chars().any(|c| ('1'..='9').contains(&c)) { "\u{2212}" } else { "" };
    format!("{sign}{out}{rest}")
}

/// Colours by series, on light and on dark.
const COLOURS: [(&str, &str); 6] = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff9a52"),
    ("#00815f", "#3fd0a4"),
    ("#a4507f", "#e79ac6"),
    ("#8a6d00", "#f0d442"),
    ("#555555", "#bbbbbb"),
];

/// Dashes by series; the first has none.
const DASHES: [&str; 6] = ["", "6 3", "2 2", "8 3 2 3", "10 4", "4 2"];

/// Width of a letter of 12 pixels, in the mean.
const LETTER: f64 = 6.9;

/// Pixels of a line of text.
const LINE: f64 = 17.0;

/// Pixels around everything.
const EDGE: f64 = 10.0;

impl Figure {
    /// The picture.
    pub fn svg(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let columns = self.columns.clamp(1, self.panels.len().max(1));
        let legend = self.legend();
        let top = EDGE + legend.iter().map(|(_, y, _)| y + LINE).fold(0.0, f64::max) + 4.0;
        let cell = (self.width - 2.0 * EDGE) / columns as f64;
        // The title above the axes; ticks and label below.
        let (above, below) = (1.4 * LINE, 2.6 * LINE);
        let row = self.height + above + below;
        let height = top + row * self.panels.len().div_ceil(columns) as f64 + EDGE;
        let (w, h) = (self.width, height);
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h:.0}" width="{w}" height="{h:.0}" role="img" font-family="sans-serif" font-size="12">"#
        )?;
        writeln!(out, "<title>{}</title>", escaped(&self.description))?;
        style(out)?;
        writeln!(out, r#"<rect class="paper" width="{w}" height="{h:.0}"/>"#)?;
        for (x, y, series) in legend {
            let (x, y) = (EDGE + x, EDGE + y + LINE / 2.0);
            let kind = self.kind(series);
            if matches!(kind, Kind::Line | Kind::Steps | Kind::LineAndPoints) {
                writeln!(out, r#"<path class="line s{series}" d="M{x:.1} {y:.1}h26"/>"#)?;
            }
            match kind {
                Kind::Points | Kind::LineAndPoints => marker(out, series, x + 13.0, y)?,
                Kind::Ticks => {
                    writeln!(out, r#"<path class="tick s{series}" d="M{:.1} {:.1}v12"/>"#, x + 13.0, y - 6.0)?
                }
                Kind::Area => writeln!(out, r#"<path class="area f{series}" d="M{x:.1} {:.1}h26v10h-26z"/>"#, y - 5.0)?,
                _ => {}
            }
            writeln!(out, r#"<text x="{:.1}" y="{:.1}">{}</text>"#, x + 32.0, y + 4.0, escaped(&self.series[series]))?;
        }
        for (k, panel) in self.panels.iter().enumerate() {
            // Room for the longest text beside the axis and, turned, its label.
            let longest = panel.y.ticks.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
            let label = if panel.y.label.is_empty() { 0.0 } else { LINE };
            let beside = (longest as f64 * LETTER + 9.0 + label).min(cell / 2.0);
            let frame = Frame {
                left: EDGE + cell * (k % columns) as f64 + beside,
                top: top + row * (k / columns) as f64 + above,
                width: cell - beside - 2.0 * EDGE,
                height: self.height,
                label: EDGE + cell * (k % columns) as f64 + LINE * 0.4,
            };
            frame.write(out, panel)?;
        }
        writeln!(out, "</svg>")
    }

    /// How the first mark of a series is drawn.
    fn kind(&self, series: usize) -> Kind {
        let marks = self.panels.iter().flat_map(|panel| &panel.marks);
        marks.filter(|mark| mark.series == series).map(|mark| mark.kind).next().unwrap_or(Kind::Line)
    }

    /// Where the entries of the legend are, and of which series.
    fn legend(&self) -> Vec<(f64, f64, usize)> {
        let (mut x, mut y, mut found) = (0.0, 0.0, Vec::new());
        for (series, name) in self.series.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let width = 32.0 + name.chars().count() as f64 * LETTER + 16.0;
            if x > 0.0 && x + width > self.width - 2.0 * EDGE {
                (x, y) = (0.0, y + LINE);
            }
            found.push((x, y, series));
            x += width;
        }
        found
    }
}

/// Where a panel's axes are, in pixels.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    /// Where the label of the upright axis stands.
    label: f64,
}

impl Frame {
    fn write(&self, out: &mut String, panel: &Panel) -> fmt::Result {
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        if !panel.title.is_empty() {
            let (x, y) = (self.left, self.top - 8.0);
            writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" font-weight="bold">{}</text>"#, escaped(&panel.title))?;
        }
        for (number, text) in &panel.x.ticks {
            let (x, y) = (self.x(panel, *number), bottom + 15.0);
            writeln!(out, r#"<path class="grid" d="M{x:.1} {:.1}V{bottom:.1}"/>"#, self.top)?;
            writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle">{}</text>"#, escaped(text))?;
        }
        for (number, text) in &panel.y.ticks {
            let (x, y) = (self.left - 6.0, self.y(panel, *number));
            writeln!(out, r#"<path class="grid" d="M{:.1} {y:.1}H{right:.1}"/>"#, self.left)?;
            writeln!(out, r#"<text x="{x:.1}" y="{:.1}" text-anchor="end">{}</text>"#, y + 4.0, escaped(text))?;
        }
        writeln!(out, r#"<path class="axis" d="M{:.1} {:.1}V{bottom:.1}H{right:.1}"/>"#, self.left, self.top)?;
        let (x, y) = (self.left + self.width / 2.0, bottom + 32.0);
        writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle">{}</text>"#, escaped(&panel.x.label))?;
        if !panel.y.label.is_empty() {
            let (x, y) = (self.label, self.top + self.height / 2.0);
            let turned = format!(r#"transform="rotate(-90 {x:.1} {y:.1})""#);
            writeln!(
                out,
                r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle" {turned}>{}</text>"#,
                escaped(&panel.y.label)
            )?;
        }
        panel.marks.iter().try_for_each(|mark| self.mark(out, panel, mark))
    }

    fn mark(&self, out: &mut String, panel: &Panel, mark: &Mark) -> fmt::Result {
        let inside = |&&(x, y): &&(f64, f64)| {
            let within = |axis: &Axis, v: f64| (-1e-9..=1.0 + 1e-9).contains(&axis.place(v));
            within(&panel.x, x) && within(&panel.y, y)
        };
        let places: Vec<(f64, f64)> =
            mark.points.iter().filter(inside).map(|&(x, y)| (self.x(panel, x), self.y(panel, y))).collect();
        let series = mark.series % COLOURS.len();
        if places.is_empty() {
            return Ok(());
        }
        match mark.kind {
            Kind::Line | Kind::LineAndPoints | Kind::Guide | Kind::Area => {
                let text: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
                let path = text.join("L");
                match mark.kind {
                    Kind::Guide => writeln!(out, r#"<path class="guide" d="M{path}"/>"#)?,
                    Kind::Area => {
                        let (first, last) = (places[0].0, places[places.len() - 1].0);
                        let bottom = self.top + self.height;
                        writeln!(
                            out,
                            r#"<path class="area f{series}" d="M{first:.1} {bottom:.1}L{path}L{last:.1} {bottom:.1}Z"/>"#
                        )?;
                    }
                    _ => writeln!(out, r#"<path class="line s{series}" d="M{path}"/>"#)?,
                }
            }
            Kind::Steps => {
                let mut path = format!("M{:.1} {:.1}", places[0].0, places[0].1);
                // What does not move the pen is left out: functions of 256 inputs are constant over many of them.
                let turns = places.windows(2).filter(|pair| (pair[0].1 - pair[1].1).abs() >= 0.05);
                turns.for_each(|pair| path += &format!("H{:.1}V{:.1}", pair[1].0, pair[1].1));
                path += &format!("H{:.1}", places[places.len() - 1].0);
                writeln!(out, r#"<path class="line s{series}" d="{path}"/>"#)?;
            }
            Kind::Ticks => {
                let strokes = places.iter().map(|(x, y)| format!("M{x:.1} {:.1}v14", y - 7.0));
                writeln!(out, r#"<path class="tick s{series}" d="{}"/>"#, strokes.collect::<String>())?;
            }
            Kind::Points => {}
        }
        if matches!(mark.kind, Kind::Points | Kind::LineAndPoints) {
            places.iter().try_for_each(|&(x, y)| marker(out, series, x, y))?;
        }
        Ok(())
    }

    fn x(&self, panel: &Panel, number: f64) -> f64 {
        self.left + self.width * panel.x.place(number)
    }

    fn y(&self, panel: &Panel, number: f64) -> f64 {
        self.top + self.height * (1.0 - panel.y.place(number))
    }
}

/// A marker of a series: circle, square, triangle, diamond, and again.
fn marker(out: &mut String, series: usize, x: f64, y: f64) -> fmt::Result {
    let path = match series % 4 {
        0 => return writeln!(out, r#"<circle class="f{series}" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#),
        1 => format!("M{:.1} {:.1}h6.4v6.4h-6.4z", x - 3.2, y - 3.2),
        2 => format!("M{x:.1} {:.1}l4.2 7.4h-8.4z", y - 4.6),
        _ => format!("M{x:.1} {:.1}l4.4 4.4l-4.4 4.4l-4.4 -4.4z", y - 4.4),
    };
    writeln!(out, r#"<path class="f{series}" d="{path}"/>"#)
}

/// Classes of what is drawn, on light and on dark.
fn style(out: &mut String) -> fmt::Result {
    writeln!(out, "<style>")?;
    writeln!(out, ".line,.tick,.axis,.grid,.guide{{fill:none}}.line{{stroke-width:1.6;stroke-linejoin:round}}")?;
    writeln!(out, ".tick{{stroke-width:1.2}}.area{{fill-opacity:.18}}.guide{{stroke-dasharray:3 3}}")?;
    let dashes = DASHES.iter().enumerate().skip(1);
    dashes.clone().try_for_each(|(k, dashes)| write!(out, ".line.s{k}{{stroke-dasharray:{dashes}}}"))?;
    writeln!(out)?;
    let scheme =
        |out: &mut String, [paper, ink, grid]: [&str; 3], colour: fn(&(&'static str, &'static str)) -> &'static str| {
            write!(out, ".paper{{fill:{paper}}}text{{fill:{ink}}}.axis,.guide{{stroke:{ink}}}.grid{{stroke:{grid}}}")?;
            COLOURS
                .iter()
                .map(colour)
                .enumerate()
                .try_for_each(|(k, c)| write!(out, ".s{k}{{stroke:{c}}}.f{k}{{fill:{c}}}"))
        };
    scheme(out, ["#ffffff", "#1f2328", "#dddddd"], |c| c.0)?;
    write!(out, "\n@media (prefers-color-scheme:dark){{")?;
    scheme(out, ["#0d1117", "#e6edf3", "#30363d"], |c| c.1)?;
    writeln!(out, "}}\n</style>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(points: Vec<(f64, f64)>, kind: Kind) -> Figure {
        let mark = Mark { series: 0, kind, points };
        let axis = |label: &str| Axis::linear(label, 0.0, 10.0);
        let panel = Panel { title: "a < b".into(), x: axis("steps"), y: axis("dB"), marks: vec![mark] };
        Figure {
            description: "A test".into(),
            width: 300.0,
            height: 100.0,
            columns: 1,
            series: vec!["one".into()],
            panels: vec![panel],
        }
    }

    /// The numbers of an attribute, of all elements of a class.
    fn path(svg: &str, class: &str) -> String {
        let start = svg.rfind(&format!("class=\"{class}\" d=\"")).unwrap_or_else(|| panic!("no {class} in {svg}"));
        svg[start..].split('"').nth(3).unwrap_or_default().to_owned()
    }

    #[test]
    fn corners_of_the_axes_are_where_the_frame_is() {
        let svg = figure(vec![(0.0, 0.0), (10.0, 10.0)], Kind::Line).svg();
        let line = path(&svg, "line s0");
        let ends: Vec<f64> =
            line.split(|c: char| !c.is_ascii_digit() && c != '.').filter_map(|n| n.parse().ok()).collect();
        let [x0, y0, x1, y1] = ends[..] else { panic!("{line}") };
        let frame = path(&svg, "axis");
        assert_eq!(frame, format!("M{x0:.1} {y1:.1}V{y0:.1}H{x1:.1}"));
        assert!((y0 - y1 - 100.0).abs() < 0.2 && x1 < 300.0);
    }

    #[test]
    fn what_is_outside_is_not_drawn_and_text_is_escaped() {
        let svg = figure(vec![(5.0, 5.0), (11.0, 5.0), (5.0, -1.0)], Kind::Points).svg();
        // One in the legend, one in the panel.
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
    }

    #[test]
    fn ticks_are_round_numbers() {
        let texts = |axis: Axis| axis.ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(Axis::linear("", -1.0, 1.0)), "\u{2212}1.0 \u{2212}0.5 0.0 0.5 1.0");
        assert_eq!(texts(Axis::linear("", 0.0, 12_000.0)), "0 2,000 4,000 6,000 8,000 10,000 12,000");
        assert_eq!(texts(Axis::logarithmic("", 1.0, 1e4)), "1 10 100 1,000 10,000");
        assert_eq!(texts(Axis::logarithmic("", 0.5, 10.0)), "0.5 1 2 5 10");
        assert_eq!(Axis::names("", &["a", "b"]).ticks, [(1.0, "a".to_owned()), (0.0, "b".to_owned())]);
    }
}
