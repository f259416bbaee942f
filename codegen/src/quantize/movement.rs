//! Data movement: views by strides, which keep every value and so its numbers.

use super::Quantizer;
use crate::error::Problem;
use crate::graph::{Expr, Graph, Node, Op, Reduction, show_shape};
use crate::plan::kernels::Strided;

/// Whether a node's output has the same numbers as its first input.
pub(super) fn keeps_values(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Reshape | Op::Transpose { .. } | Op::Slice { .. } | Op::Reduce { kind: Reduction::Max, .. } => true,
        Op::Map(expr) => {
            *expr == Expr::Input(0) && graph.tensors[node.inputs[0]].shape != graph.tensors[node.output].shape
        }
        _ => false,
    }
}

/// Another shape for the same value.
pub(super) fn reshape(q: &mut Quantizer, node: &Node) -> Result<(), Problem> {
    let value = q.operand(node, 0)?;
    q.value_of.insert(node.output, value);
    Ok(())
}

/// `y`'s axis `k` is `x`'s axis `perm[k]`.
pub(super) fn transpose(q: &mut Quantizer, k: usize, node: &Node, perm: &[usize]) -> Result<(), Problem> {
    let strides = strides(&q.graph.tensors[node.inputs[0]].shape);
    view(q, k, node, 0, &perm.iter().map(|&axis| strides[axis]).collect::<Vec<_>>())
}

/// A range along every axis.
pub(super) fn slice(q: &mut Quantizer, k: usize, node: &Node, start: &[usize], step: &[isize]) -> Result<(), Problem> {
    let strides = strides(&q.graph.tensors[node.inputs[0]].shape);
    let first = start.iter().zip(&strides).map(|(&s, &stride)| s * stride as usize).sum();
    view(q, k, node, first, &step.iter().zip(&strides).map(|(a, b)| a * b).collect::<Vec<_>>())
}

/// Broadcast: stride 0 where an axis is repeated.
pub(super) fn expand(q: &mut Quantizer, k: usize, node: &Node) -> Result<(), Problem> {
    let from = &q.graph.tensors[node.inputs[0]].shape;
    let to = &q.graph.tensors[node.output].shape;
    let own = strides(from);
    let missing = to.len().saturating_sub(from.len());
    let stride = |axis: usize| if axis < missing || from[axis - missing] == 1 { 0 } else { own[axis - missing] };
    let all: Vec<isize> = (0..to.len()).map(stride).collect();
    view(q, k, node, 0, &all)
}

/// A copy of `len` elements.
pub(super) fn copy(len: usize) -> Strided {
    Strided { len, start: 0, stride: [0, 0, 0, 1], extents: [1, 1, 1, len] }
}

/// A view as a kernel of at most four axes; axes that continue each other become one.
pub(super) fn strided(len: usize, start: usize, shape: &[usize], stride: &[isize]) -> Option<Strided> {
    let mut axes: Vec<(usize, isize)> = Vec::new();
    for (&extent, &stride) in shape.iter().zip(stride).filter(|(e, _)| **e != 1) {
        match axes.last_mut() {
            Some((outer, outer_stride)) if *outer_stride == stride * extent as isize => {
                (*outer, *outer_stride) = (*outer * extent, stride);
            }
            _ => axes.push((extent, stride)),
        }
    }
    let missing = 4usize.checked_sub(axes.len())?;
    let mut kernel = Strided { len, start, stride: [0; 4], extents: [1; 4] };
    for (k, (extent, stride)) in axes.into_iter().enumerate() {
        (kernel.extents[missing + k], kernel.stride[missing + k]) = (extent, stride);
    }
    Some(kernel)
}

fn view(q: &mut Quantizer, k: usize, node: &Node, start: usize, stride: &[isize]) -> Result<(), Problem> {
    let input = q.operand(node, 0)?;
    let shape = q.graph.tensors[node.output].shape.clone();
    let Some(kernel) = strided(q.values[input].len(), start, &shape, stride) else {
        let from = show_shape(&q.graph.tensors[node.inputs[0]].shape);
        return Err(q
            .problem(node, format!("moves data along more than four axes ({from} to {})", show_shape(&shape)))
            .help("reshape so that at most four axes move separately"));
    };
    let (output, ..) = q.result(k);
    q.push(k, kernel, vec![input], output, None);
    Ok(())
}

/// Strides of a dense tensor.
pub(super) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1] as isize;
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_that_continue_each_other_merge() {
        // [2, 3, 4] transposed to [3, 2, 4] keeps three axes; a plain slice of rows is one.
        let t = strided(24, 0, &[3, 2, 4], &[4, 12, 1]).unwrap();
        assert_eq!((t.extents, t.stride), ([1, 3, 2, 4], [0, 4, 12, 1]));
        let s = strided(24, 12, &[1, 3, 4], &[12, 4, 1]).unwrap();
        assert_eq!((s.extents, s.stride, s.start), ([1, 1, 1, 12], [0, 0, 0, 1], 12));
        assert!(strided(32, 0, &[2, 2, 2, 2, 2], &[1, 2, 4, 8, 16]).is_none());
    }
}
