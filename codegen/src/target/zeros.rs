//! How often activations are zero.

use crate::data::Rows;
use crate::plan::simulate::Simulator;
use crate::plan::{Plan, ValueId};

/// By value: the share of its elements that equal the zero point, in the mean over the rows.
pub(super) fn shares(plan: &Plan, rows: &Rows) -> Vec<f64> {
    let mut simulator = Simulator::new(plan);
    let mut zeros = vec![0usize; plan.values.len()];
    for row in 0..rows.len() {
        simulator.run_real(&rows.row(row));
        let count = |id: ValueId| {
            let zero = plan.values[id].quant.zero_point;
            simulator.integers(id).into_iter().filter(|&q| q == zero).count()
        };
        zeros.iter_mut().enumerate().for_each(|(id, zeros)| *zeros += count(id));
    }
    let elements = |id: ValueId| (plan.values[id].len() * rows.len()).max(1) as f64;
    zeros.iter().enumerate().map(|(id, &zeros)| zeros as f64 / elements(id)).collect()
}
