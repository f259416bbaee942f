//! How well a text model understands a file of utterances, as floats and as integers.

use super::utterances::index;
use super::{INTENT, SLOTS, TextModel, Utterance, Utterances};
use crate::error::Result;
use crate::graph::Graph;
use crate::graph::eval::Evaluator;
use crate::plan::Plan;
use crate::plan::simulate::Simulator;
use serde::Serialize;

/// Shares of utterances that are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// The intent is right.
    pub intent: f64,
    /// The tags of all words are right; of an utterance that is cut they are not. Absent where the model has no slots.
    pub slots: Option<f64>,
    /// Both are right.
    pub exact: Option<f64>,
}

/// How a text model does. Labels that it does not have are never right.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TextEvaluation {
    /// Utterances.
    pub rows: usize,
    /// Of the float network.
    pub float: Scores,
    /// Of the integers.
    pub quantized: Scores,
    /// Share of utterances for which both give the same intent and tags.
    pub agreement: f64,
    /// Words, those that are cut included.
    pub words: usize,
    /// Words that the network has no position for.
    pub words_cut: usize,
    /// Utterances with such words.
    pub utterances_cut: usize,
    /// Parts of texts that are no UTF-8.
    pub invalid: u64,
}

/// The class of the intent, and of each word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answer {
    intent: usize,
    slots: Option<Vec<usize>>,
}

impl Answer {
    /// From the outputs of a network, for a text of so many words.
    fn of(graph: &Graph, words: usize, output: impl Fn(usize) -> Vec<f64>) -> Self {
        let mut found = Self::default();
        for (k, port) in graph.outputs.iter().enumerate() {
            let classes = graph.tensors[port.tensor].shape.last().copied().unwrap_or(1).max(1);
            match port.name.as_str() {
                INTENT => found.intent = largest(&output(k)),
                SLOTS => found.slots = Some(output(k).chunks_exact(classes).take(words).map(largest).collect()),
                _ => {}
            }
        }
        found
    }
}

/// The first of the largest.
fn largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, k| if values[k] > values[best] { k } else { best })
}

/// What is right in a number of answers.
#[derive(Clone, Copy, Debug, Default)]
struct Right {
    intent: usize,
    slots: usize,
    exact: usize,
}

impl Right {
    fn add(&mut self, graph: &Graph, row: &Utterance, cut: bool, answer: &Answer) {
        let labels = |name: &str| graph.outputs.iter().find(|o| o.name == name).and_then(|o| o.labels.as_ref());
        let label = row.label.as_deref().and_then(|label| index(labels(INTENT), label));
        let intent = label == Some(answer.intent);
        let tags = row.tags.iter().flatten().map(|tag| index(labels(SLOTS), tag));
        let slots = answer.slots.as_ref().is_some_and(|found| !cut && tags.eq(found.iter().map(|&k| Some(k))));
        self.intent += usize::from(intent);
        self.slots += usize::from(slots);
        self.exact += usize::from(intent && slots);
    }

    fn scores(self, rows: usize, slots: bool) -> Scores {
        let share = |n: usize| n as f64 / rows.max(1) as f64;
        Scores {
            intent: share(self.intent),
            slots: slots.then(|| share(self.slots)),
            exact: slots.then(|| share(self.exact)),
        }
    }
}

/// Runs utterances through the float graph and the plan of a text model. `progress` is called after every row.
///
/// # Errors
/// Every row without what it is compared with: see [`Utterances::labelled`].
pub fn evaluate(
    graph: &Graph,
    plan: &Plan,
    model: &TextModel,
    utterances: &Utterances,
    progress: &mut dyn FnMut(usize),
) -> Result<TextEvaluation> {
    let found = utterances.labelled(graph, model)?;
    let positions = model.front_end.positions;
    let rows = model.rows(utterances.texts())?;
    let (mut float, mut simulator) = (Evaluator::new(graph), Simulator::new(plan));
    let (mut float_right, mut right, mut same) = (Right::default(), Right::default(), 0);
    for (k, (row, &words)) in utterances.rows.iter().zip(&found.words).enumerate() {
        let inputs = rows.row(k);
        float.run(&inputs);
        simulator.run_real(&inputs);
        let real = |output: usize| float.output(output).iter().map(|&v| v.into()).collect();
        let integers = |output: usize| simulator.real(plan.outputs[output].value);
        let [a, b] = [Answer::of(graph, words, real), Answer::of(graph, words, integers)];
        float_right.add(graph, row, words > positions, &a);
        right.add(graph, row, words > positions, &b);
        same += usize::from(a == b);
        progress(k + 1);
    }
    let count = utterances.rows.len();
    let slots = graph.outputs.iter().any(|o| o.name == SLOTS);
    let cut = |words: &usize| words.saturating_sub(positions);
    Ok(TextEvaluation {
        rows: count,
        float: float_right.scores(count, slots),
        quantized: right.scores(count, slots),
        agreement: same as f64 / count.max(1) as f64,
        words: found.words.iter().sum(),
        words_cut: found.words.iter().map(cut).sum(),
        utterances_cut: found.words.iter().filter(|w| cut(w) > 0).count(),
        invalid: found.invalid.iter().map(|&n| u64::from(n)).sum(),
    })
}
