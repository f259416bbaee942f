//! Softmax and its logarithm.

use super::{Quantizer, movement, reduce, scale};
use crate::error::Problem;
use crate::graph::Node;
use crate::plan::kernels::{Exponentials, LogSoftmax, Softmax, SoftmaxColumns};
use crate::plan::{Quant, Type};
use std::sync::Arc;

/// The fixed numbers of a softmax's output: 0 to 1 over all integers (int8), over the positive ones (int16).
pub(super) fn quant(ty: Type) -> Quant {
    match ty {
        Type::I16 => Quant::new(ty, 1.0 / 32768.0, 0),
        _ => Quant::new(ty, 1.0 / 256.0, -128),
    }
}

pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node, axis: usize, log: bool) -> Result<(), Problem> {
    let (input, x) = q.activation(node, 0)?;
    let tensor = node.inputs[0];
    let [outer, row, inner] = reduce::around(&q.graph.tensors[tensor].shape, axis);
    // 65535 an element must not fill 32 bits, with the rounding term.
    if row > 32768 {
        return Err(q.problem(node, format!("has rows of {row} elements; at most 32768 fit its 32-bit sum")));
    }
    let (output, y, limits) = q.result(k);
    let exponentials = tables(x);
    if !log {
        let levels = if y.ty == Type::I16 { 32768 } else { 256 };
        let bound = Some(65535 * row as i64);
        if inner > 1 {
            let extents = [outer, row, inner];
            q.push(k, SoftmaxColumns { extents, exponentials, levels, limits }, vec![input], output, bound);
        } else {
            q.push(k, Softmax { rows: outer, row, exponentials, levels, limits }, vec![input], output, bound);
        }
        return Ok(());
    }
    let rows = outer * inner;
    // Along another axis than the last: through a transposed copy.
    let turned = inner > 1;
    let turn = |to: [usize; 3], stride: [isize; 3]| movement::strided(outer * row * inner, 0, &to, &stride);
    let (from, to) = if turned {
        let copy = q.temporary(tensor, x);
        let (n, i) = (row as isize, inner as isize);
        if let Some(kernel) = turn([outer, inner, row], [n * i, 1, i]) {
            q.push_step(&node.name, "Transpose", Arc::new(kernel), vec![input], copy, None);
        }
        (copy, q.temporary(node.output, y))
    } else {
        (input, output)
    };
    let constants = |one: f64| {
        let multiplier = [x.scale / y.scale * one, std::f64::consts::LN_2 / 4096.0 / y.scale * one].map(f64::round);
        let offset = f64::from(y.zero_point) * one + one / 2.0;
        let (min, max) = x.limits();
        // The sum of the exponentials is at most `row` times the largest, 1.
        let logarithm = (row as f64).log2() * 4096.0 + 1.0;
        let bound = f64::from(max - min) * multiplier[0] + logarithm * multiplier[1] + offset.abs();
        ((multiplier.map(|m| m as i32), offset as i32), bound)
    };
    let Some(((multiplier, offset), shift, bound)) = scale::binary_places(constants) else {
        return Err(q.problem(node, "its logits and their logarithms are of too different sizes"));
    };
    let layer = LogSoftmax { rows, row, exponentials, multiplier, offset, shift, limits };
    q.push(k, layer, vec![from], to, Some(bound));
    if turned && let Some(kernel) = turn([outer, row, inner], [(row * inner) as isize, 1, row as isize]) {
        q.push_step(&node.name, "Transpose", Arc::new(kernel), vec![to], output, None);
    }
    Ok(())
}

/// `exp(-scale * d)` in units of 1/65535, as far as it does not round to zero.
fn tables(x: Quant) -> Exponentials {
    let table = |step: f64, last: usize| -> Vec<u16> {
        let mut values: Vec<u16> = (0..=last).map(|d| (65535.0 * (-step * d as f64).exp()).round() as u16).collect();
        while values.len() > 1 && values.last() == Some(&0) {
            values.pop();
        }
        values
    };
    match x.ty {
        Type::I16 => Exponentials { fine: table(x.scale, 255), coarse: table(256.0 * x.scale, 255) },
        _ => Exponentials { fine: table(x.scale, 255), coarse: vec![] },
    }
}
