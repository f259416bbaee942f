//! `Split`: parts along an axis.

use super::super::lower::{Lowering, Result, extent};
use super::super::value::{Value, fault};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let axis = l.axis(l.int("axis", 0)?, v.rank())?;
    let total = extent(v.shape(), axis);
    let lens = match l.ints_or_input("split", 1)? {
        Some(lens) => lens.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect(),
        None => {
            let parts = usize::try_from(l.int("num_outputs", l.node.output.len() as i64)?).unwrap_or(0);
            equal(total, parts).ok_or_else(|| fault(format!("{total} elements cannot be split into {parts} parts")))?
        }
    };
    if lens.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)) != Some(total) {
        return Err(fault(format!("parts of {lens:?} elements do not make up the {total} of axis {axis}")));
    }
    let mut start = 0;
    let mut results = Vec::with_capacity(lens.len());
    for (len, name) in lens.into_iter().zip(&l.node.output) {
        results.push(if name.is_empty() { Value::Poison } else { l.slice_axis(&v, axis, start, 1, len)? });
        start += len;
    }
    Ok(results)
}

/// Equal parts, but for a smaller last one.
fn equal(total: usize, parts: usize) -> Option<Vec<usize>> {
    if parts == 0 || parts > total.max(1) {
        return None;
    }
    let each = total.div_ceil(parts);
    let last = total.checked_sub(each * (parts - 1))?;
    Some((0..parts).map(|k| if k + 1 == parts { last } else { each }).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn equal_parts() {
        assert_eq!(super::equal(6, 3).unwrap(), [2, 2, 2]);
        assert_eq!(super::equal(7, 3).unwrap(), [3, 3, 1]);
        assert_eq!(super::equal(5, 1).unwrap(), [5]);
        assert!(super::equal(5, 0).is_none() && super::equal(2, 3).is_none());
    }
}
