//! Operators about shapes: `Shape`, `Size`, `Expand`, `Tile`.

use super::super::lower::{Lowering, Result, broadcast, extent, with_extent};
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
    // Along each axis, through a new axis in front of it.
    for (axis, &n) in repeats.iter().enumerate().filter(|(_, n)| **n != 1) {
        let (lead, rest) = v.shape().split_at_checked(axis).unwrap_or_default();
        let shape = |n: usize| [lead, &[n], rest].concat();
        let (one, many) = (shape(1), shape(n));
        let merged = with_extent(v.shape(), axis, extent(v.shape(), axis).saturating_mul(n));
        let apart = l.reshape(&v, one)?;
        let repeated = l.expand(&apart, many)?;
        v = l.reshape(&repeated, merged)?;
    }
    Ok(vec![v])
}
