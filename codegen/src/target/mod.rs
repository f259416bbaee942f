//! From the portable plan to one that calls a target's own kernels: the same integers in every value, arranged as
//! the target's inner loops read them.
//!
//! A fully connected layer becomes the target's if the target can compute it bit for bit; everything else stays
//! portable. Values that only such layers write and read are packed; where one comes from elsewhere, a step that
//! packs it is put before the layer.

mod activity;
mod armv6m;
mod armv7em;
mod avr;
mod bespoke;
mod compiled;
pub mod cost;
mod helium;
mod riscv32e;
mod riscv32m;
#[cfg(test)]
mod tests;

use crate::data::Rows;
use crate::plan::cost::Seen;
use crate::plan::kernels::{Buffer, Dense, Gemm, GemmPacked, GemmSums, Kernel};
use crate::plan::layout::Layout;
use crate::plan::tile::Tiling;
use crate::plan::{Place, Plan, Step, Value, ValueId};
use activity::Activity;
pub use bespoke::Emission;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Bytes of weights that a layer has to save before it gets the portable loop over packed ones, which may be the only
/// such layer.
const PACKED_LOOP: usize = 128;

/// What is made of tiles where operands stay as they are.
const PORTABLE_TILING: Tiling = Tiling { size: 1, single: false };

/// What the generated module is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Whose kernels are called.
    pub core: Core,
    /// What comes first where kernels can be either fast or small.
    pub mode: Mode,
    /// Only kernels whose instructions do not depend on the data.
    pub constant_time: bool,
}

/// A family of processor cores, by the kernels they get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Core {
    /// Any: the portable loops.
    #[default]
    Portable,
    /// Without a wide multiply: Cortex-M0, M0+, M23, and M3.
    Armv6m,
    /// With the DSP extension of Armv7E-M or Armv8-M: Cortex-M4, M7, M33.
    Armv7em,
    /// With Helium, the vector extension of Armv8.1-M: Cortex-M55, M85.
    Helium,
    /// AVR with a multiplier: ATmega.
    Avr,
    /// RV32IMC: with multiplication and compressed instructions, as the ESP32-C3 has them.
    Rv32imc,
    /// RV32EC: sixteen registers, no multiplication, as the CH32V003 has it.
    Rv32ec,
}

/// What comes first where kernels can be either fast or small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The fewest bytes of flash and RAM.
    Size,
    /// Near the best of both.
    #[default]
    Balanced,
    /// The fewest instructions.
    Speed,
}

impl Core {
    /// All of them.
    pub const ALL: [Core; 7] =
        [Core::Portable, Core::Armv6m, Core::Armv7em, Core::Helium, Core::Avr, Core::Rv32imc, Core::Rv32ec];

    /// Names that [`Core::from_str`] takes, with what they mean.
    const NAMES: &'static [(&'static str, Core)] = &[
        ("portable", Core::Portable),
        ("cortex-m0", Core::Armv6m),
        ("cortex-m0plus", Core::Armv6m),
        ("cortex-m3", Core::Armv6m),
        ("cortex-m23", Core::Armv6m),
        ("armv6m", Core::Armv6m),
        ("thumbv6m-none-eabi", Core::Armv6m),
        ("thumbv7m-none-eabi", Core::Armv6m),
        ("thumbv8m.base-none-eabi", Core::Armv6m),
        ("rp2040", Core::Armv6m),
        ("cortex-m4", Core::Armv7em),
        ("cortex-m4f", Core::Armv7em),
        ("cortex-m7", Core::Armv7em),
        ("cortex-m33", Core::Armv7em),
        ("armv7em", Core::Armv7em),
        ("thumbv7em-none-eabi", Core::Armv7em),
        ("thumbv7em-none-eabihf", Core::Armv7em),
        ("thumbv8m.main-none-eabi", Core::Armv7em),
        ("thumbv8m.main-none-eabihf", Core::Armv7em),
        ("cortex-m55", Core::Helium),
        ("cortex-m85", Core::Helium),
        ("armv8.1m", Core::Helium),
        ("helium", Core::Helium),
        ("avr", Core::Avr),
        ("atmega328p", Core::Avr),
        ("arduino-uno", Core::Avr),
        ("avr-none", Core::Avr),
        ("esp32-c3", Core::Rv32imc),
        ("rv32imc", Core::Rv32imc),
        ("riscv32imc-unknown-none-elf", Core::Rv32imc),
        ("riscv32imac-unknown-none-elf", Core::Rv32imc),
        ("riscv32imafc-unknown-none-elf", Core::Rv32imc),
        ("ch32v003", Core::Rv32ec),
        ("rv32ec", Core::Rv32ec),
        ("riscv32ec", Core::Rv32ec),
        ("riscv32ec-unknown-none-elf", Core::Rv32ec),
    ];

    /// The core of a Rust target triple; portable where there are no kernels for it.
    ///
    /// `thumbv8m.main` is taken for a core with the DSP extension, which is an option of Cortex-M33 that nearly every
    /// chip has. One without it needs [`Core::Armv6m`] or [`Core::Portable`]; for Cortex-M55 and M85 [`Core::Helium`] is
    /// faster. See [`Builder::target`](crate::Builder::target).
    pub fn of_triple(triple: &str) -> Core {
        let known = Self::NAMES.iter().find(|(name, _)| *name == triple && name.contains("-none"));
        known.map_or(Core::Portable, |(_, core)| *core)
    }

    /// The core that a build script builds for, by what Cargo tells it. Where the triple leaves the choice, the flags of
    /// the compiler may make it: `-Ctarget-cpu=cortex-m55`, or `-Ctarget-feature=-dsp` for a Cortex-M33 without DSP.
    pub(crate) fn of_build(triple: &str, encoded_flags: &str) -> Core {
        let core = Self::of_triple(triple);
        if !triple.starts_with("thumbv8m.main-") {
            return core;
        }
        let flags = encoded_flags.split('\u{1f}');
        // `-C target-cpu=..` is one flag or two.
        let options = flags.map(|f| f.strip_prefix("-C").or(f.strip_prefix("--codegen=")).unwrap_or(f).trim_start());
        options.fold(core, |core, option| match option.split_once('=') {
            Some(("target-cpu", cpu)) => cpu.parse().unwrap_or(core),
            Some(("target-feature", features)) if features.split(',').any(|f| f == "-dsp") => Core::Armv6m,
            _ => core,
        })
    }

    fn architecture(self) -> Option<&'static dyn Architecture> {
        match self {
            Core::Portable => None,
            Core::Armv6m => Some(&armv6m::Armv6m),
            Core::Armv7em => Some(&armv7em::Armv7em),
            Core::Helium => Some(&helium::Helium),
            Core::Avr => Some(&avr::Avr),
            Core::Rv32imc => Some(&riscv32m::Riscv32m),
            Core::Rv32ec => Some(&riscv32e::Riscv32e),
        }
    }
}

impl FromStr for Core {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, core)| *core).ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("there are no kernels for '{text}'. Known: {}", names.join(", "))
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "size" => Ok(Mode::Size),
            "balanced" => Ok(Mode::Balanced),
            "speed" => Ok(Mode::Speed),
            _ => Err(format!("'{text}' is none of size, balanced, speed")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Size => "size",
            Mode::Balanced => "balanced",
            Mode::Speed => "speed",
        })
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Core::Portable => "portable",
            Core::Armv6m => "armv6m",
            Core::Armv7em => "armv7em",
            Core::Helium => "helium",
            Core::Avr => "avr",
            Core::Rv32imc => "rv32imc",
            Core::Rv32ec => "rv32ec",
        })
    }
}

/// A fully connected layer with what it reads and writes.
struct Layer<'p> {
    gemm: &'p Gemm,
    /// Its sums are the result: it has no multipliers.
    sums: bool,
    x: &'p Value,
    y: &'p Value,
    /// What the calibration data shows of it.
    seen: Seen<'p>,
}

/// Kernels of an architecture.
trait Architecture {
    /// Whether its kernel gives this layer's results bit for bit.
    fn takes(&self, layer: &Layer) -> bool;

    /// Whether that kernel can read and write the layout of values between layers.
    fn packs(&self, layer: &Layer, _target: Target) -> bool {
        self.takes(layer)
    }

    /// The layout of a value between two layers.
    fn between(&self) -> Layout;

    /// Whether it gains where elements that are often zero lie side by side.
    fn sorts(&self) -> bool {
        false
    }

    /// The layout in which a layer reads its operand, and the kernel that brings it there from where it lies.
    fn operand(&self, layer: &Layer, target: Target) -> (Layout, Option<Arc<dyn Kernel>>);

    /// The kernel of a layer whose operand and result have their layouts.
    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel>;

    /// Whether it has kernels for layers whose sums are the result. Others are not asked.
    fn sums(&self) -> bool {
        false
    }

    /// What is made of tiles.
    fn tiling(&self) -> Tiling {
        PORTABLE_TILING
    }

    /// Its own kernel for a step that is no layer of its, with the same values.
    fn other(&self, _kernel: &dyn Kernel) -> Option<Arc<dyn Kernel>> {
        None
    }

    /// What the user should know of a step that keeps its portable kernel.
    fn note(&self, _step: &Step) -> Option<String> {
        None
    }
}

impl Plan {
    /// The same program with the kernels of `target`, chosen by what the rows of calibration data show.
    #[must_use]
    pub fn for_target(self, target: Target, rows: &Rows) -> Plan {
        let plan = self.tiled(target.core.architecture().map_or(PORTABLE_TILING, Architecture::tiling));
        let runs = activity::runs(&plan, rows);
        let mut plan = plan.with_kernels(target, &runs);
        plan.note_varying();
        plan
    }

    /// The kernels of a target, by what the plan makes of these inputs.
    fn with_kernels(mut self, target: Target, runs: &[Vec<Buffer>]) -> Plan {
        self.target = target;
        for k in 0..self.steps.len() {
            let Some(tiles) = self.steps[k].kernel.tiles() else { continue };
            let seen = activity::runs_of_tiles(&self, k, tiles, runs);
            let mut tiles = tiles.clone();
            tiles.body = tiles.body.with_kernels(target, &seen);
            self.notes.append(&mut tiles.body.notes);
            self.steps[k].kernel = Arc::new(tiles);
        }
        let Some(architecture) = target.core.architecture() else {
            self.pack_portable();
            self.place_values();
            return self;
        };
        let activity = Activity::of(&self, runs);
        let layer = |plan: &Plan, step: &Step, f: &mut dyn FnMut(&Layer)| {
            let (x, y) = (&plan.values[step.inputs[0]], &plan.values[step.output]);
            let Some(Dense { layer: gemm, masks: None, sums }) = step.kernel.dense() else { return };
            if sums && !architecture.sums() {
                return;
            }
            let nonzero = activity.rows(step.inputs[0], gemm.inputs, x.order.as_deref());
            let [lowest, highest] = activity.limits(step.output);
            f(&Layer { gemm, sums, x, y, seen: Seen { nonzero: &nonzero, lowest, highest } });
        };
        let takes: Vec<bool> = self
            .steps
            .iter()
            .map(|step| {
                let mut taken = false;
                layer(&self, step, &mut |layer| taken = architecture.takes(layer));
                taken
            })
            .collect();
        let packs: Vec<bool> = self
            .steps
            .iter()
            .zip(&takes)
            .map(|(step, &taken)| {
                let mut packs = false;
                layer(&self, step, &mut |layer| packs = taken && architecture.packs(layer, target));
                packs
            })
            .collect();
        let packed = self.packed(&packs);
        for (value, _) in packed.iter().enumerate().filter(|(_, packed)| **packed) {
            self.values[value].layout = architecture.between();
            if architecture.sorts() && !target.constant_time {
                self.values[value].order = Some(activity.order(value));
            }
        }
        let mut operands: HashMap<(ValueId, Layout, usize), ValueId> = HashMap::new();
        let mut steps = Vec::new();
        for (mut step, taken) in std::mem::take(&mut self.steps).into_iter().zip(takes) {
            if taken && let Some(Dense { layer: gemm, sums, .. }) = step.kernel.dense() {
                let order = |value: ValueId| self.values[value].order.as_deref();
                let gemm = gemm.sorted(order(step.inputs[0]), order(step.output));
                // As the layer sees its operand: it may take several axes as one.
                let (inputs, shape) = (gemm.inputs, vec![gemm.rows, gemm.inputs]);
                step.kernel = if sums { Arc::new(GemmSums { layer: gemm }) } else { Arc::new(gemm) };
                let mut operand = (Layout::Plain, None);
                layer(&self, &step, &mut |layer| operand = architecture.operand(layer, target));
                // The layer that a kernel is chosen for reads what the operand's kernel makes, of the same activity.
                let mut chosen = step.clone();
                if let (layout, Some(kernel)) = operand {
                    let x = step.inputs[0];
                    let made = *operands.entry((x, layout, inputs)).or_insert_with(|| {
                        self.values.push(Value {
                            place: Place::Arena(0),
                            layout,
                            shape,
                            constant: None,
                            ..self.values[x].clone()
                        });
                        steps.push(convert(&step.name, kernel, x, self.values.len() - 1));
                        self.values.len() - 1
                    });
                    chosen.inputs[0] = made;
                }
                layer(&self, &step, &mut |layer| {
                    let layer = Layer { x: &self.values[chosen.inputs[0]], ..*layer };
                    chosen.kernel = architecture.layer(&layer, target);
                });
                step = chosen;
            } else {
                // A value that is written again has to be converted again.
                operands.retain(|&(value, _, _), _| value != step.output);
                match architecture.other(&*step.kernel) {
                    Some(kernel) => step.kernel = kernel,
                    None => self.notes.extend(architecture.note(&step)),
                }
            }
            // A list is not kept beyond the steps that read it: each layer is chosen as if it made its own.
            operands.retain(|(_, layout, _), made| !layout.is_list() || step.inputs.contains(made));
            steps.push(step);
        }
        self.steps = steps;
        self.pack_portable();
        self.place_values();
        self
    }

    /// Packs the weights of portable layers to four or two bits where they fit and that saves flash. It costs time, for
    /// which there is no measure on an unknown core: there all but the fast mode pack, on others the small mode does.
    fn pack_portable(&mut self) {
        let packs = match self.target.mode {
            Mode::Size => true,
            Mode::Balanced => self.target.core == Core::Portable,
            Mode::Speed => false,
        };
        for step in self.steps.iter_mut().filter(|_| packs) {
            let Some(dense) = step.kernel.dense() else { continue };
            let Some(packed) = GemmPacked::new(dense) else { continue };
            if step.kernel.constant().bytes() - packed.constant().bytes() >= PACKED_LOOP {
                step.kernel = Arc::new(packed);
            }
        }
    }

    /// Says where constant time was asked for and is not promised.
    fn note_varying(&mut self) {
        if !self.target.constant_time {
            return;
        }
        let names: Vec<String> = self.varying().map(|step| format!("`{}` ({})", step.name, step.kernel.op())).collect();
        if !names.is_empty() {
            self.notes.push(format!(
                "constant time is not promised: the compiler decides whether the time of portable kernels depends on the \
                 data, and these are left to them: {}",
                names.join(", ")
            ));
        }
    }

    /// By value: whether only layers that pack values write and read it.
    fn packed(&self, packs: &[bool]) -> Vec<bool> {
        let mut packed: Vec<bool> =
            self.values.iter().map(|v| matches!(v.place, Place::Arena(_)) && v.constant.is_none()).collect();
        let mut written = vec![0; self.values.len()];
        for (step, &packs) in self.steps.iter().zip(packs) {
            written[step.output] += 1;
            let rows = step.kernel.dense().map(|dense| (dense.layer.inputs, dense.layer.outputs));
            packed[step.output] &= packs && rows.is_some_and(|(_, o)| o == self.values[step.output].features());
            for &input in &step.inputs {
                packed[input] &= packs && rows.is_some_and(|(i, _)| i == self.values[input].features());
            }
        }
        packed.iter().zip(written).map(|(&packed, written)| packed && written == 1).collect()
    }
}

/// The step that brings a value into another layout for a layer.
fn convert(layer: &str, kernel: Arc<dyn Kernel>, x: ValueId, y: ValueId) -> Step {
    let name = format!("{layer} input");
    Step {
        name,
        origin: "Cast".into(),
        kernel,
        inputs: vec![x],
        output: y,
        bound: None,
        table_error: None,
        in_place: false,
        scratch: None,
    }
}
