//! `LayerNormalization`; with computed factors, and `RMSNormalization`, as the operators that they are made of.

use super::super::lower::{Lowering, Result};
use super::super::value::{Value, count};
use super::reduce;
use crate::graph::expr::{Binary, Unary};
use crate::graph::{Expr, Reduction};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let first = l.axis(l.int("axis", -1)?, v.rank())?;
    if let Some(result) = whole(l, &v, first)? {
        return Ok(vec![result]);
    }
    let axes: Vec<usize> = (first..v.rank()).collect();
    let epsilon = Expr::Const(l.float("epsilon", 1e-5)?);
    let [x, y] = [0, 1].map(Expr::Input);
    let ty = v.ty();
    let mut mean = None;
    let mut centred = v.clone();
    if l.op() == "LayerNormalization" {
        let m = reduce::over(l, &v, Reduction::Mean, &axes)?;
        centred = l.map(&(x.clone() - y.clone()), &[&v, &m], ty)?;
        mean = Some(m);
    }
    let squares = l.map1(&Expr::binary(Binary::Pow, x.clone(), Expr::Const(2.0)), &centred)?;
    let variance = reduce::over(l, &squares, Reduction::Mean, &axes)?;
    let deviation = l.map1(&Expr::unary(Unary::Sqrt, x.clone() + epsilon), &variance)?;
    let mut result = l.map(&(x.clone() / y.clone()), &[&centred, &deviation], ty)?;
    if let Some(scale) = l.optional(1) {
        result = l.map(&(x.clone() * y.clone()), &[&result, &scale], ty)?;
    }
    if let Some(bias) = l.optional(2) {
        result = l.map(&(x.clone() + y), &[&result, &bias], ty)?;
    }
    let mut results = vec![result];
    if let (Some(mean), true) = (mean, l.node.output.len() > 1) {
        results.push(mean);
        results.push(l.map1(&Expr::unary(Unary::Reciprocal, x), &deviation)?);
    }
    Ok(results)
}

/// The one operator, if factors and terms are constants of the normalized axes' shape and nothing but the result is asked for.
fn whole(l: &mut Lowering, v: &Value, first: usize) -> Result<Option<Value>> {
    let (lead, axes) = v.shape().split_at_checked(first).unwrap_or_default();
    let row = count(axes)?;
    if l.op() != "LayerNormalization" || l.node.output.iter().skip(1).any(|name| !name.is_empty()) {
        return Ok(None);
    }
    let mut constants = [vec![1.0; row], vec![0.0; row]];
    for (k, values) in constants.iter_mut().enumerate() {
        match l.optional(k + 1) {
            None => {}
            Some(Value::Constant(c)) if c.shape == axes => values.copy_from_slice(&c.to_floats()),
            Some(_) => return Ok(None),
        }
    }
    let epsilon = l.float("epsilon", 1e-5)?;
    let shape = v.shape().to_vec();
    let flat = l.reshape(v, [lead, &[row]].concat())?;
    let [scale, bias] = constants;
    let result = l.layer_normalization(&flat, &scale, &bias, epsilon)?;
    l.reshape(&result, shape).map(Some)
}
