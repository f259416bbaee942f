//! Tuned networks as ONNX files: the original file with other weights, or, where its weights are not those of the simplified
//! graph one by one, a file of its own.

use crate::builder::write_all;
use crate::error::{Problem, Problems, Result};
use crate::graph::expr::Binary;
use crate::graph::expr::Unary;
use crate::graph::simplify::simplify;
use crate::graph::{Expr, Graph, Kind, Node, Op, Reduction, TensorId};
use crate::import;
use crate::import::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The format version and operator set of files that are written anew.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// The file `original` with the weights and the quantization of `tuned`, everything else as it was. `None`, where a layer's
/// weights are no initializers of their own in it: shared, computed, or changed by what was folded into them.
/// `external_data_dir` is where the original's weights in files of their own lie; the new file holds those of its layers.
pub fn patch(original: &[u8], tuned: &Graph, external_data_dir: Option<&Path>) -> Option<Vec<u8>> {
    let model = ModelProto::decode(original).ok()?;
    let graph = model.graph.as_ref()?;
    let mut replaced = HashMap::new();
    for node in &tuned.nodes {
        let Op::Gemm { weight, bias } = &node.op else { continue };
        let source = graph.node.iter().find(|n| import::node_name(n, "") == node.name)?;
        layer(graph, source, weight, bias, &mut replaced)?;
    }
    let quantization =
        tuned.quantization.clone().map(|value| StringStringEntryProto { key: import::QUANTIZATION.into(), value });
    let bytes = rewrite(original, &replaced, quantization)?;
    // What the generator reads is what was tuned, or the file is no good.
    let mut read = import::from_bytes(&tuned.name, &bytes, external_data_dir).ok()?;
    simplify(&mut read);
    let nodes = |graph: &Graph| -> Vec<_> {
        let tensor = |&id: &TensorId| (graph.tensors[id].shape.clone(), graph.tensors[id].value.clone());
        let node = |n: &Node| (n.name.clone(), n.op.clone(), n.inputs.iter().map(tensor).collect::<Vec<_>>());
        graph.nodes.iter().map(node).collect()
    };
    (nodes(&read) == nodes(tuned)).then_some(bytes)
}

/// Whether a tuned network of `graph`, read from the file `original`, can be written, whatever its weights will be.
///
/// # Errors
/// What keeps it from being written, neither as a [`patch`] nor [anew](write()).
pub fn check(original: &[u8], graph: &Graph, external_data_dir: Option<&Path>) -> Result<()> {
    let mut other = graph.clone();
    for node in &mut other.nodes {
        if let Op::Gemm { weight, bias } = &node.op {
            let moved = |all: &[f32]| all.iter().map(|x| x + 1.0).collect::<Vec<f32>>().into();
            node.op = Op::Gemm { weight: moved(weight), bias: moved(bias) };
        }
    }
    if patch(original, &other, external_data_dir).is_some() { Ok(()) } else { write(&other).map(|_| ()) }
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// What cannot be written.
pub fn save(path: &Path, bytes: Vec<u8>) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    write_all(folder, &[(name, bytes)])
}

/// The initializers of one layer with new contents.
fn layer(
    graph: &GraphProto,
    node: &NodeProto,
    weight: &[f32],
    bias: &[f32],
    replaced: &mut HashMap<String, TensorProto>,
) -> Option<()> {
    let initializer = |name: &String| graph.initializer.iter().find(|i| i.name == *name);
    let mut set = |old: &TensorProto, values: Vec<f32>| {
        let count: i64 = old.dims.iter().product();
        if count != values.len() as i64 || !matches!(old.data_type, data_type::FLOAT | data_type::DOUBLE) {
            return None;
        }
        let new = floats(&old.name, old.dims.clone(), &values);
        // A tensor of two layers cannot have the weights of both.
        replaced.insert(old.name.clone(), new).is_none().then_some(())
    };
    let old = initializer(node.input.get(1)?)?;
    let transposed = node.op_type == "Gemm" && node.attribute.iter().any(|a| a.name == "transB" && a.i != 0);
    let inputs = weight.len() / bias.len().max(1);
    let values = if transposed {
        weight.to_vec()
    } else {
        (0..weight.len()).map(|k| weight[k % bias.len() * inputs + k / bias.len()]).collect()
    };
    set(old, values)?;
    let old = match node.op_type.as_str() {
        "Gemm" => node.input.get(2).and_then(initializer),
        _ => {
            let add = |n: &&NodeProto| n.op_type == "Add" && n.input.iter().any(|i| node.output.contains(i));
            graph.node.iter().find(add).and_then(|n| n.input.iter().find_map(initializer))
        }
    };
    match old {
        Some(old) => set(old, bias.to_vec()),
        None => bias.iter().all(|&b| b == 0.0).then_some(()),
    }
}

/// One field of a message, with its key.
struct Field<'a> {
    tag: u32,
    whole: &'a [u8],
    /// Without key and length, where it has a length.
    content: &'a [u8],
}

fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let start = bytes;
        let (tag, wire) = decode_key(&mut bytes).ok()?;
        let mut content = bytes;
        skip_field(wire, tag, &mut bytes, DecodeContext::default()).ok()?;
        if wire == WireType::LengthDelimited {
            decode_varint(&mut content).ok()?;
        }
        let content = content.get(..content.len() - bytes.len())?;
        all.push(Field { tag, whole: start.get(..start.len() - bytes.len())?, content });
    }
    Some(all)
}

fn put(tag: u32, content: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// The model with other initializers and another quantization. Fields that are not touched are copied as they are, those
/// that this program does not know too.
fn rewrite(
    original: &[u8],
    replaced: &HashMap<String, TensorProto>,
    quantization: Option<StringStringEntryProto>,
) -> Option<Vec<u8>> {
    const GRAPH: u32 = 7;
    const METADATA: u32 = 14;
    const INITIALIZER: u32 = 5;
    let mut out = Vec::with_capacity(original.len());
    for field in fields(original)? {
        match field.tag {
            GRAPH => {
                let mut graph = Vec::with_capacity(field.content.len());
                for field in fields(field.content)? {
                    let name = if field.tag == INITIALIZER {
                        TensorProto::decode(field.content).ok()?.name
                    } else {
                        String::new()
                    };
                    match replaced.get(&name).filter(|_| field.tag == INITIALIZER) {
                        Some(new) => put(INITIALIZER, &new.encode_to_vec(), &mut graph),
                        None => graph.extend_from_slice(field.whole),
                    }
                }
                put(GRAPH, &graph, &mut out);
            }
            METADATA if StringStringEntryProto::decode(field.content).is_ok_and(|e| e.key == import::QUANTIZATION) => {}
            _ => out.extend_from_slice(field.whole),
        }
    }
    if let Some(entry) = quantization {
        put(METADATA, &entry.encode_to_vec(), &mut out);
    }
    Some(out)
}

fn floats(name: &str, dims: Vec<i64>, values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorProto { name: name.into(), dims, data_type: data_type::FLOAT, raw_data, ..TensorProto::default() }
}

/// A graph as a model file of its own, with its quantization.
///
/// # Errors
/// Outputs with labels.
pub fn write(graph: &Graph) -> Result<Vec<u8>> {
    let mut problems = Problems::default();
    for output in graph.outputs.iter().filter(|o| o.labels.is_some()) {
        problems.push(
            Problem::new(format!("output '{}'", output.name), "has labels, which a new model file cannot hold")
                .help("export the model without label head and ZipMap (`options={'zipmap': False}`)"),
        );
    }
    let out = GraphProto { name: graph.name.clone(), ..GraphProto::default() };
    let mut writer = Writer { graph, out, names: names(graph), next: 0 };
    for (id, tensor) in graph.tensors.iter().enumerate() {
        if let Some(value) = &tensor.value {
            let dims = tensor.shape.iter().map(|&d| d as i64).collect();
            writer.out.initializer.push(floats(&writer.name(id), dims, value));
        }
    }
    for k in 0..graph.nodes.len() {
        writer.node(k);
    }
    writer.out.input = graph.inputs.iter().map(|&id| writer.port(id, &writer.name(id))).collect();
    for output in &graph.outputs {
        let computed = writer.name(output.tensor);
        if computed != output.name {
            writer.emit("Identity", &output.name, vec![computed], &output.name, vec![]);
        }
        writer.out.output.push(writer.port(output.tensor, &output.name));
    }
    let quantization =
        graph.quantization.clone().map(|value| StringStringEntryProto { key: import::QUANTIZATION.into(), value });
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "tinymlp".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(writer.out),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: quantization.into_iter().collect(),
        functions: vec![],
    };
    problems.finish(model.encode_to_vec())
}

/// Names of tensors, no two of them the same.
fn names(graph: &Graph) -> Vec<String> {
    let mut taken = HashSet::new();
    let unique = |(id, tensor): (usize, &crate::graph::Tensor)| {
        let again = !taken.insert(tensor.name.clone());
        if again { format!("{}/{id}", tensor.name) } else { tensor.name.clone() }
    };
    graph.tensors.iter().enumerate().map(unique).collect()
}

/// A model file in the making.
struct Writer<'g> {
    graph: &'g Graph,
    out: GraphProto,
    /// By tensor.
    names: Vec<String>,
    next: usize,
}

impl Writer<'_> {
    fn name(&self, id: TensorId) -> String {
        self.names[id].clone()
    }

    fn shape(&self, id: TensorId) -> &[usize] {
        &self.graph.tensors[id].shape
    }

    fn fresh(&mut self, of: &str) -> String {
        self.next += 1;
        format!("{of}/tinymlp/{}", self.next)
    }

    fn emit(&mut self, op: &str, name: &str, input: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        let (name, op_type, output) = (name.to_owned(), op.to_owned(), vec![output.to_owned()]);
        self.out.node.push(NodeProto { input, output, name, op_type, attribute, ..NodeProto::default() });
    }

    fn constant(&mut self, of: &str, dims: Vec<i64>, values: &[f32]) -> String {
        let name = self.fresh(of);
        self.out.initializer.push(floats(&name, dims, values));
        name
    }

    fn integers(&mut self, of: &str, values: &[i64]) -> String {
        let name = self.fresh(of);
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dims = vec![values.len() as i64];
        self.out.initializer.push(TensorProto {
            name: name.clone(),
            dims,
            data_type: data_type::INT64,
            raw_data,
            ..TensorProto::default()
        });
        name
    }

    fn port(&self, id: TensorId, name: &str) -> ValueInfoProto {
        let tensor = &self.graph.tensors[id];
        let dim = tensor.shape.iter().enumerate().map(|(axis, &extent)| {
            let symbolic = axis == 0 && tensor.batched;
            DimensionProto {
                dim_value: (!symbolic).then_some(extent as i64),
                dim_param: symbolic.then(|| "batch".to_owned()),
            }
        });
        let shape = Some(TensorShapeProto { dim: dim.collect() });
        let elem_type = if tensor.kind == Kind::Index { data_type::INT64 } else { data_type::FLOAT };
        let r#type = Some(TypeProto { tensor_type: Some(TensorTypeProto { elem_type, shape }) });
        ValueInfoProto { name: name.to_owned(), r#type }
    }

    fn node(&mut self, k: usize) {
        let node = &self.graph.nodes[k];
        let (name, output) = (node.name.clone(), self.name(node.output));
        let inputs: Vec<String> = node.inputs.iter().map(|&id| self.name(id)).collect();
        let shape = self.shape(node.inputs.first().copied().unwrap_or(node.output)).to_vec();
        let axis_of = |axis: usize| int("axis", axis as i64);
        match &node.op {
            Op::Gemm { weight, bias } => {
                let (o, i) = (bias.len() as i64, (weight.len() / bias.len().max(1)) as i64);
                if shape.len() == 2 {
                    let weight = self.constant(&name, vec![o, i], weight);
                    let bias = self.constant(&name, vec![o], bias);
                    let operands = vec![inputs[0].clone(), weight, bias];
                    self.emit("Gemm", &name, operands, &output, vec![int("transB", 1)]);
                } else {
                    self.linear(&name, inputs[0].clone(), weight, bias, &output);
                }
            }
            Op::GemmColumns { weight, bias, axis } => {
                let last = shape.len() - 1;
                let mut perm: Vec<i64> = (0..=last as i64).collect();
                perm.swap(*axis, last);
                let (turned, product, back) = (self.fresh(&name), self.fresh(&name), self.fresh(&name));
                self.emit("Transpose", &turned, inputs, &turned, vec![ints("perm", perm.clone())]);
                self.linear(&name, turned.clone(), weight, bias, &product);
                self.emit("Transpose", &back, vec![product], &output, vec![ints("perm", perm)]);
            }
            // Nothing that is tuned reads text.
            Op::Projection { .. } => {}
            Op::LayerNormalization { scale, bias, epsilon } => {
                let [scale, bias] = [scale, bias].map(|v| self.constant(&name, vec![v.len() as i64], v));
                let epsilon = AttributeProto {
                    name: "epsilon".into(),
                    f: *epsilon as f32,
                    r#type: attribute_type::FLOAT,
                    ..AttributeProto::default()
                };
                self.emit("LayerNormalization", &name, vec![inputs[0].clone(), scale, bias], &output, vec![epsilon]);
            }
            Op::MatMul => self.emit("MatMul", &name, inputs, &output, vec![]),
            Op::Map(Expr::Input(0)) if shape != self.shape(node.output) => {
                let to: Vec<i64> = self.shape(node.output).iter().map(|&d| d as i64).collect();
                let to = self.integers(&name, &to);
                self.emit("Expand", &name, vec![inputs[0].clone(), to], &output, vec![]);
            }
            Op::Map(expr) => {
                let found = self.expression(&name, expr, &inputs, Some(&output));
                if found != output {
                    self.emit("Identity", &name, vec![found], &output, vec![]);
                }
            }
            Op::Concat { axis } => self.emit("Concat", &name, inputs, &output, vec![axis_of(*axis)]),
            Op::Slice { start, step } => {
                let extents = self.shape(node.output).to_vec();
                let start: Vec<i64> = start.iter().map(|&s| s as i64).collect();
                let step: Vec<i64> = step.iter().map(|&s| s as i64).collect();
                let end: Vec<i64> = (start.iter().zip(&step).zip(&extents))
                    .map(|((&s, &by), &n)| {
                        let end = s + by * (n as i64 - 1) + by.signum();
                        // Below 0 counts from the end.
                        if end < 0 { i64::MIN } else { end }
                    })
                    .collect();
                let axes: Vec<i64> = (0..start.len() as i64).collect();
                let mut operands = vec![inputs[0].clone()];
                operands.extend([&start, &end, &axes, &step].map(|list| self.integers(&name, list)));
                self.emit("Slice", &name, operands, &output, vec![]);
            }
            Op::Reshape => {
                let to: Vec<i64> = self.shape(node.output).iter().map(|&d| d as i64).collect();
                let to = self.integers(&name, &to);
                self.emit("Reshape", &name, vec![inputs[0].clone(), to], &output, vec![]);
            }
            Op::Transpose { perm } => {
                let perm = ints("perm", perm.iter().map(|&p| p as i64).collect());
                self.emit("Transpose", &name, inputs, &output, vec![perm]);
            }
            Op::Softmax { axis } => self.emit("Softmax", &name, inputs, &output, vec![axis_of(*axis)]),
            Op::LogSoftmax { axis } => self.emit("LogSoftmax", &name, inputs, &output, vec![axis_of(*axis)]),
            Op::ArgMax { axis, last } => {
                let last = int("select_last_index", i64::from(*last));
                self.emit("ArgMax", &name, inputs, &output, vec![axis_of(*axis), int("keepdims", 1), last]);
            }
            Op::Reduce { kind: Reduction::Sum, axis } => {
                let axes = self.integers(&name, &[*axis as i64]);
                self.emit("ReduceSum", &name, vec![inputs[0].clone(), axes], &output, vec![int("keepdims", 1)]);
            }
            Op::Reduce { kind, axis } => {
                let op = if *kind == Reduction::Max { "ReduceMax" } else { "ReduceMean" };
                self.emit(op, &name, inputs, &output, vec![ints("axes", vec![*axis as i64]), int("keepdims", 1)]);
            }
        }
    }

    /// A fully connected layer over the last axis of any number of axes.
    fn linear(&mut self, name: &str, input: String, weight: &[f32], bias: &[f32], output: &str) {
        let (rows, columns) = (bias.len(), weight.len() / bias.len().max(1));
        let turned: Vec<f32> = (0..weight.len()).map(|k| weight[k % rows * columns + k / rows]).collect();
        let weight = self.constant(name, vec![columns as i64, rows as i64], &turned);
        let bias = self.constant(name, vec![rows as i64], bias);
        let product = self.fresh(name);
        self.emit("MatMul", name, vec![input, weight], &product, vec![]);
        let add = self.fresh(name);
        self.emit("Add", &add, vec![product, bias], output, vec![]);
    }

    /// Nodes for an expression; gives the name of its value. The last node has the name of the graph's and, if it has one,
    /// the given result.
    fn expression(&mut self, name: &str, expr: &Expr, inputs: &[String], result: Option<&str>) -> String {
        let inner = |w: &mut Self, e: &Expr| w.expression(name, e, inputs, None);
        let (op, operands, truth) = match expr {
            Expr::Input(k) => return inputs[*k].clone(),
            Expr::Const(c) => return self.constant(name, vec![], &[*c as f32]),
            Expr::Unary(Unary::Not, x) => {
                let x = inner(self, x);
                ("Not".to_owned(), vec![self.cast(name, x, data_type::BOOL)], true)
            }
            Expr::Unary(f, x) => (format!("{f:?}"), vec![inner(self, x)], false),
            Expr::Binary(f, a, b) => {
                let mut operands = vec![inner(self, a), inner(self, b)];
                let logic = matches!(f, Binary::And | Binary::Or | Binary::Xor);
                if logic {
                    operands = operands.into_iter().map(|x| self.cast(name, x, data_type::BOOL)).collect();
                }
                let compares = matches!(
                    f,
                    Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual | Binary::Equal
                );
                (format!("{f:?}"), operands, logic || compares)
            }
            Expr::Select(c, a, b) => {
                let c = inner(self, c);
                let c = self.cast(name, c, data_type::BOOL);
                ("Where".to_owned(), vec![c, inner(self, a), inner(self, b)], false)
            }
        };
        let attributes = if op == "Mod" { vec![int("fmod", 1)] } else { vec![] };
        let last = result.is_some() && !truth;
        let value = if last { result.unwrap_or_default().to_owned() } else { self.fresh(name) };
        let node = if last { name.to_owned() } else { value.clone() };
        self.emit(&op, &node, operands, &value, attributes);
        if truth { self.cast(name, value, data_type::FLOAT) } else { value }
    }

    fn cast(&mut self, name: &str, from: String, to: i32) -> String {
        let value = self.fresh(name);
        self.emit("Cast", &value.clone(), vec![from], &value, vec![int("to", to.into())]);
        value
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: attribute_type::INT, ..AttributeProto::default() }
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), ints, r#type: attribute_type::INTS, ..AttributeProto::default() }
}
