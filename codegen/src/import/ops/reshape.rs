//! Operators that leave the elements as they are: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`, `Identity`,
//! `Dropout`.

use super::super::lower::{Lowering, Result, extent};
use super::super::value::{Value, count, fault};
use crate::graph::show_shape;

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let wanted = l.ints_or_input("shape", 1)?.ok_or_else(|| fault("it has no shape"))?;
    let shape = resolve(v.shape(), &wanted, l.int("allowzero", 0)? != 0)?;
    Ok(vec![l.reshape(&v, shape)?])
}

/// The shape that `Reshape` is given, with 0 (as before) and -1 (what is left) replaced.
fn resolve(from: &[usize], wanted: &[i64], allow_zero: bool) -> Result<Vec<usize>> {
    let cannot = || {
        fault(format!("shape {} cannot become {wanted:?}", show_shape(from)))
            .help("if the batch size is written into the model, export it with a batch of 1 or a symbolic batch")
    };
    let mut open = None;
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, &extent) in wanted.iter().enumerate() {
        shape.push(match extent {
            0 if !allow_zero => *from.get(axis).ok_or_else(cannot)?,
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            extent => usize::try_from(extent).map_err(|_| cannot())?,
        });
    }
    if let Some(entry) = open.and_then(|axis| shape.get_mut(axis)) {
        let total = count(from)?;
        *entry = 0;
        let rest =
            count(&shape.iter().enumerate().map(|(a, &e)| if Some(a) == open { 1 } else { e }).collect::<Vec<_>>())?;
        let fill = total.checked_div(rest).ok_or_else(cannot)?;
        if let Some(entry) = open.and_then(|axis| shape.get_mut(axis)) {
            *entry = fill;
        }
    }
    if count(&shape)? == count(from)? { Ok(shape) } else { Err(cannot()) }
}

pub(super) fn flatten(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let axis = match l.int("axis", 1)? {
        axis if axis == v.rank() as i64 => v.rank(),
        axis => l.axis(axis, v.rank().max(1))?,
    };
    let (lead, rest) = v.shape().split_at_checked(axis).unwrap_or((v.shape(), &[]));
    let shape = vec![count(lead)?, count(rest)?];
    Ok(vec![l.reshape(&v, shape)?])
}

pub(super) fn squeeze(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let axes = match l.ints_or_input("axes", 1)? {
        Some(axes) => l.axes(&axes, v.rank())?,
        None => (0..v.rank()).filter(|&a| extent(v.shape(), a) == 1).collect(),
    };
    if let Some(axis) = axes.iter().find(|&&a| extent(v.shape(), a) != 1) {
        return Err(fault(format!("axis {axis} of shape {} is not 1", show_shape(v.shape()))));
    }
    let shape = without(v.shape(), &axes);
    Ok(vec![l.reshape(&v, shape)?])
}

/// The shape without some axes.
pub(super) fn without(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    shape.iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, &e)| e).collect()
}

pub(super) fn unsqueeze(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let axes = l.ints_or_input("axes", 1)?.ok_or_else(|| fault("it has no axes"))?;
    let rank = v.rank() + axes.len();
    count(&vec![1; rank])?;
    let new = l.axes(&axes, rank)?;
    if new.len() != axes.len() {
        return Err(fault(format!("its axes {axes:?} are not different")));
    }
    let mut old = v.shape().iter();
    let shape = (0..rank).map(|a| if new.contains(&a) { 1 } else { old.next().copied().unwrap_or(1) }).collect();
    Ok(vec![l.reshape(&v, shape)?])
}

pub(super) fn identity(l: &mut Lowering) -> Result<Vec<Value>> {
    if l.op() == "Dropout" && l.optional(2).is_some_and(|training| training.scalar() != Some(0.0)) {
        return Err(fault("it is in training mode").help("export the model in evaluation mode (`model.eval()`)"));
    }
    Ok(vec![l.input(0)?])
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn zero_and_minus_one() {
        assert_eq!(resolve(&[1, 4, 6], &[0, -1], false).unwrap(), [1, 24]);
        assert_eq!(resolve(&[2, 3], &[-1], false).unwrap(), [6]);
        assert_eq!(resolve(&[2, 3], &[3, 2, 1], false).unwrap(), [3, 2, 1]);
        assert_eq!(resolve(&[1], &[], false).unwrap(), [0; 0]);
        assert_eq!(resolve(&[0], &[0, 3], true).unwrap(), [0, 3]);
        for bad in [&[4][..], &[-1, -1], &[-1, 4], &[-2], &[0, 0, 0], &[0], &[i64::MAX, i64::MAX]] {
            assert!(resolve(&[2, 3], bad, false).is_err(), "{bad:?}");
        }
        assert!(resolve(&[2, 3], &[0, -1], true).is_err());
    }
}
