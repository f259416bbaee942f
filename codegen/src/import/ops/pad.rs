//! `Pad` with a constant: joined on, or cut off where negative.

use super::super::lower::{Lowering, Result, extent, with_extent};
use super::super::value::{Constant, Value, count, fault};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let mut v = l.input(0)?;
    let mode = l.text("mode", "constant")?;
    if mode != "constant" {
        return Err(fault(format!("its mode is `{mode}`")).help("only padding with a constant is supported"));
    }
    let pads = match l.ints("paddings")? {
        Some(pads) => pads,
        None => l.ints_or_input("pads", 1)?.ok_or_else(|| fault("it has no pads"))?,
    };
    let fill = match l.optional(2) {
        Some(fill) => fill.scalar().ok_or_else(|| fault("its constant_value is not one constant number"))?,
        None => l.float("value", 0.0)?,
    };
    let axes = match l.constant_ints(3, "axes")? {
        Some(axes) => axes.iter().map(|&a| l.axis(a, v.rank())).collect::<Result<Vec<_>>>()?,
        None => (0..v.rank()).collect(),
    };
    let (before, after) = pads.split_at_checked(axes.len()).unwrap_or_default();
    if before.len() != axes.len() || after.len() != axes.len() {
        return Err(fault(format!("{} pads do not fit {} axes", pads.len(), axes.len())));
    }
    for ((&axis, &before), &after) in axes.iter().zip(before).zip(after) {
        let n = extent(v.shape(), axis);
        let cut = |pad: i64| usize::try_from(pad.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let kept = n.checked_sub(cut(before)).and_then(|n| n.checked_sub(cut(after))).filter(|&n| n > 0);
        let kept = kept.ok_or_else(|| fault(format!("pads of {before} and {after} leave nothing of axis {axis}")))?;
        v = l.slice_axis(&v, axis, cut(before), 1, kept)?;
        let mut parts = vec![v.clone()];
        for (pad, at) in [(before, 0), (after, parts.len())] {
            if pad > 0 {
                let shape = with_extent(v.shape(), axis, usize::try_from(pad).unwrap_or(usize::MAX));
                let len = count(&shape)?;
                l.builder.charge(len)?;
                let padding = Constant::from_numbers(shape, v.ty(), &vec![fill; len]);
                parts.insert(if at == 0 { 0 } else { parts.len() }, Value::Constant(padding));
            }
        }
        v = l.concat(&parts, axis)?;
    }
    Ok(vec![v])
}
