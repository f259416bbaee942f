//! Populations to begin with: summands and bits of summands left out one after another, those first that cost the least
//! accuracy for what they save.

use super::Objective;
use super::evaluate;
use super::space::{Masks, Space};
use crate::approximate::adders::{Digits, Trees};
use crate::approximate::digits::signed_digits;
use crate::approximate::network::{Change, Incremental, Layer, Network, Samples};
use std::num::NonZeroUsize;

/// How much of the sums' power a change may disturb before that weighs as much as all rows lost. Rows are few, and
/// many changes lose none: without it, the order among those would be chance. Two orders begin the search.
const DISTURBANCE: [f64; 2] = [1.0, 0.1];

/// The part of all summands that is left out between two networks that are kept.
const STEP: usize = 24;

/// Genes of a start with more and more left out, until less than `least` rows are right.
pub(super) fn seeds(
    space: &Space,
    start: &[u8],
    candidate: &evaluate::Candidate,
    samples: &Samples,
    (objective, least, threads): (Objective, usize, NonZeroUsize),
) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for disturbance in DISTURBANCE {
        let mut state = Incremental::balanced(candidate.network.clone(), samples, candidate.means.clone());
        while state.correct() >= least && state.correct() > 0 {
            if !pass(space, &mut state, samples, (objective, disturbance, threads)) {
                break;
            }
            seeds.push(space.with_masks(start, state.network()));
        }
    }
    seeds
}

/// How many of the best changes are known for each that is made: some no longer are good after others.
const SPARE: usize = 4;

/// A change with what is known before rows are counted.
struct Candidate {
    change: Change,
    saved: f64,
    disturbance: f64,
}

impl Candidate {
    /// Lost rows, as a share, and disturbance, by what is saved.
    fn price(&self, lost: f64) -> f64 {
        (lost + self.disturbance) / self.saved
    }
}

/// A change with what it is worth.
#[derive(Clone, Copy)]
struct Rated {
    change: Change,
    price: f64,
    right: usize,
}

/// Makes some of the best changes; false, if there is none.
fn pass(
    space: &Space,
    state: &mut Incremental,
    samples: &Samples,
    (objective, disturbance, threads): (Objective, f64, NonZeroUsize),
) -> bool {
    let changes = changes(space, state.network());
    let most = state.network().layers.iter().map(|layer| layer.weight.len()).sum::<usize>().div_ceil(STEP);
    // What a change costs if no row is lost: no more than what it does cost.
    let power = state.power();
    let trees = |layer: &Layer| -> Vec<(Trees, usize)> {
        let each = (0..layer.outputs).map(|o| Trees::new(layer, o, Digits::Binary));
        each.map(|trees| (trees.clone(), trees.adders())).collect()
    };
    let trees: Vec<_> = match objective {
        Objective::Adders => state.network().layers.iter().map(trees).collect(),
        _ => Vec::new(),
    };
    let least = |change: &Change| {
        let trees = trees.get(change.layer).map(|layer| &layer[change.output]);
        let saved = saved(&state.network().layers[change.layer], change, trees);
        let disturbance = disturbance * state.disturbance(*change) / power[change.layer].max(1.0);
        Candidate { change: *change, saved, disturbance }
    };
    let mut open = side_by_side(&changes, threads, &least);
    open.retain(|one| one.price(0.0).is_finite());
    // Stable: among equals the order is that of the changes.
    open.sort_by(|a, b| a.price(0.0).total_cmp(&b.price(0.0)));
    let rate = |one: &Candidate| {
        let right = state.correct_with(one.change);
        let lost = (state.correct() as f64 - right as f64).max(0.0) / samples.len().max(1) as f64;
        Rated { change: one.change, price: one.price(lost), right }
    };
    // Rows are counted until no change that is left can be among the best.
    let wanted = SPARE * most;
    let mut rated: Vec<Rated> = Vec::new();
    for part in open.chunks(wanted.max(64)) {
        if rated.get(wanted - 1).is_some_and(|last| part[0].price(0.0) > last.price) {
            break;
        }
        rated.extend(side_by_side(part, threads, &rate));
        rated.sort_by(|a, b| a.price.total_cmp(&b.price));
        rated.truncate(wanted);
    }
    let mut made = 0;
    let mut touched: Vec<(usize, usize, usize)> = Vec::new();
    for Rated { change, right, .. } in rated {
        let summand = (change.layer, change.output, change.input);
        if made >= most {
            break;
        }
        // What was rated before other changes has to hold after them.
        if touched.contains(&summand) || made > 0 && state.correct_with(change) < right.min(state.correct()) {
            continue;
        }
        state.apply(change);
        touched.push(summand);
        made += 1;
    }
    made > 0
}

/// What a function gives for each, in their order, whatever the number of threads.
fn side_by_side<T: Sync, R: Send>(all: &[T], threads: NonZeroUsize, f: &(dyn Fn(&T) -> R + Sync)) -> Vec<R> {
    let share = all.len().div_ceil(threads.get()).max(1);
    let mut found = Vec::with_capacity(all.len());
    std::thread::scope(|scope| {
        let parts: Vec<_> =
            all.chunks(share).map(|part| scope.spawn(move || part.iter().map(f).collect::<Vec<R>>())).collect();
        parts.into_iter().for_each(|part| found.extend(part.join().unwrap_or_default()));
    });
    found
}

/// All ways to leave more of one summand out: all of it, or one bit.
fn changes(space: &Space, network: &Network) -> Vec<Change> {
    let mut changes = Vec::new();
    for (k, (layer, masks)) in network.layers.iter().zip(space.layer_masks()).enumerate() {
        for output in 0..layer.outputs {
            for (input, _, mask) in layer.summands(output) {
                let mut add = |mask| changes.push(Change { layer: k, output, input, mask });
                match masks {
                    Masks::Bits { .. } => {
                        add(0);
                        let bits = (0..u8::BITS).map(|bit| 1u8 << bit).filter(|bit| mask & bit != 0 && mask != *bit);
                        bits.for_each(|bit| add(mask & !bit));
                    }
                    Masks::Whole { .. } => add(0),
                    Masks::Shares { .. } => {}
                }
            }
        }
    }
    changes
}

/// What a change saves: full adders, or the additions of straight-line code. 0 or less is nothing.
fn saved(layer: &Layer, change: &Change, trees: Option<&(Trees, usize)>) -> f64 {
    let at = change.output * layer.inputs + change.input;
    let Some((trees, before)) = trees else {
        let (ones, others) = signed_digits(layer.weight[at].unsigned_abs().into());
        return f64::from((ones | others).count_ones());
    };
    let less = layer.masks[at] & !change.mask & layer.live();
    (*before as f64 - trees.without(layer.weight[at], less).adders() as f64).max(0.0)
}
