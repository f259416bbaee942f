//! Elementwise expressions on tensors.

use crate::graph::Expr;
use crate::graph::expr::{Binary, Unary};
use candle_core::{DType, Result, Tensor};

/// The first function in an expression that has no gradient here.
pub(super) fn unsupported(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Input(_) | Expr::Const(_) => None,
        Expr::Unary(f @ (Unary::Asin | Unary::Acos | Unary::Atan), _) => Some(format!("{f:?}")),
        Expr::Unary(_, x) => unsupported(x),
        Expr::Binary(f @ Binary::Mod, ..) => Some(format!("{f:?}")),
        Expr::Binary(_, a, b) => unsupported(a).or_else(|| unsupported(b)),
        Expr::Select(c, a, b) => [c, a, b].into_iter().find_map(|x| unsupported(x)),
    }
}

/// The value of an expression for operands of one rank that broadcast against each other.
pub(super) fn evaluate(expr: &Expr, operands: &[Tensor]) -> Result<Tensor> {
    let of = |x: &Expr| evaluate(x, operands);
    match expr {
        Expr::Input(k) => Ok(operands[*k].clone()),
        // Of the operands' rank, so that it broadcasts against any of them.
        Expr::Const(c) => operands[0].zeros_like()?.affine(0.0, *c),
        Expr::Unary(f, x) => unary(*f, &of(x)?),
        Expr::Binary(f, a, b) => match (f, &**a, &**b) {
            (Binary::Add, x, Expr::Const(c)) | (Binary::Add, Expr::Const(c), x) => of(x)?.affine(1.0, *c),
            (Binary::Sub, x, Expr::Const(c)) => of(x)?.affine(1.0, -c),
            (Binary::Sub, Expr::Const(c), x) => of(x)?.affine(-1.0, *c),
            (Binary::Mul, x, Expr::Const(c)) | (Binary::Mul, Expr::Const(c), x) => of(x)?.affine(*c, 0.0),
            (Binary::Div, x, Expr::Const(c)) => of(x)?.affine(1.0 / c, 0.0),
            (Binary::Pow, x, Expr::Const(c)) => of(x)?.powf(*c),
            _ => binary(*f, &of(a)?, &of(b)?),
        },
        Expr::Select(c, a, b) => {
            let (c, a, b) = (of(c)?.ne(0.0)?, of(a)?, of(b)?);
            let shape = c.shape().broadcast_shape_binary_op(a.shape(), "where")?;
            let shape = shape.broadcast_shape_binary_op(b.shape(), "where")?;
            c.broadcast_as(&shape)?.where_cond(&a.broadcast_as(&shape)?, &b.broadcast_as(&shape)?)
        }
    }
}

fn unary(f: Unary, x: &Tensor) -> Result<Tensor> {
    match f {
        Unary::Neg => x.neg(),
        Unary::Abs => x.abs(),
        Unary::Sign => x.detach().sign(),
        Unary::Floor => x.detach().floor(),
        Unary::Ceil => x.detach().ceil(),
        Unary::Round => x.detach().round(),
        Unary::Reciprocal => x.recip(),
        Unary::Sqrt => x.sqrt(),
        Unary::Exp => x.exp(),
        Unary::Log => x.log(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tan => x.sin()? / x.cos()?,
        Unary::Sinh => ((x.exp()? - x.neg()?.exp()?)? * 0.5)?.contiguous(),
        Unary::Cosh => ((x.exp()? + x.neg()?.exp()?)? * 0.5)?.contiguous(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => candle_nn::ops::sigmoid(x),
        Unary::Softplus => x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?,
        Unary::Erf => x.erf(),
        Unary::Relu => x.relu(),
        Unary::Not => x.eq(0.0)?.to_dtype(DType::F32),
        Unary::Asin | Unary::Acos | Unary::Atan => Err(candle_core::Error::Msg(format!("{f:?} has no gradient"))),
    }
}

fn binary(f: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let truth = |t: Tensor| t.to_dtype(DType::F32);
    let is = |t: &Tensor| t.ne(0.0)?.to_dtype(DType::F32);
    match f {
        Binary::Add => a.broadcast_add(b),
        Binary::Sub => a.broadcast_sub(b),
        Binary::Mul => a.broadcast_mul(b),
        Binary::Div => a.broadcast_div(b),
        Binary::Pow => a.broadcast_pow(b),
        Binary::Min => a.broadcast_minimum(b),
        Binary::Max => a.broadcast_maximum(b),
        Binary::Less => truth(a.broadcast_lt(b)?),
        Binary::LessOrEqual => truth(a.broadcast_le(b)?),
        Binary::Greater => truth(a.broadcast_gt(b)?),
        Binary::GreaterOrEqual => truth(a.broadcast_ge(b)?),
        Binary::Equal => truth(a.broadcast_eq(b)?),
        Binary::And => is(a)?.broadcast_mul(&is(b)?),
        Binary::Or => is(a)?.broadcast_maximum(&is(b)?),
        Binary::Xor => truth(is(a)?.broadcast_ne(&is(b)?)?),
        Binary::Mod => Err(candle_core::Error::Msg("Mod has no gradient".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn values_and_slopes_are_those_of_the_expression() {
        use Unary::*;
        let x = || Expr::Input(0);
        let smooth =
            [Neg, Abs, Reciprocal, Sqrt, Exp, Log, Sin, Cos, Tan, Sinh, Cosh, Tanh, Sigmoid, Softplus, Erf, Relu];
        let mut all: Vec<Expr> = smooth.into_iter().map(|f| Expr::unary(f, x())).collect();
        all.push(Expr::binary(Binary::Pow, x(), Expr::Const(2.5)));
        all.push(Expr::binary(Binary::Max, x() * x(), Expr::Const(0.5)));
        all.push(Expr::binary(Binary::Min, Expr::unary(Exp, x()), x() + x()));
        all.push(Expr::Const(2.0) / (x() + Expr::Const(1.0)) - x());
        all.push(Expr::select(
            Expr::binary(Binary::Less, x(), Expr::Const(0.6)),
            x() * Expr::Const(3.0),
            Expr::unary(Sigmoid, x()),
        ));
        let points = [0.3f32, 0.55, 0.83, 1.3];
        for expr in all {
            let var = Var::new(&points, &Device::Cpu).unwrap();
            let y = evaluate(&expr, &[var.as_tensor().clone()]).unwrap();
            let slopes: Vec<f32> = y.sum_all().unwrap().backward().unwrap().get(&var).unwrap().to_vec1().unwrap();
            for ((&x, y), slope) in points.iter().zip(y.to_vec1::<f32>().unwrap()).zip(slopes) {
                let f = |x: f64| expr.eval(&[x]);
                let x = f64::from(x);
                let expected = (f(x + 1e-5) - f(x - 1e-5)) / 2e-5;
                assert!((f64::from(y) - f(x)).abs() < 1e-4, "{expr} at {x}: {y}");
                assert!((f64::from(slope) - expected).abs() < 1e-3, "slope of {expr} at {x}: {slope}, not {expected}");
            }
        }
    }
}
