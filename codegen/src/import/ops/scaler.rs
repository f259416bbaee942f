//! The preprocessing operators of ai.onnx.ml: `Scaler`, `Normalizer`, `Binarizer`.

use super::super::lower::{Lowering, Result};
use super::super::value::{Constant, Type, Value, fault};
use super::reduce;
use crate::graph::Expr;
use crate::graph::expr::Binary;

/// `(x - offset) * scale`, per feature or with one number for all.
pub(super) fn scaler(l: &mut Lowering) -> Result<Vec<Value>> {
    let mut v = l.input(0)?;
    let features = v.shape().last().copied().unwrap_or(1);
    for (name, function) in [("offset", Binary::Sub), ("scale", Binary::Mul)] {
        let Some(numbers) = l.floats(name)?.filter(|n| !n.is_empty()) else { continue };
        if numbers.len() != 1 && numbers.len() != features {
            return Err(fault(format!("its {name} has {} numbers for {features} features", numbers.len())));
        }
        let name = format!("{}/{name}", l.name);
        let numbers = Value::Constant(Constant { name: name.into(), ..Constant::floats(vec![numbers.len()], numbers) });
        v = l.map(&Expr::binary(function, Expr::Input(0), Expr::Input(1)), &[&v, &numbers], Type::Float)?;
    }
    Ok(vec![v])
}

pub(super) fn normalizer(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let norm = match l.text("norm", "MAX")?.as_str() {
        "MAX" => "ReduceMax",
        "L1" => "ReduceL1",
        "L2" => "ReduceL2",
        other => return Err(fault(format!("its norm is `{other}`, not MAX, L1 or L2"))),
    };
    let axis = l.axis(-1, v.rank())?;
    Ok(vec![reduce::divided_by(l, &v, norm, axis)?])
}

pub(super) fn binarizer(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let threshold = Expr::Const(l.float("threshold", 0.0)?);
    Ok(vec![l.map(&Expr::binary(Binary::Greater, Expr::Input(0), threshold), &[&v], Type::Float)?])
}
