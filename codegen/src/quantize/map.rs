//! Elementwise functions: tables for functions of one number, kernels for the four operations on two tensors,
//! factors and slopes per channel.

use super::{Quantizer, scale};
use crate::approximate::piecewise::Function;
use crate::error::Problem;
use crate::graph::expr::Binary;
use crate::graph::simplify::{Affine as Factors, affine_of, broadcast_index, period_of};
use crate::graph::{Expr, Node, TensorId};
use crate::plan::kernels::{Add, Affine, Div, Interpolate, Lookup, Mul, PRelu, Piecewise};
use crate::plan::{Quant, Type};

pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node, expr: &Expr) -> Result<(), Problem> {
    let graph = q.graph;
    let computed: Vec<usize> =
        (0..node.inputs.len()).filter(|&j| !graph.tensors[node.inputs[j]].is_constant()).collect();
    let same_shape = |j: usize| graph.tensors[node.inputs[j]].shape == graph.tensors[node.output].shape;
    match (computed.as_slice(), expr) {
        (&[j], Expr::Input(_)) if !same_shape(j) => super::movement::expand(q, k, node),
        (&[j], _) if node.inputs.len() == 1 && same_shape(j) => function(q, k, node, expr),
        (&[j], _) if same_shape(j) => {
            if let Some(factors) = affine_of(graph, node) {
                affine(q, k, node, j, &factors)
            } else if let Some(slope) = slopes(q, node, expr, node.inputs[j]) {
                p_relu(q, k, node, j, &slope)
            } else {
                Err(unsupported(q, node, expr))
            }
        }
        (&[a, b], Expr::Binary(op, x, y)) if node.inputs.len() == 2 => match (op, &**x, &**y) {
            (Binary::Add | Binary::Sub | Binary::Mul | Binary::Div, Expr::Input(x), Expr::Input(y)) if x != y => {
                let (a, b) = if *x == a { (a, b) } else { (b, a) };
                arithmetic(q, k, node, *op, a, b)
            }
            _ => Err(unsupported(q, node, expr)),
        },
        _ => Err(unsupported(q, node, expr)),
    }
}

fn unsupported(q: &Quantizer, node: &Node, expr: &Expr) -> Problem {
    let operands: Vec<_> = node
        .inputs
        .iter()
        .map(|&i| {
            let t = &q.graph.tensors[i];
            format!("{}{:?}{}", t.name, t.shape, if t.is_constant() { " constant" } else { "" })
        })
        .collect();
    q.problem(node, format!("has no integer form: {expr} of {}", operands.join(", ")))
        .help("functions of one tensor, and Add, Sub, Mul and Div of two, are supported; write it with these")
}

/// A function of one number becomes a table, or straight segments where the configuration says so.
fn function(q: &mut Quantizer, k: usize, node: &Node, expr: &Expr) -> Result<(), Problem> {
    let (input, x) = q.activation(node, 0)?;
    let (output, y, limits) = q.result(k);
    let len = q.values[output].len();
    let f = |step: i32| y.quantize(expr.eval(&[x.real(step)])).clamp(limits.min, limits.max);
    if let Some(config) = q.config.activation(&node.name) {
        let (first, last) = x.ty.limits();
        let results: Vec<i32> = (first..=last).map(f).collect();
        let function = Function { first, results: &results, limits: (limits.min, limits.max) };
        let segments = match config.segments {
            Some(count) => function.with_segments(count),
            None => function.within(config.max_error.unwrap_or(0) as i32),
        };
        let (name, origin, error) = (&node.name, &node.origin, segments.error);
        let (count, real) = (segments.segments.len(), (f64::from(error) + 0.5) * y.scale);
        q.notes.push(format!(
            "node '{name}' ({origin}): in {count} straight segments, within {error} steps of the rounded function over all \
             inputs, {real:.4} of the function"
        ));
        q.push(k, Piecewise { len, ty: x.ty, segments, limits }, vec![input], output, None);
        if let Some(step) = q.steps.last_mut() {
            step.table_error = Some(error);
        }
        return Ok(());
    }
    if x.ty == Type::I8 {
        let table = (0..=255u8).map(|bits| f(i32::from(bits as i8))).collect();
        q.push(k, Lookup { len, ty: y.ty, table }, vec![input], output, None);
    } else {
        let table: Vec<i32> = (0..=512).map(|node| f(node * 128 - 32768)).collect();
        let error = interpolation_error(&table, f);
        if error > NOTABLE {
            let (name, origin, real) = (&node.name, &node.origin, f64::from(error) * y.scale);
            q.notes.push(format!(
                "node '{name}' ({origin}): its int16 table is off by up to {error} steps ({real:.3}), where the function \
                 jumps or bends between two nodes; in int8 it is exact to half a step"
            ));
        }
        q.push(k, Interpolate { len, ty: y.ty, table }, vec![input], output, None);
        if let Some(step) = q.steps.last_mut() {
            step.table_error = Some(error);
        }
    }
    Ok(())
}

/// Steps of int16 from which the error of an interpolated table is worth a note: half a step of int8.
const NOTABLE: i32 = 128;

/// Largest difference between an interpolated table and its function, over all inputs.
fn interpolation_error(table: &[i32], f: impl Fn(i32) -> i32) -> i32 {
    let nodes: [i16; 513] = std::array::from_fn(|k| table[k] as i16);
    let x: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let mut y = vec![0i16; x.len()];
    tinymlp::kernels::dynamic::interpolate(&x, &nodes, &mut y);
    x.iter().zip(y).map(|(&x, y)| (f(x.into()) - i32::from(y)).abs()).max().unwrap_or(0)
}

/// Two computed tensors.
fn arithmetic(q: &mut Quantizer, k: usize, node: &Node, op: Binary, a: usize, b: usize) -> Result<(), Problem> {
    let ((a, qa), (b, qb)) = (q.activation(node, a)?, q.activation(node, b)?);
    let (ra, rb) = (q.reach(a) as f64, q.reach(b) as f64);
    let (output, y, limits) = q.result(k);
    let len = q.values[output].len();
    let zero_point = [qa.zero_point, qb.zero_point];
    let too_wide = |q: &Quantizer| {
        q.problem(node, "its operands' scales are too far from its output's for 32-bit sums")
            .help("calibrate with data in which the operands and the result are of comparable size")
    };
    match op {
        Binary::Add | Binary::Sub => {
            let sign = if op == Binary::Sub { -1.0 } else { 1.0 };
            let constants = |one: f64| {
                let multiplier = [(qa.scale / y.scale * one).round(), (sign * qb.scale / y.scale * one).round()];
                let zeros = multiplier[0] * f64::from(zero_point[0]) + multiplier[1] * f64::from(zero_point[1]);
                let offset = f64::from(y.zero_point) * one + one / 2.0 - zeros;
                let bound = multiplier[0].abs() * ra + multiplier[1].abs() * rb + offset.abs();
                ((multiplier.map(|m| m as i32), offset as i32), bound)
            };
            let ((multiplier, offset), shift, bound) = scale::binary_places(constants).ok_or_else(|| too_wide(q))?;
            q.push(k, Add { len, multiplier, offset, shift, limits }, vec![a, b], output, Some(bound));
        }
        Binary::Mul => {
            let widest = |reach: f64, quant: Quant| reach as i64 + i64::from(quant.zero_point.abs());
            let bound = widest(ra, qa) * widest(rb, qb);
            let factor = qa.scale * qb.scale / y.scale;
            let (multiplier, shift) = scale::multipliers(&[factor], bound).ok_or_else(|| too_wide(q))?;
            q.push(
                k,
                Mul { len, zero_point, multiplier: multiplier[0], shift, limits },
                vec![a, b],
                output,
                Some(bound),
            );
        }
        _ => {
            let constants = |one: f64| {
                let multiplier = (qa.scale / (qb.scale * y.scale) * one).round();
                let offset = f64::from(y.zero_point) * one + one / 2.0;
                // The quotient by one step is the numerator; adding the offset saturates.
                let bound = multiplier * (ra + f64::from(zero_point[0].abs()));
                ((multiplier as i32, offset as i32), bound.max(offset.abs()))
            };
            let ((multiplier, offset), shift, bound) = scale::binary_places(constants).ok_or_else(|| too_wide(q))?;
            q.push(k, Div { len, zero_point, multiplier, offset, shift, limits }, vec![a, b], output, Some(bound));
        }
    }
    Ok(())
}

/// A factor and a term per channel.
fn affine(q: &mut Quantizer, k: usize, node: &Node, operand: usize, f: &Factors) -> Result<(), Problem> {
    let (input, x) = q.activation(node, operand)?;
    let reach = q.reach(input) as f64;
    let (output, y, limits) = q.result(k);
    let rows = q.values[output].len() / f.factor.len();
    let constants = |one: f64| {
        let (mut multiplier, mut offset, mut bound) = (vec![], vec![], 0f64);
        for (factor, term) in f.factor.iter().zip(&f.term) {
            let m = (factor * x.scale / y.scale * one).round();
            let o =
                ((f64::from(y.zero_point) + term / y.scale) * one).round() + one / 2.0 - m * f64::from(x.zero_point);
            multiplier.push(m as i32);
            offset.push(o as i32);
            bound = bound.max(m.abs() * reach + o.abs());
        }
        ((multiplier, offset), bound)
    };
    let Some(((multiplier, offset), shift, bound)) = scale::binary_places(constants) else {
        return Err(q.problem(node, "its factors differ too much between channels for 32-bit arithmetic"));
    };
    q.push(k, Affine { rows, multiplier, offset, shift, limits }, vec![input], output, Some(bound));
    Ok(())
}

/// The slopes per channel, if the node is `x` above zero and `slope * x` below.
fn slopes(q: &Quantizer, node: &Node, expr: &Expr, source: TensorId) -> Option<Vec<f64>> {
    let graph = q.graph;
    let shape = &graph.tensors[node.output].shape;
    let constants: Vec<TensorId> = node.inputs.iter().copied().filter(|&i| i != source).collect();
    let &[constant] = constants.as_slice() else { return None };
    let values = graph.tensors[constant].value.as_deref()?;
    let own = &graph.tensors[constant].shape;
    (0..period_of(own, shape))
        .map(|channel| values.get(broadcast_index(channel, shape, own)).copied())
        .map(|slope| {
            let slope = slope?;
            let f = |x: f64| {
                let operands: Vec<f64> =
                    node.inputs.iter().map(|&i| if i == source { x } else { f64::from(slope) }).collect();
                expr.eval(&operands)
            };
            let s = -f(-1.0);
            let fits = [0.5, 1.0, 3.0].iter().all(|&x| f(x) == x && (f(-x) + s * x).abs() <= 1e-9 * (s * x).abs());
            (fits && f(0.0) == 0.0).then_some(s)
        })
        .collect()
}

fn p_relu(q: &mut Quantizer, k: usize, node: &Node, operand: usize, slope: &[f64]) -> Result<(), Problem> {
    let (input, x) = q.activation(node, operand)?;
    let reach = q.reach(input) as f64 + f64::from(x.zero_point.abs());
    let (output, y, limits) = q.result(k);
    let rows = q.values[output].len() / slope.len();
    let constants = |one: f64| {
        let factor = |s: f64| (s * x.scale / y.scale * one).round();
        let negative: Vec<f64> = slope.iter().map(|&s| factor(s)).collect();
        let offset = f64::from(y.zero_point) * one + one / 2.0;
        let largest = negative.iter().fold(factor(1.0), |m, n| m.max(n.abs()));
        let negative: Vec<i32> = negative.iter().map(|&n| n as i32).collect();
        ((factor(1.0) as i32, negative, offset as i32), largest * reach + offset.abs())
    };
    let Some(((positive, negative, offset), shift, bound)) = scale::binary_places(constants) else {
        return Err(q.problem(node, "its slopes are too large for 32-bit arithmetic"));
    };
    let zero_point = x.zero_point;
    q.push(k, PRelu { rows, zero_point, positive, negative, offset, shift, limits }, vec![input], output, Some(bound));
    Ok(())
}
