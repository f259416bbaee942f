//! Passes that bring an imported graph into the form quantization expects: constants folded, elementwise
//! functions of one tensor fused, factors and offsets folded into the layers beside them, broadcasts explicit.
//!
//! Every pass keeps the float results (up to rounding); [`simplify`] runs them to a fixed point.

mod affine;
mod broadcast;
mod clean;
mod columns;
mod fold_affine;
mod fuse_layer_normalization;
mod fuse_maps;
mod fuse_softmax;
mod split_maps;

pub use affine::{Affine, affine_of, broadcast_index, period_of};

use super::Graph;

/// Runs all passes.
pub fn simplify(graph: &mut Graph) {
    loop {
        let mut changed = clean::fold_constants(graph);
        changed |= clean::forward_copies(graph);
        changed |= fuse_softmax::fuse(graph);
        changed |= fuse_layer_normalization::fuse(graph);
        changed |= clean::search_logits(graph);
        changed |= fuse_maps::fuse(graph);
        changed |= split_maps::split(graph);
        changed |= fold_affine::fold(graph);
        changed |= columns::find(graph);
        clean::remove_unused(graph);
        if !changed {
            break;
        }
    }
    broadcast::make_explicit(graph);
    clean::remove_unused(graph);
}
