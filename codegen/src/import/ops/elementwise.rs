//! Functions of elements: all of them tables from names to expressions.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::super::lower::{Lowering, Result, broadcast};
use super::super::value::{Constant, Type, Value, fault};
use crate::graph::Expr;
use crate::graph::expr::{Binary, Unary};

/// Operators that are one function of one number.
const UNARY: &[(&str, Unary)] = &[
    ("Abs", Unary::Abs),
    ("Acos", Unary::Acos),
    ("Asin", Unary::Asin),
    ("Atan", Unary::Atan),
    ("Ceil", Unary::Ceil),
    ("Cos", Unary::Cos),
    ("Cosh", Unary::Cosh),
    ("Erf", Unary::Erf),
    ("Exp", Unary::Exp),
    ("Floor", Unary::Floor),
    ("Log", Unary::Log),
    ("Neg", Unary::Neg),
    ("Not", Unary::Not),
    ("Reciprocal", Unary::Reciprocal),
    ("Relu", Unary::Relu),
    ("Round", Unary::Round),
    ("Sigmoid", Unary::Sigmoid),
    ("Sign", Unary::Sign),
    ("Sin", Unary::Sin),
    ("Sinh", Unary::Sinh),
    ("Softplus", Unary::Softplus),
    ("Sqrt", Unary::Sqrt),
    ("Tan", Unary::Tan),
    ("Tanh", Unary::Tanh),
];

/// Operators that are one function of two numbers, and whether the result is a truth value.
const BINARY: &[(&str, Binary, bool)] = &[
    ("Add", Binary::Add, false),
    ("And", Binary::And, true),
    ("Div", Binary::Div, false),
    ("Equal", Binary::Equal, true),
    ("Greater", Binary::Greater, true),
    ("GreaterOrEqual", Binary::GreaterOrEqual, true),
    ("Less", Binary::Less, true),
    ("LessOrEqual", Binary::LessOrEqual, true),
    ("Mul", Binary::Mul, false),
    ("Or", Binary::Or, true),
    ("Pow", Binary::Pow, false),
    ("Sub", Binary::Sub, false),
    ("Xor", Binary::Xor, true),
];

/// Operators of any number of operands, folded from the left; `Mean` divides the sum.
const VARIADIC: &[(&str, Binary)] =
    &[("Max", Binary::Max), ("Mean", Binary::Add), ("Min", Binary::Min), ("Sum", Binary::Add)];

/// Makes an expression out of a node's attributes.
type Formula = fn(&Lowering) -> Result<Expr>;

/// Operators of one tensor with attributes.
const PARAMETRIC: &[(&str, Formula)] = &[
    ("Acosh", |_| Ok(f(Unary::Log, x() + f(Unary::Sqrt, x() * x() - c(1.0))))),
    // Of the magnitude, where the sum does not cancel.
    ("Asinh", |_| {
        let magnitude = || f(Unary::Abs, x());
        Ok(f(Unary::Sign, x()) * f(Unary::Log, magnitude() + f(Unary::Sqrt, x() * x() + c(1.0))))
    }),
    ("Atanh", |_| Ok(c(0.5) * f(Unary::Log, (c(1.0) + x()) / (c(1.0) - x())))),
    ("Celu", |l| {
        let alpha = l.float("alpha", 1.0)?;
        Ok(max(x(), c(0.0)) + min(c(0.0), c(alpha) * (f(Unary::Exp, x() / c(alpha)) - c(1.0))))
    }),
    ("Elu", |l| Ok(where_negative(c(l.float("alpha", 1.0)?) * (f(Unary::Exp, x()) - c(1.0)), x()))),
    ("Gelu", |l| match l.text("approximate", "none")?.as_str() {
        "none" => Ok(c(0.5) * x() * (c(1.0) + f(Unary::Erf, x() * c(FRAC_1_SQRT_2)))),
        "tanh" => {
            let inner = c((2.0 / PI).sqrt()) * (x() + c(0.044715) * x() * x() * x());
            Ok(c(0.5) * x() * (c(1.0) + f(Unary::Tanh, inner)))
        }
        other => Err(fault(format!("attribute `approximate` is `{other}`, not `none` or `tanh`"))),
    }),
    ("HardSigmoid", |l| Ok(clamp01(c(l.float("alpha", 0.2)?) * x() + c(l.float("beta", 0.5)?)))),
    ("HardSwish", |_| Ok(x() * clamp01(c(1.0 / 6.0) * x() + c(0.5)))),
    ("IsNaN", |_| Ok(f(Unary::Not, Expr::binary(Binary::Equal, x(), x())))),
    ("LeakyRelu", |l| Ok(where_negative(c(l.float("alpha", 0.01)?) * x(), x()))),
    ("Mish", |_| Ok(x() * f(Unary::Tanh, f(Unary::Softplus, x())))),
    ("Selu", |l| {
        let alpha = l.float("alpha", 1.673_263_192_176_818_8)?;
        let gamma = l.float("gamma", 1.050_701_022_148_132_3)?;
        Ok(c(gamma) * where_negative(c(alpha) * (f(Unary::Exp, x()) - c(1.0)), x()))
    }),
    ("Shrink", |l| {
        let (bias, lambd) = (l.float("bias", 0.0)?, l.float("lambd", 0.5)?);
        let above = Expr::select(less(c(lambd), x()), x() - c(bias), c(0.0));
        Ok(Expr::select(less(x(), c(-lambd)), x() + c(bias), above))
    }),
    ("Softsign", |_| Ok(x() / (c(1.0) + f(Unary::Abs, x())))),
    ("Swish", |l| Ok(x() * f(Unary::Sigmoid, c(l.float("alpha", 1.0)?) * x()))),
    ("ThresholdedRelu", |l| Ok(Expr::select(less(c(l.float("alpha", 1.0)?), x()), x(), c(0.0)))),
];

fn x() -> Expr {
    Expr::Input(0)
}

fn y() -> Expr {
    Expr::Input(1)
}

fn c(value: f64) -> Expr {
    Expr::Const(value)
}

fn f(function: Unary, x: Expr) -> Expr {
    Expr::unary(function, x)
}

fn min(a: Expr, b: Expr) -> Expr {
    Expr::binary(Binary::Min, a, b)
}

fn max(a: Expr, b: Expr) -> Expr {
    Expr::binary(Binary::Max, a, b)
}

fn less(a: Expr, b: Expr) -> Expr {
    Expr::binary(Binary::Less, a, b)
}

fn clamp01(x: Expr) -> Expr {
    max(c(0.0), min(c(1.0), x))
}

fn where_negative(negative: Expr, otherwise: Expr) -> Expr {
    Expr::select(less(x(), c(0.0)), negative, otherwise)
}

fn lookup<T>(table: &'static [(&str, T)], op: &str) -> Option<&'static T> {
    table.iter().find(|(name, _)| *name == op).map(|(_, entry)| entry)
}

pub(super) fn knows(op: &str) -> bool {
    lookup(UNARY, op).is_some()
        || lookup(PARAMETRIC, op).is_some()
        || lookup(VARIADIC, op).is_some()
        || BINARY.iter().any(|(name, ..)| *name == op)
        || matches!(op, "Clip" | "Mod" | "PRelu" | "Where")
}

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let op = l.op().to_owned();
    let first = l.input(0)?;
    let ty = first.ty();
    let result = if let Some(&function) = lookup(UNARY, &op) {
        let ty = if function == Unary::Not { Type::Bool } else { ty };
        l.map(&f(function, x()), &[&first], ty)
    } else if let Some(formula) = lookup(PARAMETRIC, &op) {
        let expr = formula(l)?;
        l.map1(&expr, &first)
    } else if let Some(&(_, function, truth)) = BINARY.iter().find(|(name, ..)| *name == op) {
        let ty = if truth { Type::Bool } else { ty };
        l.map(&Expr::binary(function, x(), y()), &[&first, &l.input(1)?], ty)
    } else if let Some(&function) = lookup(VARIADIC, &op) {
        let all = l.all_inputs()?;
        let fold = |sum: Value, v: &Value, l: &mut Lowering| l.map(&Expr::binary(function, x(), y()), &[&sum, v], ty);
        let sum = all.iter().skip(1).try_fold(first, |sum, v| fold(sum, v, l))?;
        if op == "Mean" { l.map1(&(x() / c(all.len() as f64)), &sum) } else { Ok(sum) }
    } else {
        match op.as_str() {
            "Clip" => clip(l, &first),
            "Mod" => modulo(l, &first),
            "PRelu" => l.map(&where_negative(y() * x(), x()), &[&first, &l.input(1)?], ty),
            _ => where_(l, &first),
        }
    };
    Ok(vec![result?])
}

/// Bounds are attributes before opset 11, optional inputs since.
fn clip(l: &mut Lowering, v: &Value) -> Result<Value> {
    let mut expr = x();
    let mut operands = vec![v.clone()];
    for (k, (name, function)) in [("min", Binary::Max), ("max", Binary::Min)].into_iter().enumerate() {
        let bound = match l.optional(k + 1) {
            Some(bound) => bound,
            None if l.opset < 11 => {
                let none = if k == 0 { f64::NEG_INFINITY } else { f64::INFINITY };
                Value::Constant(Constant::scalar(l.float(name, none)?))
            }
            None => continue,
        };
        // A bound at the end of the range of floats is how exporters say that there is none.
        if bound.scalar().is_some_and(|b| b.abs() >= f64::from(f32::MAX)) {
            continue;
        }
        expr = Expr::binary(function, expr, Expr::Input(operands.len()));
        operands.push(bound);
    }
    if operands.len() == 1 {
        return Ok(v.clone());
    }
    l.map(&expr, &operands.iter().collect::<Vec<_>>(), v.ty())
}

/// `fmod` is C's remainder; the other form, of integers, has the sign of the divisor.
fn modulo(l: &mut Lowering, v: &Value) -> Result<Value> {
    let divisor = l.input(1)?;
    let expr = if l.int("fmod", 0)? == 1 {
        Expr::binary(Binary::Mod, x(), y())
    } else {
        x() - y() * f(Unary::Floor, x() / y())
    };
    l.map(&expr, &[v, &divisor], v.ty())
}

/// A condition that is the same everywhere selects one operand as it is.
fn where_(l: &mut Lowering, condition: &Value) -> Result<Value> {
    let (a, b) = (l.input(1)?, l.input(2)?);
    let truths = condition.constant().map(Constant::numbers).unwrap_or_default();
    let chosen = match truths.first() {
        Some(&first) if truths.iter().all(|&t| (t != 0.0) == (first != 0.0)) => {
            Some(if first != 0.0 { &a } else { &b })
        }
        _ => None,
    };
    if let Some(chosen) = chosen {
        let shape = broadcast([condition.shape(), a.shape(), b.shape()])?;
        return l.expand(chosen, shape);
    }
    l.map(&Expr::select(x(), y(), Expr::Input(2)), &[condition, &a, &b], a.ty())
}
