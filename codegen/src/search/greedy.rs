//! Populations to begin with: summands and bits of summands left out one after another, those first that cost the least
//! accuracy for what they save.

use super::Objective;
use super::evaluate::Candidate;
use super::space::{Masks, Space};
use crate::approximate::adders::{Digits, neuron};
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
    candidate: &Candidate,
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

/// A change with what it is worth.
#[derive(Clone, Copy)]
struct Rated {
    change: Change,
    /// Lost rows and disturbance, by what is saved.
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
    let power = state.power();
    let rate = |change: &Change| {
        let saved = saved(&state.network().layers[change.layer], change, objective);
        let right = state.correct_with(*change);
        let lost = (state.correct() as f64 - right as f64).max(0.0) / samples.len().max(1) as f64;
        let price = (lost + disturbance * state.disturbance(*change) / power[change.layer].max(1.0)) / saved;
        Rated { change: *change, price, right }
    };
    let mut rated = Vec::with_capacity(changes.len());
    let share = changes.len().div_ceil(threads.get()).max(1);
    std::thread::scope(|scope| {
        let rate = &rate;
        let parts: Vec<_> =
            changes.chunks(share).map(|part| scope.spawn(move || part.iter().map(rate).collect::<Vec<_>>())).collect();
        parts.into_iter().for_each(|part| rated.extend(part.join().unwrap_or_default()));
    });
    rated.retain(|rated| rated.price.is_finite());
    // Stable: among equals the order is that of the changes.
    rated.sort_by(|a, b| a.price.total_cmp(&b.price));
    let most = state.network().layers.iter().map(|layer| layer.weight.len()).sum::<usize>().div_ceil(STEP);
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
fn saved(layer: &Layer, change: &Change, objective: Objective) -> f64 {
    let at = change.output * layer.inputs + change.input;
    if objective != Objective::Adders {
        let (ones, others) = signed_digits(layer.weight[at].unsigned_abs().into());
        return f64::from((ones | others).count_ones());
    }
    // One neuron with the change and without.
    let row = change.output * layer.inputs..(change.output + 1) * layer.inputs;
    let mut one = Layer {
        outputs: 1,
        weight: layer.weight[row.clone()].to_vec(),
        bias: vec![layer.bias[change.output]],
        masks: layer.masks[row].to_vec(),
        ..layer.clone()
    };
    let before = neuron(&one, 0, Digits::Binary);
    one.masks[change.input] = change.mask;
    (before as f64 - neuron(&one, 0, Digits::Binary) as f64).max(0.0)
}
