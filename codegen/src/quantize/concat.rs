//! Concatenation: one step an operand, which changes the scale on the way.

use super::{Quantizer, scale};
use crate::error::Problem;
use crate::graph::Node;
use crate::plan::kernels::Concat;

pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node, axis: usize) -> Result<(), Problem> {
    let operands: Result<Vec<_>, _> = (0..node.inputs.len()).map(|j| q.activation(node, j)).collect();
    let operands = operands?;
    let (output, y, limits) = q.result(k);
    let shape = q.values[output].shape.clone();
    let rows = shape[..axis].iter().product();
    let width: usize = shape[axis..].iter().product();
    let mut at = 0;
    for (input, x) in operands {
        let block = q.values[input].len() / rows;
        let reach = q.reach(input) as f64;
        let constants = |one: f64| {
            let m = (x.scale / y.scale * one).round();
            let o = f64::from(y.zero_point) * one + one / 2.0 - m * f64::from(x.zero_point);
            ([m as i32, o as i32], m * reach + o.abs())
        };
        let ([multiplier, offset], shift, bound) = if (x.scale, x.zero_point) == (y.scale, y.zero_point) {
            ([1, 0], 0, reach as i64)
        } else {
            scale::binary_places(constants)
                .ok_or_else(|| q.problem(node, "joins tensors of too different sizes for 32-bit arithmetic"))?
        };
        let layer = Concat { rows, block, width, at, multiplier, offset, shift, limits };
        q.push(k, layer, vec![input], output, Some(bound));
        at += block;
    }
    Ok(())
}
