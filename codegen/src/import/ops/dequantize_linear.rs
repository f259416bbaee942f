//! `DequantizeLinear` of constants: weights that a file holds as integers.

use super::super::lower::{Lowering, Result};
use super::super::value::{Constant, Data, Value, fault};
use crate::graph::show_shape;

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let x = match l.input(0)? {
        Value::Poison => return Ok(vec![Value::Poison]),
        Value::Constant(c) => c,
        Value::Computed(_) => {
            return Err(fault("it dequantizes a tensor that is computed from the model's inputs").help(
                "give the float model: the generator quantizes it itself; only weights may be stored as integers",
            ));
        }
    };
    let Data::Int(integers) = &x.data else { return Err(fault("its operand is not a tensor of integers")) };
    let Some(scale) = l.constant(1, "scale")? else { return Err(fault("input 1 is missing")) };
    let zero = l.constant_ints(2, "zero point")?;
    if l.int("block_size", 0)? != 0 {
        return Err(
            fault("scales by block are not supported").help("store the weights with a scale a tensor or an axis")
        );
    }
    let scales = scale.to_floats();
    if zero.as_ref().is_some_and(|zero| zero.len() != scales.len()) {
        return Err(fault("it has other numbers of scales and zero points"));
    }
    // Elements that follow each other with the same scale.
    let run = if scales.len() == 1 {
        x.len()
    } else {
        let axis = l.axis(l.int("axis", 1)?, x.shape.len())?;
        let extents = x.shape.get(axis..).unwrap_or_default();
        let [extent, inner @ ..] = extents else { return Err(fault("its operand has no axis of scales")) };
        if scale.shape != [*extent] {
            return Err(fault(format!(
                "scales of shape {} do not fit axis {axis} of {}",
                show_shape(&scale.shape),
                show_shape(&x.shape)
            )));
        }
        inner.iter().product()
    };
    let per_element = scales.iter().enumerate().map(|(k, &s)| {
        let zero = zero.as_ref().and_then(|zero| zero.get(k)).copied().unwrap_or(0);
        (s, zero)
    });
    let each: Vec<(f32, i64)> = per_element.collect();
    let real = |(k, &q): (usize, &i64)| {
        let at = k.checked_div(run).unwrap_or(0).checked_rem(each.len()).unwrap_or(0);
        let (s, zero) = each.get(at).copied().unwrap_or((0.0, 0));
        q.saturating_sub(zero) as f32 * s
    };
    let floats: Vec<f32> = integers.iter().enumerate().map(real).collect();
    Ok(vec![Value::Constant(Constant { name: x.name.clone(), ..Constant::floats(x.shape.clone(), floats) })])
}
