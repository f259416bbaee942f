//! Elementwise functions as expressions over scalars.
//!
//! Exporters spell activations in many ways (SiLU as `x * Sigmoid(x)`, GELU through `Erf` or `Tanh`, Mish as
//! `x * Tanh(Softplus(x))`). As expressions they need no patterns: whatever is a function of one tensor folds into
//! one expression and becomes one table.

use std::fmt;

/// A scalar function of the operands of a [`Map`](super::Op::Map).
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Operand `k`.
    Input(usize),
    /// A number.
    Const(f64),
    /// A function of one number.
    Unary(Unary, Box<Expr>),
    /// A function of two numbers.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// The second where the first is not zero, else the third.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
}

/// Functions of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the ONNX operator of the same name")]
pub enum Unary {
    Neg,
    Abs,
    Sign,
    Floor,
    Ceil,
    Round,
    Reciprocal,
    Sqrt,
    Exp,
    Log,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Sigmoid,
    Softplus,
    Erf,
    Relu,
    Not,
}

/// Functions of two numbers. Comparisons and logic give 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the ONNX operator of the same name")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    And,
    Or,
    Xor,
    Mod,
}

impl Unary {
    /// Its value.
    pub fn eval(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sign => {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    x
                }
            }
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Round => x.round_ties_even(),
            Unary::Reciprocal => 1.0 / x,
            Unary::Sqrt => x.sqrt(),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
            Unary::Tan => x.tan(),
            Unary::Asin => x.asin(),
            Unary::Acos => x.acos(),
            Unary::Atan => x.atan(),
            Unary::Sinh => x.sinh(),
            Unary::Cosh => x.cosh(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Unary::Erf => erf(x),
            Unary::Relu => {
                if x > 0.0 || x.is_nan() {
                    x
                } else {
                    0.0
                }
            }
            Unary::Not => f64::from(x == 0.0),
        }
    }
}

impl Binary {
    /// Its value.
    pub fn eval(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Pow => a.powf(b),
            Binary::Min => a.min(b),
            Binary::Max => a.max(b),
            Binary::Less => f64::from(a < b),
            Binary::LessOrEqual => f64::from(a <= b),
            Binary::Greater => f64::from(a > b),
            Binary::GreaterOrEqual => f64::from(a >= b),
            Binary::Equal => f64::from(a == b),
            Binary::And => f64::from(a != 0.0 && b != 0.0),
            Binary::Or => f64::from(a != 0.0 || b != 0.0),
            Binary::Xor => f64::from((a != 0.0) != (b != 0.0)),
            Binary::Mod => a % b,
        }
    }
}

impl Expr {
    /// `f(x)`.
    pub fn unary(f: Unary, x: Expr) -> Expr {
        Expr::Unary(f, Box::new(x))
    }

    /// `f(a, b)`.
    pub fn binary(f: Binary, a: Expr, b: Expr) -> Expr {
        Expr::Binary(f, Box::new(a), Box::new(b))
    }

    /// `if condition != 0 { then } else { otherwise }`.
    pub fn select(condition: Expr, then: Expr, otherwise: Expr) -> Expr {
        Expr::Select(Box::new(condition), Box::new(then), Box::new(otherwise))
    }

    /// Its value for the given operands.
    pub fn eval(&self, inputs: &[f64]) -> f64 {
        match self {
            Expr::Input(k) => inputs[*k],
            Expr::Const(c) => *c,
            Expr::Unary(f, x) => f.eval(x.eval(inputs)),
            Expr::Binary(f, a, b) => f.eval(a.eval(inputs), b.eval(inputs)),
            Expr::Select(c, a, b) => {
                if c.eval(inputs) != 0.0 {
                    a.eval(inputs)
                } else {
                    b.eval(inputs)
                }
            }
        }
    }

    /// The expression with every operand `k` replaced by `by(k)`.
    #[must_use]
    pub fn substitute(&self, by: &dyn Fn(usize) -> Expr) -> Expr {
        match self {
            Expr::Input(k) => by(*k),
            Expr::Const(c) => Expr::Const(*c),
            Expr::Unary(f, x) => Expr::unary(*f, x.substitute(by)),
            Expr::Binary(f, a, b) => Expr::binary(*f, a.substitute(by), b.substitute(by)),
            Expr::Select(c, a, b) => Expr::select(c.substitute(by), a.substitute(by), b.substitute(by)),
        }
    }

    /// Number of operators in it.
    pub fn size(&self) -> usize {
        match self {
            Expr::Input(_) | Expr::Const(_) => 0,
            Expr::Unary(_, x) => 1 + x.size(),
            Expr::Binary(_, a, b) => 1 + a.size() + b.size(),
            Expr::Select(c, a, b) => 1 + c.size() + a.size() + b.size(),
        }
    }
}

macro_rules! operators {
    ($($op:ident $method:ident),*) => {$(
        impl std::ops::$op for Expr {
            type Output = Expr;

            fn $method(self, other: Expr) -> Expr {
                Expr::binary(Binary::$op, self, other)
            }
        }
    )*};
}

operators!(Add add, Sub sub, Mul mul, Div div);

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Input(k) => write!(f, "x{k}"),
            Expr::Const(c) => write!(f, "{c}"),
            Expr::Unary(op, x) => write!(f, "{op:?}({x})"),
            Expr::Binary(op, a, b) => write!(f, "{op:?}({a}, {b})"),
            Expr::Select(c, a, b) => write!(f, "Where({c}, {a}, {b})"),
        }
    }
}

/// The error function, within 1e-15: its series below 2.5, the continued fraction of `erfc` above.
pub fn erf(x: f64) -> f64 {
    let z = x.abs();
    let magnitude = if z < 2.5 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term.abs() > 1e-17 * sum.abs() && n < 200.0 {
            n += 1.0;
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else if z.is_nan() {
        return x;
    } else {
        let tail = (1..=60).rev().fold(0.0, |t, k| f64::from(k) / 2.0 / (z + t));
        1.0 - (-z * z).exp() / (z + tail) / std::f64::consts::PI.sqrt()
    };
    magnitude.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_against_tabulated_values() {
        // Abramowitz and Stegun, table 7.1; and the complement at 4 from its asymptotic value.
        for (x, y) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
            (2.6, 0.999_763_965_6),
            (4.0, 0.999_999_984_6),
        ] {
            assert!((erf(x) - y).abs() < 1e-10 && (erf(-x) + y).abs() < 1e-10, "{x} {}", erf(x));
        }
    }

    #[test]
    fn substitution_composes() {
        // SiLU as PyTorch's exporter spells it.
        let x = Expr::Input(0);
        let silu = Expr::binary(Binary::Mul, x.clone(), Expr::unary(Unary::Sigmoid, x));
        let shifted = silu.substitute(&|_| Expr::binary(Binary::Sub, Expr::Input(0), Expr::Const(1.0)));
        assert!((shifted.eval(&[3.0]) - 2.0 / (1.0 + (-2.0f64).exp())).abs() < 1e-15);
        assert_eq!(shifted.size(), 4);
    }
}
