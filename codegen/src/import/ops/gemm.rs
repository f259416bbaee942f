//! `Gemm`: `alpha * A' * B' + beta * C`, and the linear operator of ai.onnx.ml.

use super::super::lower::{Lowering, Result};
use super::super::value::{Constant, Value, fault};
use super::mat_mul;
use crate::graph::{Expr, show_shape};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let (mut a, mut b, c) = (l.input(0)?, l.input(1)?, l.optional(2));
    let (mut alpha, beta) = (l.float("alpha", 1.0)?, l.float("beta", 1.0)?);
    if a.rank() != 2 || b.rank() != 2 {
        let (a, b) = (show_shape(a.shape()), show_shape(b.shape()));
        return Err(fault(format!("its operands have shapes {a} and {b}, not two axes each")));
    }
    if l.int("transA", 0)? != 0 {
        a = l.transpose_matrix(&a)?;
    }
    if l.int("transB", 0)? != 0 {
        b = l.transpose_matrix(&b)?;
    }
    // alpha goes into a constant operand where there is one.
    if let Some(constant) = [&mut b, &mut a].into_iter().find(|v| v.is_constant()) {
        *constant = scaled(l, constant, alpha)?;
        alpha = 1.0;
    }
    let c = c.filter(|_| beta != 0.0);
    if let (Value::Constant(weight), false, Some(bias)) = (&b, a.is_constant(), c.as_ref().and_then(|c| row(c, &b))) {
        let Value::Constant(bias) = scaled(l, &Value::Constant(bias), beta)? else { return Err(fault("no bias")) };
        return Ok(vec![mat_mul::linear(l, &a, weight, &bias.to_floats())?]);
    }
    let product = mat_mul::product(l, &a, &b)?;
    let product = scaled(l, &product, alpha)?;
    let Some(c) = c else { return Ok(vec![product]) };
    let c_scaled = if beta == 1.0 { Expr::Input(1) } else { Expr::Const(beta) * Expr::Input(1) };
    let sum = l.map(&(Expr::Input(0) + c_scaled), &[&product, &c], product.ty())?;
    if sum.shape() != product.shape() {
        let (c, product) = (show_shape(c.shape()), show_shape(product.shape()));
        return Err(fault(format!("C of shape {c} does not broadcast to {product}")));
    }
    Ok(vec![sum])
}

fn scaled(l: &mut Lowering, v: &Value, by: f64) -> Result<Value> {
    if by == 1.0 { Ok(v.clone()) } else { l.map1(&(Expr::Input(0) * Expr::Const(by)), v) }
}

/// C as one bias per output, if it is constant and the same for every row.
fn row(c: &Value, b: &Value) -> Option<Constant> {
    let (c, &outputs) = (c.constant()?, b.shape().last()?);
    let data = c.to_floats();
    match *data {
        [one] if c.shape.len() <= 2 => Some(Constant::floats(vec![outputs], vec![one; outputs])),
        _ if data.len() == outputs && c.shape.last() == Some(&outputs) && c.shape.len() <= 2 => {
            Some(Constant { shape: vec![outputs], ..c.clone() })
        }
        _ => None,
    }
}

/// scikit-learn's linear regression.
pub(super) fn linear_regressor(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let targets = usize::try_from(l.int("targets", 1)?).unwrap_or(0);
    let weight = l.floats("coefficients")?.unwrap_or_default();
    let bias = l.floats("intercepts")?.unwrap_or_else(|| vec![0.0; targets.min(weight.len())]);
    if l.text("post_transform", "NONE")? != "NONE" || bias.len() != targets {
        return Err(fault("only LinearRegressor without post_transform, with one intercept per target, is supported"));
    }
    Ok(vec![l.gemm(&v, &weight, &bias)?])
}
