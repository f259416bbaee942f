//! What a candidate is worth: rows that it gets right, and what it costs.

use super::space::Space;
use super::{Device, Objective};
use crate::approximate::adders::{Adders, Digits};
use crate::approximate::network::{Network, Samples};
use crate::calibrate::{Calibration, StuckColumns, calibrate};
use crate::data::Rows;
use crate::error::{Error, Problem, Result};
use crate::graph::{Graph, Op};
use crate::plan::Plan;
use crate::quantize::config::Config;
use crate::quantize::{Options, quantize};
use crate::target::cost::Prediction;
use crate::target::{Emission, Target};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Rows that ranges are taken from.
const CALIBRATION: usize = 4096;

/// Rows that show how often activations are zero while candidates are compared.
const SEEN: usize = 32;

/// Weights up to which a network may become straight-line code.
const STRAIGHT: usize = 4096;

/// What a point costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Full adders of all neurons as circuits: see [`adders`](crate::approximate::adders).
    pub full_adders: usize,
    /// Bits that the comparators of the classes compare.
    pub comparator_bits: usize,
    /// Predicted instructions of one inference on the target, in the mean over the calibration rows. This and the next are
    /// absent for printed circuits.
    pub instructions: Option<f64>,
    /// Predicted instructions for the worst input.
    pub instructions_max: Option<f64>,
    /// Predicted bytes of flash: constants and code.
    pub flash_bytes: Option<usize>,
    /// Predicted bytes of RAM: scratch, constants that are copied, and stack.
    pub ram_bytes: Option<usize>,
}

/// What all candidates are measured with.
pub(super) struct Bench<'a> {
    pub(super) graph: &'a Graph,
    pub(super) calibration: Calibration,
    pub(super) objective: Objective,
    target: Device,
    emission: Option<Emission>,
    /// Rows that ranges are taken from.
    pub(super) rows: Rows,
    seen: Rows,
    nanoseconds: AtomicU64,
    candidates: AtomicU64,
}

impl<'a> Bench<'a> {
    /// `rows` are those that steer.
    pub(super) fn new(
        graph: &'a Graph,
        rows: &Rows,
        (objective, target, emission): (Objective, Device, Option<Emission>),
    ) -> Result<Self> {
        let step = rows.len().div_ceil(CALIBRATION).max(1);
        let rows = rows.filtered(|row| row % step == 0);
        let step = rows.len().div_ceil(SEEN).max(1);
        let seen = rows.filtered(|row| row % step == 0);
        let weights =
            graph.nodes.iter().map(|node| if let Op::Gemm { weight, .. } = &node.op { weight.len() } else { 0 });
        let emission = emission.or((weights.sum::<usize>() > STRAIGHT).then_some(Emission::Tables));
        let calibration = calibrate(graph, &rows, StuckColumns::Allowed)?;
        let (nanoseconds, candidates) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { graph, calibration, objective, target, emission, rows, seen, nanoseconds, candidates })
    }

    /// Whether the calibration rows have columns that the generator refuses unless told to accept them.
    pub(super) fn has_constant_columns(&self) -> bool {
        calibrate(self.graph, &self.rows, StuckColumns::Refused).is_err()
    }

    /// The portable plan.
    pub(super) fn plan(&self, config: &Config) -> Result<Plan> {
        quantize(self.graph, &self.calibration, &Options { config: config.clone(), ..Options::default() })
    }

    /// The portable plan, and the same integers for evaluation.
    pub(super) fn network(&self, config: &Config) -> Result<(Plan, Network)> {
        let plan = self.plan(config)?;
        let network = Network::new(&plan)?;
        Ok((plan, network))
    }

    /// Candidates that were measured, and the mean seconds that one took a core.
    pub(super) fn rate(&self) -> (u64, f64) {
        let candidates = self.candidates.load(Ordering::Relaxed);
        (candidates, self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9 / candidates.max(1) as f64)
    }

    /// The cost of a candidate in all respects, by all calibration rows, and how its layers become code.
    pub(super) fn cost(&self, config: &Config) -> Result<(Cost, Option<Emission>)> {
        let (plan, network) = self.network(config)?;
        let adders = Adders::new(&network, Digits::Binary);
        let predicted = self.predict(&plan, config, &self.rows)?;
        let cost = Cost {
            full_adders: adders.accumulation(),
            comparator_bits: adders.comparators,
            instructions: predicted.as_ref().map(|(_, p)| p.instructions.mean.round()),
            instructions_max: predicted.as_ref().map(|(_, p)| p.instructions.max.ceil()),
            flash_bytes: predicted.as_ref().map(|(_, p)| p.flash_bytes()),
            ram_bytes: predicted.as_ref().map(|(_, p)| ram(p)),
        };
        Ok((cost, predicted.map(|(emission, _)| emission)))
    }

    /// The prediction for the target with tables or straight-line code, whichever is cheaper.
    fn predict(&self, plan: &Plan, config: &Config, rows: &Rows) -> Result<Option<(Emission, Prediction)>> {
        let Device::Core(target) = self.target else { return Ok(None) };
        let kinds = match self.emission {
            Some(Emission::Tables) => &[Emission::Tables][..],
            Some(Emission::Bespoke) => &[Emission::Bespoke],
            Some(Emission::Auto) | None => &[Emission::Tables, Emission::Bespoke],
        };
        let mut best: Option<(Emission, Prediction)> = None;
        for &kind in kinds {
            let emission = |layer: &str| config.layer(layer).emission.unwrap_or(kind);
            let plan = plan.clone().for_target_as(target, rows, &emission);
            let Some(found) = plan.predict(rows) else { return Err(unpredicted(target)) };
            if best.as_ref().is_none_or(|(_, best)| price(self.objective, &found) < price(self.objective, best)) {
                best = Some((kind, found));
            }
        }
        Ok(best)
    }
}

/// Genes become candidates, whose biases keep the means of all sums over the steering rows at what they are without any
/// approximation: what is left out of a sum is missed by what it varies alone. (The papers' circuits keep their biases.)
pub(super) struct Trial<'a> {
    bench: &'a Bench<'a>,
    space: &'a Space,
    /// The rows that steer.
    samples: &'a Samples,
    /// Those and what lies between them, which candidates are compared by.
    more: &'a Samples,
    /// By layer and output, in real numbers.
    means: Vec<Vec<f64>>,
}

/// What genes stand for.
pub(super) struct Candidate {
    /// With the biases that are not the model's own.
    pub(super) config: Config,
    /// What costs are predicted for; its biases may still be the model's.
    plan: Plan,
    pub(super) network: Network,
    /// What the means of its sums are kept at.
    pub(super) means: Vec<Vec<f64>>,
}

impl<'a> Trial<'a> {
    /// `base` is the network as its quantization has it. Layers whose scale it gives were tuned, and keep the means of
    /// their integers; others keep those of the float network.
    pub(super) fn new(
        bench: &'a Bench<'a>,
        space: &'a Space,
        (samples, more): (&'a Samples, &'a Samples),
        base: &Network,
    ) -> Self {
        let (_, units) = space.config(&space.exact());
        let own = base.means(samples);
        let means = base.layers.iter().zip(space.tuned()).enumerate().map(|(k, (layer, tuned))| {
            let node = bench.graph.nodes.iter().find(|node| node.name == layer.name);
            let float = node.and_then(|node| bench.calibration.tensors[node.output].as_ref()).filter(|_| !tuned);
            let real = |(mean, unit): (&f64, &f64)| mean * unit;
            float.map_or_else(|| own[k].iter().zip(&units[k]).map(real).collect(), |s| s.mean.clone())
        });
        Self { bench, space, samples, more, means: means.collect() }
    }

    /// What genes stand for.
    pub(super) fn candidate(&self, genes: &[u8]) -> Result<Candidate> {
        let (mut config, units) = self.space.config(genes);
        let (mut plan, mut network) = self.bench.network(&config)?;
        let integer = |(real, units): (&Vec<f64>, &Vec<f64>)| real.iter().zip(units).map(|(r, u)| r / u).collect();
        let means: Vec<Vec<f64>> = self.means.iter().zip(&units).map(integer).collect();
        let own: Vec<Vec<i32>> = network.layers.iter().map(|layer| layer.bias.clone()).collect();
        network.balance(self.samples, &means);
        for (balanced, own) in network.layers.iter().zip(own) {
            if let Some(layer) = config.layers.get_mut(&balanced.name).filter(|_| balanced.bias != own) {
                layer.bias = Some(balanced.bias.clone());
            }
        }
        if network.tree.is_some() {
            // Its bits follow from the range of the sums, and that from the biases.
            (plan, network) = self.bench.network(&config)?;
        }
        Ok(Candidate { config, plan, network, means })
    }

    /// Rows that a candidate gets right, and the cost that is minimized.
    pub(super) fn measure(&self, genes: &[u8]) -> Result<(usize, f64)> {
        let start = Instant::now();
        let Candidate { config, plan, network, .. } = self.candidate(genes)?;
        let right = network.correct(self.more);
        let bench = self.bench;
        let cost = match bench.objective {
            Objective::Adders => {
                let adders = Adders::new(&network, Digits::Binary);
                (adders.accumulation() + adders.comparators) as f64
            }
            _ => bench.predict(&plan, &config, &bench.seen)?.map_or(0.0, |(_, p)| price(bench.objective, &p)),
        };
        bench.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        bench.candidates.fetch_add(1, Ordering::Relaxed);
        Ok((right, cost))
    }
}

/// Without a core there is nothing to predict.
pub(super) fn unpredicted(target: Target) -> Error {
    Problem::new("target", format!("costs are not predicted for '{}' kernels", target.core))
        .help("name a core, such as cortex-m0, or `printed` for circuits, whose cost are full adders")
        .into()
}

/// What is minimized. Circuits have no instructions: where they are compared, so is the core's time.
fn price(objective: Objective, prediction: &Prediction) -> f64 {
    match objective {
        Objective::Instructions | Objective::Adders => prediction.instructions.mean,
        Objective::Flash => prediction.flash_bytes() as f64,
        Objective::Ram => ram(prediction) as f64,
    }
}

fn ram(prediction: &Prediction) -> usize {
    prediction.ram_bytes + prediction.stack_bytes
}
