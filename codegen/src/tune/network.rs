//! A graph's way from inputs to logits as tensor operations with gradients, in real numbers and in the plan's integers.

use super::{expression, straight_through};
use crate::error::{Problem, Problems, Result};
use crate::graph::expr::Unary;
use crate::graph::{Expr, Graph, Kind, Node, Op, Reduction, TensorId, show_shape};
use crate::plan::Quant;
use crate::quantize::clamp;
use crate::quantize::format::Format;
use candle_core::{D, Device, Tensor, Var};
use std::collections::HashMap;

/// What candle's functions give.
pub(super) type Candle<T> = candle_core::Result<T>;

/// The part of a graph that is trained.
pub(super) struct Network {
    pub(super) graph: Graph,
    /// What the loss is taken of: before a softmax, a single sigmoid or an arg-max.
    pub(super) logits: TensorId,
    /// Nodes that the logits need, in order.
    order: Vec<usize>,
    pub(super) layers: Vec<Layer>,
    constants: HashMap<TensorId, Tensor>,
}

/// A fully connected layer.
pub(super) struct Layer {
    node: usize,
    pub(super) name: String,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// The result of the ReLU behind it, if nothing else reads its own.
    relu: Option<TensorId>,
    /// Whether its results are the logits.
    pub(super) last: bool,
}

impl Layer {
    pub(super) fn has_relu(&self) -> bool {
        self.relu.is_some()
    }
}

/// What is trained. Weights and biases are in units of their size at the start, so that one learning rate fits all.
pub(super) struct Parameters {
    /// `outputs x inputs`, by layer.
    weight: Vec<Var>,
    bias: Vec<Var>,
    /// Real size of the units.
    units: Vec<(f64, f64)>,
    /// Logarithm of the scale of the weights, `1 x 1` or `outputs x 1`.
    scale: Vec<Var>,
}

/// Layers as real numbers.
#[derive(Clone)]
pub(super) struct Weights {
    /// By layer, `outputs x inputs`.
    pub(super) weight: Vec<Vec<f32>>,
    /// By layer.
    pub(super) bias: Vec<Vec<f32>>,
}

impl Parameters {
    /// From real weights and the root mean square of each layer's operand.
    pub(super) fn new(network: &Network, start: &Weights, reach: &[f64], scale: &[Vec<f64>]) -> Candle<Self> {
        let mut all = Self { weight: Vec::new(), bias: Vec::new(), units: Vec::new(), scale: Vec::new() };
        for (k, layer) in network.layers.iter().enumerate() {
            let (weight, bias) = (&start.weight[k], &start.bias[k]);
            let square: f64 = weight.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / weight.len() as f64;
            let unit = if square > 0.0 { square.sqrt() } else { 1.0 };
            let bias_unit = unit * if reach[k] > 0.0 { reach[k] } else { 1.0 };
            let in_units = |v: &[f32], unit: f64| v.iter().map(|&v| (f64::from(v) / unit) as f32).collect::<Vec<f32>>();
            all.weight.push(Var::from_vec(in_units(weight, unit), (layer.outputs, layer.inputs), &Device::Cpu)?);
            all.bias.push(Var::from_vec(in_units(bias, bias_unit), layer.outputs, &Device::Cpu)?);
            all.units.push((unit, bias_unit));
            let scale: Vec<f32> = scale[k].iter().map(|s| s.ln() as f32).collect();
            let count = scale.len();
            all.scale.push(Var::from_vec(scale, (count, 1), &Device::Cpu)?);
        }
        Ok(all)
    }

    pub(super) fn weights_and_biases(&self) -> Vec<Var> {
        self.weight.iter().chain(&self.bias).cloned().collect()
    }

    pub(super) fn scales(&self) -> Vec<Var> {
        self.scale.clone()
    }

    /// A copy of the values.
    pub(super) fn snapshot(&self) -> Candle<Vec<Tensor>> {
        self.all().map(|var| var.copy()).collect()
    }

    /// Takes the values of a [`snapshot`](Self::snapshot).
    pub(super) fn restore(&self, values: &[Tensor]) -> Candle<()> {
        self.all().zip(values).try_for_each(|(var, value)| var.set(value))
    }

    fn all(&self) -> impl Iterator<Item = &Var> {
        self.weight.iter().chain(&self.bias).chain(&self.scale)
    }

    fn real(&self, k: usize) -> Candle<(Tensor, Tensor)> {
        let (weight, bias) = self.units[k];
        Ok((self.weight[k].affine(weight, 0.0)?, self.bias[k].affine(bias, 0.0)?))
    }

    /// The weights as real numbers, unrounded.
    pub(super) fn weights(&self) -> Candle<Weights> {
        let mut all = Weights { weight: Vec::new(), bias: Vec::new() };
        for k in 0..self.weight.len() {
            let (weight, bias) = self.real(k)?;
            all.weight.push(weight.flatten_all()?.to_vec1()?);
            all.bias.push(bias.to_vec1()?);
        }
        Ok(all)
    }
}

/// The numbers of the integer plan.
#[derive(Clone)]
pub(super) struct Arithmetic {
    /// By layer.
    pub(super) formats: Vec<Format>,
    /// By layer, bits of a truncated ReLU's results.
    pub(super) truncated: Vec<Option<u32>>,
    /// By layer, bits that a truncated ReLU cuts off.
    pub(super) shifts: Vec<u32>,
    /// By layer, the bits of its operand that count.
    pub(super) masks: Vec<Option<Masks>>,
    /// By tensor, how values that the plan holds are rounded.
    pub(super) quants: Vec<Option<Quant>>,
}

/// The bits of a layer's operand that count, by output and input.
#[derive(Clone)]
pub(super) struct Masks {
    /// `outputs x inputs`: 1 where some bit counts, else 0.
    kept: Tensor,
    /// Bits that do not count everywhere where another does, with the negative of their place value there.
    missing: Vec<(u32, Tensor)>,
}

impl Masks {
    /// From `outputs x inputs` masks.
    pub(super) fn new(masks: &[u8], shape: (usize, usize)) -> Candle<Self> {
        let tensor = |value: &dyn Fn(u8) -> f32| {
            Tensor::from_vec(masks.iter().map(|&mask| value(mask)).collect::<Vec<_>>(), shape, &Device::Cpu)
        };
        let lacks = |mask: u8, bit: u32| mask != 0 && mask >> bit & 1 == 0;
        let bits = (0..u8::BITS).filter(|&bit| masks.iter().any(|&mask| lacks(mask, bit)));
        let missing = |bit: u32| {
            let place = -2f32.powi(bit as i32);
            Ok((bit, tensor(&|mask| if lacks(mask, bit) { place } else { 0.0 })?))
        };
        let kept = tensor(&|mask| f32::from(u8::from(mask != 0)))?;
        Ok(Self { kept, missing: bits.map(missing).collect::<Candle<_>>()? })
    }

    /// What the masked summands of integers add up to. The gradient goes to the operand as if all bits counted.
    fn sums(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Candle<Tensor> {
        let mut sums = linear(x, &(weight * &self.kept)?, bias)?;
        let none = bias.zeros_like()?;
        for (bit, missing) in &self.missing {
            sums = (sums + linear(&straight_through::bit(&x.detach(), *bit)?, &(weight * missing)?, &none)?)?;
        }
        Ok(sums)
    }
}

/// What a layer computed, as integers.
pub(super) struct LayerIntegers {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    /// Of the weights.
    pub(super) scale: Vec<f32>,
    /// Of the operand.
    pub(super) operand: f64,
}

/// A tensor in the making: `real = data * scale`, without a scale the data are real.
#[derive(Clone)]
struct Value {
    data: Tensor,
    scale: Option<Tensor>,
}

impl Value {
    fn real(&self) -> Candle<Tensor> {
        match &self.scale {
            Some(scale) => self.data.broadcast_mul(scale),
            None => Ok(self.data.clone()),
        }
    }
}

/// What is asked while the integers are computed.
pub(super) trait Observer {
    /// The sums of layer `k`, before its truncated ReLU cuts bits off: how many?
    fn shift(&mut self, k: usize, sums: &Tensor) -> Candle<u32>;
    /// The integers of layer `k`.
    fn layer(&mut self, _k: usize, _integers: &dyn Fn() -> Candle<LayerIntegers>) -> Candle<()> {
        Ok(())
    }
}

/// The shifts that were chosen before.
pub(super) struct Chosen<'a>(pub(super) &'a [u32]);

impl Observer for Chosen<'_> {
    fn shift(&mut self, k: usize, _: &Tensor) -> Candle<u32> {
        Ok(self.0[k])
    }
}

impl Network {
    /// The part of `graph` before its result; a trailing softmax, arg-max or, for `classes`, single sigmoid left out.
    pub(super) fn new(graph: &Graph, classes: bool) -> Result<Self> {
        let graph = graph.clone();
        let mut problems = Problems::default();
        let is_real = |k: &usize| graph.tensors[graph.outputs[*k].tensor].kind == Kind::Real;
        let result = (0..graph.outputs.len()).find(is_real).unwrap_or(0);
        let Some(output) = graph.outputs.get(result) else {
            return Err(Problem::new("model", "it has no outputs").into());
        };
        let mut logits = output.tensor;
        while classes && let Some(k) = graph.producer(logits) {
            let node = &graph.nodes[k];
            let skipped = match &node.op {
                Op::Softmax { .. } | Op::LogSoftmax { .. } | Op::ArgMax { .. } | Op::Reshape => true,
                Op::Map(Expr::Unary(Unary::Sigmoid, x)) => **x == Expr::Input(0) && graph.tensors[logits].len() == 1,
                _ => false,
            };
            if !skipped {
                break;
            }
            logits = node.inputs[0];
        }
        let mut needed = vec![false; graph.tensors.len()];
        needed[logits] = true;
        let mut order = Vec::new();
        for (k, node) in graph.nodes.iter().enumerate().rev() {
            if needed[node.output] {
                node.inputs.iter().for_each(|&i| needed[i] = true);
                order.push(k);
            }
        }
        order.reverse();
        let mut layers = Vec::new();
        for &k in &order {
            let node = &graph.nodes[k];
            let reason = match &node.op {
                Op::MatMul => Some("multiplies two computed tensors".to_owned()),
                Op::ArgMax { .. } => Some("computes with an index".into()),
                Op::Projection { .. } => Some("reads text".into()),
                Op::GemmColumns { .. } => Some("runs along another axis than the last".into()),
                Op::Map(expr) => expression::unsupported(expr).map(|f| format!("has no gradient ({f})")),
                _ => None,
            };
            if let Some(reason) = reason {
                problems.push(
                    Problem::new(
                        format!("node '{}' ({})", node.name, node.origin),
                        format!("{reason}: it cannot be tuned"),
                    )
                    .help("tune the part of the model before it, or quantize the model without tuning"),
                );
            }
            let Op::Gemm { weight, bias } = &node.op else { continue };
            let last = node.output == logits;
            let relu = match graph.consumers(node.output)[..] {
                [c] if !last && !graph.is_output(node.output) => Some(&graph.nodes[c]),
                _ => None,
            };
            let is_relu =
                |n: &&Node| clamp::bounds_of(&graph, n).is_some_and(|b| (b.low, b.high) == (0.0, f64::INFINITY));
            layers.push(Layer {
                node: k,
                name: node.name.clone(),
                inputs: weight.len() / bias.len().max(1),
                outputs: bias.len(),
                relu: relu.filter(is_relu).map(|n| n.output),
                last,
            });
        }
        if layers.is_empty() {
            problems.push(
                Problem::new("model", "it has no fully connected layer: there is nothing to tune")
                    .help("give a model with Gemm or MatMul layers of constant weights"),
            );
        }
        let constants = graph.tensors.iter().enumerate().filter(|(id, t)| needed[*id] && t.is_constant());
        let constants = constants.map(|(id, t)| {
            let shape = [&[1], t.shape.as_slice()].concat();
            let value = t.value.as_deref().unwrap_or_default().to_vec();
            Tensor::from_vec(value, shape, &Device::Cpu).map(|tensor| (id, tensor))
        });
        let constants = constants.collect::<Candle<HashMap<_, _>>>().map_err(super::failed)?;
        problems.finish(())?;
        Ok(Self { graph, logits, order, layers, constants })
    }

    /// Number of logits.
    pub(super) fn outputs(&self) -> usize {
        self.graph.tensors[self.logits].len()
    }

    /// Number of classes: a single logit is that of the second of two.
    pub(super) fn classes(&self) -> usize {
        self.outputs().max(2)
    }

    /// The weights that the graph has.
    pub(super) fn weights(&self) -> Weights {
        let mut all = Weights { weight: Vec::new(), bias: Vec::new() };
        for layer in &self.layers {
            if let Op::Gemm { weight, bias } = &self.graph.nodes[layer.node].op {
                all.weight.push(weight.to_vec());
                all.bias.push(bias.to_vec());
            }
        }
        all
    }

    /// The graph with other weights.
    pub(super) fn with(&self, weights: &Weights) -> Graph {
        let mut graph = self.graph.clone();
        for (k, layer) in self.layers.iter().enumerate() {
            let (weight, bias) = (weights.weight[k].clone().into(), weights.bias[k].clone().into());
            graph.nodes[layer.node].op = Op::Gemm { weight, bias };
        }
        graph
    }

    /// The operand of each layer.
    pub(super) fn operands(&self) -> Vec<TensorId> {
        self.layers.iter().map(|layer| self.graph.nodes[layer.node].inputs[0]).collect()
    }

    /// The result of each layer, before its ReLU.
    pub(super) fn results(&self) -> Vec<TensorId> {
        self.layers.iter().map(|layer| self.graph.nodes[layer.node].output).collect()
    }

    /// Logits, `rows x outputs`, from the model's inputs in their order, each `rows x shape`.
    pub(super) fn float(&self, parameters: &Parameters, inputs: &[Tensor]) -> Candle<Tensor> {
        let mut values = self.constants();
        for (&id, x) in self.graph.inputs.iter().zip(inputs) {
            values[id] = Some(Value { data: x.clone(), scale: None });
        }
        let mut layer = 0;
        for &k in &self.order {
            let node = &self.graph.nodes[k];
            let data = if matches!(node.op, Op::Gemm { .. }) {
                let (weight, bias) = parameters.real(layer)?;
                layer += 1;
                linear(&value(&values, node.inputs[0])?.data, &weight, &bias)?
            } else {
                self.operator(node, &values)?
            };
            values[node.output] = Some(Value { data, scale: None });
        }
        value(&values, self.logits)?.data.flatten_from(1)
    }

    /// Logits as the integer plan computes them, in real numbers, from quantized inputs without their zero points.
    /// `inputs` are tensors of the graph with their integers: the model's inputs, or what a scaler makes of them.
    pub(super) fn integer(
        &self,
        parameters: &Parameters,
        arithmetic: &Arithmetic,
        observer: &mut dyn Observer,
        inputs: &[(TensorId, Tensor)],
    ) -> Candle<Tensor> {
        let mut values = self.constants();
        for (id, x) in inputs {
            let scale = arithmetic.quants[*id].map_or(1.0, |q| q.scale);
            values[*id] = Some(Value { data: x.clone(), scale: Some(scalar(scale)?) });
        }
        let mut layer = 0;
        for &k in &self.order {
            let node = &self.graph.nodes[k];
            if matches!(node.op, Op::Gemm { .. }) {
                layer += 1;
                self.integer_layer(layer - 1, node, parameters, arithmetic, observer, &mut values)?;
                continue;
            }
            if values[node.output].is_some() {
                continue;
            }
            let moved = matches!(node.op, Op::Reshape | Op::Slice { .. } | Op::Transpose { .. });
            let operand = values[node.inputs[0]].clone();
            values[node.output] = Some(match operand.and_then(|v| v.scale.filter(|s| s.elem_count() == 1)) {
                Some(scale) if moved => Value { data: self.operator(node, &values)?, scale: Some(scale) },
                _ => {
                    let mut real: Vec<Option<Value>> = vec![None; values.len()];
                    for &id in &node.inputs {
                        real[id] = Some(Value { data: value(&values, id)?.real()?, scale: None });
                    }
                    self.rounded(node.output, self.operator(node, &real)?, arithmetic)?
                }
            });
        }
        value(&values, self.logits)?.real()?.flatten_from(1)
    }

    fn integer_layer(
        &self,
        k: usize,
        node: &Node,
        parameters: &Parameters,
        arithmetic: &Arithmetic,
        observer: &mut dyn Observer,
        values: &mut [Option<Value>],
    ) -> Candle<()> {
        let x = value(values, node.inputs[0])?.clone();
        let operand = match &x.scale {
            Some(scale) => scale.clone(),
            None => scalar(1.0)?,
        };
        let (weight, bias) = parameters.real(k)?;
        let scale = parameters.scale[k].exp()?;
        let weight = straight_through::weights(&weight.broadcast_div(&scale)?, arithmetic.formats[k])?;
        // By output; the sums are in units of it.
        let unit = scale.flatten_all()?.broadcast_mul(&operand)?;
        let most = i32::MAX as f32;
        let bias = straight_through::round(&bias.broadcast_div(&unit)?, -most, most)?;
        observer.layer(k, &|| {
            Ok(LayerIntegers {
                weight: weight.flatten_all()?.to_vec1()?,
                bias: bias.to_vec1()?,
                scale: scale.flatten_all()?.to_vec1()?,
                operand: f64::from(operand.flatten_all()?.to_vec1::<f32>()?[0]),
            })
        })?;
        let sums = match &arithmetic.masks[k] {
            Some(masks) => masks.sums(&x.data, &weight, &bias)?,
            None => linear(&x.data, &weight, &bias)?,
        };
        let layer = &self.layers[k];
        if let (Some(bits), Some(relu)) = (arithmetic.truncated[k], layer.relu) {
            let shift = observer.shift(k, &sums)?;
            let cut = 2f64.powi(shift as i32);
            let data = straight_through::truncate(&sums.affine(1.0 / cut, 0.0)?, ((1u32 << bits) - 1) as f32)?;
            values[relu] = Some(Value { data, scale: Some(unit.affine(cut, 0.0)?) });
        }
        values[node.output] = Some(match arithmetic.quants[node.output] {
            // What is compared is not rounded.
            Some(_) if !layer.last => self.rounded(node.output, sums.broadcast_mul(&unit)?, arithmetic)?,
            _ => Value { data: sums, scale: Some(unit) },
        });
        Ok(())
    }

    /// A real tensor as the plan holds it.
    fn rounded(&self, id: TensorId, real: Tensor, arithmetic: &Arithmetic) -> Candle<Value> {
        let Some(quant) = arithmetic.quants[id].filter(|_| id != self.logits) else {
            return Ok(Value { data: real, scale: None });
        };
        let (min, max) = quant.limits();
        let (low, high) = ((min - quant.zero_point) as f32, (max - quant.zero_point) as f32);
        let data = straight_through::round(&real.affine(1.0 / quant.scale, 0.0)?, low, high)?;
        Ok(Value { data, scale: Some(scalar(quant.scale)?) })
    }

    fn constants(&self) -> Vec<Option<Value>> {
        let mut values = vec![None; self.graph.tensors.len()];
        for (&id, data) in &self.constants {
            values[id] = Some(Value { data: data.clone(), scale: None });
        }
        values
    }

    /// An operator without weights, on the data of its operands. Tensors have the rows as an axis in front.
    fn operator(&self, node: &Node, values: &[Option<Value>]) -> Candle<Tensor> {
        let shape = &self.graph.tensors[node.output].shape;
        let operand = |k: usize| value(values, node.inputs[k]).map(|v| v.data.clone());
        let rows = (0..node.inputs.len()).map(|k| operand(k)?.dim(0)).collect::<Candle<Vec<_>>>()?;
        let result = [&[rows.into_iter().max().unwrap_or(1)], shape.as_slice()].concat();
        match &node.op {
            Op::Map(expr) => {
                let aligned = |k| {
                    let x: Tensor = operand(k)?;
                    let missing = result.len().saturating_sub(x.rank());
                    let dims = x.dims();
                    x.reshape([&dims[..1], &vec![1; missing], &dims[1..]].concat())
                };
                let operands = (0..node.inputs.len()).map(aligned).collect::<Candle<Vec<_>>>()?;
                expression::evaluate(expr, &operands)?.broadcast_as(result)
            }
            Op::Concat { axis } => {
                let whole = |k| {
                    let x: Tensor = operand(k)?;
                    let dims = [&result[..1], &x.dims()[1..]].concat();
                    x.broadcast_as(dims)?.contiguous()
                };
                Tensor::cat(&(0..node.inputs.len()).map(whole).collect::<Candle<Vec<_>>>()?, axis + 1)
            }
            Op::Slice { start, step } => {
                let mut x = operand(0)?;
                for (axis, ((&start, &step), &extent)) in start.iter().zip(step).zip(shape).enumerate() {
                    let picked: Vec<u32> = (0..extent as isize).map(|k| (start as isize + k * step) as u32).collect();
                    if step == 1 {
                        x = x.narrow(axis + 1, start, extent)?;
                    } else {
                        x = x.contiguous()?.index_select(&Tensor::new(picked, &Device::Cpu)?, axis + 1)?;
                    }
                }
                x.contiguous()
            }
            Op::Reshape => operand(0)?.contiguous()?.reshape(result),
            Op::Transpose { perm } => {
                let axes: Vec<usize> = std::iter::once(0).chain(perm.iter().map(|a| a + 1)).collect();
                operand(0)?.permute(axes)?.contiguous()
            }
            Op::Softmax { axis } => candle_nn::ops::softmax(&operand(0)?, axis + 1),
            Op::LogSoftmax { axis } => candle_nn::ops::log_softmax(&operand(0)?, axis + 1),
            Op::LayerNormalization { scale, bias, epsilon } => {
                let x = operand(0)?;
                let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
                let root = (centred.sqr()?.mean_keepdim(D::Minus1)? + *epsilon)?.sqrt()?;
                let row = |v: &[f32]| Tensor::new(v, &Device::Cpu);
                centred.broadcast_div(&root)?.broadcast_mul(&row(scale)?)?.broadcast_add(&row(bias)?)
            }
            Op::Reduce { kind: Reduction::Sum, axis } => operand(0)?.sum_keepdim(axis + 1),
            Op::Reduce { kind: Reduction::Mean, axis } => operand(0)?.mean_keepdim(axis + 1),
            Op::Reduce { kind: Reduction::Max, axis } => operand(0)?.max_keepdim(axis + 1),
            Op::Gemm { .. } | Op::GemmColumns { .. } | Op::Projection { .. } | Op::MatMul | Op::ArgMax { .. } => Err(
                candle_core::Error::Msg(format!("'{}' ({}) is no operator of a tuned network", node.name, node.origin)),
            ),
        }
    }
}

fn value(values: &[Option<Value>], id: TensorId) -> Candle<&Value> {
    let missing = || candle_core::Error::Msg(format!("tensor {id} {} is not computed", show_shape(&[])));
    values[id].as_ref().ok_or_else(missing)
}

fn scalar(x: f64) -> Candle<Tensor> {
    Tensor::new(&[x as f32], &Device::Cpu)
}

/// `x` times the transpose of `weight` over the last axis, plus `bias`.
fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Candle<Tensor> {
    let inputs = weight.dim(1)?;
    let rows = x.elem_count() / inputs;
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = weight.dim(0)?;
    }
    let product = x.contiguous()?.reshape((rows, inputs))?.matmul(&weight.t()?)?;
    product.broadcast_add(bias)?.reshape(dims)
}

/// The index of the first of the largest elements of each row.
pub(super) fn classes(logits: &Tensor) -> Candle<Vec<usize>> {
    let largest = |row: &Vec<f32>| {
        if let [single] = row[..] {
            return usize::from(single > 0.0);
        }
        (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best })
    };
    Ok(logits.to_vec2::<f32>()?.iter().map(largest).collect())
}

/// The mean cross-entropy of the labels; of a single logit, that of its sigmoid.
pub(super) fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Candle<Tensor> {
    if logits.dim(D::Minus1)? > 1 {
        return candle_nn::loss::cross_entropy(logits, labels);
    }
    // softplus(z) - z y
    let (z, y) = (logits.flatten_all()?, labels.to_dtype(logits.dtype())?);
    let softplus = (z.relu()? + (z.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    (softplus - (z * y)?)?.mean_all()
}
