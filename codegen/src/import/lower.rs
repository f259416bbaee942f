//! What lowerings are written in: reading a node's attributes and inputs, and building its results. Every builder
//! folds where all operands are constant, so that lowerings need not distinguish.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::proto::{AttributeProto, NodeProto, attribute_type};
use super::value::{Computed, Constant, Data, Type, Value, count, fault};
use crate::error::Problem;
use crate::graph::{Expr, Graph, Kind, Op, Reduction, TensorId, eval, show_shape};

/// What a part of a lowering gives.
pub(super) type Result<T> = std::result::Result<T, Problem>;

/// Elements that folding may make out of nothing; and that all computed tensors may have together.
const BUDGET: usize = 1 << 22;

/// Nodes that a graph may have.
const MAX_NODES: usize = 100_000;

/// The graph under construction.
pub(super) struct Builder {
    pub(super) graph: Graph,
    node_names: Names,
    tensor_names: Names,
    budget: usize,
    /// Where external data may lie.
    pub(super) directory: Option<PathBuf>,
}

impl Builder {
    /// `given` is the number of elements that the file itself brings.
    pub(super) fn new(name: &str, given: usize, directory: Option<&Path>) -> Self {
        Self {
            graph: Graph { name: name.to_owned(), ..Graph::default() },
            node_names: Names::default(),
            tensor_names: Names::default(),
            budget: BUDGET.saturating_add(given.saturating_mul(8)),
            directory: directory.map(Path::to_owned),
        }
    }

    /// Adds a tensor under its name, or a similar one if that is taken.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize], ty: Type) -> TensorId {
        let kind = if ty == Type::Index { Kind::Index } else { Kind::Real };
        let name = self.tensor_names.take(name);
        self.graph.tensor(name, shape.to_vec(), kind)
    }

    pub(super) fn rename_tensor(&mut self, id: TensorId, name: &str) {
        let name = self.tensor_names.take(name);
        if let Some(tensor) = self.graph.tensors.get_mut(id) {
            self.tensor_names.free(&tensor.name);
            tensor.name = name;
        }
    }

    pub(super) fn rename_node(&mut self, index: usize, name: &str) {
        let name = self.node_names.take(name);
        if let Some(node) = self.graph.nodes.get_mut(index) {
            self.node_names.free(&node.name);
            node.name = name;
        }
    }

    /// Takes elements off the budget.
    pub(super) fn charge(&mut self, elements: usize) -> Result<()> {
        self.budget = self.budget.checked_sub(elements).ok_or_else(|| {
            fault(format!("another {elements} elements make this model's intermediate tensors too large to compile"))
        })?;
        Ok(())
    }
}

/// Names in use, with the number of the next similar one.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    /// The name itself if it is free, else with a number.
    fn take(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        let mut n = self.0.get(name).copied().unwrap_or(1);
        while self.0.contains_key(&candidate) {
            n += 1;
            candidate = format!("{name}_{n}");
        }
        if n > 1 {
            self.0.insert(name.to_owned(), n);
        }
        self.0.insert(candidate.clone(), 1);
        candidate
    }

    fn free(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// One node, while it is lowered.
pub(super) struct Lowering<'a> {
    pub(super) builder: &'a mut Builder,
    pub(super) node: &'a NodeProto,
    /// Unique name of the node.
    pub(super) name: &'a str,
    /// Version of the operator set that the node's operator belongs to.
    pub(super) opset: i64,
    /// Operands; absent optional ones are `None`.
    pub(super) inputs: Vec<Option<Value>>,
}

/// Attributes and inputs.
impl Lowering<'_> {
    pub(super) fn op(&self) -> &str {
        &self.node.op_type
    }

    pub(super) fn attribute(&self, name: &str, expected: i32) -> Result<Option<&AttributeProto>> {
        match self.node.attribute.iter().find(|a| a.name == name) {
            // Files of the first format version have no types here.
            Some(a) if a.r#type == expected || a.r#type == 0 => Ok(Some(a)),
            Some(a) => Err(fault(format!("attribute `{name}` has type {}, not {expected}", a.r#type))),
            None => Ok(None),
        }
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.attribute(name, attribute_type::INT)?.map_or(default, |a| a.i))
    }

    pub(super) fn float(&self, name: &str, default: f64) -> Result<f64> {
        Ok(self.attribute(name, attribute_type::FLOAT)?.map_or(default, |a| f64::from(a.f)))
    }

    pub(super) fn text(&self, name: &str, default: &str) -> Result<String> {
        let text = self.attribute(name, attribute_type::STRING)?.map(|a| String::from_utf8_lossy(&a.s).into_owned());
        Ok(text.unwrap_or_else(|| default.to_owned()))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>> {
        Ok(self.attribute(name, attribute_type::INTS)?.map(|a| a.ints.clone()))
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<Vec<f32>>> {
        Ok(self.attribute(name, attribute_type::FLOATS)?.map(|a| a.floats.clone()))
    }

    pub(super) fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        let texts = self.attribute(name, attribute_type::STRINGS)?.map(|a| &a.strings);
        Ok(texts.map(|all| all.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()))
    }

    /// Operand `k`, which the operator cannot do without.
    pub(super) fn input(&self, k: usize) -> Result<Value> {
        self.optional(k).ok_or_else(|| fault(format!("input {k} is missing")))
    }

    pub(super) fn optional(&self, k: usize) -> Option<Value> {
        self.inputs.get(k).cloned().flatten()
    }

    /// All operands, none of which may be absent.
    pub(super) fn all_inputs(&self) -> Result<Vec<Value>> {
        (0..self.inputs.len()).map(|k| self.input(k)).collect()
    }

    /// Operand `k`, which must be constant.
    pub(super) fn constant(&self, k: usize, what: &str) -> Result<Option<Constant>> {
        match self.optional(k) {
            None => Ok(None),
            Some(Value::Constant(c)) => Ok(Some(c)),
            Some(_) => Err(fault(format!("its {what} (input {k}) is computed from the model's inputs"))
                .help("only a constant is supported here: export with fixed sizes, the batch excepted")),
        }
    }

    /// Operand `k` as constant integers.
    pub(super) fn constant_ints(&self, k: usize, what: &str) -> Result<Option<Vec<i64>>> {
        match self.constant(k, what)? {
            None => Ok(None),
            Some(Constant { data: Data::Int(d), .. }) => Ok(Some(d.to_vec())),
            Some(_) => Err(fault(format!("its {what} (input {k}) are not integers"))),
        }
    }

    /// Integers that are an attribute in some versions of an operator and an input in others.
    pub(super) fn ints_or_input(&self, attribute: &str, k: usize) -> Result<Option<Vec<i64>>> {
        match self.ints(attribute)? {
            Some(ints) => Ok(Some(ints)),
            None => self.constant_ints(k, attribute),
        }
    }

    /// An axis of a tensor of the given rank, counted from the end where negative.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let from_end = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        from_end
            .and_then(|a| usize::try_from(a).ok())
            .filter(|&a| a < rank)
            .ok_or_else(|| fault(format!("axis {axis} is outside a tensor of {rank} axes")))
    }

    /// Several axes, in increasing order.
    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
        let mut axes = axes.iter().map(|&a| self.axis(a, rank)).collect::<Result<Vec<_>>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }
}

/// The extent of an axis that is known to exist; 1 otherwise.
pub(super) fn extent(shape: &[usize], axis: usize) -> usize {
    shape.get(axis).copied().unwrap_or(1)
}

/// The shape with another extent along an axis.
pub(super) fn with_extent(shape: &[usize], axis: usize, extent: usize) -> Vec<usize> {
    shape.iter().enumerate().map(|(a, &e)| if a == axis { extent } else { e }).collect()
}

/// The shape that operands of the given shapes broadcast to.
pub(super) fn broadcast<'a>(shapes: impl IntoIterator<Item = &'a [usize]>) -> Result<Vec<usize>> {
    let mut out: Vec<usize> = Vec::new();
    for shape in shapes {
        let rank = out.len().max(shape.len());
        let at = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |a| extent(shape, a));
        let joined = (0..rank).map(|axis| match (at(&out, axis), at(shape, axis)) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        });
        let joined = joined.collect::<Option<Vec<_>>>();
        out = joined.ok_or_else(|| {
            let (a, b) = (show_shape(&out), show_shape(shape));
            fault(format!("operands of shapes {a} and {b} do not broadcast against each other"))
        })?;
    }
    Ok(out)
}

/// Results.
impl Lowering<'_> {
    /// A constant of the graph.
    fn graph_constant(&mut self, c: &Constant) -> Result<TensorId> {
        self.check_finite(c)?;
        if c.ty == Type::Text {
            return Err(fault(format!("`{}` is text, which cannot be computed with", c.name)));
        }
        let name = if c.name.is_empty() { format!("{}/constant", self.name) } else { c.name.to_string() };
        let id = self.builder.tensor(&name, &c.shape, Type::Float);
        if let Some(tensor) = self.builder.graph.tensors.get_mut(id) {
            tensor.value = Some(c.to_floats());
        }
        Ok(id)
    }

    pub(super) fn check_finite(&self, c: &Constant) -> Result<()> {
        match c.not_finite() {
            None => Ok(()),
            Some(place) => Err(fault(format!("constant `{}`: {place}", c.name))),
        }
    }

    /// Adds an operator.
    fn emit(&mut self, op: Op, inputs: &[&Value], shape: Vec<usize>, ty: Type) -> Result<Value> {
        let len = count(&shape)?;
        self.builder.charge(len)?;
        if len == 0 {
            return Err(fault(format!("its result of shape {} has no elements", show_shape(&shape))));
        }
        if self.builder.graph.nodes.len() >= MAX_NODES {
            return Err(fault(format!("the network has more than {MAX_NODES} operations")));
        }
        let moves = matches!(&op, Op::Reshape | Op::Slice { .. } | Op::Transpose { .. } | Op::Map(Expr::Input(0)));
        if !moves && inputs.iter().any(|v| v.ty() == Type::Index) {
            return Err(fault("it computes with the index that an ArgMax gives")
                .help("an index can only be an output or be mapped to labels: export the scores instead"));
        }
        let mut ids = Vec::with_capacity(inputs.len());
        for input in inputs {
            ids.push(match input {
                Value::Computed(c) => c.id,
                Value::Constant(c) => self.graph_constant(c)?,
                Value::Poison => return Err(fault("an operand is not known")),
            });
        }
        let part = match &op {
            Op::Gemm { .. } => "Gemm",
            Op::GemmColumns { .. } => "GemmColumns",
            Op::Projection { .. } => "Projection",
            Op::LayerNormalization { .. } => "LayerNormalization",
            Op::MatMul => "MatMul",
            Op::Map(_) => "Map",
            Op::Concat { .. } => "Concat",
            Op::Slice { .. } => "Slice",
            Op::Reshape => "Reshape",
            Op::Transpose { .. } => "Transpose",
            Op::Softmax { .. } => "Softmax",
            Op::LogSoftmax { .. } => "LogSoftmax",
            Op::ArgMax { .. } => "ArgMax",
            Op::Reduce { .. } => "Reduce",
        };
        let name = format!("{}/{part}", self.name);
        let id = self.builder.tensor(&name, &shape, ty);
        let name = self.builder.node_names.take(&name);
        let origin = self.node.op_type.clone();
        self.builder.graph.nodes.push(crate::graph::Node { name, origin, op, inputs: ids, output: id });
        Ok(Value::Computed(Computed { id, shape, ty, labels: None }))
    }

    /// Adds an operator, or computes it if its operands are constant.
    fn emit_or_fold(&mut self, op: Op, inputs: &[&Value], shape: Vec<usize>, ty: Type) -> Result<Value> {
        let Some(constants) = inputs.iter().map(|v| v.constant()).collect::<Option<Vec<_>>>() else {
            return self.emit(op, inputs, shape, ty);
        };
        self.builder.charge(count(&shape)?)?;
        // Integers go through f32, which holds them exactly up to here.
        let exact = |numbers: &[f64]| numbers.iter().all(|x| x.abs() <= f64::from(1 << 24));
        if constants.iter().any(|c| c.ty == Type::Text || c.len() == 0)
            || constants.iter().any(|c| c.ty != Type::Float && !exact(&c.numbers()))
        {
            return Err(fault("this operation on these constants is not supported"));
        }
        let data: Vec<_> = constants.iter().map(|c| c.to_floats()).collect();
        let operands: Vec<_> = data.iter().zip(&constants).map(|(d, c)| (&**d, c.shape.as_slice())).collect();
        let out: Vec<f64> = eval::evaluate_op(&op, &operands, &shape).into_iter().map(f64::from).collect();
        Ok(Value::Constant(Constant::from_numbers(shape, ty, &out)))
    }

    /// Picks elements: `op` does it at run time, offset and strides say the same for constants.
    fn pick(&mut self, v: &Value, op: Op, shape: Vec<usize>, offset: isize, strides: &[isize]) -> Result<Value> {
        let Some(c) = v.constant() else {
            return self.emit(op, &[v], shape, v.ty());
        };
        self.builder.charge(count(&shape)?)?;
        Ok(Value::Constant(c.gather(shape.clone(), &eval::walk(&shape, offset, strides))))
    }

    /// The same elements under another shape of as many.
    pub(super) fn reshape(&mut self, v: &Value, shape: Vec<usize>) -> Result<Value> {
        if count(v.shape())? != count(&shape)? {
            return Err(fault(format!(
                "{} elements of shape {} cannot take the shape {}",
                count(v.shape())?,
                show_shape(v.shape()),
                show_shape(&shape)
            ))
            .help("if the batch size is written into the model, export it with a batch of 1 or a symbolic batch"));
        }
        if v.shape() == shape {
            return Ok(v.clone());
        }
        match v {
            Value::Constant(c) => Ok(Value::Constant(Constant { shape, ..c.clone() })),
            _ => Ok(relabel(self.emit(Op::Reshape, &[v], shape, v.ty())?, v)),
        }
    }

    /// Elements from `start` in steps of `step`.
    pub(super) fn slice(&mut self, v: &Value, start: &[usize], step: &[isize], shape: Vec<usize>) -> Result<Value> {
        if v.shape() == shape && step.iter().zip(&shape).all(|(&s, &extent)| s == 1 || extent <= 1) {
            return Ok(v.clone());
        }
        let (offset, strides) = eval::slice_strides(v.shape(), start, step);
        self.pick(v, Op::Slice { start: start.to_vec(), step: step.to_vec() }, shape, offset, &strides)
    }

    /// `len` elements along one axis, from `start` in steps of `step`.
    pub(super) fn slice_axis(
        &mut self,
        v: &Value,
        axis: usize,
        start: usize,
        step: isize,
        len: usize,
    ) -> Result<Value> {
        let starts = with_extent(&vec![0; v.rank()], axis, start);
        let steps: Vec<isize> = (0..v.rank()).map(|a| if a == axis { step } else { 1 }).collect();
        self.slice(v, &starts, &steps, with_extent(v.shape(), axis, len))
    }

    pub(super) fn transpose(&mut self, v: &Value, perm: &[usize]) -> Result<Value> {
        if perm.iter().enumerate().all(|(a, &b)| a == b) {
            return Ok(v.clone());
        }
        let shape = perm.iter().map(|&axis| extent(v.shape(), axis)).collect();
        let own = eval::strides(v.shape());
        let strides: Vec<isize> = perm.iter().filter_map(|&axis| own.get(axis).copied()).collect();
        self.pick(v, Op::Transpose { perm: perm.to_vec() }, shape, 0, &strides)
    }

    /// The matrices of the last two axes transposed.
    pub(super) fn transpose_matrix(&mut self, v: &Value) -> Result<Value> {
        let mut perm: Vec<usize> = (0..v.rank()).collect();
        let rank = perm.len();
        if rank >= 2 {
            perm.swap(rank - 2, rank - 1);
        }
        self.transpose(v, &perm)
    }

    /// The tensor repeated to a shape that it broadcasts to.
    pub(super) fn expand(&mut self, v: &Value, shape: Vec<usize>) -> Result<Value> {
        if count(v.shape())? == count(&shape)? {
            return self.reshape(v, shape);
        }
        let strides = eval::broadcast_strides(v.shape(), &shape);
        self.pick(v, Op::Map(Expr::Input(0)), shape, 0, &strides)
    }

    pub(super) fn concat(&mut self, values: &[Value], axis: usize) -> Result<Value> {
        // An empty constant of one axis is how some exporters begin an accumulation.
        let values: Vec<&Value> = values.iter().filter(|v| extent(v.shape(), axis) > 0 || v.rank() > 1).collect();
        let Some(first) = values.first() else { return Ok(Value::Constant(Constant::ints(vec![0], []))) };
        let mut total = 0usize;
        for v in &values {
            if with_extent(v.shape(), axis, 0) != with_extent(first.shape(), axis, 0) {
                let (a, b) = (show_shape(first.shape()), show_shape(v.shape()));
                return Err(fault(format!("shapes {a} and {b} cannot be joined along axis {axis}")));
            }
            total = total.saturating_add(extent(v.shape(), axis));
        }
        let shape = with_extent(first.shape(), axis, total);
        match values.as_slice() {
            [single] => return Ok((*single).clone()),
            _ if values.iter().all(|v| v.is_constant()) => return self.concat_constants(&values, axis, shape),
            _ => {}
        }
        self.emit(Op::Concat { axis }, &values, shape, first.ty())
    }

    fn concat_constants(&mut self, values: &[&Value], axis: usize, shape: Vec<usize>) -> Result<Value> {
        fn join<T: Clone>(parts: &[&[T]], outer: usize) -> Arc<[T]> {
            let rows = |p: &&[T]| p.len().checked_div(outer).unwrap_or(0);
            (0..outer)
                .flat_map(|i| parts.iter().flat_map(move |p| p.iter().skip(i * rows(p)).take(rows(p)).cloned()))
                .collect()
        }
        self.builder.charge(count(&shape)?)?;
        let outer = count(shape.get(..axis).unwrap_or_default())?;
        let constants: Vec<&Constant> = values.iter().filter_map(|v| v.constant()).collect();
        let ty = constants.first().map_or(Type::Float, |c| c.ty);
        let (mut floats, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for c in &constants {
            match &c.data {
                Data::Float(d) => floats.push(&**d),
                Data::Int(d) => ints.push(&**d),
                Data::Text(d) => texts.push(&**d),
            }
        }
        let n = constants.len();
        let data = match (floats.len() == n, ints.len() == n, texts.len() == n) {
            (true, ..) => Data::Float(join(&floats, outer)),
            (_, true, _) => Data::Int(join(&ints, outer)),
            (_, _, true) => Data::Text(join(&texts, outer)),
            _ => return Err(fault("constants of different types cannot be joined")),
        };
        Ok(Value::Constant(Constant { name: "".into(), shape, ty, data }))
    }

    /// An elementwise function of operands that broadcast against each other.
    pub(super) fn map(&mut self, expr: &Expr, operands: &[&Value], ty: Type) -> Result<Value> {
        let shape = broadcast(operands.iter().map(|v| v.shape()))?;
        if operands.iter().any(|v| v.ty() == Type::Text) {
            return Err(fault("text cannot be computed with"));
        }
        if let Some(constants) = operands.iter().map(|v| v.constant()).collect::<Option<Vec<_>>>() {
            return self.fold_map(expr, &constants, shape, ty);
        }
        // Scalars become part of the expression, equal operands one.
        let mut kept: Vec<&Value> = Vec::new();
        let mut by = Vec::new();
        for &v in operands {
            by.push(match (v.scalar(), v) {
                (Some(x), _) => Expr::Const(x),
                (None, Value::Computed(c)) => {
                    let same = |k: &&Value| matches!(k, Value::Computed(other) if other.id == c.id);
                    Expr::Input(kept.iter().position(same).unwrap_or_else(|| {
                        kept.push(v);
                        kept.len() - 1
                    }))
                }
                (None, _) => {
                    kept.push(v);
                    Expr::Input(kept.len() - 1)
                }
            });
        }
        let mut expr = expr.substitute(&|k| by.get(k).cloned().unwrap_or(Expr::Input(k)));
        if ty == Type::Int && matches!(expr, Expr::Binary(crate::graph::expr::Binary::Div, ..)) {
            expr = truncate(expr);
        }
        if let Some(c) = unfit(&expr) {
            return Err(fault(format!("it computes with the constant {c}"))
                .help("values must be finite: check the training, or use a large finite number"));
        }
        let own = broadcast(kept.iter().map(|v| v.shape()))?;
        let out = self.emit(Op::Map(expr), &kept, own, ty)?;
        self.reshape(&out, shape)
    }

    fn fold_map(&mut self, expr: &Expr, constants: &[&Constant], shape: Vec<usize>, ty: Type) -> Result<Value> {
        let len = count(&shape)?;
        self.builder.charge(len.saturating_mul(constants.len().max(1)))?;
        let tables: Vec<(Vec<f64>, Vec<usize>)> = constants
            .iter()
            .map(|c| (c.numbers(), eval::walk(&shape, 0, &eval::broadcast_strides(&c.shape, &shape))))
            .collect();
        let out: Vec<f64> = (0..len)
            .map(|i| {
                let at = |(numbers, table): &(Vec<f64>, Vec<usize>)| {
                    table.get(i).and_then(|&o| numbers.get(o)).copied().unwrap_or(f64::NAN)
                };
                expr.eval(&tables.iter().map(at).collect::<Vec<_>>())
            })
            .collect();
        Ok(Value::Constant(Constant::from_numbers(shape, ty, &out)))
    }

    /// A function of one tensor.
    pub(super) fn map1(&mut self, expr: &Expr, v: &Value) -> Result<Value> {
        self.map(expr, &[v], v.ty())
    }

    /// `weight` (`O x I`, row by row) times the last axis, plus `bias`.
    pub(super) fn gemm(&mut self, v: &Value, weight: &[f32], bias: &[f32]) -> Result<Value> {
        let (inner, outer) = (v.shape().last().copied().unwrap_or(1), bias.len());
        if inner.checked_mul(outer) != Some(weight.len()) || weight.is_empty() {
            return Err(fault(format!("{} weights do not fit {inner} inputs and {outer} outputs", weight.len())));
        }
        for (what, data) in [("weight", weight), ("bias", bias)] {
            self.check_finite(&Constant { name: what.into(), ..Constant::floats(vec![data.len()], data) })?;
        }
        let shape = with_extent(v.shape(), v.rank().saturating_sub(1), outer);
        let op = Op::Gemm { weight: weight.into(), bias: bias.into() };
        self.emit_or_fold(op, &[v], shape, Type::Float)
    }

    /// Normalization over the last axis, with a factor and a term by element of it.
    pub(super) fn layer_normalization(
        &mut self,
        v: &Value,
        scale: &[f32],
        bias: &[f32],
        epsilon: f64,
    ) -> Result<Value> {
        let row = v.shape().last().copied().unwrap_or(1);
        if (scale.len(), bias.len()) != (row, row) {
            let (scale, bias) = (scale.len(), bias.len());
            return Err(fault(format!("{scale} factors and {bias} terms do not fit rows of {row} elements")));
        }
        for (what, data) in [("scale", scale), ("bias", bias)] {
            self.check_finite(&Constant { name: what.into(), ..Constant::floats(vec![data.len()], data) })?;
        }
        let op = Op::LayerNormalization { scale: scale.into(), bias: bias.into(), epsilon };
        self.emit_or_fold(op, &[v], v.shape().to_vec(), Type::Float)
    }

    /// Matrix product of operands of two or more axes, neither of which needs to be constant.
    pub(super) fn mat_mul(&mut self, a: &Value, b: &Value, shape: Vec<usize>) -> Result<Value> {
        if a.is_constant() && b.is_constant() {
            // Products of constants must not take forever either.
            let work = count(&shape)?.saturating_mul(a.shape().last().copied().unwrap_or(1));
            self.builder.charge(work / 256)?;
        }
        self.emit_or_fold(Op::MatMul, &[a, b], shape, Type::Float)
    }

    /// Reduces an axis to extent 1.
    pub(super) fn reduce(&mut self, v: &Value, kind: Reduction, axis: usize) -> Result<Value> {
        if extent(v.shape(), axis) == 1 {
            return Ok(v.clone());
        }
        self.emit_or_fold(Op::Reduce { kind, axis }, &[v], with_extent(v.shape(), axis, 1), v.ty())
    }

    pub(super) fn softmax(&mut self, v: &Value, axis: usize, log: bool) -> Result<Value> {
        let op = if log { Op::LogSoftmax { axis } } else { Op::Softmax { axis } };
        self.emit_or_fold(op, &[v], v.shape().to_vec(), Type::Float)
    }

    /// Index of the largest element; the axis is kept with extent 1.
    pub(super) fn arg_max(&mut self, v: &Value, axis: usize, last: bool) -> Result<Value> {
        let ty = if v.is_constant() { Type::Int } else { Type::Index };
        self.emit_or_fold(Op::ArgMax { axis, last }, &[v], with_extent(v.shape(), axis, 1), ty)
    }

    /// Another name for a tensor of the network that has already a name: a copy.
    pub(super) fn copy(&mut self, v: &Value) -> Result<Value> {
        Ok(relabel(self.emit(Op::Map(Expr::Input(0)), &[v], v.shape().to_vec(), v.ty())?, v))
    }
}

/// Towards zero.
pub(super) fn truncate(x: Expr) -> Expr {
    use crate::graph::expr::Unary::{Abs, Floor, Sign};
    Expr::unary(Sign, x.clone()) * Expr::unary(Floor, Expr::unary(Abs, x))
}

/// A constant that is not finite, where it is more than a bound. The expressions are those of single operators, so
/// that recursion is shallow.
fn unfit(expr: &Expr) -> Option<f64> {
    use crate::graph::expr::Binary;
    match expr {
        Expr::Input(_) => None,
        Expr::Const(c) => (!c.is_finite()).then_some(*c),
        Expr::Unary(_, x) => unfit(x),
        Expr::Binary(f, a, b) => {
            let bounds =
                !matches!(f, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Pow | Binary::Mod);
            [a, b].into_iter().find_map(|x| unfit(x).filter(|c| !bounds || c.is_nan()))
        }
        Expr::Select(c, a, b) => [c, a, b].into_iter().find_map(|x| unfit(x)),
    }
}

/// `v` with the labels of `from`.
pub(super) fn relabel(v: Value, from: &Value) -> Value {
    match (v, from) {
        (Value::Computed(c), Value::Computed(f)) => Value::Computed(Computed { labels: f.labels.clone(), ..c }),
        (v, _) => v,
    }
}
