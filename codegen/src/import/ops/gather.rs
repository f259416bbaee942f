//! `Gather` and `GatherND` with constant indices: slices of the operand, joined where there are several.

use super::super::lower::{Lowering, Result, extent};
use super::super::value::{Type, Value, count, fault};
use super::label_head;

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let (v, indices) = (l.input(0)?, l.input(1)?);
    let axis = l.axis(l.int("axis", 0)?, v.rank())?;
    if let (Value::Constant(labels), Type::Index, 1) = (&v, indices.ty(), v.rank()) {
        return Ok(vec![label_head::labelled(&indices, labels)?]);
    }
    let Some(list) = l.constant_ints(1, "indices")? else { return Err(fault("it has no indices")) };
    Ok(vec![gather(l, &v, axis, &list, indices.shape())?])
}

/// `GatherND`: an index is a row of the operand's first axes.
pub(super) fn nd(l: &mut Lowering) -> Result<Vec<Value>> {
    let (v, indices) = (l.input(0)?, l.input(1)?);
    let list = l.constant_ints(1, "indices")?.ok_or_else(|| fault("it has no indices"))?;
    if l.int("batch_dims", 0)? != 0 {
        return Err(fault("batch_dims other than 0 are not supported"));
    }
    let misfit = || fault(format!("indices of shape {:?} do not fit the shape {:?}", indices.shape(), v.shape()));
    let (&depth, lead) = indices.shape().split_last().ok_or_else(misfit)?;
    let (outer, inner) = v.shape().split_at_checked(depth).filter(|_| depth > 0).ok_or_else(misfit)?;
    let flat = |row: &[i64]| {
        row.iter().zip(outer).try_fold(0i64, |flat, (&i, &extent)| {
            let wrapped = if i < 0 { i.checked_add(extent as i64)? } else { i };
            (0..extent as i64).contains(&wrapped).then_some(flat * extent as i64 + wrapped)
        })
    };
    let rows = list.chunks_exact(depth).map(flat).collect::<Option<Vec<_>>>();
    let rows = rows.ok_or_else(|| fault(format!("indices are outside the shape {:?}", v.shape())))?;
    let table = l.reshape(&v, [&[count(outer)?], inner].concat())?;
    Ok(vec![gather(l, &table, 0, &rows, lead)?])
}

/// The elements of the given indices along an axis, which their shape replaces.
pub(super) fn gather(l: &mut Lowering, v: &Value, axis: usize, indices: &[i64], shape: &[usize]) -> Result<Value> {
    let n = extent(v.shape(), axis);
    let wrap = |&i: &i64| {
        let wrapped = if i < 0 { i.checked_add(n as i64) } else { Some(i) };
        let index = wrapped.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < n);
        index.ok_or_else(|| fault(format!("index {i} is outside the {n} elements of axis {axis}")))
    };
    let indices = indices.iter().map(wrap).collect::<Result<Vec<_>>>()?;
    let (outer, inner) = (v.shape().get(..axis).unwrap_or_default(), v.shape().get(axis + 1..).unwrap_or_default());
    let shape = [outer, shape, inner].concat();
    if let Value::Constant(c) = v {
        l.builder.charge(count(&shape)?)?;
        let (outer, inner) = (count(outer)?, count(inner)?);
        let row = |o: usize| indices.iter().flat_map(move |i| (0..inner).map(move |k| (o * n + i) * inner + k));
        let offsets: Vec<usize> = (0..outer).flat_map(row).collect();
        return Ok(Value::Constant(c.gather(shape, &offsets)));
    }
    let mut parts = Vec::new();
    let mut rest = indices.as_slice();
    while let Some((start, step, len)) = progression(rest) {
        parts.push(l.slice_axis(v, axis, start, step, len)?);
        rest = rest.get(len..).unwrap_or_default();
    }
    let joined = l.concat(&parts, axis)?;
    l.reshape(&joined, shape)
}

/// The arithmetic progression that a list of indices begins with: start, step, length.
fn progression(indices: &[usize]) -> Option<(usize, isize, usize)> {
    let &first = indices.first()?;
    let step = indices.get(1).map_or(1, |&second| second as isize - first as isize);
    if step == 0 {
        return Some((first, 1, 1));
    }
    let len = (0..).zip(indices).take_while(|&(k, &i)| first as isize + k * step == i as isize).count();
    Some((first, step, len))
}

#[cfg(test)]
mod tests {
    #[test]
    fn progressions() {
        for (indices, expected) in [
            (&[3usize][..], (3, 1, 1)),
            (&[1, 2, 3, 9], (1, 1, 3)),
            (&[4, 2, 0], (4, -2, 3)),
            (&[0, 5, 2], (0, 5, 2)),
            (&[2, 2, 2], (2, 1, 1)),
        ] {
            assert_eq!(super::progression(indices), Some(expected));
        }
        assert_eq!(super::progression(&[]), None);
    }
}
