//! `Cast` and `CastLike`. Among floats nothing is to be done: all computation is quantized later.

use std::sync::Arc;

use super::super::lower::{Lowering, Result, truncate};
use super::super::value::{Computed, Constant, Data, Type, Value, fault};
use crate::graph::expr::Unary;
use crate::graph::{Expr, Labels};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let to = match l.op() {
        "CastLike" => l.input(1)?.ty(),
        _ => Type::from_onnx(i32::try_from(l.int("to", 1)?).unwrap_or_default())?,
    };
    let x = || Expr::Input(0);
    Ok(vec![match (&v, v.ty(), to) {
        (Value::Constant(c), ..) => Value::Constant(constant(c, to)?),
        (Value::Computed(c), Type::Index, Type::Text) => {
            let labels = c.labels.as_deref().map(|labels| match labels {
                Labels::Integers(all) => Labels::Strings(all.iter().map(i64::to_string).collect()),
                Labels::Strings(all) => Labels::Strings(all.clone()),
            });
            let labels = labels.ok_or_else(|| fault("numbers cannot become text"))?;
            Value::Computed(Computed { labels: Some(Arc::new(labels)), ..c.clone() })
        }
        (_, Type::Index, _) => v,
        (_, _, Type::Text) => return Err(fault("numbers cannot become text")),
        (_, Type::Float, Type::Int) => l.map(&truncate(x()), &[&v], to)?,
        (_, Type::Float | Type::Int, Type::Bool) => {
            l.map(&Expr::unary(Unary::Not, Expr::unary(Unary::Not, x())), &[&v], to)?
        }
        (Value::Computed(c), ..) => Value::Computed(Computed { ty: to, ..c.clone() }),
        (Value::Poison, ..) => Value::Poison,
    }])
}

fn constant(c: &Constant, to: Type) -> Result<Constant> {
    match (&c.data, to) {
        (Data::Text(_), Type::Text) => Ok(c.clone()),
        (Data::Int(d), Type::Text) => {
            let texts = d.iter().map(i64::to_string).collect();
            Ok(Constant { ty: to, data: Data::Text(texts), ..c.clone() })
        }
        (Data::Text(_), _) | (_, Type::Text) => Err(fault("numbers and text cannot become each other")),
        (Data::Float(_), Type::Float) => Ok(c.clone()),
        (Data::Int(_), Type::Int) => Ok(Constant { ty: to, ..c.clone() }),
        _ => Ok(Constant { name: c.name.clone(), ..Constant::from_numbers(c.shape.clone(), to, &c.numbers()) }),
    }
}
