//! Runs the float network over representative inputs and records what values every tensor takes.

mod observer;

pub use observer::{Observer, Range};

use crate::data::Rows;
use crate::error::{Problem, Problems, Result};
use crate::graph::eval::Evaluator;
use crate::graph::{Graph, Kind};

/// Bins of a histogram.
const BINS: usize = 2048;

/// What values one tensor took.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean of each element over the rows.
    pub mean: Vec<f64>,
    /// Mean square of each element over the rows.
    pub square: Vec<f64>,
    /// Number of values in each of equal intervals from `min` to `max`.
    pub histogram: Vec<u64>,
}

/// The statistics of all tensors of a graph; `None` for constants, indices and what is no longer computed.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// By tensor.
    pub tensors: Vec<Option<Statistics>>,
    /// Things the user should know that are no errors.
    pub notes: Vec<String>,
}

/// What to do about a column that has the same value, other than zero, in every row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StuckColumns {
    /// An error: most often a stuck sensor or a wrong file.
    #[default]
    Refused,
    /// A note.
    Allowed,
}

/// Records the statistics of every tensor over `rows`.
///
/// # Errors
/// An input that never changes, or one of whose columns is stuck at a value other than zero; a tensor in which the
/// float network itself produces infinities or not-a-number.
pub fn calibrate(graph: &Graph, rows: &Rows, stuck: StuckColumns) -> Result<Calibration> {
    let mut problems = Problems::default();
    let mut notes = Vec::new();
    for (k, &id) in graph.inputs.iter().enumerate() {
        check_columns(graph, rows, (k, id), stuck, &mut notes, &mut problems);
    }
    problems.finish(())?;
    let mut evaluator = Evaluator::new(graph);
    let observed = |id: usize| graph.tensors[id].kind == Kind::Real && !graph.tensors[id].is_constant();
    let live: Vec<usize> =
        graph.inputs.iter().copied().chain(graph.nodes.iter().map(|n| n.output)).filter(|&t| observed(t)).collect();
    let mut tensors: Vec<Option<Statistics>> = vec![None; graph.tensors.len()];
    for &id in &live {
        let (mean, square) = (vec![0.0; graph.tensors[id].len()], vec![0.0; graph.tensors[id].len()]);
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        tensors[id] = Some(Statistics { min, max, mean, square, histogram: vec![0; BINS] });
    }
    for row in 0..rows.len() {
        evaluator.run(&rows.row(row));
        for &id in &live {
            let Some(s) = &mut tensors[id] else { continue };
            for ((mean, square), &v) in s.mean.iter_mut().zip(&mut s.square).zip(evaluator.value(id)) {
                let v = f64::from(v);
                // `min` and `max` ignore not-a-number; the sum does not.
                (s.min, s.max) = (s.min.min(v), s.max.max(v));
                *mean += v / rows.len() as f64;
                *square += v * v / rows.len() as f64;
            }
        }
    }
    let mut problems = Problems::default();
    for node in &graph.nodes {
        if let Some(s) = &tensors[node.output]
            && !(s.min.is_finite() && s.max.is_finite() && s.mean.iter().all(|m| m.is_finite()))
        {
            problems.push(
                Problem::new(
                    format!("node '{}' ({})", node.name, node.origin),
                    "the float network computes infinite or undefined values here from the calibration data",
                )
                .help("look at this operator's inputs: a logarithm or root of a negative number, a division by zero, or an overflow"),
            );
        }
    }
    problems.finish(())?;
    for row in 0..rows.len() {
        evaluator.run(&rows.row(row));
        for &id in &live {
            let Some(s) = &mut tensors[id] else { continue };
            let per_unit = if s.max > s.min { BINS as f64 / (s.max - s.min) } else { 0.0 };
            for &v in evaluator.value(id) {
                let bin = ((f64::from(v) - s.min) * per_unit) as usize;
                s.histogram[bin.min(BINS - 1)] += 1;
            }
        }
    }
    Ok(Calibration { tensors, notes })
}

fn check_columns(
    graph: &Graph,
    rows: &Rows,
    (input, id): (usize, usize),
    allowed: StuckColumns,
    notes: &mut Vec<String>,
    problems: &mut Problems,
) {
    if rows.len() < 2 {
        notes.push("the calibration data has one row: ranges taken from it will hardly hold for others".into());
        return;
    }
    let tensor = &graph.tensors[id];
    let first = rows.row(0)[input].to_vec();
    let mut stuck = vec![true; first.len()];
    for row in 1..rows.len() {
        for ((stuck, &a), &b) in stuck.iter_mut().zip(rows.row(row)[input]).zip(&first) {
            *stuck &= a == b;
        }
    }
    let place = format!("calibration data, input '{}'", tensor.name);
    if !stuck.is_empty() && stuck.iter().all(|&s| s) {
        problems.push(
            Problem::new(place, format!("all {} rows are the same", rows.len()))
                .help("give rows as different as what the device will see"),
        );
        return;
    }
    if tensor.kind == Kind::Index {
        // Words of texts.
        return;
    }
    let columns =
        |zero: bool| -> Vec<usize> { (0..stuck.len()).filter(|&c| stuck[c] && (first[c] == 0.0) == zero).collect() };
    let (zero, other) = (columns(true), columns(false));
    if let (Some(&c), StuckColumns::Refused) = (other.first(), allowed) {
        problems.push(
            Problem::new(
                place,
                format!("{} column(s) never change: {}; column {c} is always {}", other.len(), list(&other), first[c]),
            )
            .help("a stuck sensor, or a column that is no feature? If it is right, allow constant columns"),
        );
        return;
    }
    for (columns, value) in [(&zero, "0"), (&other, "the same")] {
        if !columns.is_empty() {
            let (n, columns) = (columns.len(), list(columns));
            notes.push(format!(
                "input '{}': {n} column(s) are always {value} in the calibration data: {columns}",
                tensor.name
            ));
        }
    }
}

fn list(columns: &[usize]) -> String {
    let shown: Vec<_> = columns.iter().take(12).map(ToString::to_string).collect();
    let more = if columns.len() > 12 { ", .." } else { "" };
    format!("{}{more}", shown.join(", "))
}
