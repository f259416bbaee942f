//! `Slice`: attributes before opset 10, inputs since.

use super::super::lower::{Lowering, Result, extent};
use super::super::value::{Value, fault};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let starts = l.ints_or_input("starts", 1)?.ok_or_else(|| fault("it has no starts"))?;
    let ends = l.ints_or_input("ends", 2)?.ok_or_else(|| fault("it has no ends"))?;
    let axes = l.ints_or_input("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = l.constant_ints(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(fault("its starts, ends, axes and steps are not equally many"));
    }
    let (mut start, mut step, mut shape) = (vec![0; v.rank()], vec![1; v.rank()], v.shape().to_vec());
    for (((&from, &to), &by), &axis) in starts.iter().zip(&ends).zip(&steps).zip(&axes) {
        let axis = l.axis(axis, v.rank())?;
        let (first, len) = range(extent(v.shape(), axis), from, to, by).ok_or_else(|| fault("its step is 0"))?;
        for (list, value) in [(&mut start, first), (&mut shape, len)] {
            if let Some(entry) = list.get_mut(axis) {
                *entry = value;
            }
        }
        if let Some(entry) = step.get_mut(axis) {
            *entry = isize::try_from(by).unwrap_or(isize::MAX);
        }
    }
    // A step of a single element is never taken; a huge one would overflow.
    for (step, &len) in step.iter_mut().zip(&shape) {
        *step = if len <= 1 { 1 } else { *step };
    }
    Ok(vec![l.slice(&v, &start, &step, shape)?])
}

/// First index and number of elements of `from..to` in steps of `by`, clamped as ONNX says.
fn range(extent: usize, from: i64, to: i64, by: i64) -> Option<(usize, usize)> {
    let n = i128::try_from(extent).ok()?;
    let wrap = |i: i64| if i < 0 { i128::from(i) + n } else { i128::from(i) };
    let by = i128::from(by);
    let (low, high) = if by > 0 { (0, n) } else { (-1, n - 1) };
    let (from, to) = (wrap(from).clamp(low.max(0), high.max(0)), wrap(to).clamp(low, high));
    let span = if by > 0 { to - from } else { from - to };
    let len = if span <= 0 { 0 } else { (span + by.abs() - 1).checked_div(by.abs())? };
    if by == 0 {
        return None;
    }
    if extent == 0 {
        return Some((0, 0));
    }
    Some((usize::try_from(from).ok()?, usize::try_from(len).ok()?))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges() {
        for (extent, from, to, by, expected) in [
            (6, 1, 5, 1, (1, 4)),
            (6, -2, i64::MAX, 1, (4, 2)),
            (6, 0, i64::MAX, 2, (0, 3)),
            (5, 0, i64::MAX, 2, (0, 3)),
            (6, -1, i64::MIN, -1, (5, 6)),
            (6, i64::MAX, i64::MIN, -2, (5, 3)),
            (6, 4, 1, -1, (4, 3)),
            (6, 4, 1, 1, (4, 0)),
            (6, 2, 3, i64::MAX, (2, 1)),
            (6, -100, 100, 1, (0, 6)),
            (0, 0, 1, 1, (0, 0)),
            (0, -1, i64::MIN, -1, (0, 0)),
        ] {
            assert_eq!(range(extent, from, to, by), Some(expected), "{extent} {from} {to} {by}");
        }
        assert_eq!(range(6, 0, 6, 0), None);
    }
}
