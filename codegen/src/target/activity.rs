//! Which activations are zero, and how often.

use crate::data::Rows;
use crate::plan::kernels::{Buffer, Tiles};
use crate::plan::simulate::{self, Simulator};
use crate::plan::{Plan, ValueId};
use std::sync::Arc;

/// Rows of calibration data that are looked at.
const ROWS: usize = 128;

/// Of those, rows whose tiles are looked at, and how many tiles of each.
const TILES: [usize; 2] = [8, 16];

/// Of every value, which elements are zero (equal to the zero point).
pub(super) struct Activity {
    /// By value, row and element: whether it is not zero. A value of several rows has as many for every row of data.
    nonzero: Vec<Vec<Vec<bool>>>,
    /// By value, how many elements were the smallest and the largest of their type, and how many were looked at.
    limits: Vec<[usize; 3]>,
}

/// Quantized inputs of a plan, spread over the data, which may be sorted by class.
pub(super) fn runs(plan: &Plan, rows: &Rows) -> Vec<Vec<Buffer>> {
    let inputs = |row: usize| {
        let quantize = |(input, x): (_, &&[f32])| simulate::quantize(plan, input, x);
        plan.inputs.iter().zip(&rows.row(row)).map(quantize).collect()
    };
    (0..rows.len()).step_by(rows.len().div_ceil(ROWS).max(1)).map(inputs).collect()
}

/// Inputs of what runs for every tile of step `k` of a plan, of which these are inputs.
pub(super) fn runs_of_tiles(plan: &Plan, k: usize, tiles: &Tiles, runs: &[Vec<Buffer>]) -> Vec<Vec<Buffer>> {
    let mut simulator = Simulator::new(plan);
    let mut found = Vec::new();
    for inputs in runs.iter().step_by(runs.len().div_ceil(TILES[0]).max(1)) {
        simulator.run_until(inputs, k);
        let operands: Vec<&Buffer> = plan.steps[k].inputs.iter().map(|&v| simulator.value(v)).collect();
        let some = (0..tiles.runs()).step_by(tiles.runs().div_ceil(TILES[1]).max(1));
        found.extend(some.map(|tile| tiles.operands(tile, &operands)));
    }
    found
}

impl Activity {
    /// What a plan makes of inputs.
    pub(super) fn of(plan: &Plan, runs: &[Vec<Buffer>]) -> Self {
        let mut simulator = Simulator::new(plan);
        let mut nonzero = vec![Vec::new(); plan.values.len()];
        let mut limits = vec![[0; 3]; plan.values.len()];
        for inputs in runs {
            simulator.run(inputs);
            for (id, (rows, limits)) in nonzero.iter_mut().zip(&mut limits).enumerate() {
                let (zero, features) = (plan.values[id].quant.zero_point, plan.values[id].features().max(1));
                let integers = simulator.integers(id as ValueId);
                let (min, max) = plan.values[id].quant.limits();
                limits[0] += integers.iter().filter(|&&q| q == min).count();
                limits[1] += integers.iter().filter(|&&q| q == max).count();
                limits[2] += integers.len();
                rows.extend(integers.chunks_exact(features).map(|row| row.iter().map(|&q| q != zero).collect()));
            }
        }
        Self { nonzero, limits }
    }

    /// Shares of the elements of a value that are the smallest and the largest of its type.
    pub(super) fn limits(&self, value: ValueId) -> [f64; 2] {
        let [lowest, highest, all] = self.limits[value];
        [lowest, highest].map(|count| count as f64 / all.max(1) as f64)
    }

    /// Rows of a value, of `features` elements each for the one who reads it, whose element `order[k]` lies at `k`.
    pub(super) fn rows(&self, value: ValueId, features: usize, order: Option<&[usize]>) -> Vec<Vec<bool>> {
        let rows = self.nonzero[value].iter();
        if order.is_none() && self.nonzero[value].first().is_some_and(|row| row.len() != features) {
            // Several axes are taken as one, or one as several.
            return self.nonzero[value].concat().chunks_exact(features.max(1)).map(<[bool]>::to_vec).collect();
        }
        let sorted =
            |row: &Vec<bool>| order.map_or_else(|| row.clone(), |order| order.iter().map(|&k| row[k]).collect());
        rows.map(sorted).collect()
    }

    /// The elements of a row, those that are most often not zero first.
    pub(super) fn order(&self, value: ValueId) -> Arc<[usize]> {
        let rows = &self.nonzero[value];
        let features = rows.first().map_or(0, Vec::len);
        let mut order: Vec<usize> = (0..features).collect();
        order.sort_by_key(|&k| std::cmp::Reverse(rows.iter().filter(|row| row[k]).count()));
        order.into()
    }
}
