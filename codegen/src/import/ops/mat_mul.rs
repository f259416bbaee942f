//! `MatMul`, in all the ranks that numpy's has.

use super::super::lower::{Lowering, Result, broadcast};
use super::super::value::{Constant, Value, fault};
use crate::graph::show_shape;

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let (a, b) = (l.input(0)?, l.input(1)?);
    Ok(vec![product(l, &a, &b)?])
}

/// `x` times a constant matrix with one row per element of `x`'s last axis, plus a bias.
pub(super) fn linear(l: &mut Lowering, x: &Value, matrix: &Constant, bias: &[f32]) -> Result<Value> {
    match l.transpose_matrix(&Value::Constant(matrix.clone()))? {
        Value::Constant(weight) => l.gemm(x, &weight.to_floats(), bias),
        _ => Err(fault("the weights are not constant")),
    }
}

/// A constant that is one matrix, whatever axes of extent 1 it has in front.
fn as_matrix(v: &Value, vector: fn(usize) -> Vec<usize>) -> Option<Constant> {
    let c = v.constant()?;
    let shape = match c.shape.as_slice() {
        [n] => vector(*n),
        [lead @ .., rows, columns] if lead.iter().all(|&e| e == 1) => vec![*rows, *columns],
        _ => return None,
    };
    Some(Constant { shape, ..c.clone() })
}

/// The product of two tensors.
pub(super) fn product(l: &mut Lowering, a: &Value, b: &Value) -> Result<Value> {
    let mismatch = || {
        let (a, b) = (show_shape(a.shape()), show_shape(b.shape()));
        fault(format!("operands of shapes {a} and {b} cannot be multiplied"))
    };
    // A vector is a row on the left and a column on the right; that axis is dropped in the end.
    let row = |n: usize| vec![1, n];
    let column = |n: usize| vec![n, 1];
    let promoted = |v: &Value, vector: fn(usize) -> Vec<usize>| match *v.shape() {
        [n] => vector(n),
        _ => v.shape().to_vec(),
    };
    let (a_shape, b_shape) = (promoted(a, row), promoted(b, column));
    let ([a_lead @ .., m, k], [b_lead @ .., k_too, n]) = (a_shape.as_slice(), b_shape.as_slice()) else {
        return Err(mismatch());
    };
    let (m, n) = (*m, *n);
    if k != k_too {
        return Err(mismatch());
    }
    let lead = broadcast([a_lead, b_lead]).map_err(|_| mismatch())?;
    let mut shape = lead.clone();
    shape.extend((a.rank() > 1).then_some(m));
    shape.extend((b.rank() > 1).then_some(n));
    let out = match (a.is_constant(), b.is_constant(), as_matrix(a, row), as_matrix(b, column)) {
        (false, true, _, Some(matrix)) => linear(l, a, &matrix, &vec![0.0; n])?,
        // A * B is the transpose of B' * A'.
        (true, false, Some(matrix), _) => {
            let x = if b.rank() == 1 { b.clone() } else { l.transpose_matrix(b)? };
            let transposed = l.gemm(&x, &matrix.to_floats(), &vec![0.0; m])?;
            if b.rank() == 1 { transposed } else { l.transpose_matrix(&transposed)? }
        }
        _ => {
            let (a, b) = (l.reshape(a, a_shape.clone())?, l.reshape(b, b_shape.clone())?);
            l.mat_mul(&a, &b, [lead.as_slice(), &[m, n]].concat())?
        }
    };
    l.reshape(&out, shape)
}
