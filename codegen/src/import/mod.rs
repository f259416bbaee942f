//! ONNX files as [`Graph`]s.
//!
//! A model is interpreted abstractly: every name stands for a constant or for a tensor of the graph under
//! construction. What depends on constants only is folded on the way, which resolves the shape arithmetic that
//! exporters write; everything else lowers to the few operators of [`Op`](crate::graph::Op), operator by operator,
//! without any policy of quantization. Whatever cannot be lowered is noted, its results are poisoned, and the import
//! goes on, so that one run reports all problems.
//!
//! - [`proto`]: the messages of the file
//! - `value`: constants and computed tensors
//! - `lower`: what lowerings are written in
//! - `ops`: the lowerings, one file per operator or family

// Files come from anywhere: nothing in them may panic.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod lower;
mod ops;
#[doc(hidden)]
pub mod proto;
mod sort;
mod value;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use prost::Message;

use self::lower::{Builder, Lowering};
use self::proto::{FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, data_type};
use self::value::{Computed, Type, Value, fault};
use crate::error::{Problem, Problems, Result};
use crate::graph::{Graph, Output};

/// The key in a file's `metadata_props` under which a tuned model says how it is quantized.
pub const QUANTIZATION: &str = "tinymlp.quantization";

/// The key under which a text model says how text becomes its input.
pub const TEXT: &str = "tinymlp.text";

/// Depth of functions and branches within each other, and nodes in all, that a model may reach.
const MAX_DEPTH: usize = 16;
const MAX_NODES: usize = 200_000;

/// Reads a model from a file.
///
/// # Errors
/// Everything that keeps the model from being imported.
pub fn load(path: &Path) -> Result<Graph> {
    let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
    let cannot = |e: std::io::Error| Problem::new(path.display().to_string(), format!("cannot be read: {e}"));
    let bytes = std::fs::read(path).map_err(cannot)?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    from_bytes(&name, &bytes, Some(directory)).map_err(|e| e.in_file(path))
}

/// The files beside a model that hold its weights or its vocabulary, by their names in it; none for contents that are no
/// model.
pub fn external_files(bytes: &[u8]) -> Vec<String> {
    let Ok(model) = decode(bytes) else { return Vec::new() };
    let initializers = model.graph.iter().flat_map(|graph| &graph.initializer);
    let locations = initializers.flat_map(|tensor| &tensor.external_data).filter(|entry| entry.key == "location");
    let mut files: Vec<String> = locations.map(|entry| entry.value.clone()).collect();
    files.extend(property(&model, TEXT).and_then(|text| crate::text::vocabulary_file(&text)));
    files.sort_unstable();
    files.dedup();
    files
}

/// Reads a model from the contents of a file. `name` names the graph; weights in files of their own are looked for in
/// `external_data_dir`.
///
/// # Errors
/// Everything that keeps the model from being imported.
pub fn from_bytes(name: &str, bytes: &[u8], external_data_dir: Option<&Path>) -> Result<Graph> {
    let model = decode(bytes)?;
    let mut import = Import::new(name, &model, external_data_dir);
    import.check_opsets()?;
    if let Some(graph) = &model.graph {
        import.model(graph);
    }
    let mut graph = import.builder.graph;
    prune(&mut graph);
    graph.quantization = property(&model, QUANTIZATION);
    graph.text = property(&model, TEXT);
    import.problems.finish(graph)
}

/// A metadata property; the last of several.
fn property(model: &ModelProto, key: &str) -> Option<String> {
    model.metadata_props.iter().rev().find(|p| p.key == key).map(|p| p.value.clone())
}

/// Decodes the file, or says what it is instead.
fn decode(bytes: &[u8]) -> Result<ModelProto> {
    let not_onnx =
        |what: &str, help: &str| Err(Problem::new("model", format!("{what}, not an ONNX model")).help(help).into());
    let starts = |text: &str| bytes.starts_with(text.as_bytes());
    let export = "export the model to ONNX (`torch.onnx.export`, `tf2onnx`, `skl2onnx`)";
    if bytes.is_empty() {
        return not_onnx("the file is empty", "copy or export it again");
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return not_onnx("this is a TensorFlow Lite model", "export the float model to ONNX with `tf2onnx`");
    }
    if bytes.get(4..8) == Some(b"ORTM") {
        return not_onnx("this is a model in onnxruntime's own format", "give the .onnx file that it was made from");
    }
    if starts("PK\x03\x04") {
        return not_onnx("this is a zip archive, such as PyTorch's .pt files and Keras's .keras files", export);
    }
    if bytes.starts_with(b"\x89HDF") {
        return not_onnx("this is an HDF5 file, such as Keras's .h5 files", export);
    }
    if starts("version https://git-lfs") {
        return not_onnx("this is a git-lfs pointer", "fetch the file itself with `git lfs pull`");
    }
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"<") {
        return not_onnx("this is an HTML or XML document", "the download gave a web page: fetch the file itself");
    }
    if text.starts_with(b"{") || text.starts_with(b"[") {
        return not_onnx("this is JSON text", export);
    }
    let corrupt = "the file is cut off or damaged: copy or export it again";
    match ModelProto::decode(bytes) {
        Ok(model) if model.graph.is_some() => Ok(model),
        _ if bytes.iter().take(512).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
            not_onnx("this is a text file", export)
        }
        Ok(_) => {
            Err(Problem::new("model", "no graph in it: not an ONNX model, or only a part of one").help(corrupt).into())
        }
        Err(e) => Err(Problem::new("model", format!("not an ONNX model, or a damaged one ({e})")).help(corrupt).into()),
    }
}

/// Versions of operator sets by domain; the default domain is the empty one.
type Opsets = HashMap<String, i64>;

fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

fn opsets(imports: &[proto::OperatorSetIdProto]) -> Opsets {
    imports.iter().map(|o| (domain(&o.domain).to_owned(), o.version)).collect()
}

/// The names that are visible at some place of the model.
struct Scope<'p> {
    values: HashMap<String, Value>,
    parent: Option<&'p Scope<'p>>,
}

impl<'p> Scope<'p> {
    fn new(parent: Option<&'p Scope<'p>>) -> Self {
        Self { values: HashMap::new(), parent }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let mut scope = Some(self);
        while let Some(s) = scope {
            if let Some(value) = s.values.get(name) {
                return Some(value);
            }
            scope = s.parent;
        }
        None
    }
}

/// What a list of nodes is run in.
#[derive(Clone, Copy)]
struct Frame<'f> {
    opsets: &'f Opsets,
    /// Of the names of nodes, for those within functions and branches.
    prefix: &'f str,
    depth: usize,
}

/// The import of one model.
struct Import<'m> {
    builder: Builder,
    problems: Problems,
    opsets: Opsets,
    functions: HashMap<(&'m str, &'m str, &'m str), &'m FunctionProto>,
    nodes_run: usize,
    gave_up: bool,
}

impl<'m> Import<'m> {
    fn new(name: &str, model: &'m ModelProto, directory: Option<&Path>) -> Self {
        let given = model.graph.iter().flat_map(|g| &g.initializer).map(Message::encoded_len).sum::<usize>() / 4;
        Self {
            builder: Builder::new(name, given, directory),
            problems: Problems::default(),
            opsets: opsets(&model.opset_import),
            functions: model
                .functions
                .iter()
                .map(|f| ((domain(&f.domain), f.name.as_str(), f.overload.as_str()), f))
                .collect(),
            nodes_run: 0,
            gave_up: false,
        }
    }

    fn check_opsets(&self) -> Result<()> {
        match self.opsets.get("") {
            Some(&version) if version < 7 => Err(Problem::new("model", format!("it uses opset {version}"))
                .help("export with opset 7 or later, or convert it with `onnx.version_converter`")
                .into()),
            None if self.opsets.is_empty() => Err(Problem::new("model", "it does not say which opset it uses")
                .help("the file is damaged or very old: export with opset 7 or later")
                .into()),
            _ => Ok(()),
        }
    }

    /// Imports the model's own graph.
    fn model(&mut self, graph: &GraphProto) {
        let mut scope = Scope::new(None);
        let initialized: HashSet<&str> = graph.initializer.iter().map(|i| i.name.as_str()).collect();
        for input in graph.input.iter().filter(|i| !initialized.contains(i.name.as_str())) {
            let value = match self.input(input) {
                Ok(value) => value,
                Err(problem) => self.poison(problem, || format!("input '{}'", input.name)),
            };
            if scope.values.insert(input.name.clone(), value).is_some() {
                self.problems.push(Problem::new(format!("input '{}'", input.name), "there are two of this name"));
            }
        }
        let opsets = self.opsets.clone();
        self.body(graph, &mut scope, Frame { opsets: &opsets, prefix: "", depth: 0 });
        if graph.output.is_empty() {
            self.problems.push(Problem::new("model", "it has no outputs"));
        }
        if self.gave_up {
            return;
        }
        for output in &graph.output {
            if let Err(problem) = self.output(&output.name, &scope) {
                self.poison(problem, || format!("output '{}'", output.name));
            }
        }
    }

    fn poison(&mut self, mut problem: Problem, place: impl FnOnce() -> String) -> Value {
        if problem.place.is_empty() {
            problem.place = place();
        }
        self.problems.push(problem);
        Value::Poison
    }

    fn input(&mut self, input: &ValueInfoProto) -> std::result::Result<Value, Problem> {
        let Some(tensor) = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
            return Err(fault("it is not a tensor").help("only tensors of numbers can be inputs"));
        };
        let ty = Type::from_onnx(tensor.elem_type)?;
        if ty == Type::Text {
            return Err(fault(format!("its elements are of type {}", data_type::name(tensor.elem_type)))
                .help("only numbers can be inputs: cut the text processing off the model"));
        }
        let Some(shape) = &tensor.shape else {
            return Err(fault("its shape is not known").help("export with example inputs, or run onnx.shape_inference"));
        };
        let mut batched = false;
        let mut extents = Vec::new();
        for (axis, dim) in shape.dim.iter().enumerate() {
            let extent = dim.dim_value.and_then(|d| usize::try_from(d).ok()).filter(|&d| d > 0);
            extents.push(match (extent, axis) {
                (Some(extent), _) => extent,
                (None, 0) => {
                    batched = true;
                    1
                }
                (None, _) => {
                    let name = dim.dim_param.as_deref().filter(|n| !n.is_empty()).map(|n| format!(" (`{n}`)"));
                    return Err(fault(format!("the extent of axis {axis}{} is not fixed", name.unwrap_or_default()))
                        .help("export with a fixed size; only the first axis, the batch, may be symbolic"));
                }
            });
        }
        self.builder.charge(value::count(&extents)?)?;
        if self.builder.graph.inputs.len() >= 1024 {
            return Err(fault("the model has too many inputs"));
        }
        let id = self.builder.tensor(&input.name, &extents, ty);
        if let Some(tensor) = self.builder.graph.tensors.get_mut(id) {
            tensor.batched = batched;
        }
        self.builder.graph.inputs.push(id);
        Ok(Value::Computed(Computed { id, shape: extents, ty, labels: None }))
    }

    fn output(&mut self, name: &str, scope: &Scope) -> std::result::Result<(), Problem> {
        let value = match scope.get(name) {
            None => return Err(fault("no node computes it")),
            Some(Value::Poison) if self.problems.is_empty() => {
                return Err(fault("it depends on a result that nothing computes").help("the file is damaged"));
            }
            Some(Value::Poison) => return Ok(()),
            Some(Value::Constant(c)) => {
                return Err(fault(format!(
                    "it is constant (shape {}), whatever the inputs are",
                    crate::graph::show_shape(&c.shape)
                ))
                .help("remove it from the model's outputs"));
            }
            Some(value @ Value::Computed(c)) if self.builder.graph.inputs.contains(&c.id) => {
                let node = NodeProto { op_type: "Identity".into(), ..NodeProto::default() };
                let mut lowering =
                    Lowering { builder: &mut self.builder, node: &node, name, opset: 0, inputs: Vec::new() };
                let copy = lowering.copy(value)?;
                if let Value::Computed(c) = &copy {
                    self.builder.rename_tensor(c.id, name);
                }
                copy
            }
            Some(value) => value.clone(),
        };
        if let Value::Computed(c) = value {
            let labels = c.labels.as_deref().cloned();
            self.builder.graph.outputs.push(Output { name: name.to_owned(), tensor: c.id, labels });
        }
        Ok(())
    }

    /// Runs a graph's nodes; its inputs are in scope.
    fn body(&mut self, graph: &GraphProto, scope: &mut Scope, frame: Frame) {
        let outputs: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        let order = self.order(&graph.node, &outputs, frame);
        let used: HashSet<&str> = order.iter().flat_map(|n| sort::reads(n)).chain(outputs.iter().copied()).collect();
        for sparse in graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref()) {
            if used.contains(sparse.name.as_str()) {
                let problem =
                    Problem::new(format!("initializer '{}'", sparse.name), "sparse tensors are not supported");
                let value = self.poison(problem.help("save the model with dense weights"), String::new);
                scope.values.insert(sparse.name.clone(), value);
            }
        }
        for tensor in graph.initializer.iter().filter(|t| used.contains(t.name.as_str())) {
            let value = match self.initializer(tensor) {
                Ok(value) => value,
                Err(problem) => self.poison(problem, || format!("initializer '{}'", tensor.name)),
            };
            if scope.values.insert(tensor.name.clone(), value).is_some() {
                let place = format!("initializer '{}'", tensor.name);
                self.problems.push(Problem::new(place, "there are two of this name"));
            }
        }
        self.nodes(&order, &used, scope, frame);
    }

    fn initializer(&self, tensor: &TensorProto) -> std::result::Result<Value, Problem> {
        let constant = value::read(tensor, self.builder.directory.as_deref())?;
        // A single one may be a bound, or what a `Where` never selects; among weights it is a training gone wrong.
        match constant.not_finite() {
            Some(place) if constant.len() > 1 => Err(fault(format!(
                "{place} (shape {}, {})",
                crate::graph::show_shape(&constant.shape),
                data_type::name(tensor.data_type)
            ))
            .help("weights must be finite: check the training, or that the values fit float32")),
            _ => Ok(Value::Constant(constant)),
        }
    }

    /// The nodes that the outputs need, producers first.
    fn order<'n>(&mut self, nodes: &'n [NodeProto], outputs: &[&'n str], frame: Frame) -> Vec<&'n NodeProto> {
        match sort::sort(nodes) {
            Ok(order) => sort::needed(order, outputs),
            Err(cycle) => {
                const SHOWN: usize = 8;
                let name = |n: &&NodeProto| format!("'{}' ({})", node_name(n, frame.prefix), n.op_type);
                let mut names: Vec<_> = cycle.iter().take(SHOWN).map(name).collect();
                if cycle.len() > SHOWN {
                    names.push(format!("and {} more", cycle.len() - SHOWN));
                }
                let problem = Problem::new("model", format!("its nodes {} form a cycle", names.join(", ")));
                self.problems.push(problem.help("only feed-forward networks can be compiled"));
                Vec::new()
            }
        }
    }

    fn nodes(&mut self, order: &[&NodeProto], used: &HashSet<&str>, scope: &mut Scope, frame: Frame) {
        for node in order {
            self.nodes_run += 1;
            if self.exhausted() {
                return;
            }
            let name = node_name(node, frame.prefix);
            let first_node = self.builder.graph.nodes.len();
            let first_tensor = self.builder.graph.tensors.len();
            let mut results = match self.node(node, &name, scope, frame) {
                Ok(results) => results,
                Err(problem) => {
                    self.poison(problem, || format!("node '{name}' ({})", node.op_type));
                    vec![Value::Poison; node.output.len()]
                }
            };
            for (k, output) in node.output.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
                if k >= results.len() && used.contains(output.as_str()) {
                    let problem = fault(format!("its output {k} ('{output}') is used, but not supported"));
                    let poison = self.poison(problem, || format!("node '{name}' ({})", node.op_type));
                    results.resize(k + 1, poison);
                }
                let Some(mut value) = results.get(k).cloned() else { continue };
                match &mut value {
                    Value::Constant(c) if c.name.is_empty() => c.name = output.as_str().into(),
                    Value::Computed(c) if c.id >= first_tensor && frame.prefix.is_empty() => {
                        self.builder.rename_tensor(c.id, output);
                    }
                    _ => {}
                }
                if scope.values.insert(output.clone(), value).is_some() {
                    let problem = fault(format!("its result '{output}' is defined twice")).help("the file is damaged");
                    self.poison(problem, || format!("node '{name}' ({})", node.op_type));
                }
            }
            let last_node = self.builder.graph.nodes.len();
            if frame.prefix.is_empty() && last_node > first_node && node.output.len() == 1 {
                self.builder.rename_node(last_node - 1, &name);
            }
        }
    }

    /// Whether the model has more nodes than it may have, which is noted once.
    fn exhausted(&mut self) -> bool {
        if self.nodes_run > MAX_NODES && !self.gave_up {
            self.gave_up = true;
            let problem = Problem::new("model", format!("it has more than {MAX_NODES} nodes, its functions unfolded"));
            self.problems.push(problem);
        }
        self.gave_up
    }

    /// The results of one node.
    fn node(
        &mut self,
        node: &NodeProto,
        name: &str,
        scope: &Scope,
        frame: Frame,
    ) -> std::result::Result<Vec<Value>, Problem> {
        let domain = domain(&node.domain);
        let function = self.functions.get(&(domain, node.op_type.as_str(), node.overload.as_str())).copied();
        let lower = ops::find(domain, &node.op_type);
        let branches = domain.is_empty() && node.op_type == "If";
        let unsupported = || ops::unsupported(node, &node.input.iter().map(|i| scope.get(i)).collect::<Vec<_>>());
        if function.is_none() && lower.is_none() && !branches {
            return Err(unsupported());
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            inputs.push(match scope.get(input) {
                _ if input.is_empty() => None,
                Some(value) => Some(value.clone()),
                None => {
                    return Err(fault(format!("its input '{input}' is not defined anywhere"))
                        .help("the file is damaged, or was cut out of a larger model: export it again"));
                }
            });
        }
        if inputs.iter().any(|i| matches!(i, Some(Value::Poison))) {
            return Ok(vec![Value::Poison; node.output.len()]);
        }
        if function.is_some() || branches {
            if frame.depth >= MAX_DEPTH {
                return Err(fault(format!("functions call each other more than {MAX_DEPTH} deep")));
            }
            let prefix = format!("{name}/");
            let frame = Frame { prefix: &prefix, depth: frame.depth + 1, ..frame };
            return match function {
                Some(function) => Ok(self.call(function, node, inputs, frame)),
                None => self.branch(node, &inputs, scope, frame),
            };
        }
        let Some(lower) = lower else { return Err(unsupported()) };
        let opset = frame.opsets.get(domain).copied().unwrap_or(if domain.is_empty() { 7 } else { 1 });
        lower(&mut Lowering { builder: &mut self.builder, node, name, opset, inputs })
    }

    /// Runs a function of the model's own in place of its call.
    fn call(
        &mut self,
        function: &FunctionProto,
        call: &NodeProto,
        inputs: Vec<Option<Value>>,
        frame: Frame,
    ) -> Vec<Value> {
        self.nodes_run = self.nodes_run.saturating_add(function.node.len());
        if self.exhausted() {
            return vec![Value::Poison; call.output.len()];
        }
        let own = if function.opset_import.is_empty() { frame.opsets.clone() } else { opsets(&function.opset_import) };
        let frame = Frame { opsets: &own, ..frame };
        let mut nodes = function.node.clone();
        for node in &mut nodes {
            // Attributes of the call replace references to them; a reference to nothing is an absent attribute.
            node.attribute.retain_mut(|attribute| {
                if attribute.ref_attr_name.is_empty() {
                    return true;
                }
                let given = call.attribute.iter().chain(&function.attribute_proto);
                let Some(found) = given.into_iter().find(|a| a.name == attribute.ref_attr_name) else { return false };
                let name = std::mem::take(&mut attribute.name);
                *attribute = proto::AttributeProto { name, ..found.clone() };
                true
            });
        }
        let mut scope = Scope::new(None);
        for (k, formal) in function.input.iter().enumerate() {
            // An operand that the call leaves out is an empty name inside.
            match inputs.get(k).cloned().flatten() {
                Some(value) => drop(scope.values.insert(formal.clone(), value)),
                None => nodes.iter_mut().flat_map(|n| &mut n.input).filter(|i| *i == formal).for_each(String::clear),
            }
        }
        let outputs: Vec<&str> = function.output.iter().map(String::as_str).collect();
        let order = self.order(&nodes, &outputs, frame);
        let used = order.iter().flat_map(|n| sort::reads(n)).chain(outputs.iter().copied()).collect();
        self.nodes(&order, &used, &mut scope, frame);
        outputs.iter().map(|o| scope.get(o).cloned().unwrap_or(Value::Poison)).collect()
    }

    /// Runs the branch of an `If` that a constant condition selects.
    fn branch(
        &mut self,
        node: &NodeProto,
        inputs: &[Option<Value>],
        scope: &Scope,
        frame: Frame,
    ) -> std::result::Result<Vec<Value>, Problem> {
        let Some(condition) = inputs.first().and_then(|c| c.as_ref()).and_then(Value::scalar) else {
            return Err(fault("its condition depends on the model's inputs")
                .help("only networks without branches can be compiled; select with `Where` instead"));
        };
        let wanted = if condition != 0.0 { "then_branch" } else { "else_branch" };
        let body = node.attribute.iter().find(|a| a.name == wanted).and_then(|a| a.g.as_ref());
        let body = body.ok_or_else(|| fault(format!("it has no {wanted}")))?;
        let mut inner = Scope::new(Some(scope));
        self.body(body, &mut inner, frame);
        Ok(body.output.iter().map(|o| inner.get(&o.name).cloned().unwrap_or(Value::Poison)).collect())
    }
}

/// The name that people know a node by: its own, else that of its first result.
pub(crate) fn node_name(node: &NodeProto, prefix: &str) -> String {
    let own = std::iter::once(&node.name).chain(&node.output).find(|n| !n.is_empty());
    format!("{prefix}{}", own.unwrap_or(&node.op_type))
}

/// Drops nodes and constants that nothing needs, such as parts of a `Split` that are not used.
fn prune(graph: &mut Graph) {
    let mut needed = vec![false; graph.tensors.len()];
    let mut mark = |ids: &mut dyn Iterator<Item = usize>| {
        ids.for_each(|id| {
            if let Some(flag) = needed.get_mut(id) {
                *flag = true;
            }
        });
    };
    mark(&mut graph.inputs.iter().copied());
    mark(&mut graph.outputs.iter().map(|o| o.tensor));
    let mut kept = Vec::new();
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if needed.get(node.output) == Some(&true) {
            for &id in &node.inputs {
                if let Some(flag) = needed.get_mut(id) {
                    *flag = true;
                }
            }
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
    let mut next = 0;
    let renumbered: Vec<usize> = needed
        .iter()
        .map(|&keep| {
            next += usize::from(keep);
            next.saturating_sub(1)
        })
        .collect();
    let mut keep = needed.iter();
    graph.tensors.retain(|_| keep.next() == Some(&true));
    let renumber = |id: &mut usize| *id = renumbered.get(*id).copied().unwrap_or_default();
    graph.inputs.iter_mut().for_each(renumber);
    graph.outputs.iter_mut().for_each(|o| renumber(&mut o.tensor));
    graph.nodes.iter_mut().for_each(|n| {
        n.inputs.iter_mut().for_each(renumber);
        renumber(&mut n.output);
    });
}
