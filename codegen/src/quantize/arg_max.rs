//! Index of the largest element.

use super::config::ArgMaxConfig;
use super::{Quantizer, reduce};
use crate::approximate::arg_max::{Comparator, Tree, highest, live_bits, offset};
use crate::error::Problem;
use crate::graph::Node;
use crate::plan::kernels::{ArgMax, ArgMaxBits};
use crate::plan::{Type, ValueId};

pub(super) fn lower(q: &mut Quantizer, k: usize, node: &Node, axis: usize, last: bool) -> Result<(), Problem> {
    let (input, x) = q.activation(node, 0)?;
    let extents = reduce::around(&q.graph.tensors[node.inputs[0]].shape, axis);
    if extents[1] > 65536 {
        return Err(q.problem(node, format!("searches {} elements: an index has 16 bits", extents[1])));
    }
    let Some(config) = &q.config.argmax else {
        let (output, ..) = q.result(k);
        q.push(k, ArgMax { extents, last }, vec![input], output, None);
        return Ok(());
    };
    let range = range(q, input);
    let tree = tree(config, extents[1], last, range);
    if range.1 + i64::from(tree.offset) > i64::from(i32::MAX) {
        return Err(q
            .problem(
                node,
                format!("compares sums up to {}, which leave no room for an offset of {}", range.1, tree.offset),
            )
            .help("make the offset of the argmax smaller, or the weights' scale coarser"));
    }
    let error = tree.error(range);
    let real = error as f64 * x.scale;
    q.notes.push(format!(
        "node '{}' ({}): its comparators may choose an element up to {error} steps ({real:.3}) below the largest",
        node.name, node.origin
    ));
    let (output, ..) = q.result(k);
    q.push(k, ArgMaxBits { extents, tree, error }, vec![input], output, None);
    Ok(())
}

/// The comparators that a configuration asks for, with the bits alone that values within a range have.
fn tree(config: &ArgMaxConfig, classes: usize, last: bool, range: (i64, i64)) -> Tree {
    let offset = config.offset.unwrap_or_else(|| offset(range.0));
    let live = live_bits(offset, range.1);
    let comparators = match &config.comparators {
        Some(given) => given.iter().map(|c| Comparator { bits: c.bits & live, ..*c }).collect(),
        None => {
            let bits = config.bits.map_or(live, |bits| highest(live, bits));
            Tree::exact(classes, last, range).comparators.into_iter().map(|c| Comparator { bits, ..c }).collect()
        }
    };
    Tree { offset, comparators }
}

/// The least and the largest integer of a value: proved from the constants of the layer that makes it, if it holds sums.
fn range(q: &Quantizer, value: ValueId) -> (i64, i64) {
    let limits = |value: ValueId| q.values[value].quant.limits();
    let (low, high) = limits(value);
    let all = (i64::from(low), i64::from(high));
    if q.values[value].quant.ty != Type::I32 {
        return all;
    }
    let step = q.steps.iter().find(|step| step.output == value);
    let Some((step, layer)) = step.and_then(|step| Some((step, step.kernel.dense()?))) else { return all };
    let sums = (0..layer.layer.outputs).map(|o| layer.sums(o, limits(step.inputs[0])));
    sums.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or(all)
}
