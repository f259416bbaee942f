//! Fully connected layers along another axis than the last.

use super::format::Format;
use super::gemm::{Operand, quantize_row, weight_scale};
use super::{Quantizer, reduce, scale};
use crate::error::Problem;
use crate::graph::Node;
use crate::plan::kernels::GemmColumns;

/// Weights and bias as those of [`gemm`](super::gemm).
pub(super) fn lower(
    q: &mut Quantizer,
    k: usize,
    node: &Node,
    weight: &[f32],
    bias: &[f32],
    axis: usize,
) -> Result<(), Problem> {
    let (input, x) = q.activation(node, 0)?;
    let format = q.config.layer(&node.name).weights.unwrap_or(Format::Int8);
    let [matrices, inputs, columns] = reduce::around(&q.graph.tensors[node.inputs[0]].shape, axis);
    let moment = |of: &[f64]| -> Vec<f64> {
        let mut sums = vec![0.0; inputs];
        of.iter().enumerate().for_each(|(k, v)| sums[k / columns % inputs] += v / (matrices * columns) as f64);
        sums
    };
    let (mean, square) = match &q.calibration.tensors[node.inputs[0]] {
        Some(s) => (moment(&s.mean), moment(&s.square)),
        None => (vec![0.0; inputs], vec![1.0; inputs]),
    };
    let operand = Operand { scale: x.scale, zero_point: x.zero_point, mean, reach: q.reach(input) };
    let (output, y, limits) = q.result(k);
    let mut channels = Vec::with_capacity(bias.len());
    for (row, &b) in weight.chunks_exact(inputs).zip(bias) {
        let mut s = weight_scale(row, &square, format).unwrap_or(y.scale / 4096.0 / x.scale);
        // A bias far larger than the weights may need coarser weights to fit an i32.
        channels.push(loop {
            let channel = quantize_row(row, b.into(), s, &operand, |_, w| format.round(w));
            if channel.bound <= i64::from(i32::MAX) {
                break channel;
            }
            s *= 1.25;
        });
    }
    let bound = channels.iter().map(|c| c.bound).max().unwrap_or(0);
    let factors: Vec<f64> = channels.iter().map(|c| x.scale * c.scale / y.scale).collect();
    let Some((mut multiplier, shift)) = scale::multipliers(&factors, bound) else {
        let largest = factors.iter().copied().fold(0.0, f64::max);
        let reason = format!(
            "its output range is too narrow for its weights: a factor of {largest:.3e} on accumulators up to {bound}"
        );
        return Err(q.problem(node, reason).help("calibrate with data that exercises the layer, or make it int16"));
    };
    let bounds: Vec<i64> = channels.iter().map(|c| c.bound).collect();
    scale::shorten(&mut multiplier, shift, &bounds, f64::from(y.limits().1 - y.limits().0));
    let layer = GemmColumns {
        extents: [matrices, inputs, columns],
        weight: channels.iter().flat_map(|c| c.weight.iter().copied()).collect(),
        bias: channels.iter().map(|c| c.bias).collect(),
        multiplier,
        shift,
        limits,
    };
    q.push(k, layer, vec![input], output, Some(bound));
    Ok(())
}
