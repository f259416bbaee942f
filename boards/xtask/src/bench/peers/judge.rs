//! Whether a peer's answers are right.

use super::{Answer, Expected};
use crate::bench::models::{Model, Quality};
use crate::error::{Error, Result};
use tinymlp_codegen::Builder;
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::graph::eval::Evaluator;

/// A share of rows in another class that rounding does not explain.
const SUSPICIOUS: f64 = 0.05;

/// What is known of a model: its inputs, labels, and the float model's outputs.
pub struct Reference {
    /// Inputs, row after row.
    pub inputs: Vec<Vec<f32>>,
    labels: Option<Vec<usize>>,
    float: Vec<Vec<f32>>,
}

impl Reference {
    /// Of the rows that run on the emulators.
    pub fn new(model: &Model, limit: Option<usize>) -> Result<Self> {
        let message = |error: tinymlp_codegen::Error| Error::new(error.to_string());
        let files = model.files()?;
        let graph = Builder::new(&files.model).graph().map_err(message)?;
        let rows = Rows::new(&graph, &data::load(&files.inputs).map_err(message)?, &files.inputs).map_err(message)?;
        let labels =
            files.labels.map(|file| data::load_labels(&file, rows.len(), None).map_err(message)).transpose()?;
        let rows = rows.limited(limit.unwrap_or(model.rows));
        let mut evaluator = Evaluator::new(&graph);
        let mut float = |row| {
            evaluator.run(&rows.row(row));
            evaluator.output(0).to_vec()
        };
        let float = (0..rows.len()).map(&mut float).collect();
        Ok(Self { inputs: (0..rows.len()).map(|row| rows.row(row).concat()).collect(), labels, float })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.inputs.len()
    }

    /// Number of the model's outputs.
    pub fn outputs(&self) -> usize {
        self.float.first().map_or(0, Vec::len)
    }

    /// Whether the model chooses a class.
    pub fn classifies(&self) -> bool {
        self.labels.is_some()
    }

    /// How well the answers do, and what they were compared with.
    pub fn judge(&self, answers: &[Answer], expected: Option<&Expected>) -> (Option<Quality>, String) {
        let rows = self.rows();
        let share = |n: usize| n as f64 / rows.max(1) as f64;
        if let Some(labels) = &self.labels {
            let right = |classes: &[i32]| share(classes.iter().zip(labels).filter(|(c, l)| **c == **l as i32).count());
            let float: Vec<i32> = self.float.iter().map(|y| class(y)).collect();
            let found: Vec<i32> = answers.iter().map(Answer::class).collect();
            let quality = Quality::Accuracy { quantized: right(&found), float: right(&float) };
            let (who, known) = match expected {
                Some(expected) => (expected.who, expected.outputs.iter().map(|y| class(y)).collect()),
                None => ("the float model", float),
            };
            let same = found.iter().zip(&known).filter(|(a, b)| a == b).count();
            let verdict = if share(same) < 1.0 - SUSPICIOUS { "WRONG: " } else { "" };
            let note = format!("{verdict}the classes of {who} on {same} of the {rows} rows that ran");
            return (Some(quality), note);
        }
        let error = |outputs: &[Vec<f32>]| {
            let rows = self.inputs.iter().zip(outputs).map(|(x, y)| mean_squared_error(x, y));
            rows.sum::<f64>() / rows_or_one(outputs)
        };
        let found: Vec<_> = answers.iter().map(Answer::values).collect();
        let (quantized, float) = (error(&found), error(&self.float));
        let differences = found.iter().zip(&self.float).map(|(a, b)| mean_squared_error(a, b));
        let rms = (differences.sum::<f64>() / rows_or_one(&found)).sqrt();
        (
            Some(Quality::Score { quantized, float }),
            format!("outputs {rms:.3} from the float model's (root mean square)"),
        )
    }
}

impl Answer {
    fn class(&self) -> i32 {
        match self {
            Answer::Class(class) => *class,
            Answer::Values(values) => class(values),
        }
    }

    fn values(&self) -> Vec<f32> {
        match self {
            Answer::Class(_) => Vec::new(),
            Answer::Values(values) => values.clone(),
        }
    }
}

fn rows_or_one(rows: &[Vec<f32>]) -> f64 {
    rows.len().max(1) as f64
}

/// Infinite where the lengths differ: no answer is no good answer.
fn mean_squared_error(x: &[f32], y: &[f32]) -> f64 {
    if x.len() != y.len() {
        return f64::INFINITY;
    }
    x.iter().zip(y).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>() / x.len().max(1) as f64
}

/// The first largest element.
fn class(values: &[f32]) -> i32 {
    let mut best = 0;
    for (k, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = k;
        }
    }
    best as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(labels: Option<Vec<usize>>) -> Reference {
        Reference { inputs: vec![vec![1.0, 2.0], vec![3.0, 4.0]], labels, float: vec![vec![1.0, 2.0], vec![3.0, 2.0]] }
    }

    #[test]
    fn wrong_classes_are_told_from_right_ones() {
        let reference = reference(Some(vec![1, 1]));
        let (quality, note) = reference.judge(&[Answer::Class(1), Answer::Values(vec![0.5, 0.1])], None);
        assert_eq!(quality, Some(Quality::Accuracy { quantized: 0.5, float: 0.5 }));
        assert_eq!(note, "the classes of the float model on 2 of the 2 rows that ran");
        let expected = Expected { who: "TFLite", outputs: vec![vec![0.0, 1.0], vec![0.0, 1.0]] };
        let (_, note) = reference.judge(&[Answer::Class(1), Answer::Class(0)], Some(&expected));
        assert_eq!(note, "WRONG: the classes of TFLite on 1 of the 2 rows that ran");
    }

    #[test]
    fn a_score_is_the_distance_from_the_inputs() {
        let answers = [Answer::Values(vec![1.0, 4.0]), Answer::Values(vec![3.0, 4.0])];
        let (quality, note) = reference(None).judge(&answers, None);
        assert_eq!(quality, Some(Quality::Score { quantized: 1.0, float: 1.0 }));
        assert!(note.starts_with("outputs 1.414 from"), "{note}");
    }
}
