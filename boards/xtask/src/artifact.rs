//! What emulation needs of a model: the generated module, the quantized inputs, and what the host simulation says
//! the device must answer.

use crate::error::{Context, Error, Result};
use crate::firmware::Module;
use crate::workspace;
use std::path::PathBuf;
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::plan::simulate::{Simulator, quantize};
use tinymlp_codegen::plan::{Plan, Type, ValueId};
use tinymlp_codegen::report::{Evaluation, Predicted, classes, evaluate};
use tinymlp_codegen::text::{self, TextEvaluation, Utterances};
use tinymlp_codegen::{Builder, Compiled};

/// A model ready to be built into firmware, with the inputs to run and the outputs to expect.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The generated module.
    pub module: Module,
    /// Number of input rows.
    pub rows: usize,
    /// The rows' bytes as the module's input type lays them out, one after the other.
    pub inputs: Vec<u8>,
    /// The rows' bytes of the module's output type that the host simulation gives.
    pub outputs: Vec<u8>,
    /// How the bytes of an input row lie.
    pub input_type: Vec<Field>,
    /// How those of an output row do.
    pub output_type: Vec<Field>,
    /// How the host simulation does beside the float model; none for a module without one. As the device gives the
    /// same outputs or emulation fails, the figures are the device's too.
    pub evaluation: Option<Evaluation>,
    /// What the generator predicts that it costs on the core it is for; of a text model, the network alone.
    pub predicted: Option<Predicted>,
    /// What the texts of a text model are.
    pub texts: Option<Texts>,
}

/// What the input rows of a text model are: two bytes for the length of a text, the text, and zeros up to the longest.
#[derive(Clone, Debug)]
pub struct Texts {
    /// Words that the network saw, in all rows.
    pub words: usize,
    /// How the host simulation does, where the file says what is right.
    pub evaluation: Option<TextEvaluation>,
}

impl Artifact {
    /// Leaves only the first rows to run.
    pub fn keep(&mut self, rows: usize) {
        let rows = rows.min(self.rows);
        let [input_bytes, output_bytes] = [&self.inputs, &self.outputs].map(|all| all.len() / self.rows.max(1));
        self.inputs.truncate(rows * input_bytes);
        self.outputs.truncate(rows * output_bytes);
        self.rows = rows;
    }
}

/// A run of equal elements in an output type.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, where the output type is a struct.
    pub name: Option<String>,
    /// First byte.
    pub offset: usize,
    /// Number of elements.
    pub count: usize,
    /// Type of the elements.
    pub element: Element,
}

/// The type of an output's elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Element {
    /// `i8`
    I8,
    /// `i16`
    I16,
    /// `u16`
    U16,
}

impl Element {
    /// Size of one.
    pub fn bytes(self) -> usize {
        match self {
            Element::I8 => 1,
            Element::I16 | Element::U16 => 2,
        }
    }

    /// The value of the element that starts at `offset`; 0 beyond the end.
    pub fn read(self, bytes: &[u8], offset: usize) -> i64 {
        let byte = |i: usize| bytes.get(offset + i).copied().unwrap_or(0);
        let two = [byte(0), byte(1)];
        match self {
            Element::I8 => i64::from(byte(0) as i8),
            Element::I16 => i64::from(i16::from_le_bytes(two)),
            Element::U16 => i64::from(u16::from_le_bytes(two)),
        }
    }
}

impl Artifact {
    /// The same for a processor on which no type has an alignment, so that structs have no padding.
    pub fn packed(&self) -> Self {
        let (inputs, input_type) = packed(&self.inputs, &self.input_type, self.rows);
        let (outputs, output_type) = packed(&self.outputs, &self.output_type, self.rows);
        Self { inputs, outputs, input_type, output_type, ..self.clone() }
    }
}

/// Rows and their layout without what lies between the fields and behind them.
fn packed(bytes: &[u8], fields: &[Field], rows: usize) -> (Vec<u8>, Vec<Field>) {
    let row_bytes = bytes.len() / rows.max(1);
    let contents = (0..rows).flat_map(|row| {
        let of_field = move |f: &Field| bytes.iter().skip(row * row_bytes + f.offset).take(f.count * f.element.bytes());
        fields.iter().flat_map(of_field)
    });
    let mut offset = 0;
    let moved = |field: &Field| {
        let at = offset;
        offset += field.count * field.element.bytes();
        Field { offset: at, ..field.clone() }
    };
    (contents.copied().collect(), fields.iter().map(moved).collect())
}

/// Where a model and its data are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The model file.
    pub model: PathBuf,
    /// Representative inputs, for quantization.
    pub calibration: PathBuf,
    /// Inputs to run; texts for a text model.
    pub inputs: PathBuf,
    /// Their classes.
    pub labels: Option<PathBuf>,
}

impl Files {
    /// The digits model with its test set: what runs where no model is named.
    pub fn digits() -> Self {
        let file = |name: &str| workspace::root().join("tests/models/digits").join(name);
        Self {
            model: file("model.onnx"),
            calibration: file("calibration.npy"),
            inputs: file("test_x.npy"),
            labels: Some(file("test_y.npy")),
        }
    }
}

/// A compiled model with its inputs run through the host simulation.
#[derive(Debug)]
pub struct Simulated {
    /// What emulation needs.
    pub artifact: Artifact,
    /// The rows as they are in the file.
    pub rows: Rows,
    /// Their labels.
    pub labels: Option<Vec<usize>>,
    /// The class that each row gets, where the model chooses one.
    pub classes: Vec<usize>,
    /// Graph, plan and report.
    pub compiled: Compiled,
}

/// Compiles a model and runs the first `limit` rows of the inputs through the host simulation.
pub fn simulate(files: &Files, builder: impl Fn(Builder) -> Builder, limit: Option<usize>) -> Result<Simulated> {
    let compiled = builder(Builder::new(&files.model).calibration(&files.calibration)).compile().map_err(message)?;
    if limit == Some(0) {
        return Err(Error::new("--limit 0 leaves no row to run"));
    }
    if compiled.plan.text.is_some() {
        if let Some(labels) = &files.labels {
            let reason = "a text model's labels are the first column of its texts";
            return Err(Error::new(format!("{}: {reason}", labels.display())));
        }
        let utterances = Utterances::load(&files.inputs).map_err(message)?.limited(limit.unwrap_or(usize::MAX));
        return simulate_texts(compiled, &utterances);
    }
    let Compiled { graph, plan, module, .. } = &compiled;
    let rows = Rows::new(graph, &data::load(&files.inputs).map_err(message)?, &files.inputs).map_err(message)?;
    let labels = match &files.labels {
        Some(file) => Some(data::load_labels(file, rows.len(), classes(graph)).map_err(message)?),
        None => None,
    };
    let rows = match limit {
        Some(limit) => rows.limited(limit),
        None => rows,
    };
    let evaluated = evaluate(graph, plan, &rows, labels.as_deref(), &mut |_| {});
    let folder = workspace::target().join("generated").join(format!("{}-{}", module.name, std::process::id()));
    let path = compiled.write(&folder).map_err(message)?;

    let input_type = layout(plan, plan.inputs.iter().map(|i| (i.name.as_str(), i.value)));
    let output_type = layout(plan, plan.outputs.iter().map(|o| (o.name.as_str(), o.value)));
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let mut simulator = Simulator::new(plan);
    for row in 0..rows.len() {
        let quantized: Vec<_> = plan.inputs.iter().zip(rows.row(row)).map(|(i, x)| quantize(plan, i, x)).collect();
        simulator.run(&quantized);
        append(&mut inputs, &input_type, quantized.iter().map(|q| q.bytes()));
        append(&mut outputs, &output_type, plan.outputs.iter().map(|o| simulator.value(o.value).bytes()));
    }
    let artifact = Artifact {
        module: Module { path, type_name: module.type_name.clone(), text_bytes: None },
        rows: rows.len(),
        inputs,
        outputs,
        input_type,
        output_type,
        evaluation: Some(evaluated.figures),
        predicted: compiled.report.predicted.clone(),
        texts: None,
    };
    Ok(Simulated { artifact, rows, labels, classes: evaluated.classes, compiled })
}

/// Runs texts through the host simulation of a text model.
pub fn simulate_texts(compiled: Compiled, utterances: &Utterances) -> Result<Simulated> {
    let Compiled { graph, plan, module, .. } = &compiled;
    let Some(model) = plan.text.as_deref() else { return Err(Error::new(format!("{} reads no text", module.name))) };
    let labelled = utterances.rows.iter().any(|row| row.label.is_some());
    let evaluation = if labelled { Some(text::evaluate(graph, plan, model, utterances, &mut |_| {})) } else { None };
    let evaluation = evaluation.transpose().map_err(message)?;
    let found = model.front_end.features(utterances.texts()).map_err(message)?;
    let rows = model.rows(utterances.texts()).map_err(message)?;
    let longest = utterances.texts().map(<[u8]>::len).max().unwrap_or_default();
    if longest > usize::from(u16::MAX) {
        let reason = format!("a text has {longest} bytes; boards get at most {}", u16::MAX);
        return Err(Error::new(format!("{}: {reason}", utterances.file.display())));
    }
    let text_bytes = 2 + longest;
    let output_type = layout(plan, plan.outputs.iter().map(|o| (o.name.as_str(), o.value)));
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let mut simulator = Simulator::new(plan);
    for (row, text) in utterances.texts().enumerate() {
        inputs.extend((text.len() as u16).to_le_bytes());
        inputs.extend(text);
        inputs.resize((row + 1) * text_bytes, 0);
        simulator.run_real(&rows.row(row));
        append(&mut outputs, &output_type, plan.outputs.iter().map(|o| simulator.value(o.value).bytes()));
    }
    let folder = workspace::target().join("generated").join(format!("{}-{}", module.name, std::process::id()));
    let path = compiled.write(&folder).map_err(message)?;
    let positions = model.front_end.positions;
    let words = found.words.iter().map(|&words| words.min(positions)).sum();
    let artifact = Artifact {
        module: Module { path, type_name: module.type_name.clone(), text_bytes: Some(text_bytes) },
        rows: rows.len(),
        inputs,
        outputs,
        input_type: vec![Field { name: None, offset: 0, count: text_bytes, element: Element::I8 }],
        output_type,
        evaluation: None,
        predicted: compiled.report.predicted.clone(),
        texts: Some(Texts { words, evaluation }),
    };
    Ok(Simulated { artifact, rows, labels: None, classes: Vec::new(), compiled })
}

/// Removes what [`simulate`] generated.
pub fn discard(artifact: &Artifact) -> Result<()> {
    let folder = artifact.module.path.parent().unwrap_or(&artifact.module.path);
    std::fs::remove_dir_all(folder).context(|| format!("cannot remove {}", folder.display()))
}

fn message(error: tinymlp_codegen::Error) -> Error {
    Error::new(error.to_string())
}

/// Where the tensors lie in the `repr(C)` struct, or the one array, of a module's input or output.
fn layout<'a>(plan: &Plan, tensors: impl Iterator<Item = (&'a str, ValueId)>) -> Vec<Field> {
    let mut offset = 0;
    let mut fields: Vec<Field> = tensors
        .map(|(name, value)| {
            let value = &plan.values[value];
            let element = match value.quant.ty {
                Type::I8 => Element::I8,
                Type::I16 => Element::I16,
                Type::U16 => Element::U16,
                Type::I32 => unreachable!("sums stay within a module"),
            };
            let field = Field { name: Some(name.into()), offset, count: value.len(), element };
            let field = Field { offset: field.offset.next_multiple_of(element.bytes()), ..field };
            offset = field.offset + field.count * element.bytes();
            field
        })
        .collect();
    if let [only] = fields.as_mut_slice() {
        only.name = None;
    }
    fields
}

/// One row: the fields' bytes at their offsets, zeros between them and up to the struct's alignment.
fn append(bytes: &mut Vec<u8>, fields: &[Field], contents: impl Iterator<Item = Vec<u8>>) {
    let start = bytes.len();
    for (field, content) in fields.iter().zip(contents) {
        bytes.resize(start + field.offset, 0);
        bytes.extend(content);
    }
    let align = fields.iter().map(|f| f.element.bytes()).max().unwrap_or(1);
    bytes.resize(start + (bytes.len() - start).next_multiple_of(align), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_laid_out_as_a_repr_c_struct() {
        let field = |offset, count, element| Field { name: None, offset, count, element };
        let fields = [field(0, 3, Element::I8), field(4, 1, Element::U16), field(6, 1, Element::I8)];
        let mut bytes = Vec::new();
        for _ in 0..2 {
            append(&mut bytes, &fields, [vec![1, 2, 3], vec![4, 5], vec![6]].into_iter());
        }
        assert_eq!(bytes, [1, 2, 3, 0, 4, 5, 6, 0, 1, 2, 3, 0, 4, 5, 6, 0]);
        let (bytes, fields) = packed(&bytes, &fields, 2);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]);
        assert_eq!(fields.iter().map(|f| f.offset).collect::<Vec<_>>(), [0, 3, 5]);
    }
}
