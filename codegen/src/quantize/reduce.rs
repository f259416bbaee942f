//! Sums, means and maxima over an axis.

use super::{Quantizer, scale};
use crate::error::Problem;
use crate::graph::{Node, Reduction};
use crate::plan::kernels::{ReduceMax, ReduceSum};

pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node, kind: Reduction, axis: usize) -> Result<(), Problem> {
    let (input, x) = q.activation(node, 0)?;
    let reach = q.reach(input);
    let extents = around(&q.graph.tensors[node.inputs[0]].shape, axis);
    let (output, y, limits) = q.result(k);
    if kind == Reduction::Max {
        q.push(k, ReduceMax { extents }, vec![input], output, None);
        return Ok(());
    }
    let n = extents[1] as i64;
    let bound = n * (reach + i64::from(x.zero_point.abs()));
    let factor = x.scale / y.scale / if kind == Reduction::Mean { n as f64 } else { 1.0 };
    let Some((multiplier, shift)) = scale::multipliers(&[factor], bound) else {
        return Err(q.problem(node, format!("sums of up to {bound} do not fit 32 bits at its output's scale")));
    };
    let offset = -(n as i32) * x.zero_point;
    let layer = ReduceSum { extents, offset, multiplier: multiplier[0], shift, limits };
    q.push(k, layer, vec![input], output, Some(bound));
    Ok(())
}

/// Extents before, along and after an axis.
pub(super) fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}
