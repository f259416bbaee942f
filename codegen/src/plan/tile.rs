//! Which steps run for a few rows or columns at a time.
//!
//! A chain of layers over the rows of a matrix needs what lies between them for no more than one row, and the packed
//! operands of a core's kernels likewise. So does a chain over columns, which is then also one of layers over rows: those
//! that the cores have kernels for.

use super::kernels::{Along, Kernel, Tiles};
use super::{Input, Output, Place, Plan, Step, Value, ValueId};
use std::sync::Arc;

/// What is made of tiles.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    /// Rows or columns of a tile, where the number of all is a multiple; else one.
    pub size: usize,
    /// Whether a layer alone gains: its operand is brought into another layout.
    pub single: bool,
}

/// Operands of a step over tiles, at most.
const OPERANDS: usize = 2;

impl Plan {
    /// The same program with chains over rows and over columns as one step each.
    #[must_use]
    pub fn tiled(mut self, tiling: Tiling) -> Plan {
        let mut from = 0;
        while from < self.steps.len() {
            let chains = [Along::Rows, Along::Columns].into_iter().filter_map(|along| self.chain(from, along, tiling));
            match chains.max_by_key(|chain| chain.steps.len()) {
                // What is moved before the chain may begin another.
                Some(chain) => self.join(from, &chain),
                None => from += 1,
            }
        }
        self
    }

    /// The longest chain that begins with a step.
    fn chain(&self, from: usize, along: Along, tiling: Tiling) -> Option<Chain> {
        let first = self.steps.get(from)?;
        let (whole, shape) = (&self.values[*first.inputs.first()?], &self.values[first.inputs[0]].shape);
        // Of matrices alone: anything before the last axis is a row, anything but the last a column's.
        let count = match along {
            Along::Rows => whole.len() / whole.features().max(1),
            Along::Columns => *shape.last()?,
        };
        if count < 2 {
            return None;
        }
        let size = if count.is_multiple_of(tiling.size) { tiling.size } else { 1 };
        let mut chain = Chain { along, count, size, steps: Vec::new(), kernels: Vec::new() };
        let mut longest = None;
        for k in from..self.steps.len() {
            let step = &self.steps[k];
            let made = |v: &ValueId| chain.steps.iter().any(|&s| self.steps[s].output == *v);
            let kernel = self.kernel_of_tile(step, &chain);
            match kernel.filter(|_| chain.steps.is_empty() || step.inputs.iter().any(made)) {
                Some(kernel) => {
                    chain.steps.push(k);
                    chain.kernels.push(kernel);
                    if self.is_whole(&chain, tiling) {
                        longest = Some(chain.clone());
                    }
                }
                // A step that needs nothing of the chain is moved before it.
                None if !chain.steps.is_empty() && !step.inputs.iter().any(made) => {}
                None => break,
            }
        }
        longest
    }

    /// The kernel of a step for a tile; none where rows or columns depend on each other.
    fn kernel_of_tile(&self, step: &Step, chain: &Chain) -> Option<Arc<dyn Kernel>> {
        let Chain { along, count, size, .. } = *chain;
        let fits = |&v: &ValueId| {
            let value = &self.values[v];
            let extent = match along {
                Along::Rows => value.len() / value.features().max(1),
                Along::Columns => value.features(),
            };
            extent == count && value.constant.is_none() && matches!(value.quant.ty, super::Type::I8 | super::Type::I16)
        };
        let distinct = step.inputs.len() < 2 || step.inputs[0] != step.inputs[1];
        let written = self.steps.iter().filter(|other| other.output == step.output).count();
        if !step.inputs.iter().chain([&step.output]).all(fits) || !distinct || written != 1 {
            return None;
        }
        match along {
            Along::Rows => step.kernel.of_rows(count, size),
            Along::Columns => step.kernel.of_columns(count, size),
        }
    }

    /// What a chain reads that it does not make.
    fn operands(&self, chain: &Chain) -> Vec<ValueId> {
        let steps = || chain.steps.iter().map(|&k| &self.steps[k]);
        let mut operands: Vec<ValueId> = Vec::new();
        for &v in steps().flat_map(|step| &step.inputs) {
            if !operands.contains(&v) && !steps().any(|step| step.output == v) {
                operands.push(v);
            }
        }
        operands
    }

    /// Whether nothing but the last result of a chain is used elsewhere, and whether it gains.
    fn is_whole(&self, chain: &Chain, tiling: Tiling) -> bool {
        let Some((&last, before)) = chain.steps.split_last() else { return false };
        let inside = |&k: &usize| {
            let value = self.steps[k].output;
            let outside = |(s, step): (usize, &Step)| !chain.steps.contains(&s) && step.inputs.contains(&value);
            matches!(self.values[value].place, Place::Arena(_)) && !self.steps.iter().enumerate().any(outside)
        };
        // Of functions of single elements alone, nothing would be known of the axis.
        let layers = || chain.steps.iter().map(|&k| &self.steps[k].kernel);
        let elementwise = |kernel: &Arc<dyn Kernel>| {
            kernel.of_rows(chain.count, 1).is_some() && kernel.of_columns(chain.count, 1).is_some()
        };
        let gains = match before {
            [] => tiling.single && chain.count > chain.size && self.steps[last].kernel.dense().is_some(),
            _ => !layers().all(elementwise),
        };
        gains && before.iter().all(inside) && self.operands(chain).len() <= OPERANDS
    }

    /// Puts a chain that begins with step `from` in the place of its steps, those between them before it.
    fn join(&mut self, from: usize, chain: &Chain) {
        let mut operands = self.operands(chain);
        let steps: Vec<Step> = chain.steps.iter().map(|&k| self.steps[k].clone()).collect();
        let Some(output) = steps.last().map(|step| step.output) else { return };
        // The result takes the place of the first operand where it can.
        let unlike = |v: &ValueId| {
            let (x, y) = (&self.values[*v], &self.values[output]);
            (x.len(), x.quant.ty) != (y.len(), y.quant.ty) || !self.ends_with(*v, chain)
        };
        operands.sort_by_key(unlike);
        let body = self.body(chain, &steps, &operands, output);
        let join = |of: fn(&Step) -> &str| steps.iter().map(of).collect::<Vec<_>>().join(" + ");
        let tiles = Step {
            name: steps.last().map(|step| step.name.clone()).unwrap_or_default(),
            origin: join(|step| &step.origin),
            kernel: Arc::new(Tiles { body, along: chain.along, count: chain.count }),
            inputs: operands,
            output,
            bound: steps.iter().filter_map(|step| step.bound).max(),
            table_error: steps.iter().filter_map(|step| step.table_error).max(),
            in_place: false,
            scratch: None,
        };
        let last = chain.steps.last().copied().unwrap_or(from);
        let between = (from..=last).filter(|k| !chain.steps.contains(k)).map(|k| self.steps[k].clone());
        let replacement: Vec<Step> = between.chain([tiles]).collect();
        self.steps.splice(from..=last, replacement);
    }

    /// Whether a value lies in the arena and nothing behind the chain reads it.
    fn ends_with(&self, value: ValueId, chain: &Chain) -> bool {
        let last = chain.steps.last().copied().unwrap_or_default();
        matches!(self.values[value].place, Place::Arena(_))
            && !self.steps.iter().skip(last + 1).any(|step| step.inputs.contains(&value))
    }

    /// The plan of a tile.
    fn body(&self, chain: &Chain, steps: &[Step], operands: &[ValueId], output: ValueId) -> Plan {
        let mut values: Vec<Value> = Vec::new();
        let mut known: Vec<ValueId> = Vec::new();
        let mut id = |v: ValueId| {
            known.iter().position(|&k| k == v).unwrap_or_else(|| {
                let value = self.values[v].clone();
                let place = match operands.iter().position(|&o| o == v) {
                    Some(k) => Place::Input(k),
                    None if v == output => Place::Output(0),
                    None => Place::Arena(0),
                };
                values.push(Value { shape: vec![chain.size, value.len() / chain.count], place, ..value });
                known.push(v);
                known.len() - 1
            })
        };
        let inputs: Vec<ValueId> = operands.iter().map(|&v| id(v)).collect();
        let steps = steps.iter().zip(&chain.kernels).map(|(step, kernel)| Step {
            kernel: kernel.clone(),
            inputs: step.inputs.iter().map(|&v| id(v)).collect(),
            output: id(step.output),
            ..step.clone()
        });
        let steps = steps.collect();
        let result = id(output);
        let names = ["first", "second"];
        let mut body = Plan {
            name: self.name.clone(),
            sha256: String::new(),
            quantization: String::new(),
            target: self.target,
            text: None,
            steps,
            inputs: inputs
                .into_iter()
                .zip(names)
                .map(|(value, name)| Input {
                    name: name.into(),
                    value,
                    shape: values[value].shape.clone(),
                    features: None,
                })
                .collect(),
            outputs: vec![Output {
                name: "result".into(),
                value: result,
                shape: values[result].shape.clone(),
                labels: None,
            }],
            values,
            arena_bytes: 0,
            notes: Vec::new(),
        };
        body.place_values();
        body
    }
}

/// Steps that run for a tile at a time.
#[derive(Clone, Debug)]
struct Chain {
    along: Along,
    /// Rows or columns of all tiles.
    count: usize,
    /// Of one.
    size: usize,
    steps: Vec<usize>,
    /// Their kernels for a tile.
    kernels: Vec<Arc<dyn Kernel>>,
}
