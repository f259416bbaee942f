//! Fully connected layers.

use super::{Quantizer, scale};
use crate::error::Problem;
use crate::graph::Node;
use crate::plan::kernels::Gemm;

/// Largest weight.
const TOP: f64 = 127.0;

/// Weights: symmetric, one scale an output, the scale the one with the least squared error of the products (each
/// weight's error weighted by its input's mean square). Bias: int32, corrected by what the rounding of the weights
/// adds on average over the calibration data (Nagel et al. 2019, "Data-Free Quantization", section 4.2, with the
/// means measured instead of modelled).
pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node, weight: &[f32], bias: &[f32]) -> Result<(), Problem> {
    let (input, x) = q.activation(node, 0)?;
    let outputs = bias.len();
    let inputs = weight.len() / outputs.max(1);
    let rows = q.values[input].len() / inputs.max(1);
    let reach = q.reach(input);
    let (mean, square) = feature_moments(q, node.inputs[0], inputs);
    let (output, y, limits) = q.result(k);
    let mut layer = Gemm {
        rows,
        inputs,
        outputs,
        weight: Vec::with_capacity(weight.len()),
        bias: Vec::with_capacity(outputs),
        multiplier: vec![],
        shift: 0,
        limits,
    };
    let (mut factors, mut bound, mut coarser) = (Vec::with_capacity(outputs), 0i64, 0);
    let mut bounds = Vec::with_capacity(outputs);
    for (row, &b) in weight.chunks_exact(inputs).zip(bias) {
        let best = weight_scale(row, &square);
        let mut s = best.unwrap_or(y.scale / 4096.0 / x.scale);
        // A bias far larger than the weights, or int16 activations, may need coarser weights to fit an i32.
        let channel = loop {
            let channel = quantize_row(row, b.into(), s, x.scale, x.zero_point, &mean, reach);
            if channel.bound <= i64::from(i32::MAX) {
                break channel;
            }
            s *= 1.25;
        };
        coarser += usize::from(best.is_some_and(|best| s > best));
        bound = bound.max(channel.bound);
        bounds.push(channel.bound);
        layer.weight.extend(channel.weight);
        layer.bias.push(channel.bias);
        factors.push(x.scale * s / y.scale);
    }
    let Some((mut multiplier, shift)) = scale::multipliers(&factors, bound) else {
        let largest = factors.iter().copied().fold(0.0, f64::max);
        return Err(q
            .problem(
                node,
                format!("its output range is too narrow for its weights: a factor of {largest:.3e} on accumulators up to {bound}"),
            )
            .help("calibrate with data that exercises the layer, or make it int16"));
    };
    if coarser > 0 {
        let (name, origin) = (&node.name, &node.origin);
        q.notes.push(format!(
            "node '{name}' ({origin}): {coarser} of {outputs} outputs have coarser weights than 8 bits allow, so that their \
             sums are sure to fit 32 bits"
        ));
    }
    if shift == 0 {
        scale::shorten(&mut multiplier, &bounds, f64::from(y.ty.limits().1 - y.ty.limits().0));
    }
    (layer.multiplier, layer.shift) = (multiplier, shift);
    q.push(k, layer, vec![input], output, Some(bound));
    Ok(())
}

/// Mean and mean square of each input feature, over rows of the tensor and rows of the calibration data.
fn feature_moments(q: &Quantizer, tensor: usize, inputs: usize) -> (Vec<f64>, Vec<f64>) {
    let Some(s) = &q.calibration.tensors[tensor] else { return (vec![0.0; inputs], vec![1.0; inputs]) };
    let average = |v: &[f64]| -> Vec<f64> {
        let rows = (v.len() / inputs).max(1) as f64;
        let mut sums = vec![0.0; inputs];
        for (k, v) in v.iter().enumerate() {
            sums[k % inputs] += v / rows;
        }
        sums
    };
    (average(&s.mean), average(&s.square))
}

/// The scale of one output's weights; `None` where all are zero.
fn weight_scale(row: &[f32], square: &[f64]) -> Option<f64> {
    let largest = row.iter().fold(0.0f64, |m, &w| m.max(f64::from(w).abs()));
    if largest == 0.0 {
        return None;
    }
    let error = |s: f64| -> f64 {
        let each = row.iter().zip(square).map(|(&w, &x)| {
            let w = f64::from(w);
            let e = (w / s).round().clamp(-TOP, TOP) * s - w;
            e * e * (x + 1e-12)
        });
        each.sum()
    };
    let candidates = (0..=40).map(|k| largest / TOP * (1.0 - 0.01 * f64::from(k)));
    candidates.map(|s| (s, error(s))).min_by(|a, b| a.1.total_cmp(&b.1)).map(|c| c.0)
}

struct Channel {
    weight: Vec<i8>,
    bias: i32,
    bound: i64,
}

fn quantize_row(row: &[f32], bias: f64, s: f64, x_scale: f64, x_zero: i32, mean: &[f64], reach: i64) -> Channel {
    let weight: Vec<i8> = row.iter().map(|&w| (f64::from(w) / s).round().clamp(-TOP, TOP) as i8).collect();
    let added: f64 = weight.iter().zip(row).zip(mean).map(|((&q, &w), m)| (f64::from(q) * s - f64::from(w)) * m).sum();
    let sum: i64 = weight.iter().map(|&w| i64::from(w)).sum();
    let magnitude: i64 = weight.iter().map(|&w| i64::from(w).abs()).sum();
    // Saturating casts: a value out of range makes the bound fail, not wrap.
    let bias = ((bias - added) / (x_scale * s)).round() as i64;
    let bias = bias.saturating_sub(sum * i64::from(x_zero));
    let bound = bias.saturating_abs().saturating_add(magnitude * reach);
    Channel { weight, bias: bias.clamp(i32::MIN.into(), i32::MAX.into()) as i32, bound }
}
