//! Products of two computed matrices.

use super::{Quantizer, scale};
use crate::error::Problem;
use crate::graph::{Node, show_shape};
use crate::plan::Type;
use crate::plan::kernels::MatMul;

pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node) -> Result<(), Problem> {
    let ((a, qa), (b, qb)) = (q.activation(node, 0)?, q.activation(node, 1)?);
    // Of the operands themselves: their values may have the shape from before a `Reshape`.
    let [sa, sb] = [0, 1].map(|j| q.graph.tensors[node.inputs[j]].shape.clone());
    let (&[.., rows, inner], &[.., _, columns]) = (sa.as_slice(), sb.as_slice()) else {
        return Err(q
            .problem(node, format!("multiplies {} by {}", show_shape(&sa), show_shape(&sb)))
            .help("use matrices"));
    };
    let (batch_a, batch_b) = (&sa[..sa.len() - 2], &sb[..sb.len() - 2]);
    let batch: usize = batch_a.iter().product();
    if !batch_a.iter().skip_while(|&&d| d == 1).eq(batch_b.iter().skip_while(|&&d| d == 1)) {
        return Err(q
            .problem(node, format!("broadcasts the batch of {} against {}", show_shape(&sa), show_shape(&sb)))
            .help("expand the smaller operand before the product"));
    }
    if qa.ty != Type::I8 || qb.ty != Type::I8 {
        return Err(q
            .problem(node, "multiplies two computed int16 tensors, whose sums can leave 32 bits")
            .help("leave the operands of this node int8"));
    }
    let (output, y, limits) = q.result(k);
    let bound = inner as i64 * 255 * 255;
    let Some((multiplier, shift)) = scale::multipliers(&[qa.scale * qb.scale / y.scale], bound) else {
        return Err(q.problem(node, format!("sums of up to {bound} do not fit 32 bits at its output's scale")));
    };
    let layer = MatMul {
        extents: [batch, rows, inner, columns],
        zero_point: [qa.zero_point, qb.zero_point],
        multiplier: multiplier[0],
        shift,
        limits,
    };
    q.push(k, layer, vec![a, b], output, Some(bound));
    Ok(())
}
