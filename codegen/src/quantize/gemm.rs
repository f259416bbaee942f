//! Fully connected layers.

use super::config::Scale;
use super::format::Format;
use super::{Quantizer, scale};
use crate::error::Problem;
use crate::graph::{Node, Op};
use crate::plan::kernels::{Gemm, GemmMasked, GemmSums, Limits};
use crate::plan::{Quant, Type};

/// Weights: symmetric, in the layer's format, one scale an output unless the configuration has one for all; where it
/// gives none, the scale is the one with the least squared error of the products (each weight's error weighted by its
/// input's mean square). Bias: int32, corrected by what the rounding of the weights adds on average over the calibration
/// data (Nagel et al. 2019, "Data-Free Quantization", section 4.2, with the means measured instead of modelled), unless
/// the scale was given: then the weights are tuned to it.
pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node, weight: &[f32], bias: &[f32]) -> Result<(), Problem> {
    let (input, x) = q.activation(node, 0)?;
    let config = q.config.layer(&node.name);
    let format = config.weights.unwrap_or(Format::Int8);
    let outputs = bias.len();
    let inputs = weight.len() / outputs.max(1);
    let rows = q.values[input].len() / inputs.max(1);
    let (mean, square) = feature_moments(q, node.inputs[0], inputs);
    let (left_out, masks) = match &config.masks {
        Some(masks) => q.masks(node, x, masks)?,
        None => (vec![false; weight.len()], None),
    };
    let given: Option<Vec<f64>> = match &config.scale {
        Some(Scale::Layer(s)) => Some(vec![*s; outputs]),
        Some(Scale::Outputs(s)) => Some(s.clone()),
        None if config.shift.is_some() => {
            let all: Vec<f64> = square.iter().copied().cycle().take(weight.len()).collect();
            Some(vec![weight_scale(weight, &all, format).unwrap_or(1.0); outputs])
        }
        None => None,
    };
    let tuned = config.scale.is_some();
    let operand = Operand {
        scale: x.scale,
        // A masked operand is taken without its zero point.
        zero_point: if masks.is_some() { 0 } else { x.zero_point },
        mean: if tuned { vec![0.0; inputs] } else { mean },
        reach: if masks.is_some() { i64::from(x.max) + 128 } else { q.reach(input) },
    };
    let step = if config.shift.is_none() { q.quants[q.decisions.result(q.graph, k)].map(|y| y.scale) } else { None };
    let mut channels = Vec::with_capacity(outputs);
    let mut coarser = 0;
    for (o, (row, &b)) in weight.chunks_exact(inputs).zip(bias).enumerate() {
        let dropped = |i: usize| left_out[o * inputs + i];
        let row: Vec<f32> = row.iter().enumerate().map(|(i, &w)| if dropped(i) { 0.0 } else { w }).collect();
        let best = match &given {
            Some(scales) => Some(scales[o]),
            None => weight_scale(&row, &square, format),
        };
        let mut s = best.unwrap_or(step.unwrap_or(1.0) / 4096.0 / x.scale);
        // A bias far larger than the weights, or int16 activations, may need coarser weights to fit an i32.
        let channel = loop {
            // Of biases that are given, the scale is, too.
            let b = config.bias.as_ref().map_or(b.into(), |bias| f64::from(bias[o]) * (x.scale * s));
            let channel = quantize_row(&row, b, s, &operand, |i, w| if dropped(i) { 0 } else { format.round(w) });
            if channel.bound <= i64::from(i32::MAX) {
                break channel;
            }
            if given.is_some() {
                return Err(q
                    .problem(node, format!("sums of output {o} reach {}, which 32 bits do not hold", channel.bound))
                    .help("its scale of weights is too fine for its bias"));
            }
            s *= 1.25;
        };
        coarser += usize::from(best.is_some_and(|best| s > best));
        channels.push(channel);
    }
    if coarser > 0 {
        let (name, origin) = (&node.name, &node.origin);
        q.notes.push(format!(
            "node '{name}' ({origin}): {coarser} of {outputs} outputs have coarser weights than {} allows, so that their \
             sums are sure to fit 32 bits",
            format
        ));
    }
    let bounds: Vec<i64> = channels.iter().map(|c| c.bound).collect();
    let bound = bounds.iter().copied().max().unwrap_or(0);
    let mut layer = Gemm {
        rows,
        inputs,
        outputs,
        weight: channels.iter().flat_map(|c| c.weight.iter().copied()).collect(),
        bias: channels.iter().map(|c| c.bias).collect(),
        multiplier: Vec::new(),
        shift: 0,
        limits: Limits { ty: x.ty, zero_point: 0, min: 0, max: 0 },
    };
    let same_scale = channels.windows(2).all(|c| c[0].scale == c[1].scale);
    if tuned && same_scale && q.only_compared(k) {
        let quant = Quant::new(Type::I32, x.scale * channels[0].scale, 0);
        q.quants[node.output] = Some(quant);
        let (output, ..) = q.result(k);
        match masks {
            Some(masks) => q.push(k, GemmMasked { layer, masks, sums: true }, vec![input], output, Some(bound)),
            None => q.push(k, GemmSums { layer }, vec![input], output, Some(bound)),
        }
        return Ok(());
    }
    if let Some(shift) = config.shift {
        q.truncate(k, node, Quant::unsigned(config.bits.unwrap_or(8), truncated(x.scale * channels[0].scale, shift)))?;
        // The rounding of the requantization takes half a step: its result is the floor.
        // A bias that has no room for it wraps, and is refused below.
        layer.bias.iter_mut().for_each(|bias| *bias = bias.wrapping_sub((1 << shift) >> 1));
    }
    let (output, y, limits) = q.result(k);
    let factors: Vec<f64> = match config.shift {
        Some(shift) => vec![2f64.powi(-(shift as i32)); outputs],
        None => channels.iter().map(|c| x.scale * c.scale / y.scale).collect(),
    };
    let half = config.shift.map_or(0, |shift| (1 << shift) >> 1);
    let Some((mut multiplier, shift)) = scale::multipliers(&factors, bound + half) else {
        let largest = factors.iter().copied().fold(0.0, f64::max);
        return Err(q
            .problem(
                node,
                format!("its output range is too narrow for its weights: a factor of {largest:.3e} on accumulators up to {bound}"),
            )
            .help("calibrate with data that exercises the layer, or make it int16"));
    };
    scale::shorten(&mut multiplier, shift, &bounds, f64::from(y.limits().1 - y.limits().0));
    (layer.multiplier, layer.shift, layer.limits) = (multiplier, shift, limits);
    match masks {
        Some(masks) => q.push(k, GemmMasked { layer, masks, sums: false }, vec![input], output, Some(bound + half)),
        None => q.push(k, layer, vec![input], output, Some(bound + half)),
    }
    Ok(())
}

/// The real size of a step after `shift` bits were cut off, as the generated module holds it.
fn truncated(step: f64, shift: u32) -> f64 {
    f64::from((step * 2f64.powi(shift as i32)) as f32)
}

impl Quantizer<'_> {
    /// Of a layer, row by row, which summands are left out, and its masks; none if they do nothing else.
    fn masks(&self, node: &Node, x: Quant, masks: &[Vec<u8>]) -> Result<(Vec<bool>, Option<Vec<u8>>), Problem> {
        let live = ((x.max + 129) as u32).next_power_of_two().wrapping_sub(1) as u8;
        let masks: Vec<u8> = masks.iter().flatten().map(|&m| m & live).collect();
        let left_out = masks.iter().map(|&m| m == 0).collect();
        if masks.iter().all(|&m| m == live || m == 0) {
            return Ok((left_out, None));
        }
        if (x.ty, x.zero_point) != (Type::I8, -128) {
            return Err(self
                .problem(node, "has masks, but its operand is not an unsigned 8-bit tensor")
                .help("masks need an operand behind a Relu, or an input that is never negative"));
        }
        Ok((left_out, Some(masks)))
    }

    /// Whether the result of node `k` goes to one `ArgMax` and nowhere else.
    fn only_compared(&self, k: usize) -> bool {
        let graph = self.graph;
        let output = graph.nodes[k].output;
        let compared = |&c: &usize| matches!(graph.nodes[c].op, Op::ArgMax { .. });
        self.decisions.clamp[k].is_none()
            && !graph.is_output(output)
            && matches!(graph.consumers(output)[..], [c] if compared(&c))
    }

    /// Gives the result of node `k` the numbers of a truncated ReLU.
    fn truncate(&mut self, k: usize, node: &Node, quant: Quant) -> Result<(), Problem> {
        let relu = self.decisions.clamp[k].is_some_and(|(bounds, _)| bounds.low == 0.0 && bounds.high == f64::INFINITY);
        if !relu {
            return Err(self
                .problem(node, "has a shift for a truncated ReLU, but no Relu of its own follows it")
                .help("leave the shift out, or put a Relu behind the layer"));
        }
        let result = self.decisions.result(self.graph, k);
        let shared = (0..self.decisions.shares.len()).filter(|&t| self.decisions.shares[t] == result);
        for tensor in shared.collect::<Vec<_>>() {
            self.quants[tensor] = Some(quant);
        }
        Ok(())
    }
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

/// The scale of weights in a format, whose squared errors, each times `square`, add up to least; `None` where all are zero.
pub fn weight_scale(weights: &[f32], square: &[f64], format: Format) -> Option<f64> {
    let largest = weights.iter().fold(0.0f64, |m, &w| m.max(f64::from(w).abs()));
    if largest == 0.0 {
        return None;
    }
    let error = |s: f64| -> f64 {
        let each = weights.iter().zip(square).map(|(&w, &x)| {
            let w = f64::from(w);
            let e = f64::from(format.round(w / s)) * s - w;
            e * e * (x + 1e-12)
        });
        each.sum()
    };
    let top = largest / f64::from(format.largest());
    // Few levels: much of the range may be worth giving up, and powers of two may round up.
    let candidates: Vec<f64> = match format {
        Format::Int8 => (0..=40).map(|k| top * (1.0 - 0.01 * f64::from(k))).collect(),
        _ => (0..=80).map(|k| top * 1.25 * 0.98f64.powi(k)).collect(),
    };
    candidates.into_iter().map(|s| (s, error(s))).min_by(|a, b| a.1.total_cmp(&b.1)).map(|c| c.0)
}

/// One output's numbers.
pub(super) struct Channel {
    pub(super) weight: Vec<i8>,
    pub(super) bias: i32,
    /// The largest magnitude of its sum.
    pub(super) bound: i64,
    /// Of its weights.
    pub(super) scale: f64,
}

/// What a layer reads.
pub(super) struct Operand {
    pub(super) scale: f64,
    pub(super) zero_point: i32,
    /// Of each feature, in real numbers; 0 where the bias is not to be corrected by it.
    pub(super) mean: Vec<f64>,
    /// The largest magnitude of an integer.
    pub(super) reach: i64,
}

/// A row of weights and its bias at a scale of weights.
pub(super) fn quantize_row(row: &[f32], bias: f64, s: f64, x: &Operand, round: impl Fn(usize, f64) -> i8) -> Channel {
    let weight: Vec<i8> = row.iter().enumerate().map(|(i, &w)| round(i, f64::from(w) / s)).collect();
    let added: f64 =
        weight.iter().zip(row).zip(&x.mean).map(|((&q, &w), m)| (f64::from(q) * s - f64::from(w)) * m).sum();
    let sum: i64 = weight.iter().map(|&w| i64::from(w)).sum();
    let magnitude: i64 = weight.iter().map(|&w| i64::from(w).abs()).sum();
    // Saturating casts: a value out of range makes the bound fail, not wrap.
    let bias = ((bias - added) / (x.scale * s)).round() as i64;
    let bias = bias.saturating_sub(sum * i64::from(x.zero_point));
    let bound = bias.saturating_abs().saturating_add(magnitude * x.reach);
    Channel { weight, bias: bias.clamp(i32::MIN.into(), i32::MAX.into()) as i32, bound, scale: s }
}
