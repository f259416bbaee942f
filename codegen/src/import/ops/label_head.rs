//! The end of scikit-learn's classifiers: an index becomes a label, probabilities become a map from labels.

use std::sync::Arc;

use super::super::lower::{Lowering, Result};
use super::super::value::{Computed, Constant, Data, Type, Value, count, fault};
use super::gather;
use crate::graph::Labels;

/// Labels out of a constant: integers, also as floats, or text.
fn labels(c: &Constant) -> Result<Labels> {
    match &c.data {
        Data::Int(all) => Ok(Labels::Integers(all.to_vec())),
        Data::Text(all) => Ok(Labels::Strings(all.to_vec())),
        Data::Float(all) => whole(all),
    }
}

fn whole(floats: &[f32]) -> Result<Labels> {
    if floats.iter().any(|x| x.fract() != 0.0 || x.abs() > 16_777_216.0) {
        return Err(fault("its labels are not whole numbers").help("train the classifier with integer or text labels"));
    }
    Ok(Labels::Integers(floats.iter().map(|&x| x as i64).collect()))
}

/// An index with what it stands for.
pub(super) fn labelled(index: &Value, classes: &Constant) -> Result<Value> {
    match index {
        Value::Computed(c) if c.ty == Type::Index && c.labels.is_none() => {
            Ok(Value::Computed(Computed { labels: Some(Arc::new(labels(classes)?)), ..c.clone() }))
        }
        _ => Err(fault("its index does not come from an ArgMax")),
    }
}

/// Selects along the last axis: columns of a tensor, or the labels of an index.
pub(super) fn array_feature_extractor(l: &mut Lowering) -> Result<Vec<Value>> {
    let (v, indices) = (l.input(0)?, l.input(1)?);
    let n = count(indices.shape())?;
    if let (Value::Constant(classes), Type::Index) = (&v, indices.ty()) {
        if classes.shape.iter().rev().skip(1).any(|&e| e != 1) {
            return Err(fault("its labels have more than one axis"));
        }
        let lead = vec![1; v.rank().saturating_sub(1).max(1)];
        let index = l.reshape(&indices, [lead, vec![n]].concat())?;
        return Ok(vec![labelled(&index, classes)?]);
    }
    let Some(list) = l.constant_ints(1, "indices")? else { return Err(fault("it has no indices")) };
    let axis = l.axis(-1, v.rank())?;
    let columns = gather::gather(l, &v, axis, &list, &[n])?;
    if v.rank() > 1 {
        return Ok(vec![columns]);
    }
    Ok(vec![l.reshape(&columns, vec![1, n])?])
}

/// Maps are no tensors: the probabilities stay one, and its columns get their labels.
pub(super) fn zip_map(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let labels = match (l.ints("classlabels_int64s")?, l.strings("classlabels_strings")?) {
        (Some(all), _) if !all.is_empty() => Some(Labels::Integers(all)),
        (_, Some(all)) if !all.is_empty() => Some(Labels::Strings(all)),
        _ => None,
    };
    Ok(vec![match v {
        Value::Computed(c) => Value::Computed(Computed { labels: labels.map(Arc::new), ..c }),
        v => v,
    }])
}

/// Maps keys to values; here, the labels of an index to other labels.
pub(super) fn label_encoder(l: &mut Lowering) -> Result<Vec<Value>> {
    let Value::Computed(index) = l.input(0)? else { return Err(fault("its input is constant")) };
    if index.ty != Type::Index {
        return Err(fault("it encodes an input of the model").help("encode the features before the model"));
    }
    let values = if let Some(ints) = l.ints("values_int64s")? {
        Labels::Integers(ints)
    } else if let Some(texts) = l.strings("values_strings")? {
        Labels::Strings(texts)
    } else {
        whole(&l.floats("values_floats")?.ok_or_else(|| fault("it has no values"))?)?
    };
    // The place of each label among the keys.
    let places: Vec<Option<usize>> = match (index.labels.as_deref(), l.ints("keys_int64s")?, l.strings("keys_strings")?)
    {
        (Some(Labels::Integers(all)), Some(keys), _) => all.iter().map(|x| keys.iter().position(|k| k == x)).collect(),
        (Some(Labels::Strings(all)), _, Some(keys)) => all.iter().map(|x| keys.iter().position(|k| k == x)).collect(),
        (None, Some(keys), _) => (0..keys.len() as i64).map(|x| keys.iter().position(|&k| k == x)).collect(),
        _ => return Err(fault("its keys are not of the kind of its input")),
    };
    fn select<T: Clone>(places: &[Option<usize>], values: &[T], default: T) -> Vec<T> {
        places.iter().map(|p| p.and_then(|p| values.get(p)).unwrap_or(&default).clone()).collect()
    }
    let labels = match values {
        Labels::Integers(all) => Labels::Integers(select(&places, &all, l.int("default_int64", -1)?)),
        Labels::Strings(all) => Labels::Strings(select(&places, &all, l.text("default_string", "_Unused")?)),
    };
    Ok(vec![Value::Computed(Computed { labels: Some(Arc::new(labels)), ..index })])
}
