//! Which elementwise functions are a factor and a term per channel.

use crate::graph::expr::{Binary, Unary};
use crate::graph::{Expr, Graph, Node, Op, TensorId};

/// `y[i] = factor[i % period] * x[i] + term[i % period]`, `period` the length of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// The one computed operand.
    pub source: TensorId,
    /// Factor per channel; not zero everywhere.
    pub factor: Vec<f64>,
    /// Term per channel.
    pub term: Vec<f64>,
}

/// The node as an [`Affine`], if it is one: an expression linear in its one computed operand (which has the
/// output's shape), whose other operands are constants broadcast over leading axes.
pub fn affine_of(graph: &Graph, node: &Node) -> Option<Affine> {
    let Op::Map(expr) = &node.op else { return None };
    let mut computed = node.inputs.iter().filter(|&&i| !graph.tensors[i].is_constant());
    let source = *computed.next()?;
    let shape = &graph.tensors[node.output].shape;
    if computed.any(|&i| i != source) || graph.tensors[source].shape != *shape {
        return None;
    }
    let constants: Vec<TensorId> = node.inputs.iter().copied().filter(|&i| i != source).collect();
    let period = constants.iter().map(|&i| period_of(&graph.tensors[i].shape, shape)).max().unwrap_or(1);
    let (mut factor, mut term) = (Vec::with_capacity(period), Vec::with_capacity(period));
    for channel in 0..period {
        let value = |k: usize| -> Option<f64> {
            let tensor = &graph.tensors[node.inputs[k]];
            let value = tensor.value.as_deref()?;
            value.get(broadcast_index(channel, shape, &tensor.shape)).map(|&v| f64::from(v))
        };
        let (a, b) = linear(expr, &|k| if node.inputs[k] == source { None } else { value(k) })?;
        if !a.is_finite() || !b.is_finite() {
            return None;
        }
        factor.push(a);
        term.push(b);
    }
    factor.iter().any(|&a| a != 0.0).then_some(Affine { source, factor, term })
}

/// Number of trailing elements of `shape` after which a constant of shape `constant` repeats.
pub fn period_of(constant: &[usize], shape: &[usize]) -> usize {
    let leading = constant.iter().take_while(|&&n| n == 1).count();
    let axes = constant.len() - leading;
    shape[shape.len().saturating_sub(axes)..].iter().product()
}

/// Index into a constant of shape `constant` for element `index` of a tensor of shape `shape` it broadcasts to.
pub fn broadcast_index(mut index: usize, shape: &[usize], constant: &[usize]) -> usize {
    let (mut at, mut stride) = (0, 1);
    for (k, &extent) in shape.iter().rev().enumerate() {
        let position = index % extent.max(1);
        index /= extent.max(1);
        if k < constant.len() {
            let own = constant[constant.len() - 1 - k];
            if own != 1 {
                at += position * stride;
            }
            stride *= own;
        }
    }
    at
}

/// `expr` as `a * x + b`, where `constant(k)` is `None` for the operand that is `x`.
fn linear(expr: &Expr, constant: &dyn Fn(usize) -> Option<f64>) -> Option<(f64, f64)> {
    let of = |e: &Expr| linear(e, constant);
    Some(match expr {
        Expr::Input(k) => constant(*k).map_or((1.0, 0.0), |c| (0.0, c)),
        Expr::Const(c) => (0.0, *c),
        Expr::Unary(Unary::Neg, x) => of(x).map(|(a, b)| (-a, -b))?,
        Expr::Binary(op, x, y) => {
            let ((a, b), (c, d)) = (of(x)?, of(y)?);
            match op {
                Binary::Add => (a + c, b + d),
                Binary::Sub => (a - c, b - d),
                Binary::Mul if a == 0.0 => (b * c, b * d),
                Binary::Mul if c == 0.0 => (a * d, b * d),
                Binary::Div if c == 0.0 => (a / d, b / d),
                _ if a == 0.0 && c == 0.0 => (0.0, op.eval(b, d)),
                _ => return None,
            }
        }
        Expr::Unary(f, x) => of(x).filter(|x| x.0 == 0.0).map(|(_, b)| (0.0, f.eval(b)))?,
        Expr::Select(..) => return None,
    })
}
