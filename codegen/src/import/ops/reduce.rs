//! The `Reduce` operators: one of three reductions, between two functions of elements. Also the operators that
//! divide by such a reduction.

use super::super::lower::{Lowering, Result, extent};
use super::super::value::{Value, fault};
use super::reshape::without;
use crate::graph::expr::{Binary, Unary};
use crate::graph::{Expr, Reduction};

/// What is done before a reduction, the reduction, and what is done after.
type Form = (Option<fn() -> Expr>, Reduction, Option<Unary>);

const FORMS: &[(&str, Form)] = &[
    ("ReduceL1", (Some(magnitude), Reduction::Sum, None)),
    ("ReduceL2", (Some(square), Reduction::Sum, Some(Unary::Sqrt))),
    ("ReduceLogSum", (None, Reduction::Sum, Some(Unary::Log))),
    ("ReduceMax", (None, Reduction::Max, None)),
    ("ReduceMean", (None, Reduction::Mean, None)),
    ("ReduceMin", (Some(negated), Reduction::Max, Some(Unary::Neg))),
    ("ReduceSum", (None, Reduction::Sum, None)),
    ("ReduceSumSquare", (Some(square), Reduction::Sum, None)),
];

pub(super) fn square() -> Expr {
    Expr::Input(0) * Expr::Input(0)
}

fn magnitude() -> Expr {
    Expr::unary(Unary::Abs, Expr::Input(0))
}

fn negated() -> Expr {
    Expr::unary(Unary::Neg, Expr::Input(0))
}

fn form(op: &str) -> Option<&'static Form> {
    FORMS.iter().find(|(name, _)| *name == op).map(|(_, form)| form)
}

pub(super) fn knows(op: &str) -> bool {
    form(op).is_some() || matches!(op, "ReduceLogSumExp" | "ReduceProd")
}

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let axes = match l.ints_or_input("axes", 1)?.filter(|axes| !axes.is_empty()) {
        Some(axes) => l.axes(&axes, v.rank())?,
        None if l.int("noop_with_empty_axes", 0)? != 0 => Vec::new(),
        None => (0..v.rank()).collect(),
    };
    let reduced = match (form(l.op()), l.op()) {
        (Some(form), _) => between(l, &v, form, &axes)?,
        (None, "ReduceProd") => product(l, &v, &axes)?,
        _ => log_sum_exp(l, &v, &axes)?,
    };
    if l.int("keepdims", 1)? != 0 {
        return Ok(vec![reduced]);
    }
    let shape = without(reduced.shape(), &axes);
    Ok(vec![l.reshape(&reduced, shape)?])
}

/// Reduces several axes, which are kept with extent 1.
pub(super) fn over(l: &mut Lowering, v: &Value, kind: Reduction, axes: &[usize]) -> Result<Value> {
    axes.iter().try_fold(v.clone(), |v, &axis| l.reduce(&v, kind, axis))
}

fn between(l: &mut Lowering, v: &Value, (before, kind, after): &Form, axes: &[usize]) -> Result<Value> {
    let v = match before {
        Some(before) => l.map1(&before(), v)?,
        None => v.clone(),
    };
    let reduced = over(l, &v, *kind, axes)?;
    match after {
        Some(after) => l.map1(&Expr::unary(*after, Expr::Input(0)), &reduced),
        None => Ok(reduced),
    }
}

/// Of shapes mostly; of a few factors otherwise.
fn product(l: &mut Lowering, v: &Value, axes: &[usize]) -> Result<Value> {
    let mut v = v.clone();
    for &axis in axes {
        let mut product = l.slice_axis(&v, axis, 0, 1, 1)?;
        for k in 1..extent(v.shape(), axis) {
            let factor = l.slice_axis(&v, axis, k, 1, 1)?;
            product = l.map(&(Expr::Input(0) * Expr::Input(1)), &[&product, &factor], v.ty())?;
        }
        v = product;
    }
    Ok(v)
}

/// The maximum is taken out first, so that nothing overflows.
fn log_sum_exp(l: &mut Lowering, v: &Value, axes: &[usize]) -> Result<Value> {
    let [x, y] = [0, 1].map(Expr::Input);
    let max = over(l, v, Reduction::Max, axes)?;
    let exponentials = l.map(&Expr::unary(Unary::Exp, x.clone() - y.clone()), &[v, &max], v.ty())?;
    let sum = over(l, &exponentials, Reduction::Sum, axes)?;
    l.map(&(Expr::unary(Unary::Log, x) + y), &[&sum, &max], v.ty())
}

pub(super) fn global_pool(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let kind = if l.op() == "GlobalMaxPool" { Reduction::Max } else { Reduction::Mean };
    let axes: Vec<usize> = (2..v.rank()).collect();
    Ok(vec![over(l, &v, kind, &axes)?])
}

pub(super) fn lp_normalization(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let axis = l.axis(l.int("axis", -1)?, v.rank())?;
    let norm = match l.int("p", 2)? {
        1 => "ReduceL1",
        2 => "ReduceL2",
        p => return Err(fault(format!("p = {p} is neither 1 nor 2"))),
    };
    Ok(vec![divided_by(l, &v, norm, axis)?])
}

/// A tensor divided by a reduction of itself, where that is not zero.
pub(super) fn divided_by(l: &mut Lowering, v: &Value, reduction: &str, axis: usize) -> Result<Value> {
    let form = form(reduction).ok_or_else(|| fault("there is no such norm"))?;
    let norm = between(l, v, form, &[axis])?;
    let [x, y] = [0, 1].map(Expr::Input);
    let zero = Expr::binary(Binary::Equal, y.clone(), Expr::Const(0.0));
    l.map(&(x / Expr::select(zero, Expr::Const(1.0), y)), &[v, &norm], super::super::value::Type::Float)
}
