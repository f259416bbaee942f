//! `ArgMax`, and `ArgMin` as that of the negated operand.

use super::super::lower::{Lowering, Result};
use super::super::value::Value;
use super::reshape::without;
use crate::graph::Expr;
use crate::graph::expr::Unary;

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let mut v = l.input(0)?;
    let axis = l.axis(l.int("axis", 0)?, v.rank())?;
    if l.op() == "ArgMin" {
        v = l.map1(&Expr::unary(Unary::Neg, Expr::Input(0)), &v)?;
    }
    let index = l.arg_max(&v, axis, l.int("select_last_index", 0)? != 0)?;
    if l.int("keepdims", 1)? != 0 {
        return Ok(vec![index]);
    }
    let shape = without(index.shape(), &[axis]);
    Ok(vec![l.reshape(&index, shape)?])
}
