//! Layer normalization.

use super::Quantizer;
use crate::error::Problem;
use crate::graph::eval::evaluate_op;
use crate::graph::{Node, Op, show_shape};
use crate::plan::Quant;
use crate::plan::kernels::{LayerNormalization, WordNormalization};

/// Elements of a row, at most: the variance of int16 rows of this length fills 62 bits.
const LONGEST: usize = 4096;

/// Binary places of the results before their rounding, at most.
const MOST_PLACES: i32 = 12;

pub(super) fn lower(
    q: &mut Quantizer,
    k: usize,
    node: &Node,
    factor: &[f32],
    term: &[f32],
    epsilon: f64,
) -> Result<(), Problem> {
    let (input, x) = q.activation(node, 0)?;
    let row = factor.len();
    if row > LONGEST {
        let shape = show_shape(&q.graph.tensors[node.inputs[0]].shape);
        return Err(
            q.problem(node, format!("normalizes rows of {row} elements ({shape}); at most {LONGEST} fit its sums"))
        );
    }
    let rows = q.values[input].len() / row.max(1);
    let (output, y, limits) = q.result(k);
    // No element is further from the mean than the root of the row's length, in standard deviations.
    let farthest = (row as f64).sqrt();
    let constants = |one: f64| {
        let multiplier: Vec<f64> = factor.iter().map(|&f| (f64::from(f) / y.scale * 4096.0 * one).round()).collect();
        let bias = |t: &f32| ((f64::from(*t) / y.scale + f64::from(y.zero_point)) * one).round() + one / 2.0;
        let bias: Vec<f64> = term.iter().map(bias).collect();
        let bounds = multiplier.iter().zip(&bias).map(|(m, b)| m.abs() / 4096.0 * farthest + b.abs() + 1.0);
        let bound = bounds.fold(0.0, f64::max);
        let fits = bound < 2_147_483_648.0 && multiplier.iter().all(|m| m.abs() < 2_147_483_648.0);
        fits.then_some((multiplier, bias, bound))
    };
    let found = (1..=MOST_PLACES).rev().find_map(|shift| Some((shift, constants(2f64.powi(shift))?)));
    let Some((shift, (multiplier, bias, bound))) = found else {
        return Err(q
            .problem(node, format!("its output range is too narrow for its factors: {:.3e} a step", y.scale))
            .help("calibrate with data that exercises the layer"));
    };
    let fine = epsilon * (row as f64 / x.scale).powi(2) * 256.0;
    let layer = LayerNormalization {
        rows,
        // Saturates: a variance that does not matter beside epsilon.
        epsilon: fine.round() as i64,
        multiplier: multiplier.into_iter().map(|m| m as i32).collect(),
        bias: bias.into_iter().map(|b| b as i32).collect(),
        shift: shift as u32,
        limits,
    };
    match without_words(q, node, &layer, (factor, term, epsilon), y) {
        Some(layer) => q.push(k, layer, vec![input], output, Some(bound as i64)),
        None => q.push(k, layer, vec![input], output, Some(bound as i64)),
    }
    Ok(())
}

/// The kernel for the rows of a text model's first layer, whose row without a word is the layer's bias.
fn without_words(
    q: &Quantizer,
    node: &Node,
    layer: &LayerNormalization,
    (factor, term, epsilon): (&[f32], &[f32], f64),
    y: Quant,
) -> Option<WordNormalization> {
    let producer = &q.graph.nodes[q.graph.producer(node.inputs[0])?];
    let Op::Projection { bias, .. } = &producer.op else { return None };
    let value = q.value_of.get(&node.inputs[0])?;
    let empty = q.steps.iter().find(|step| step.output == *value)?.kernel.empty_row()?;
    let op = Op::LayerNormalization { scale: factor.into(), bias: term.into(), epsilon };
    let shape = [1, bias.len()];
    let result = evaluate_op(&op, &[(bias, &shape)], &shape);
    let result = result.iter().map(|&v| y.quantize(v.into()).clamp(layer.limits.min, layer.limits.max)).collect();
    Some(WordNormalization { layer: layer.clone(), operand: q.values[*value].quant.ty, empty, result })
}
