//! What a model says of the text that it reads, and the network that follows from it.

use crate::data::Rows;
use crate::error::{Error, Problem, Problems, Result};
use crate::graph::{Graph, Kind, Labels, Op, TensorId, show_shape};
use crate::text::{FrontEnd, Split, Tokens, Vocabulary};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// The one version of the text.
const VERSION: u64 = 1;

/// The output that names what the whole text is.
pub const INTENT: &str = "intent";

/// The output that names what every word is.
pub const SLOTS: &str = "slots";

/// How a text model reads text: its front end, and the window of words that its first layer sees.
///
/// A text model is an ordinary ONNX file. Its one input, float of shape `[1, s, (2w + 1) m]`, has a row for each of `s` words:
/// the counting Bloom filters, of `m` counters each, of the word and of `w` words on either side, from left to right. Its first
/// node is a fully connected layer (`Gemm`, or `MatMul` with `Add`) over the rows. Outputs are `intent`, a number a label, and
/// perhaps `slots`, of shape `[1, s, C]`. The metadata property `tinymlp.text` is JSON:
///
/// ```json
/// {
///   "version": 1, "input": "counts",
///   "tokenizer": "words", "normalize": "uncased", "punctuation": true,
///   "hashes": 64, "buckets": 1024, "window": 0,
///   "labels": {"intent": ["PlayMusic", "RateBook"], "slots": ["O", "B-artist", "I-artist"]}
/// }
/// ```
///
/// - `tokenizer`: `words`, or `wordpiece` with `"vocabulary"`, a file beside the model (a piece a line; `.gz` is unpacked)
/// - `normalize`: `uncased` or `cased`
/// - `punctuation`: whether punctuation is words of its own; without, text is split at white space alone
/// - `hashes`, `buckets`, `window`: the sizes `n`, `m` and `w` of the counting Bloom filters
///
/// `tinymlp features` gives the same features, to train with.
#[derive(Clone, Debug)]
pub struct TextModel {
    /// From text to buckets.
    pub front_end: FrontEnd,
    /// Words of a window: `2w + 1`.
    pub span: usize,
}

/// The JSON of the property.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(rename = "version")]
    _version: u64,
    input: String,
    tokenizer: Tokenizer,
    vocabulary: Option<String>,
    normalize: Normalize,
    punctuation: bool,
    hashes: usize,
    buckets: u16,
    window: usize,
    labels: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Tokenizer {
    Words,
    WordPiece,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Normalize {
    Cased,
    Uncased,
}

impl Form {
    fn from_json(text: &str) -> std::result::Result<Self, Problem> {
        let problem = |reason: String| Problem::new(crate::import::TEXT, reason);
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| problem(format!("this is no JSON: {e}")))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => {}
            Some(version) => {
                return Err(problem(format!("is of version {version}; this release reads version {VERSION}"))
                    .help("export the model again for this release"));
            }
            None => return Err(problem("has no \"version\"".into()).help("write {\"version\": 1, ...}")),
        }
        serde_json::from_value(value).map_err(|e| {
            problem(e.to_string()).help(
                "its keys are version, input, tokenizer, vocabulary, normalize, punctuation, hashes, buckets, window and labels",
            )
        })
    }
}

/// The file beside the model that has its vocabulary.
pub(crate) fn vocabulary_file(property: &str) -> Option<String> {
    Form::from_json(property).ok()?.vocabulary
}

/// Makes the first layer of a graph that reads text what it is, a sum over counted features, and gives its outputs their
/// labels; nothing for other graphs. The vocabulary is looked for in `folder`.
///
/// # Errors
/// Everything in the property that has another form than the graph needs.
pub(crate) fn read(graph: &mut Graph, folder: &Path) -> Result<Option<TextModel>> {
    let Some(property) = &graph.text else { return Ok(None) };
    let form = Form::from_json(property)?;
    let mut problems = Problems::default();
    let tokens = problems.take(tokens(&form, folder));
    let span = form.window.saturating_mul(2).saturating_add(1);
    let layer = problems.take(Layer::find(graph, &form, span).map_err(Error::from));
    let labels = problems.take(labels(graph, &form, layer.as_ref().map(|l| l.positions)));
    let (Some(tokens), Some(layer), Some(labels)) = (tokens, layer, labels) else {
        return problems.finish(None);
    };
    let split = if form.punctuation { Split::Punctuation } else { Split::Spaces };
    let cased = form.normalize == Normalize::Cased;
    let (hashes, buckets, positions) = (form.hashes, form.buckets, layer.positions);
    let front_end = FrontEnd { tokens, split, cased, hashes, buckets, positions };
    problems.take(front_end.check());
    problems.finish(())?;
    for (output, labels) in graph.outputs.iter_mut().zip(labels) {
        output.labels = labels.map(Labels::Strings).or(output.labels.take());
    }
    layer.replace(graph, &form, span);
    Ok(Some(TextModel { front_end, span }))
}

fn tokens(form: &Form, folder: &Path) -> Result<Tokens> {
    match (form.tokenizer, &form.vocabulary) {
        (Tokenizer::Words, None) => Ok(Tokens::Words),
        (Tokenizer::WordPiece, Some(file)) => {
            let inside = Path::new(file).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
            if file.is_empty() || !inside {
                return Err(Problem::new(
                    crate::import::TEXT,
                    format!("its vocabulary `{file}` is no file beside the model"),
                )
                .help("name a file in the model's folder")
                .into());
            }
            Ok(Tokens::Pieces(Vocabulary::load(&folder.join(file), false)?))
        }
        (Tokenizer::Words, Some(_)) => {
            Err(Problem::new(crate::import::TEXT, "has a vocabulary that whole words do not need")
                .help("leave \"vocabulary\" out, or say \"tokenizer\": \"wordpiece\"")
                .into())
        }
        (Tokenizer::WordPiece, None) => {
            Err(Problem::new(crate::import::TEXT, "has no vocabulary to make word pieces of")
                .help("add \"vocabulary\": the name of a file beside the model, a piece a line")
                .into())
        }
    }
}

/// The labels of every output.
fn labels(graph: &Graph, form: &Form, positions: Option<usize>) -> Result<Vec<Option<Vec<String>>>> {
    let mut problems = Problems::default();
    let names: Vec<&str> = graph.outputs.iter().map(|o| o.name.as_str()).collect();
    if !names.contains(&INTENT) {
        problems.push(Problem::new("model", format!("has no output '{INTENT}'; its outputs are {names:?}")).help(
            format!("name the output that classifies the text '{INTENT}', and one that tags its words '{SLOTS}'"),
        ));
    }
    for name in form.labels.keys().filter(|name| !names.contains(&name.as_str())) {
        let reason = format!("has labels of '{name}', but the outputs are {names:?}");
        problems.push(Problem::new(crate::import::TEXT, reason).help("give the labels of an output under its name"));
    }
    let mut found = Vec::new();
    for output in &graph.outputs {
        let shape = &graph.tensors[output.tensor].shape;
        let (classes, rows) = match shape.as_slice() {
            [rows @ .., classes] => (*classes, rows.iter().product::<usize>()),
            [] => (1, 1),
        };
        let place = format!("output '{}'", output.name);
        let expected = match output.name.as_str() {
            INTENT => Some(1),
            SLOTS => positions,
            _ => None,
        };
        if expected.is_some_and(|expected| expected != rows) || graph.tensors[output.tensor].kind == Kind::Index {
            let wanted = if output.name == INTENT { "a number a label" } else { "a row a word, with a number a label" };
            problems.push(
                Problem::new(&place, format!("has shape {}, but should have {wanted}", show_shape(shape)))
                    .help("give out the logits"),
            );
        }
        let labels = form.labels.get(&output.name);
        match labels {
            Some(labels) if labels.len() != classes => problems.push(
                Problem::new(
                    &place,
                    format!("has {classes} numbers (shape {}), but {} labels", show_shape(shape), labels.len()),
                )
                .help(format!("give the labels in the order of its numbers in {}", crate::import::TEXT)),
            ),
            Some(labels) => {
                let mut sorted: Vec<&String> = labels.iter().collect();
                sorted.sort_unstable();
                if let Some(twice) = sorted.windows(2).find(|two| two[0] == two[1]) {
                    problems.push(Problem::new(&place, format!("has the label {:?} twice", twice[0])));
                }
            }
            None if [INTENT, SLOTS].contains(&output.name.as_str()) => problems.push(
                Problem::new(&place, "has no labels")
                    .help(format!("give them under \"labels\" in {}", crate::import::TEXT)),
            ),
            None => {}
        }
        found.push(labels.cloned());
    }
    problems.finish(found)
}

/// The first layer of a graph that reads text.
struct Layer {
    input: TensorId,
    positions: usize,
    node: usize,
    /// Nodes before it, which only change the shape.
    before: Vec<usize>,
}

impl Layer {
    fn find(graph: &Graph, form: &Form, span: usize) -> std::result::Result<Self, Problem> {
        let &[input] = graph.inputs.as_slice() else {
            return Err(Problem::new("model", format!("has {} inputs; a text model has one", graph.inputs.len())));
        };
        let tensor = &graph.tensors[input];
        let place = format!("input '{}'", tensor.name);
        if tensor.name != form.input {
            return Err(Problem::new(place, format!("is called '{}' in {}", form.input, crate::import::TEXT))
                .help("give the name of the model's one input"));
        }
        let shape = show_shape(&tensor.shape);
        let [lead @ .., positions, features] = tensor.shape.as_slice() else {
            return Err(Problem::new(place, format!("has shape {shape}"))
                .help("a text model reads [1, words, (2 window + 1) buckets] counts"));
        };
        let wanted = span.saturating_mul(form.buckets.into());
        if *features != wanted || lead.iter().any(|&n| n != 1) {
            return Err(Problem::new(
                place,
                format!(
                    "has shape {shape}, but a window of {span} words with {} buckets each has {wanted} counts",
                    form.buckets
                ),
            )
            .help("a text model reads [1, words, (2 window + 1) buckets] counts"));
        }
        let (mut tensor, mut before) = (input, Vec::new());
        loop {
            let consumers = graph.consumers(tensor);
            let &[node] = consumers.as_slice() else {
                let names: Vec<&str> = consumers.iter().map(|&k| graph.nodes[k].name.as_str()).collect();
                return Err(Problem::new(place, format!("is read by the nodes {names:?}"))
                    .help("counts go to one fully connected layer, and nowhere else"));
            };
            let found = &graph.nodes[node];
            let node_place = format!("node '{}' ({})", found.name, found.origin);
            match &found.op {
                Op::Reshape if graph.tensors[found.output].shape.last() == Some(features) => {
                    before.push(node);
                    tensor = found.output;
                }
                Op::Gemm { .. } if graph.is_output(found.output) => {
                    return Err(Problem::new(node_place, "reads the counts, and its result is an output as well")
                        .help("the rows of words are not given out: remove them from the model's outputs"));
                }
                Op::Gemm { .. } => return Ok(Self { input, positions: *positions, node, before }),
                _ => {
                    return Err(Problem::new(node_place, "reads the counts, but is no fully connected layer")
                        .help("the first node of a text model is a MatMul or Gemm with constant weights"));
                }
            }
        }
    }

    fn replace(self, graph: &mut Graph, form: &Form, span: usize) {
        let Self { input, positions, node, before } = self;
        let found = &mut graph.nodes[node];
        let Op::Gemm { weight, bias } = &found.op else { return };
        let features = weight.len() / bias.len().max(1);
        // From a row an output to a row a feature.
        let weight = (0..features).flat_map(|f| weight[f..].iter().step_by(features).copied()).collect();
        found.op = Op::Projection { weight, bias: bias.clone(), buckets: form.buckets.into(), span };
        found.inputs = vec![input];
        let tensor = &mut graph.tensors[input];
        (tensor.shape, tensor.kind) = (vec![1, positions, form.hashes], Kind::Index);
        let mut index = 0;
        graph.nodes.retain(|_| {
            index += 1;
            !before.contains(&(index - 1))
        });
    }
}

impl TextModel {
    /// Texts as the input of the network.
    ///
    /// # Errors
    /// None of a front end that was checked.
    pub fn rows<'t>(&self, texts: impl IntoIterator<Item = &'t [u8]>) -> Result<Rows> {
        let found = self.front_end.features(texts)?;
        let buckets = found.buckets.iter().map(|&b| b.into()).collect();
        Ok(Rows::of_one_input(self.front_end.positions * self.front_end.hashes, buckets))
    }
}
