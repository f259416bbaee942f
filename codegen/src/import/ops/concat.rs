//! `Concat`, and ai.onnx.ml's `FeatureVectorizer`, which is one.

use super::super::lower::{Lowering, Result};
use super::super::value::{Value, fault};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let values = l.all_inputs()?;
    let rank = values.iter().map(Value::rank).max().unwrap_or(0);
    let axis = l.axis(l.int("axis", 1)?, rank)?;
    Ok(vec![l.concat(&values, axis)?])
}

pub(super) fn feature_vectorizer(l: &mut Lowering) -> Result<Vec<Value>> {
    let values = l.all_inputs()?;
    match values.iter().all(|v| v.rank() == 2) {
        true => Ok(vec![l.concat(&values, 1)?]),
        false => Err(fault("only operands of two axes are supported")),
    }
}
