//! Search among approximations for those of which no other is both cheaper and as accurate.
//!
//! [`Search`] varies the format of each layer's weights, the width of its results, the bits of every summand that count
//! (the masks of "Bespoke Approximation of Multiplication-Accumulation and Activation Targeting Printed Multilayer
//! Perceptrons", arXiv 2312.17612) and the bits by which the class is chosen, for accuracy against what a core or a circuit
//! takes. It is NSGA-II ([`nsga2`]) from networks that were approximated greedily, as random masks of a hundred weights are
//! far from all good ones. Every candidate is the generator's own plan, so that a point builds to the integers that were
//! evaluated.
//!
//! Rows are split by class: some steer the search, the others are held out, and tell the accuracy. The split is that of
//! [`tune`](crate::tune): with its seed and share, what was held out there is held out here. Which point keeps to a budget
//! is decided in [`front`].

mod evaluate;
pub mod front;
mod greedy;
pub mod nsga2;
mod plot;
mod space;
mod state;
#[cfg(all(test, feature = "tune"))]
mod tests;

pub use evaluate::Cost;
pub use front::{Budget, Front, Point};

use crate::approximate::network::Samples;
use crate::data::Rows;
use crate::data::split::{Split, by_class, split};
use crate::error::{Problem, Problems, Result};
use crate::graph::eval::Evaluator;
use crate::graph::simplify::simplify;
use crate::graph::{Graph, Kind, Op};
use crate::plan::Plan;
use crate::quantize::config::Config;
use crate::quantize::format::Format;
use crate::target::{Core, Emission, Target};
use evaluate::{Bench, Candidate, Trial};
use nsga2::{Score, Start};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use space::Space;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

/// Share of the exact network's accuracy below which nothing is searched, as in the paper.
const LEAST: f64 = 0.7;

/// Networks without masks that are approximated greedily, at most.
const GREEDY: usize = 12;

/// Rows that candidates are compared by, where fewer steer: see [`blended`].
const BLENDED: usize = 2000;

/// What is minimized beside the error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// Predicted instructions of an inference.
    #[default]
    Instructions,
    /// Predicted bytes of flash, code included.
    Flash,
    /// Predicted bytes of RAM, stack included.
    Ram,
    /// Full adders of the network as a circuit, and the bits that its comparators compare.
    Adders,
}

/// What a network is for: a core, or a circuit with its weights wired in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// A core. Circuits are counted as well.
    Core(Target),
    /// A circuit: nothing is predicted.
    Circuit,
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "instructions" => Ok(Objective::Instructions),
            "flash" => Ok(Objective::Flash),
            "ram" => Ok(Objective::Ram),
            "adders" => Ok(Objective::Adders),
            _ => Err(format!("'{text}' is none of instructions, flash, ram, adders")),
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Objective::Instructions => "instructions",
            Objective::Flash => "flash",
            Objective::Ram => "ram",
            Objective::Adders => "adders",
        })
    }
}

/// How far a search is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is done: networks approximated greedily, then generations.
    pub stage: &'static str,
    /// How many are done.
    pub done: usize,
    /// How many there will be.
    pub total: usize,
}

/// How fast candidates were evaluated. It depends on the machine, and is no part of a [`Front`].
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Candidates of the generations of this run.
    pub candidates: u64,
    /// Seconds that one took one core, in the mean.
    pub seconds_each: f64,
    /// Candidates a second, of all cores.
    pub per_second: f64,
}

/// A search for approximations of a network that gives a class.
///
/// ```no_run
/// # fn main() -> tinymlp_codegen::Result<()> {
/// use std::path::Path;
/// use tinymlp_codegen::data::{self, Rows};
/// use tinymlp_codegen::search::{Objective, Search};
/// use tinymlp_codegen::{Builder, Core};
/// let model = Builder::new("tuned.onnx").arg_max();
/// let graph = model.graph()?;
/// let file = Path::new("x_train.npy");
/// let rows = Rows::new(&graph, &data::load(file)?, file)?;
/// let labels = data::load_labels(Path::new("y_train.npy"), rows.len(), None)?;
/// let search = Search::new(&graph, model.config(&graph)?).target(Core::Armv6m.into()).objective(Objective::Flash);
/// let (front, rate) = search.run(&rows, &labels, Some(Path::new("front/state.json")), &|_| {})?;
/// front.write(Path::new("front"))?;
/// println!("{} points, {:.0} candidates a second", front.points.len(), rate.per_second);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Search<'g> {
    graph: &'g Graph,
    base: Config,
    reference: Option<&'g Graph>,
    target: Device,
    objective: Objective,
    emission: Option<Emission>,
    formats: Vec<Format>,
    budgets: Vec<f64>,
    validation: f64,
    allow_missing_classes: bool,
    seed: u64,
    population: usize,
    generations: usize,
    threads: NonZeroUsize,
}

impl From<Core> for Device {
    fn from(core: Core) -> Self {
        Device::Core(Target { core, ..Target::default() })
    }
}

impl<'g> Search<'g> {
    /// Of a network that gives a class ([`Builder::arg_max`](crate::Builder::arg_max)), for a circuit, with the quantization
    /// that its file says ([`Builder::config`](crate::Builder::config)). What that fixes stays: formats and scales of
    /// layers, bits of inputs, an approximate choice.
    pub fn new(graph: &'g Graph, base: Config) -> Self {
        Self {
            graph,
            base,
            reference: None,
            target: Device::Circuit,
            objective: Objective::Adders,
            emission: None,
            formats: vec![Format::Int8, Format::Int4, Format::PowerOfTwo, Format::Ternary],
            budgets: vec![0.01, 0.02, 0.05],
            validation: 0.2,
            allow_missing_classes: false,
            seed: 0,
            population: 200,
            generations: 100,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }

    /// The network whose float accuracy budgets are relative to; the given one, if not said.
    #[must_use]
    pub fn reference(mut self, graph: &'g Graph) -> Self {
        self.reference = Some(graph);
        self
    }

    /// What it is for.
    #[must_use]
    pub fn target(mut self, target: Device) -> Self {
        self.target = target;
        self
    }

    /// What is minimized.
    #[must_use]
    pub fn objective(mut self, objective: Objective) -> Self {
        self.objective = objective;
        self
    }

    /// Only tables, or only straight-line code; of each point what is cheaper, if not given. Networks of more than 4,096
    /// weights get tables.
    #[must_use]
    pub fn emission(mut self, emission: Emission) -> Self {
        self.emission = (emission != Emission::Auto).then_some(emission);
        self
    }

    /// Formats that layers whose format is open may have, the most exact first: int8, int4, pow2 and ternary, if not given.
    #[must_use]
    pub fn formats(mut self, formats: &[Format]) -> Self {
        self.formats = formats.to_vec();
        self
    }

    /// Drops of accuracy, as shares, for each of which the cheapest point is named: 1 %, 2 % and 5 %, if not given.
    #[must_use]
    pub fn budgets(mut self, drops: &[f64]) -> Self {
        self.budgets = drops.to_vec();
        self
    }

    /// Share of the rows of each class that are held out (0.2 if not given).
    #[must_use]
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = share;
        self
    }

    /// Accepts classes of the model with less than two rows. Their rows steer.
    #[must_use]
    pub fn allow_missing_classes(mut self) -> Self {
        self.allow_missing_classes = true;
        self
    }

    /// What all that is random follows from (0 if not given).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Candidates of a generation (200 if not given).
    #[must_use]
    pub fn population(mut self, size: usize) -> Self {
        self.population = size;
        self
    }

    /// Generations (100 if not given).
    #[must_use]
    pub fn generations(mut self, count: usize) -> Self {
        self.generations = count;
        self
    }

    /// Candidates that are evaluated side by side: as many as there are cores, if not given. It changes no result.
    #[must_use]
    pub fn threads(mut self, count: NonZeroUsize) -> Self {
        self.threads = count;
        self
    }

    /// Everything that is wrong with the options and the labels.
    fn check(&self, rows: &Rows, labels: &[usize], problems: &mut Problems) {
        let mut wrong = |place: &str, reason: String, help: &str| problems.push(Problem::new(place, reason).help(help));
        if !(self.validation > 0.0 && self.validation < 1.0) {
            let reason = format!("{} is no share between 0 and 1", self.validation);
            wrong("validation", reason, "0.2 holds one row in five out");
        }
        if self.budgets.is_empty() || self.budgets.iter().any(|drop| !(0.0..1.0).contains(drop)) {
            wrong("budgets", format!("{:?} are no shares from 0 to 1", self.budgets), "0.01 is one point of a hundred");
        }
        if self.formats.is_empty() {
            wrong("formats", "none is nothing to choose from".into(), "give at least one");
        }
        if self.population < 4 {
            wrong("population", format!("{} are too few", self.population), "200 suits most networks");
        }
        match self.target {
            Device::Circuit if self.objective != Objective::Adders => {
                let reason = format!("{} are not predicted for circuits", self.objective);
                wrong("objective", reason, "name a core as the target, or minimize adders");
            }
            Device::Core(target) if target.core == Core::Portable => {
                evaluate::unpredicted(target).problems().iter().for_each(|p| problems.push(p.clone()));
            }
            _ => {}
        }
        let mut wrong = |place: &str, reason: String, help: &str| problems.push(Problem::new(place, reason).help(help));
        if labels.len() != rows.len() {
            let reason = format!("there are {} for {} rows of inputs", labels.len(), rows.len());
            wrong("labels", reason, "give one label a row, in the same order");
        }
        if let Some(classes) = classes(self.graph)
            && let Some((row, class)) = labels.iter().enumerate().find(|(_, class)| **class >= classes)
        {
            let reason = format!("label {class} of row {row} is out of range: the model has {classes} classes");
            wrong("labels", reason, &format!("labels count from 0 to {}", classes - 1));
        }
        if let Some(reference) = self.reference {
            let lengths =
                |graph: &Graph| -> Vec<usize> { graph.inputs.iter().map(|&id| graph.tensors[id].len()).collect() };
            if lengths(reference) != lengths(self.graph) {
                let reason = format!("takes {:?} values, the model {:?}", lengths(reference), lengths(self.graph));
                wrong("reference", reason, "give the float model that the searched one was made from");
            }
            if classes(reference) != classes(self.graph) {
                wrong("reference", "has another number of classes than the model".into(), "");
            }
        }
    }

    /// Searches. The same rows, labels and options give the same front. `progress` is called from one thread, after every
    /// start and every generation.
    ///
    /// `state` is a file that every generation is written to. If it is there, the search goes on where it ends.
    ///
    /// # Errors
    /// Everything that is wrong with the options, labels that do not fit, classes without rows, a network that is no chain
    /// of fully connected layers with ReLU and a choice of a class, and a state of another search.
    pub fn run(
        &self,
        rows: &Rows,
        labels: &[usize],
        state: Option<&Path>,
        progress: &dyn Fn(Progress),
    ) -> Result<(Front, Rate)> {
        let mut problems = Problems::default();
        self.check(rows, labels, &mut problems);
        let mut graph = self.graph.clone();
        simplify(&mut graph);
        let number = problems.take(classes(&graph).ok_or_else(|| {
            Problem::new("the model", "does not end in the choice of a class")
                .help("append an ArgMax: --argmax, or Builder::arg_max")
                .into()
        }));
        problems.finish(())?;
        let Some(number) = number else { unreachable!("it was a problem") };
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let Split { training, validation } =
            split((by_class(labels, number), true), self.validation, self.allow_missing_classes, &mut random)?;
        let part = |of: &[usize]| {
            let labels: Vec<usize> = of.iter().map(|&row| labels[row]).collect();
            (rows.filtered(|row| of.binary_search(&row).is_ok()), labels)
        };
        let [(steering, own), (held_out, others)] = [part(&training), part(&validation)];
        let bench = Bench::new(&graph, &steering, (self.objective, self.target, self.emission))?;
        let (plan, network) = bench.network(&self.base)?;
        let space =
            Space::new(&graph, &bench.calibration, (&self.base, &plan, &network), &self.formats, self.objective);
        let samples = Samples::new(&plan, &steering, &own);
        let more = blended(&plan, &steering, &own, &mut random);
        let held = Samples::new(&plan, &held_out, &others);
        let trial = Trial::new(&bench, &space, (&samples, &more), &network);
        let evaluate = |genes: &[u8], least: usize| {
            trial.measure(genes).map_or(
                // What has no plan, such as sums that do not fit, is the worst.
                Score { objectives: [1.0, f64::MAX], violation: f64::MAX },
                |(right, cost)| Score {
                    objectives: [1.0 - right as f64 / more.len() as f64, cost],
                    violation: least.saturating_sub(right) as f64,
                },
            )
        };
        let (exact, _) = trial.measure(&space.exact())?;
        let least = (exact as f64 * LEAST) as usize;
        let file = state.map(|path| state::File::new(path, self, &space, (rows, labels)));
        let start = match file.as_ref().map(state::File::read).transpose()?.flatten() {
            Some((done, population)) => Start::After(done, population),
            None => Start::First(self.first(&space, &trial, &more, least, progress)),
        };
        let options = nsga2::Options {
            population: self.population,
            generations: self.generations,
            seed: self.seed,
            threads: self.threads,
            ..nsga2::Options::default()
        };
        let (begin, before) = (Instant::now(), bench.rate().0);
        let mut failed = None;
        let total = self.generations;
        let found = nsga2::minimize(
            space.largest(),
            start,
            &options,
            |genes| evaluate(genes, least),
            &mut |done, population| {
                let written = file.as_ref().map_or(Ok(()), |file| file.write(done, population));
                progress(Progress { stage: "generations", done: done.min(total), total });
                failed = written.err();
                if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        if let Some(error) = failed {
            return Err(error);
        }
        let (candidates, seconds_each) = bench.rate();
        let candidates = candidates - before;
        let rate =
            Rate { candidates, seconds_each, per_second: candidates as f64 / begin.elapsed().as_secs_f64().max(1e-9) };
        let reference = self.reference.unwrap_or(&graph);
        let accuracies = [right(reference, &steering, &own)?, right(reference, &held_out, &others)?];
        let genes: Vec<Vec<u8>> = std::iter::once(space.exact())
            .chain(found.into_iter().filter(|one| one.score.violation == 0.0).map(|one| one.genes))
            .collect();
        let configs: Vec<Config> = genes
            .iter()
            .map(|genes| trial.candidate(genes).map(|candidate| candidate.config))
            .collect::<Result<_>>()?;
        let mut front = front::choose(self, &bench, (&samples, &held), accuracies, &configs, space.is_grouped())?;
        front.held_out = validation;
        Ok((front, rate))
    }

    /// Genes to begin with: greedy ones for up to half of the population, from every start that is accurate enough, and the
    /// paper's mixture of full, nearly full, nearly empty and random masks.
    fn first(
        &self,
        space: &Space,
        trial: &Trial,
        samples: &Samples,
        least: usize,
        progress: &dyn Fn(Progress),
    ) -> Vec<Vec<u8>> {
        let starts: Vec<(Vec<u8>, Candidate)> = space
            .starts()
            .into_iter()
            .filter_map(|genes| Some((trial.candidate(&genes).ok()?, genes)))
            .filter(|(candidate, _)| candidate.network.correct(samples) >= least)
            .map(|(candidate, genes)| (genes, candidate))
            .collect();
        let mut first: Vec<Vec<u8>> = starts.iter().map(|(genes, _)| genes.clone()).collect();
        let options = (self.objective, least, self.threads);
        let mut greedy = Vec::new();
        let step = starts.len().div_ceil(GREEDY).max(1);
        let total = starts.len().div_ceil(step);
        for (done, (genes, candidate)) in starts.iter().step_by(step).enumerate() {
            greedy.extend(greedy::seeds(space, genes, candidate, samples, options));
            progress(Progress { stage: "greedy starts", done: done + 1, total });
        }
        first.truncate(self.population / 4);
        let room = self.population / 2;
        let step = greedy.len().div_ceil(room.max(1)).max(1);
        first.extend(greedy.into_iter().step_by(step));
        let rest = self.population.saturating_sub(first.len()) / 2;
        first.extend(space.near(&starts.iter().map(|(genes, _)| genes.clone()).collect::<Vec<_>>(), rest, self.seed));
        first
    }
}

/// The rows that steer and, where they are few, rows between two of the same class. Thousands of candidates are compared: some
/// are right on any hundred rows by chance, but not on all that lies between them.
fn blended(plan: &Plan, rows: &Rows, labels: &[usize], random: &mut ChaCha8Rng) -> Samples {
    let groups = by_class(labels, labels.iter().max().map_or(0, |most| most + 1));
    let mut blends = Vec::new();
    for _ in 0..(BLENDED / rows.len().max(1)).min(32) {
        for (row, &class) in labels.iter().enumerate() {
            let other = groups[class][random.random_range(0..groups[class].len())];
            blends.push((row, other, random.random_range(0.0..0.5)));
        }
    }
    let mut all = labels.to_vec();
    all.extend(blends.iter().map(|&(row, ..)| labels[row]));
    Samples::new(plan, &rows.with_blends(&blends), &all)
}

/// The number of classes of a network whose only output is the index that an `ArgMax` finds.
fn classes(graph: &Graph) -> Option<usize> {
    let [output] = &graph.outputs[..] else { return None };
    (graph.tensors[output.tensor].kind == Kind::Index).then_some(())?;
    crate::report::classes(graph)
}

/// Rows whose class the float network finds.
fn right(graph: &Graph, rows: &Rows, labels: &[usize]) -> Result<usize> {
    let mut graph = graph.clone();
    if !graph.nodes.iter().any(|node| matches!(node.op, Op::ArgMax { .. })) {
        graph.append_arg_max()?;
    }
    let mut evaluator = Evaluator::new(&graph);
    let class = |row: usize, evaluator: &mut Evaluator| {
        evaluator.run(&rows.row(row));
        evaluator.output(0).first().map(|&class| class as usize)
    };
    Ok((0..rows.len()).filter(|&row| class(row, &mut evaluator) == Some(labels[row])).count())
}
