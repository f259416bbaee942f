//! The first layer of a text model: a fully connected layer over counting Bloom filters.

use super::format::Format;
use super::gemm::weight_scale;
use super::{Quantizer, scale};
use crate::error::{Problem, Result};
use crate::graph::Node;
use crate::plan::Quant;
use crate::plan::kernels::{self, Limits};

pub(super) fn lower(
    q: &mut Quantizer,
    k: usize,
    node: &Node,
    weight: &[f32],
    bias: &[f32],
    (buckets, span): (usize, usize),
) -> std::result::Result<(), Problem> {
    let input = q.operand(node, 0)?;
    let hashes = q.values[input].features();
    let positions = q.values[input].len() / hashes.max(1);
    let (output, y, limits) = q.result(k);
    let outputs = bias.len().max(1);
    let rows: Vec<f32> = (0..outputs).flat_map(|o| weight[o..].iter().step_by(outputs).copied()).collect();
    let found = projection(&rows, bias, span, hashes, y).map_err(|e| {
        let Problem { reason, help, .. } = e.problems()[0].clone();
        q.problem(node, reason).help(help)
    })?;
    let Projection { weight, bias, multiplier, shift, bound, .. } = found;
    let layer = kernels::Projection { positions, hashes, buckets, span, weight, bias, multiplier, shift, limits };
    q.push(k, layer, vec![input], output, Some(bound));
    Ok(())
}

/// A [`tinymlp::text::Projection`] in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// `features x outputs`.
    pub weight: Vec<i8>,
    /// By output.
    pub bias: Vec<i32>,
    /// By output.
    pub multiplier: Vec<i32>,
    /// Of all outputs.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
    /// The largest magnitude that a sum can reach.
    pub bound: i64,
}

/// Quantizes a layer: `weight` is `outputs x features` as in ONNX's `Gemm` with `transB`, the features are those of a window
/// of `span` words in order, and each word's add up to `hashes`.
///
/// Weights are symmetric int8 with one scale an output. Features are counts and exact.
///
/// # Errors
/// Sizes that do not fit each other; sums that could leave 32 bits.
pub fn projection(weight: &[f32], bias: &[f32], span: usize, hashes: usize, y: Quant) -> Result<Projection> {
    let outputs = bias.len();
    let features = weight.len() / outputs.max(1);
    if outputs == 0
        || features == 0
        || features * outputs != weight.len()
        || span == 0
        || !features.is_multiple_of(span)
    {
        let sizes = format!("{} weights and {outputs} biases for a window of {span} words", weight.len());
        return Err(Problem::new("projection", sizes)
            .help("give a row of weights an output, of as many buckets a word")
            .into());
    }
    let mut found = Projection {
        weight: vec![0; weight.len()],
        bias: Vec::new(),
        multiplier: Vec::new(),
        shift: 0,
        limits: Limits { ty: y.ty, zero_point: y.zero_point, min: y.limits().0, max: y.limits().1 },
        bound: 0,
    };
    let mut factors = Vec::new();
    for (o, (row, &b)) in weight.chunks_exact(features).zip(bias).enumerate() {
        let mut s = weight_scale(row, &vec![1.0; features], Format::Int8).unwrap_or(y.scale / 4096.0);
        loop {
            let rounded: Vec<i8> = row.iter().map(|&w| Format::Int8.round(f64::from(w) / s)).collect();
            let bias = (f64::from(b) / s).round();
            let bound = bound(&rounded, bias as i64, features / span, hashes);
            if bound <= i64::from(i32::MAX) {
                rounded.iter().enumerate().for_each(|(f, &w)| found.weight[f * outputs + o] = w);
                found.bias.push(bias as i32);
                found.bound = found.bound.max(bound);
                break;
            }
            // A bias far larger than the weights.
            s *= 1.25;
        }
        factors.push(s / y.scale);
    }
    let Some((mut multiplier, shift)) = scale::multipliers(&factors, found.bound) else {
        let reason = format!("sums of up to {} do not fit 32 bits at its output's scale {:.3e}", found.bound, y.scale);
        return Err(Problem::new("projection", reason).help("calibrate with texts that exercise the layer").into());
    };
    if shift == 0 {
        let bounds = vec![found.bound; outputs];
        scale::shorten(&mut multiplier, 0, &bounds, f64::from(y.limits().1 - y.limits().0));
    }
    (found.multiplier, found.shift) = (multiplier, shift);
    Ok(found)
}

/// The largest magnitude of a sum: each word of the window adds the same weight for every hash at worst, or nothing where
/// there is no word.
fn bound(row: &[i8], bias: i64, buckets: usize, hashes: usize) -> i64 {
    let largest = |word: &[i8]| word.iter().map(|w| i64::from(*w).abs()).max().unwrap_or(0);
    let words: i64 = row.chunks(buckets).map(|word| hashes as i64 * largest(word)).sum();
    bias.saturating_abs().saturating_add(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Type;
    use proptest::prelude::*;
    use tinymlp::text::projection as run;

    const BUCKETS: usize = 30;

    proptest! {
        /// Sums of any words stay within the bound, some words reach it but for the bias, and results are those of the float
        /// layer within what the rounding of the weights allows.
        #[test]
        fn sums_are_bounded_and_near_the_float_layers(
            weight in prop::collection::vec(-1.0f32..1.0, 2 * 3 * BUCKETS), bias in prop::collection::vec(-50.0f32..50.0, 2),
            words in prop::collection::vec(prop::option::of(prop::collection::vec(0..BUCKETS, 16)), 3),
        ) {
            let y = Quant::new(Type::I8, 0.5, 3);
            let layer = projection(&weight, &bias, 3, 16, y).unwrap();
            let features: Vec<usize> = words.iter().enumerate()
                .flat_map(|(k, word)| word.iter().flatten().map(move |b| k * BUCKETS + b)).collect();
            let mut out = [0i8; 2];
            let constants = (&layer.weight[..], &layer.bias[..], &layer.multiplier[..], layer.shift);
            run(features.iter().copied(), constants, layer.limits.clamp(), &mut out);
            for o in 0..2 {
                let row = &weight[o * 3 * BUCKETS..(o + 1) * 3 * BUCKETS];
                let sum: i64 = features.iter().map(|f| i64::from(layer.weight[f * 2 + o])).sum();
                prop_assert!((sum + i64::from(layer.bias[o])).abs() <= layer.bound);
                let worst: i64 = (0..3).map(|k| 16 * (0..BUCKETS).map(|b| i64::from(layer.weight[(k * BUCKETS + b) * 2 + o]).abs()).max().unwrap()).sum();
                prop_assert!(worst + i64::from(layer.bias[o]).abs() <= layer.bound);
                let real: f64 = f64::from(bias[o]) + features.iter().map(|&f| f64::from(row[f])).sum::<f64>();
                let expected = (real / y.scale + f64::from(y.zero_point)).clamp(-128.0, 127.0);
                // A weight is off by at most half a step of 1/127, or by what the chosen scale cuts off: 40 % of the largest.
                let scale = f64::from(layer.multiplier[o]) / 2f64.powi(32 - layer.shift as i32) * y.scale;
                let off = |f: &usize| (f64::from(layer.weight[f * 2 + o]) * scale - f64::from(row[*f])).abs();
                let allowed = features.iter().map(off).sum::<f64>() / y.scale + 0.55;
                prop_assert!((f64::from(out[o]) - expected).abs() <= allowed, "{} {expected} {allowed}", out[o]);
            }
        }
    }

    #[test]
    fn a_bias_that_fills_32_bits_makes_weights_coarser() {
        let y = Quant::new(Type::I8, 1e3, 0);
        let layer = projection(&[1e-6, -1e-6], &[1e5], 1, 64, y).unwrap();
        assert!(layer.bound <= i64::from(i32::MAX));
        let real =
            f64::from(layer.bias[0]) * f64::from(layer.multiplier[0]) / 2f64.powi(32 - layer.shift as i32) * y.scale;
        assert!((real / 1e5 - 1.0).abs() < 0.01, "{real}");
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let y = Quant::new(Type::I8, 1.0, 0);
        assert!(projection(&[1.0; 6], &[0.0], 4, 64, y).is_err());
        assert!(projection(&[], &[], 1, 64, y).is_err());
        assert!(projection(&[1.0; 3], &[0.0; 2], 1, 64, y).is_err());
    }
}
