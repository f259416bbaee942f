//! Operators that make constants: `Constant`, `ConstantOfShape`, `Range`.

use super::super::lower::{Lowering, Result};
use super::super::proto::attribute_type;
use super::super::value::{Constant, Data, Type, Value, count, fault, read, to_shape};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    if let Some(tensor) = l.attribute("value", attribute_type::TENSOR)?.and_then(|a| a.t.as_ref()) {
        let constant = read(tensor, l.builder.directory.as_deref())?;
        return Ok(vec![Value::Constant(Constant { name: "".into(), ..constant })]);
    }
    let text =
        |shape, texts: Vec<String>| Constant { name: "".into(), shape, ty: Type::Text, data: Data::Text(texts.into()) };
    let constant = if let Some(floats) = l.floats("value_floats")? {
        Constant::floats(vec![floats.len()], floats)
    } else if let Some(ints) = l.ints("value_ints")? {
        Constant::ints(vec![ints.len()], ints)
    } else if let Some(strings) = l.strings("value_strings")? {
        text(vec![strings.len()], strings)
    } else if let Some(a) = l.attribute("value_float", attribute_type::FLOAT)? {
        Constant::floats(Vec::new(), [a.f])
    } else if let Some(a) = l.attribute("value_int", attribute_type::INT)? {
        Constant::ints(Vec::new(), [a.i])
    } else if l.attribute("value_string", attribute_type::STRING)?.is_some() {
        text(Vec::new(), vec![l.text("value_string", "")?])
    } else {
        return Err(fault("only dense values are supported").help("save the model with dense weights"));
    };
    Ok(vec![Value::Constant(constant)])
}

pub(super) fn of_shape(l: &mut Lowering) -> Result<Vec<Value>> {
    let dims = l.constant_ints(0, "shape")?.ok_or_else(|| fault("it has no shape"))?;
    let shape = to_shape(&dims)?;
    let len = count(&shape)?;
    l.builder.charge(len)?;
    let value = match l.attribute("value", attribute_type::TENSOR)?.and_then(|a| a.t.as_ref()) {
        Some(tensor) => read(tensor, None)?,
        None => Constant::scalar(0.0),
    };
    if value.len() != 1 {
        return Err(fault(format!("its value has {} elements, not one", value.len())));
    }
    Ok(vec![Value::Constant(Constant { name: "".into(), ..value.gather(shape, &vec![0; len]) })])
}

pub(super) fn range(l: &mut Lowering) -> Result<Vec<Value>> {
    let mut bounds = Vec::with_capacity(3);
    for (k, what) in ["start", "limit", "delta"].into_iter().enumerate() {
        let bound = l.constant(k, what)?.map(Value::Constant).and_then(|v| v.scalar());
        bounds.push(bound.ok_or_else(|| fault(format!("its {what} is not a number")))?);
    }
    let [start, limit, delta] = *bounds.as_slice() else { return Err(fault("its bounds are missing")) };
    let len = ((limit - start) / delta).ceil();
    if !len.is_finite() {
        return Err(fault(format!("there is no range from {start} to {limit} in steps of {delta}")));
    }
    let len = len.max(0.0) as usize;
    l.builder.charge(len)?;
    let numbers: Vec<f64> = (0..len).map(|k| start + k as f64 * delta).collect();
    Ok(vec![Value::Constant(Constant::from_numbers(vec![len], l.input(0)?.ty(), &numbers))])
}
