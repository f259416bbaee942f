//! Operators about shapes: `Shape`, `Size`, `Expand`, `Tile`.

use super::super::lower::{Lowering, Result, broadcast};
use super::super::value::{Constant, Value, count, fault, to_shape};
use crate::graph::show_shape;

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let extents: Vec<i64> = v.shape().iter().map(|&e| e as i64).collect();
    if l.op() == "Size" {
        return Ok(vec![Value::Constant(Constant::ints(Vec::new(), [count(v.shape())? as i64]))]);
    }
    let rank = extents.len() as i64;
    let clamp = |axis: i64| (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize;
    let (start, end) = (clamp(l.int("start", 0)?), clamp(l.int("end", rank)?));
    let part = extents.get(start..end).unwrap_or_default();
    Ok(vec![Value::Constant(Constant::ints(vec![part.len()], part))])
}

pub(super) fn expand(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let wanted = to_shape(&l.constant_ints(1, "shape")?.ok_or_else(|| fault("it has no shape"))?)?;
    let shape = broadcast([v.shape(), &wanted])
        .map_err(|_| fault(format!("shape {} cannot be expanded to {}", show_shape(v.shape()), show_shape(&wanted))))?;
    Ok(vec![l.expand(&v, shape)?])
}

pub(super) fn tile(l: &mut Lowering) -> Result<Vec<Value>> {
    let mut v = l.input(0)?;
    let repeats = to_shape(&l.constant_ints(1, "repeats")?.ok_or_else(|| fault("it has no repeats"))?)?;
    if repeats.len() != v.rank() {
        return Err(fault(format!("repeats {repeats:?} do not fit the shape {}", show_shape(v.shape()))));
    }
    // What does not fit the budget is refused before the list of operands is made.
    l.builder.charge(count(&repeats)?.saturating_mul(count(v.shape())?))?;
    for (axis, &n) in repeats.iter().enumerate() {
        v = match n {
            1 => v,
            0 => return Err(fault("its result has no elements")),
            n => l.concat(&vec![v; n], axis)?,
        };
    }
    Ok(vec![v])
}
