//! The float network: a static-shape, single-assignment graph in a small set of operators.
//!
//! The importers write it, [`eval`] computes it, the passes in [`simplify`] bring it into the form that
//! quantization expects. Nothing here knows of integers or targets.

pub mod eval;
pub mod expr;
pub mod simplify;

use crate::error::{Problem, Problems, Result};
use std::sync::Arc;

pub use expr::Expr;

/// Index of a tensor in [`Graph::tensors`].
pub type TensorId = usize;

/// A float network.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Name, from the file.
    pub name: String,
    /// All tensors: inputs, constants, and one result per node.
    pub tensors: Vec<Tensor>,
    /// Operators, each after the producers of its inputs.
    pub nodes: Vec<Node>,
    /// Tensors the caller provides, in the model's order.
    pub inputs: Vec<TensorId>,
    /// Results, in the model's order.
    pub outputs: Vec<Output>,
    /// What the file says of its quantization: see [`Config`](crate::quantize::config::Config). The graph itself is float.
    pub quantization: Option<String>,
    /// What the file says of the text that it reads: see [`TextModel`](crate::text::TextModel).
    pub text: Option<String>,
}

/// A tensor of fixed shape. Symbolic batch dimensions are 1.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Name in the model file; unique within a graph.
    pub name: String,
    /// Extents, outermost first. Empty for a scalar.
    pub shape: Vec<usize>,
    /// What its elements are.
    pub kind: Kind,
    /// The elements, for a constant.
    pub value: Option<Arc<[f32]>>,
    /// Whether the first extent was a symbolic batch dimension (inputs only).
    pub batched: bool,
}

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Real numbers, to be quantized.
    Real,
    /// Indices from `ArgMax`.
    Index,
}

/// A result of the network.
#[derive(Clone, Debug)]
pub struct Output {
    /// Name in the model file.
    pub name: String,
    /// The tensor.
    pub tensor: TensorId,
    /// What an index stands for, where the model maps it (the label head of scikit-learn's classifiers). Of real
    /// numbers, what their last axis stands for (the probabilities behind a `ZipMap`).
    pub labels: Option<Labels>,
}

/// Class labels by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Integer labels.
    Integers(Vec<i64>),
    /// Text labels.
    Strings(Vec<String>),
}

/// One operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name in the model file, or made from the output's name.
    pub name: String,
    /// The ONNX operator(s) it came from, for people: `Gemm`, `Gemm+Relu`, `Mul`.
    pub origin: String,
    /// What it computes.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<TensorId>,
    /// Result.
    pub output: TensorId,
}

/// The operators of the float graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `y[.., o] = sum over i of weight[o * I + i] * x[.., i] + bias[o]` over the last axis of the one input.
    Gemm {
        /// `O x I`, row by row.
        weight: Arc<[f32]>,
        /// `O` elements.
        bias: Arc<[f32]>,
    },
    /// The same along another axis.
    GemmColumns {
        /// `O x I`, row by row.
        weight: Arc<[f32]>,
        /// `O` elements.
        bias: Arc<[f32]>,
        /// The axis.
        axis: usize,
    },
    /// The first layer of a text model, `y[t, o] = sum over counted features f of weight[f * O + o] + bias[o]`.
    ///
    /// The one input has a row of buckets a position, or of the number of buckets where there is no word. Feature
    /// `k * buckets + b` of position `t` counts the buckets `b` of position `t + k - span / 2`; a position without a word
    /// has no features.
    Projection {
        /// A row of `O` elements a feature; there are `span * buckets`.
        weight: Arc<[f32]>,
        /// `O` elements.
        bias: Arc<[f32]>,
        /// Counters of a word.
        buckets: usize,
        /// Words of a window.
        span: usize,
    },
    /// ONNX `LayerNormalization` over the last axis.
    LayerNormalization {
        /// Factor by element of the axis.
        scale: Arc<[f32]>,
        /// Term by element of the axis.
        bias: Arc<[f32]>,
        /// Added to the variance.
        epsilon: f64,
    },
    /// ONNX `MatMul` of two computed tensors.
    MatMul,
    /// An elementwise function of the inputs, broadcast against each other as in ONNX.
    Map(Expr),
    /// Concatenation of the inputs along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// `y[i0, i1, ..] = x[start[0] + i0 * step[0], ..]`; the extents are the output's.
    Slice {
        /// First index along each axis.
        start: Vec<usize>,
        /// Step along each axis, negative to run backwards.
        step: Vec<isize>,
    },
    /// The same elements under the output's shape.
    Reshape,
    /// `y`'s axis `k` is `x`'s axis `perm[k]`.
    Transpose {
        /// Source axis by output axis.
        perm: Vec<usize>,
    },
    /// Softmax along an axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// Logarithm of the softmax along an axis.
    LogSoftmax {
        /// The axis.
        axis: usize,
    },
    /// Index of the largest element along an axis; the axis is kept with extent 1 (a `Reshape` drops it).
    ArgMax {
        /// The axis.
        axis: usize,
        /// Among equals, the last.
        last: bool,
    },
    /// Reduction along one axis, which is kept with extent 1 (a `Reshape` drops it).
    Reduce {
        /// What is computed.
        kind: Reduction,
        /// The axis.
        axis: usize,
    },
}

/// Reductions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Sum.
    Sum,
    /// Arithmetic mean.
    Mean,
    /// Maximum.
    Max,
}

impl Graph {
    /// Adds a tensor.
    pub fn tensor(&mut self, name: impl Into<String>, shape: Vec<usize>, kind: Kind) -> TensorId {
        self.tensors.push(Tensor { name: name.into(), shape, kind, value: None, batched: false });
        self.tensors.len() - 1
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: impl Into<String>, shape: Vec<usize>, value: impl Into<Arc<[f32]>>) -> TensorId {
        let id = self.tensor(name, shape, Kind::Real);
        self.tensors[id].value = Some(value.into());
        id
    }

    /// Index of the node that computes a tensor.
    pub fn producer(&self, tensor: TensorId) -> Option<usize> {
        self.nodes.iter().position(|n| n.output == tensor)
    }

    /// Indices of the nodes that read a tensor.
    pub fn consumers(&self, tensor: TensorId) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&n| self.nodes[n].inputs.contains(&tensor)).collect()
    }

    /// Puts an `ArgMax` over the last axis of every result that is no index yet: the class instead of a number a class.
    ///
    /// # Errors
    /// Every result that has no classes.
    pub fn append_arg_max(&mut self) -> Result<()> {
        let mut problems = Problems::default();
        for k in 0..self.outputs.len() {
            let (name, tensor) = (self.outputs[k].name.clone(), self.outputs[k].tensor);
            let shape = self.tensors[tensor].shape.clone();
            if self.tensors[tensor].kind == Kind::Index {
                continue;
            }
            let Some(axis) = shape.len().checked_sub(1).filter(|&axis| shape[axis] > 1) else {
                problems.push(
                    Problem::new(format!("output '{name}'"), format!("has no classes to choose from: {shape:?}"))
                        .help("leave ArgMax out, or export the model with one output a class"),
                );
                continue;
            };
            let index = self.tensor(format!("{name}_index"), [&shape[..axis], &[1]].concat(), Kind::Index);
            let row = self.tensor(format!("{name}_class"), shape[..axis].to_vec(), Kind::Index);
            let node = |op, input, output| Node {
                name: format!("{name} class"),
                origin: "ArgMax".into(),
                op,
                inputs: vec![input],
                output,
            };
            self.nodes.push(node(Op::ArgMax { axis, last: false }, tensor, index));
            self.nodes.push(node(Op::Reshape, index, row));
            self.outputs[k].tensor = row;
        }
        problems.finish(())
    }

    /// Whether a tensor is a result of the network.
    pub fn is_output(&self, tensor: TensorId) -> bool {
        self.outputs.iter().any(|o| o.tensor == tensor)
    }
}

impl Tensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a constant.
    pub fn is_constant(&self) -> bool {
        self.value.is_some()
    }
}

/// `[1, 64]` as people write it.
pub fn show_shape(shape: &[usize]) -> String {
    format!("{shape:?}")
}
