//! The float reference: computes a [`Graph`] for one set of inputs.
//!
//! [`Evaluator`] keeps its buffers and index tables from row to row; [`evaluate`], [`evaluate_node`] and [`map`] are
//! for single uses, such as constant folding. Sums of products are f32, in a fixed order; reductions and functions
//! are f64 inside.

use super::{Expr, Graph, Node, Op, Reduction, TensorId};

/// Elements of one step of an elementwise computation.
const BLOCK: usize = 64;

/// Computes every tensor of a graph for one set of inputs; the result is indexed by [`TensorId`].
///
/// # Panics
/// If the inputs do not have the number and lengths that the graph says.
pub fn evaluate(graph: &Graph, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let mut evaluator = Evaluator::new(graph);
    evaluator.run(inputs);
    evaluator.values
}

/// Computes one node of a graph.
///
/// # Panics
/// If the operands do not have the number and lengths that the graph says.
pub fn evaluate_node(graph: &Graph, node: &Node, operands: &[&[f32]]) -> Vec<f32> {
    let shape = |id: TensorId| graph.tensors[id].shape.as_slice();
    let operands: Vec<_> = node.inputs.iter().zip(operands).map(|(&id, &data)| (data, shape(id))).collect();
    evaluate_op(&node.op, &operands, shape(node.output))
}

/// Computes one operator over operands (elements and shape).
pub(crate) fn evaluate_op(op: &Op, operands: &[(&[f32], &[usize])], shape: &[usize]) -> Vec<f32> {
    let views: Vec<View> = operands.iter().map(|&(data, shape)| View { shape, data }).collect();
    let mut out = vec![0.0; shape.iter().product()];
    compute(op, &Access::of(op, views.iter().map(|v| v.shape), shape), &views, shape, &mut out);
    out
}

/// Computes an expression over operands (elements and shape) that broadcast to `shape`.
///
/// # Panics
/// If an operand does not broadcast to `shape` or the expression has more operands than given.
pub fn map(expr: &Expr, operands: &[(&[f32], &[usize])], shape: &[usize]) -> Vec<f32> {
    let views: Vec<View> = operands.iter().map(|&(data, shape)| View { shape, data }).collect();
    let mut out = vec![0.0; shape.iter().product()];
    let access: Vec<_> = views.iter().map(|v| Access::broadcast(v.shape, shape)).collect();
    map_blocks(expr, &access, &views, &mut out);
    out
}

/// Computes a graph row after row.
#[derive(Debug)]
pub struct Evaluator<'g> {
    graph: &'g Graph,
    access: Vec<Vec<Access>>,
    values: Vec<Vec<f32>>,
}

impl<'g> Evaluator<'g> {
    /// Allocates what the computation of a graph needs.
    pub fn new(graph: &'g Graph) -> Self {
        let shape = |&id: &TensorId| graph.tensors[id].shape.as_slice();
        Self {
            graph,
            access: graph
                .nodes
                .iter()
                .map(|n| Access::of(&n.op, n.inputs.iter().map(shape), &graph.tensors[n.output].shape))
                .collect(),
            values: graph
                .tensors
                .iter()
                .map(|t| t.value.as_ref().map_or_else(|| vec![0.0; t.len()], |value| value.to_vec()))
                .collect(),
        }
    }

    /// Computes all tensors for one set of inputs.
    ///
    /// # Panics
    /// If the inputs do not have the number and lengths that the graph says.
    pub fn run(&mut self, inputs: &[&[f32]]) {
        assert_eq!(inputs.len(), self.graph.inputs.len(), "number of inputs");
        for (&id, data) in self.graph.inputs.iter().zip(inputs) {
            self.values[id].copy_from_slice(data);
        }
        for (node, access) in self.graph.nodes.iter().zip(&self.access) {
            let mut out = std::mem::take(&mut self.values[node.output]);
            let views: Vec<View> = node
                .inputs
                .iter()
                .map(|&id| View { shape: &self.graph.tensors[id].shape, data: &self.values[id] })
                .collect();
            compute(&node.op, access, &views, &self.graph.tensors[node.output].shape, &mut out);
            self.values[node.output] = out;
        }
    }

    /// A tensor, as the last [`run`](Self::run) left it.
    pub fn value(&self, id: TensorId) -> &[f32] {
        &self.values[id]
    }

    /// The result of the network of that index, as the last [`run`](Self::run) left it.
    pub fn output(&self, index: usize) -> &[f32] {
        self.value(self.graph.outputs[index].tensor)
    }
}

/// A tensor's elements with its shape.
#[derive(Clone, Copy)]
struct View<'a> {
    shape: &'a [usize],
    data: &'a [f32],
}

/// Which element of an operand meets an element of the result.
#[derive(Debug)]
enum Access {
    /// The one at the same place.
    Same,
    /// The one listed.
    Table(Vec<usize>),
}

impl Access {
    fn broadcast(from: &[usize], to: &[usize]) -> Self {
        if from == to { Self::Same } else { Self::Table(walk(to, 0, &broadcast_strides(from, to))) }
    }

    /// For the operators that pick or broadcast elements: one per operand. Empty for the others.
    fn of<'a>(op: &Op, mut operands: impl Iterator<Item = &'a [usize]>, shape: &[usize]) -> Vec<Self> {
        match op {
            Op::Map(_) => operands.map(|from| Self::broadcast(from, shape)).collect(),
            Op::Slice { start, step } => {
                let (offset, strides) = slice_strides(operands.next().unwrap_or_default(), start, step);
                vec![Self::Table(walk(shape, offset, &strides))]
            }
            Op::Transpose { perm } => {
                let strides = strides(operands.next().unwrap_or_default());
                let permuted: Vec<_> = perm.iter().map(|&axis| strides[axis]).collect();
                vec![Self::Table(walk(shape, 0, &permuted))]
            }
            _ => Vec::new(),
        }
    }
}

/// Distance of neighbours along each axis, in elements.
pub(crate) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut stride = 1;
    let mut strides: Vec<isize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let this = stride;
            stride *= extent.max(1) as isize;
            this
        })
        .collect();
    strides.reverse();
    strides
}

/// Strides by which an operand of shape `from` is read for a result of shape `to`.
pub(crate) fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<isize> {
    let own = strides(from).into_iter().zip(from).map(|(stride, &extent)| if extent == 1 { 0 } else { stride });
    std::iter::repeat_n(0, to.len().saturating_sub(from.len())).chain(own).collect()
}

/// Offset and strides by which [`Op::Slice`] reads its operand.
pub(crate) fn slice_strides(from: &[usize], start: &[usize], step: &[isize]) -> (isize, Vec<isize>) {
    let strides = strides(from);
    let offset = strides.iter().zip(start).map(|(stride, &start)| stride * start as isize).sum();
    (offset, strides.iter().zip(step).map(|(stride, step)| stride * step).collect())
}

/// The offsets that a strided walk over `shape` visits, in order.
pub(crate) fn walk(shape: &[usize], start: isize, strides: &[isize]) -> Vec<usize> {
    let mut offsets = vec![start];
    for (&extent, &stride) in shape.iter().zip(strides) {
        offsets = offsets.iter().flat_map(|&o| (0..extent as isize).map(move |k| o + k * stride)).collect();
    }
    offsets.into_iter().map(|o| o as usize).collect()
}

/// Computes one operator into `out`, which has the given shape.
fn compute(op: &Op, access: &[Access], operands: &[View], shape: &[usize], out: &mut [f32]) {
    match op {
        Op::Gemm { weight, bias } => {
            let rows = operands[0].data.chunks_exact(weight.len() / bias.len().max(1));
            for (x, y) in rows.zip(out.chunks_exact_mut(bias.len())) {
                for ((y, w), b) in y.iter_mut().zip(weight.chunks_exact(x.len())).zip(bias.iter()) {
                    *y = dot(w, x) + b;
                }
            }
        }
        Op::GemmColumns { weight, bias, axis } => gemm_columns(operands[0], weight, bias, *axis, out),
        Op::Projection { weight, bias, buckets, span } => projection(operands[0], weight, bias, (*buckets, *span), out),
        Op::LayerNormalization { scale, bias, epsilon } => {
            let rows = operands[0].data.chunks_exact(bias.len().max(1));
            for (x, y) in rows.zip(out.chunks_exact_mut(bias.len().max(1))) {
                layer_normalization(x, scale, bias, *epsilon, y);
            }
        }
        Op::MatMul => mat_mul(operands[0], operands[1], shape, out),
        Op::Map(expr) => map_blocks(expr, access, operands, out),
        Op::Concat { axis } => {
            let (stride, mut offset) = (shape[*axis..].iter().product::<usize>(), 0);
            for operand in operands {
                let run = operand.shape[*axis..].iter().product::<usize>();
                for (to, from) in out.chunks_exact_mut(stride).zip(operand.data.chunks_exact(run)) {
                    to[offset..offset + run].copy_from_slice(from);
                }
                offset += run;
            }
        }
        Op::Slice { .. } | Op::Transpose { .. } => {
            if let Some(Access::Table(table)) = access.first() {
                for (y, &from) in out.iter_mut().zip(table) {
                    *y = operands[0].data[from];
                }
            }
        }
        Op::Reshape => out.copy_from_slice(operands[0].data),
        Op::Softmax { axis } => along(operands[0], *axis, |lane| softmax(lane, false), out),
        Op::LogSoftmax { axis } => along(operands[0], *axis, |lane| softmax(lane, true), out),
        Op::ArgMax { axis, last } => along(operands[0], *axis, |lane| arg_max(lane, *last), out),
        Op::Reduce { kind, axis } => along(operands[0], *axis, |lane| reduce(lane, *kind), out),
    }
}

/// The sum of products, in eight interleaved partial sums so that it can use vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_whole.iter().zip(b_whole) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// A fully connected layer along an axis that others follow.
fn gemm_columns(x: View, weight: &[f32], bias: &[f32], axis: usize, out: &mut [f32]) {
    let columns: usize = x.shape[axis + 1..].iter().product();
    let inputs = x.shape[axis];
    let (from, to) = ((inputs * columns).max(1), (bias.len() * columns).max(1));
    for (x, y) in x.data.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        for ((y, w), &b) in y.chunks_exact_mut(columns).zip(weight.chunks_exact(inputs)).zip(bias) {
            y.fill(b);
            for (w, x) in w.iter().zip(x.chunks_exact(columns)) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += w * x);
            }
        }
    }
}

/// A fully connected layer over counts, as a sum of rows of weights.
fn projection(x: View, weight: &[f32], bias: &[f32], window: (usize, usize), out: &mut [f32]) {
    let hashes = x.shape.last().copied().unwrap_or(1);
    let words: Vec<usize> = x.data.iter().map(|&b| b as usize).collect();
    let outputs = bias.len().max(1);
    for (t, y) in out.chunks_exact_mut(outputs).enumerate() {
        y.copy_from_slice(bias);
        for f in counted(&words, hashes, t, window) {
            y.iter_mut().zip(&weight[f * outputs..]).for_each(|(y, w)| *y += w);
        }
    }
}

/// The features that [`Op::Projection`] counts at a position, once for each count. `words` are rows of buckets.
pub(crate) fn counted(words: &[usize], hashes: usize, position: usize, (buckets, span): (usize, usize)) -> Vec<usize> {
    let word = |t: usize| words.get(t * hashes..(t + 1) * hashes).filter(|w| w.iter().all(|&b| b < buckets));
    if word(position).is_none() {
        return Vec::new();
    }
    let window = (0..span).filter_map(|k| Some((k, word((position + k).checked_sub(span / 2)?)?)));
    window.flat_map(|(k, word)| word.iter().map(move |&b| k * buckets + b)).collect()
}

fn layer_normalization(x: &[f32], scale: &[f32], bias: &[f32], epsilon: f64, out: &mut [f32]) {
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let root = (variance + epsilon).sqrt();
    for (((y, &x), &s), &b) in out.iter_mut().zip(x).zip(scale).zip(bias) {
        *y = ((f64::from(x) - mean) / root * f64::from(s) + f64::from(b)) as f32;
    }
}

/// ONNX `MatMul` of operands of rank 2 or more, whose leading axes broadcast.
fn mat_mul(a: View, b: View, shape: &[usize], out: &mut [f32]) {
    let [.., m, n] = *shape else { return };
    let [.., k] = *a.shape else { return };
    let batch = &shape[..shape.len() - 2];
    let lead = |v: View| walk(batch, 0, &broadcast_strides(&v.shape[..v.shape.len() - 2], batch));
    for ((y, i), j) in out.chunks_exact_mut((m * n).max(1)).zip(lead(a)).zip(lead(b)) {
        let (a, b) = (&a.data[i * m * k..(i + 1) * m * k], &b.data[j * k * n..(j + 1) * k * n]);
        y.fill(0.0);
        for (y, a) in y.chunks_exact_mut(n).zip(a.chunks_exact(k)) {
            for (a, b) in a.iter().zip(b.chunks_exact(n)) {
                for (y, b) in y.iter_mut().zip(b) {
                    *y += a * b;
                }
            }
        }
    }
}

/// Applies a function to each run of elements along an axis; the function leaves its results at the front.
fn along(x: View, axis: usize, f: impl Fn(&mut [f64]), out: &mut [f32]) {
    let extent = x.shape[axis];
    let inner: usize = x.shape[axis + 1..].iter().product();
    if extent == 0 || inner == 0 || x.data.is_empty() {
        return;
    }
    let results = out.len() * extent / x.data.len();
    let mut lane = vec![0.0; extent];
    for (x, y) in x.data.chunks_exact(extent * inner).zip(out.chunks_exact_mut(results * inner)) {
        for i in 0..inner {
            for (lane, x) in lane.iter_mut().zip(x[i..].iter().step_by(inner)) {
                *lane = f64::from(*x);
            }
            f(&mut lane);
            for (y, lane) in y[i..].iter_mut().step_by(inner).zip(&lane) {
                *y = *lane as f32;
            }
        }
    }
}

fn softmax(lane: &mut [f64], log: bool) {
    let max = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = lane.iter().map(|x| (x - max).exp()).sum();
    for x in lane {
        *x = if log { *x - max - sum.ln() } else { (*x - max).exp() / sum };
    }
}

fn arg_max(lane: &mut [f64], last: bool) {
    let mut best = 0;
    for (i, x) in lane.iter().enumerate() {
        if *x > lane[best] || (last && *x == lane[best]) {
            best = i;
        }
    }
    lane[0] = best as f64;
}

fn reduce(lane: &mut [f64], kind: Reduction) {
    lane[0] = match kind {
        Reduction::Sum => lane.iter().sum(),
        Reduction::Mean => lane.iter().sum::<f64>() / lane.len() as f64,
        Reduction::Max => lane.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    };
}

fn map_blocks(expr: &Expr, access: &[Access], operands: &[View], out: &mut [f32]) {
    let mut block = [0.0; BLOCK];
    for (index, out) in out.chunks_mut(BLOCK).enumerate() {
        let block = &mut block[..out.len()];
        map_block(expr, access, operands, index * BLOCK, block);
        for (out, x) in out.iter_mut().zip(block) {
            *out = *x as f32;
        }
    }
}

/// Elements `at..` of an expression: block by block instead of element by element, which walks the expression once a
/// block and leaves loops that the compiler can unroll.
fn map_block(expr: &Expr, access: &[Access], operands: &[View], at: usize, out: &mut [f64]) {
    let operand = |expr: &Expr| {
        let mut block = [0.0; BLOCK];
        map_block(expr, access, operands, at, &mut block[..out.len()]);
        block
    };
    match expr {
        Expr::Const(c) => out.fill(*c),
        Expr::Input(k) => match &access[*k] {
            Access::Same => {
                for (out, x) in out.iter_mut().zip(&operands[*k].data[at..]) {
                    *out = f64::from(*x);
                }
            }
            Access::Table(table) => {
                for (out, &from) in out.iter_mut().zip(&table[at..]) {
                    *out = f64::from(operands[*k].data[from]);
                }
            }
        },
        Expr::Unary(f, x) => {
            map_block(x, access, operands, at, out);
            for out in out {
                *out = f.eval(*out);
            }
        }
        Expr::Binary(f, a, b) => {
            let b = operand(b);
            map_block(a, access, operands, at, out);
            for (out, b) in out.iter_mut().zip(b) {
                *out = f.eval(*out, b);
            }
        }
        Expr::Select(c, a, b) => {
            let (c, b) = (operand(c), operand(b));
            map_block(a, access, operands, at, out);
            for (out, (c, b)) in out.iter_mut().zip(c.into_iter().zip(b)) {
                if c == 0.0 {
                    *out = b;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::expr::Unary;
    use super::*;

    #[test]
    fn operands_broadcast_also_against_a_larger_shape() {
        let sum = Expr::Input(0) + Expr::Input(1);
        let out = map(&sum, &[(&[1.0, 2.0], &[2, 1]), (&[10.0, 20.0, 30.0], &[3])], &[2, 2, 3]);
        let half = [11.0, 21.0, 31.0, 12.0, 22.0, 32.0];
        assert_eq!(out, [half, half].concat());
    }

    #[test]
    fn rows_do_not_depend_on_each_other() {
        let mut graph = Graph::default();
        let x = graph.tensor("x", vec![1, 3], Kind::Real);
        let h = graph.tensor("h", vec![1, 70], Kind::Real);
        let y = graph.tensor("y", vec![1, 70], Kind::Real);
        graph.inputs = vec![x];
        let weight: Vec<f32> = (0..210).map(|k| (k as f32 * 0.37).sin()).collect();
        let node = |name: &str, op, input, output| Node {
            name: name.into(),
            origin: name.into(),
            op,
            inputs: vec![input],
            output,
        };
        graph.nodes = vec![
            node("h", Op::Gemm { weight: weight.into(), bias: vec![0.1; 70].into() }, x, h),
            node("y", Op::Map(Expr::unary(Unary::Relu, Expr::Input(0))), h, y),
        ];
        let mut evaluator = Evaluator::new(&graph);
        for row in [[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0], [1.0, 2.0, 3.0]] {
            evaluator.run(&[&row]);
            let once = evaluate(&graph, &[&row]);
            assert_eq!(evaluator.value(y), once[y]);
            assert_eq!(evaluate_node(&graph, &graph.nodes[1], &[&once[h]]), once[y]);
        }
    }
}
