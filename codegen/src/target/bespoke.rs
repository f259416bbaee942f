//! Which layers become straight-line code.

use super::{Mode, Target};
use crate::bespoke::{End, Layer, Network, Style, lower};
use crate::data::Rows;
use crate::plan::kernels::{Bespoke, Dense};
use crate::plan::{Place, Plan, Step, Type, ValueId};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::sync::Arc;

/// How fully connected layers become code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emission {
    /// What is predicted to be better on the core: by flash for size, by instructions for speed, else by their product.
    /// Without a core, tables.
    Auto,
    /// Kernels that read tables of weights.
    #[default]
    Tables,
    /// Straight-line code, wherever a layer of int8 has one row.
    Bespoke,
}

impl FromStr for Emission {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Emission::Auto),
            "tables" => Ok(Emission::Tables),
            "bespoke" => Ok(Emission::Bespoke),
            _ => Err(format!("'{text}' is none of auto, tables, bespoke")),
        }
    }
}

impl Plan {
    /// [`Plan::for_target`] with straight-line code for layers, by their names, that `emission` wants so.
    #[must_use]
    pub fn for_target_as(self, target: Target, rows: &Rows, emission: &dyn Fn(&str) -> Emission) -> Plan {
        let forced = self.clone().bespoke(target, &|name| emission(name) == Emission::Bespoke);
        let tables = forced.for_target(target, rows);
        if !self.steps.iter().any(|step| step.kernel.dense().is_some() && emission(&step.name) == Emission::Auto) {
            return tables;
        }
        let most = self.bespoke(target, &|name| emission(name) != Emission::Tables).for_target(target, rows);
        let price = |plan: &Plan| {
            let cost = plan.predict(rows)?;
            let (instructions, flash) = (cost.instructions.mean, cost.flash_bytes() as f64);
            Some(match target.mode {
                Mode::Size => flash,
                Mode::Balanced => instructions * flash,
                Mode::Speed => instructions,
            })
        };
        match (price(&most), price(&tables)) {
            (Some(code), Some(table)) if code < table => most,
            _ => tables,
        }
    }

    /// Makes every chain of layers that are `wanted` one step.
    fn bespoke(mut self, target: Target, wanted: &dyn Fn(&str) -> bool) -> Plan {
        let mut readers = vec![0; self.values.len()];
        let mut writers = vec![0; self.values.len()];
        for step in &self.steps {
            writers[step.output] += 1;
            step.inputs.iter().for_each(|&v| readers[v] += 1);
        }
        // Whether a value is nothing but what one step hands to the next.
        let between = |plan: &Plan, v: ValueId| {
            matches!(plan.values[v].place, Place::Arena(_)) && (writers[v], readers[v]) == (1, 1)
        };
        let mut steps = Vec::new();
        let mut rest = std::mem::take(&mut self.steps).into_iter().peekable();
        while let Some(step) = rest.next() {
            let mut chain = vec![step];
            while let (Some(last), Some(next)) = (chain.last(), rest.peek()) {
                let follows = next.inputs == [last.output] && between(&self, last.output);
                let joins = self.can_be(next, wanted) || arg_max(next).is_some();
                if !(follows && joins && self.can_be(last, wanted)) {
                    break;
                }
                chain.extend(rest.next());
            }
            match self.merged(&chain, target, wanted) {
                Some(step) => steps.push(step),
                None => steps.extend(chain),
            }
        }
        self.steps = steps;
        self.place_values();
        self
    }

    /// Whether a step can be a layer of straight-line code.
    fn can_be(&self, step: &Step, wanted: &dyn Fn(&str) -> bool) -> bool {
        let Some(Dense { layer, sums, .. }) = step.kernel.dense() else { return false };
        let types = self.types(step);
        let result = if sums { Type::I32 } else { Type::I8 };
        layer.rows == 1 && step.kernel.module() == "kernels" && types == (vec![Type::I8], result) && wanted(&step.name)
    }

    /// The step of a chain.
    fn merged(&self, chain: &[Step], target: Target, wanted: &dyn Fn(&str) -> bool) -> Option<Step> {
        let [first, ..] = chain else { return None };
        let last = chain.last()?;
        let arg_max = arg_max(last);
        let layers: Option<Vec<Layer>> = chain[..chain.len() - usize::from(arg_max.is_some())]
            .iter()
            .map(|step| if self.can_be(step, wanted) { step.kernel.dense().map(layer) } else { None })
            .collect();
        let layers = layers.filter(|layers| !layers.is_empty())?;
        if arg_max.is_none() && matches!(layers.last()?.end, End::Sums) {
            return None;
        }
        let limits = self.values[first.inputs[0]].quant.limits();
        let network = Network { layers, limits, arg_max };
        let program = Style::all().map(|style| lower(&network, style)).min_by_key(|program| {
            let cost = program.cost(target.core);
            match target.mode {
                Mode::Size => (cost.bytes, cost.instructions),
                Mode::Balanced => (cost.instructions * cost.bytes, cost.bytes),
                Mode::Speed => (cost.instructions, cost.bytes),
            }
        })?;
        let macs = chain.iter().map(|step| step.kernel.macs()).sum();
        let join = |of: fn(&Step) -> &str| chain.iter().map(of).collect::<Vec<_>>().join(" + ");
        Some(Step {
            name: join(|step| &step.name),
            origin: join(|step| &step.origin),
            kernel: Arc::new(Bespoke { program, macs, core: target.core }),
            inputs: first.inputs.clone(),
            output: last.output,
            bound: chain.iter().filter_map(|step| step.bound).max(),
            table_error: None,
            in_place: false,
            scratch: None,
        })
    }
}

/// Whether a step gives the index of the largest of one row, and then whether the last among equals.
fn arg_max(step: &Step) -> Option<bool> {
    step.kernel.arg_max().filter(|a| a.extents[0] == 1 && a.extents[2] == 1).map(|a| a.last)
}

fn layer(Dense { layer, masks, sums }: Dense<'_>) -> Layer<'_> {
    let end = End::Requantize {
        multiplier: &layer.multiplier,
        shift: layer.shift,
        zero_point: layer.limits.zero_point,
        min: layer.limits.min,
        max: layer.limits.max,
    };
    let end = if sums { End::Sums } else { end };
    Layer { inputs: layer.inputs, weight: &layer.weight, masks, bias: &layer.bias, end }
}
