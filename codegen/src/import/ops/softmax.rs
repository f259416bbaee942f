//! `Softmax` and `LogSoftmax`.

use super::super::lower::{Lowering, Result, extent};
use super::super::value::{Value, count};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let log = l.op() == "LogSoftmax";
    if l.opset >= 13 {
        let axis = l.axis(l.int("axis", -1)?, v.rank())?;
        return Ok(vec![l.softmax(&v, axis, log)?]);
    }
    // Before opset 13 all axes from the given one on are one.
    let axis = l.axis(l.int("axis", 1)?, v.rank())?;
    let (lead, rest) = v.shape().split_at_checked(axis).unwrap_or_default();
    if count(rest)? == extent(v.shape(), axis) {
        return Ok(vec![l.softmax(&v, axis, log)?]);
    }
    let flat = l.reshape(&v, vec![count(lead)?, count(rest)?])?;
    let result = l.softmax(&flat, 1, log)?;
    Ok(vec![l.reshape(&result, v.shape().to_vec())?])
}
