//! Index of the largest element.

use super::{Quantizer, reduce};
use crate::error::Problem;
use crate::graph::Node;
use crate::plan::kernels::ArgMax;

pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node, axis: usize, last: bool) -> Result<(), Problem> {
    let (input, _) = q.activation(node, 0)?;
    let extents = reduce::around(&q.graph.tensors[node.inputs[0]].shape, axis);
    if extents[1] > 65536 {
        return Err(q.problem(node, format!("searches {} elements: an index has 16 bits", extents[1])));
    }
    let (output, ..) = q.result(k);
    q.push(k, ArgMax { extents, last }, vec![input], output, None);
    Ok(())
}
