//! What a plan costs on its core, predicted: instructions, flash and RAM of every step.
//!
//! Kernels in assembly are counted, each by its own `cost`. What the compiler makes (the calls, and the portable loops) is a
//! table of figures per core, measured with rustc 1.95.0 on the emulated boards.

use super::Core;
use super::activity::{self, Activity};
use super::compiled::Compiled;
use crate::data::Rows;
use crate::plan::cost::{Cost, Instructions, Seen};
use crate::plan::kernels::{Along, Buffer, Tiles};
use crate::plan::layout::Layout;
use crate::plan::{Place, Plan, Step, Value};
use std::collections::BTreeMap;

/// The cost of a plan.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// By step.
    pub steps: Vec<StepCost>,
    /// Of one inference.
    pub instructions: Instructions,
    /// Bytes of constants in flash.
    pub constant_bytes: usize,
    /// Bytes of code: every function once, whichever steps share it.
    pub code_bytes: usize,
    /// Bytes of scratch memory, and of constants that the core cannot read in flash.
    pub ram_bytes: usize,
    /// Bytes of stack at the deepest.
    pub stack_bytes: usize,
}

/// The cost of a step.
#[derive(Clone, Debug)]
pub struct StepCost {
    /// Instructions with those that call it.
    pub instructions: Instructions,
    /// Bytes of constants in flash.
    pub constant_bytes: usize,
    /// Bytes of code that no step before it needs.
    pub code_bytes: usize,
    /// Bytes of its result in the scratch memory.
    pub ram_bytes: usize,
    /// Bytes of stack with its callers.
    pub stack_bytes: usize,
    /// Whether it is written for the core; else it is a portable loop, whose figures are estimates.
    pub counted: bool,
}

impl Prediction {
    /// Bytes of flash.
    pub fn flash_bytes(&self) -> usize {
        self.constant_bytes + self.code_bytes
    }
}

impl Plan {
    /// What the plan costs on the core that it is for, by what the rows of calibration data show; none for no core in
    /// particular.
    pub fn predict(&self, rows: &Rows) -> Option<Prediction> {
        self.predict_runs(&activity::runs(self, rows), &mut BTreeMap::new())
    }

    /// [`Plan::predict`] by what the plan makes of these inputs, with functions that are there already.
    fn predict_runs(&self, runs: &[Vec<Buffer>], known: &mut BTreeMap<String, usize>) -> Option<Prediction> {
        let compiled = Compiled::of(self.target.core)?;
        let activity = Activity::of(self, runs);
        let mode = self.target.mode;
        let portable = || self.steps.iter().filter(|step| step.kernel.module() == "kernels");
        // A function that calls none keeps nothing for its own return.
        let calls = self.steps.iter().any(|step| step.kernel.calls() > 0);
        let (around, around_bytes, stack) =
            if calls { (compiled.around, compiled.around_bytes, compiled.stack) } else { (0, 0, 0) };
        let more = if self.steps.len() > 2 { compiled.more_stack } else { 0 };
        let frame = stack + more + portable().map(|s| compiled.frame(&*s.kernel, mode)).max().unwrap_or_default();
        let steps: Vec<StepCost> = self
            .steps
            .iter()
            .enumerate()
            .map(|(k, step)| {
                if let Some(tiles) = step.kernel.tiles()
                    && let Some(body) = tiles.body.predict_runs(&activity::runs_of_tiles(self, k, tiles, runs), known)
                {
                    return self.tiles(step, tiles, &body, &compiled, frame);
                }
                let x = &self.values[step.inputs[0]];
                // As the kernel takes a plain operand: packed ones have its shape.
                let views = step.kernel.views();
                let row = views.first().and_then(|view| view.last()).copied().filter(|_| x.layout == Layout::Plain);
                let nonzero = activity.rows(step.inputs[0], row.unwrap_or(x.features()), x.order.as_deref());
                let [lowest, highest] = activity.limits(step.output);
                let seen = Seen { nonzero: &nonzero, lowest, highest };
                let counted = step.kernel.cost(&seen);
                let is_counted = counted.as_ref().is_some_and(|cost| !cost.estimated);
                let Cost { instructions, code, head, inlined, stack, .. } =
                    counted.unwrap_or_else(|| compiled.portable(&*step.kernel, mode));
                let calls = step.kernel.calls();
                let mut code_bytes = compiled.call_bytes * calls + inlined;
                for function in code {
                    if known.insert(function.name, function.bytes).is_none() {
                        code_bytes += function.bytes;
                    }
                }
                let call = (compiled.call * calls) as f64;
                StepCost {
                    instructions: Instructions { mean: instructions.mean + call, max: instructions.max + call },
                    constant_bytes: self.constants(step) + head,
                    code_bytes,
                    ram_bytes: self.in_arena(step),
                    stack_bytes: frame + stack,
                    counted: is_counted,
                }
            })
            .collect();
        let sum = |f: fn(&StepCost) -> f64| steps.iter().map(f).sum::<f64>();
        let around = around as f64;
        let instructions =
            Instructions { mean: around + sum(|s| s.instructions.mean), max: around + sum(|s| s.instructions.max) };
        Some(Prediction {
            instructions,
            constant_bytes: steps.iter().map(|s| s.constant_bytes).sum(),
            code_bytes: around_bytes + steps.iter().map(|s| s.code_bytes).sum::<usize>(),
            ram_bytes: self.arena_bytes + self.constants_in_ram(),
            stack_bytes: steps.iter().map(|s| s.stack_bytes).max().unwrap_or_default(),
            steps,
        })
    }

    /// The cost of a step that runs for every tile.
    fn tiles(&self, step: &Step, tiles: &Tiles, body: &Prediction, compiled: &Compiled, frame: usize) -> StepCost {
        // What moves columns is the compiler's: an element of the operands or of the result.
        let views = step.kernel.views();
        let moved: usize = match tiles.along {
            Along::Rows => 0,
            Along::Columns => views.iter().map(|view| view.iter().product::<usize>()).sum(),
        };
        let around = moved as f64 * compiled.moved + (compiled.call * tiles.runs()) as f64;
        let of_all = body.instructions.times(tiles.runs());
        StepCost {
            instructions: Instructions { mean: of_all.mean + around, max: of_all.max + around },
            constant_bytes: body.constant_bytes,
            code_bytes: body.code_bytes + compiled.call_bytes,
            ram_bytes: self.in_arena(step) + 4 * step.scratch.map_or(0, |v| self.values[v].len()),
            stack_bytes: frame + body.stack_bytes,
            counted: body.steps.iter().all(|step| step.counted),
        }
    }

    /// The steps whose time may depend on the data: of portable kernels that is the compiler's choice.
    pub fn varying(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| match step.kernel.tiles() {
            Some(tiles) => tiles.body.varying().next().is_some(),
            None => step.kernel.cost(&Seen::default()).is_none_or(|cost| !cost.fixed),
        })
    }

    /// Bytes of a step's constants, its constant operands included.
    fn constants(&self, step: &Step) -> usize {
        let operands = step.inputs.iter().map(|&v| &self.values[v]).filter(|v| v.constant.is_some());
        step.kernel.constant_bytes() + operands.map(|v| v.bytes()).sum::<usize>()
    }

    /// Bytes of a step's result in the arena.
    fn in_arena(&self, step: &Step) -> usize {
        match self.values[step.output].place {
            Place::Arena(_) if !step.in_place => self.values[step.output].bytes(),
            _ => 0,
        }
    }

    /// Bytes of constants that are copied to RAM: on AVR loads reach no flash, and only its own kernels read that.
    fn constants_in_ram(&self) -> usize {
        if self.target.core != Core::Avr {
            return 0;
        }
        // A few bytes become part of the code.
        let in_ram = |bytes: &usize| *bytes > 16;
        let portable = self.steps.iter().filter(|step| step.kernel.module() == "kernels");
        let operands = self.values.iter().filter(|v| v.constant.is_some()).map(Value::bytes);
        portable.map(|step| step.kernel.constant_bytes()).chain(operands).filter(in_ram).sum()
    }
}
