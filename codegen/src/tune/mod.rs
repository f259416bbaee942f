//! Quantization-aware tuning: trains a float network in the arithmetic of the integer plan.
//!
//! The forward pass computes what the plan computes: weights on the grid of their format, biases in units of the sums,
//! inputs of a few bits, results of layers rounded or truncated. Gradients go straight through the steps
//! (`straight_through`). Scales of weights are learned as well (Esser et al. 2019, "Learned Step Size Quantization", arXiv
//! 1902.08153). The loss sees logits in real numbers, sums times scales.

mod expression;
mod mlp;
mod network;
pub mod onnx;
mod straight_through;
#[cfg(test)]
mod tests;
mod train;

pub use mlp::mlp;

use crate::calibrate::{Observer as RangeObserver, StuckColumns, calibrate};
use crate::data::Rows;
use crate::data::split::{Split, by_class, split};
use crate::error::{Error, Problem, Problems, Result};
use crate::graph::eval::Evaluator;
use crate::graph::simplify::simplify;
use crate::graph::{Graph, TensorId};
use crate::plan::Plan;
use crate::plan::simulate;
use crate::quantize::config::{Config, InputConfig, LayerConfig, Scale};
use crate::quantize::format::Format;
use crate::quantize::gemm::weight_scale;
use crate::quantize::{Options, quantize};
use candle_core::{Device, Tensor};
use network::{Arithmetic, Candle, LayerIntegers, Masks, Network, Observer, Parameters, Weights};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use train::{Batch, Numbers, Run, Schedule, Shifts};

/// Rows that ranges of activations are taken from.
const CALIBRATION: usize = 4096;

/// Share of a feature's values at each end that its range leaves out.
const TAIL: f64 = 0.03;

/// Where most of a feature's values lie: of few bits, none is to be spent on outliers. All of them, if most are the same.
fn ends(values: impl Iterator<Item = f32>) -> (f32, f32) {
    let mut all: Vec<f32> = values.collect();
    all.sort_unstable_by(f32::total_cmp);
    let tail = (all.len() as f64 * TAIL) as usize;
    let end = |tail: usize| all.get(tail).copied().zip(all.iter().rev().nth(tail).copied());
    end(tail).filter(|(low, high)| low < high).or(end(0)).unwrap_or_default()
}

/// What the network is to give for each row.
#[derive(Clone, Debug)]
pub enum Targets {
    /// A class, counted from 0.
    Classes(Vec<usize>),
    /// The values of the output, row after row.
    Values {
        /// All values.
        values: Vec<f32>,
        /// Number of rows.
        rows: usize,
    },
}

/// Tunes a network.
#[derive(Clone, Debug)]
pub struct Tuner<'g> {
    graph: &'g Graph,
    weights: Format,
    layers: Vec<(String, Format)>,
    by_output: bool,
    input_bits: u32,
    truncate: Option<u32>,
    epochs: usize,
    float_epochs: usize,
    batch: Option<usize>,
    learning_rate: f64,
    seed: u64,
    restarts: usize,
    validation: f64,
    from_scratch: bool,
    allow_missing_classes: bool,
    base: Option<Config>,
}

/// How far tuning is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epochs that are done, of all restarts.
    pub done: usize,
    /// Epochs that there will be.
    pub total: usize,
    /// The best accuracy on the validation rows so far, of tuned networks.
    pub best: Option<f64>,
}

/// Accuracy (or, of values, mean squared error) on the rows that trained and on those that chose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// On the training rows.
    pub training: f64,
    /// On the validation rows.
    pub validation: f64,
}

/// A tuned network.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The network with weights on the grids of their formats, and its quantization as JSON in
    /// [`Graph::quantization`].
    pub graph: Graph,
    /// The same quantization.
    pub config: Config,
    /// The float network that was tuned: the given one, or the one that was trained first.
    pub float: Graph,
    /// Of the float network.
    pub float_score: Score,
    /// Of the float network in the integers of the plan.
    pub untuned_score: Score,
    /// Of the tuned network in the integers of the plan.
    pub score: Score,
    /// By row, the class that the tuned network gives in the integers of the plan; empty for values.
    pub classes: Vec<usize>,
    /// The rows that chose.
    pub validation_rows: Vec<usize>,
}

impl<'g> Tuner<'g> {
    /// Tunes to power-of-two weights. The tuned graph is simplified.
    pub fn new(graph: &'g Graph) -> Self {
        Self {
            graph,
            weights: Format::PowerOfTwo,
            layers: Vec::new(),
            by_output: false,
            input_bits: 8,
            truncate: None,
            epochs: 200,
            float_epochs: 200,
            batch: None,
            learning_rate: 0.02,
            seed: 0,
            restarts: 4,
            validation: 0.2,
            from_scratch: false,
            allow_missing_classes: false,
            base: None,
        }
    }

    /// Tunes what is quantized already, such as a point of a search: its inputs and layers begin with what this says of
    /// them, and keep all of it but scales and biases. The class is chosen exactly.
    #[must_use]
    pub fn quantized(mut self, base: Config) -> Self {
        self.base = Some(Config { argmax: None, ..base });
        self
    }

    /// Format of the weights of layers that say nothing else.
    #[must_use]
    pub fn weights(mut self, format: Format) -> Self {
        self.weights = format;
        self
    }

    /// Format of one layer's weights, by the name of its node.
    #[must_use]
    pub fn layer_weights(mut self, layer: impl Into<String>, format: Format) -> Self {
        self.layers.push((layer.into(), format));
        self
    }

    /// A scale of weights for each output, but for truncated and last layers, whose sums need one for all.
    #[must_use]
    pub fn by_output(mut self) -> Self {
        self.by_output = true;
        self
    }

    /// Bits of the inputs, 1 to 8 (8 if not given).
    #[must_use]
    pub fn input_bits(mut self, bits: u32) -> Self {
        self.input_bits = bits;
        self
    }

    /// Cuts the results of layers with a ReLU down to so many bits (1 to 8) by a shift, instead of rounding them.
    #[must_use]
    pub fn truncate(mut self, bits: u32) -> Self {
        self.truncate = Some(bits);
        self
    }

    /// Passes over the training rows (200 if not given).
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Passes of the float training (200 if not given).
    #[must_use]
    pub fn float_epochs(mut self, epochs: usize) -> Self {
        self.float_epochs = epochs;
        self
    }

    /// Rows between two steps of the optimizer; chosen by their number, if not given.
    #[must_use]
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = Some(rows);
        self
    }

    /// The optimizer's largest step, relative to the size of a layer's weights (0.02 if not given).
    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// What all that is random follows from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs of which the best on the validation rows is taken (4 if not given).
    #[must_use]
    pub fn restarts(mut self, restarts: usize) -> Self {
        self.restarts = restarts;
        self
    }

    /// Share of the rows that choose and do not train (0.2 if not given).
    #[must_use]
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = share;
        self
    }

    /// Forgets the weights and trains the float network first.
    #[must_use]
    pub fn from_scratch(mut self) -> Self {
        self.from_scratch = true;
        self
    }

    /// Accepts classes of the model with no row, or with a single one, which then trains.
    #[must_use]
    pub fn allow_missing_classes(mut self) -> Self {
        self.allow_missing_classes = true;
        self
    }

    /// Everything that is wrong with the options.
    fn check(&self, network: &Network, rows: &Rows, targets: &Targets) -> Result<()> {
        let mut problems = Problems::default();
        let mut wrong = |place: &str, reason: String, help: &str| problems.push(Problem::new(place, reason).help(help));
        if !(1..=8).contains(&self.input_bits) {
            wrong("input bits", format!("{} are not 1 to 8", self.input_bits), "");
        }
        if self.truncate.is_some_and(|bits| !(1..=8).contains(&bits)) {
            wrong("truncated ReLU", "its results have 1 to 8 bits".into(), "");
        }
        if !(self.validation > 0.0 && self.validation < 1.0) {
            let reason = format!("{} is no share between 0 and 1", self.validation);
            wrong("validation", reason, "0.2 holds one row in five out");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            wrong("learning rate", format!("{} is no positive number", self.learning_rate), "0.02 suits most networks");
        }
        if self.restarts == 0 || self.batch == Some(0) {
            wrong("restarts and batch", "none is nothing to train with".into(), "give at least 1");
        }
        if self.base.is_some() && self.from_scratch {
            wrong("quantization", "it is of weights that are to be forgotten".into(), "do not train from scratch");
        }
        let names: Vec<&str> = network.layers.iter().map(|l| l.name.as_str()).collect();
        for (name, _) in self.layers.iter().filter(|(name, _)| !names.contains(&name.as_str())) {
            let help = format!("one of {names:?}");
            wrong(&format!("weights of layer '{name}'"), "the model has no such fully connected layer".into(), &help);
        }
        if self.truncate.is_some() && !network.layers.iter().any(network::Layer::has_relu) {
            let help = "leave it out, or export the model with ReLU activations";
            wrong("truncated ReLU", "no fully connected layer has a Relu of its own".into(), help);
        }
        let outputs = network.outputs();
        match targets {
            Targets::Classes(labels) => {
                if labels.len() != rows.len() {
                    let reason = format!("there are {} for {} rows of inputs", labels.len(), rows.len());
                    wrong("labels", reason, "give one label a row, in the same order");
                }
                let classes = network.classes();
                if let Some((row, class)) = labels.iter().enumerate().find(|(_, class)| **class >= classes) {
                    let reason = format!("label {class} of row {row} is out of range: the model has {classes} classes");
                    wrong("labels", reason, &format!("labels count from 0 to {}", classes - 1));
                }
            }
            Targets::Values { values, rows: given } => {
                if *given != rows.len() || values.len() != rows.len() * outputs {
                    let reason =
                        format!("there are {} values for {} rows of {outputs} outputs", values.len(), rows.len());
                    wrong("target values", reason, "give the output's values for each row, in the same order");
                }
                if let Some(k) = values.iter().position(|v| !v.is_finite()) {
                    wrong("target values", format!("value {k} is {}", values[k]), "drop rows with missing values");
                }
            }
        }
        problems.finish(())
    }

    /// What the given quantization says of a layer.
    fn base(&self, layer: &str) -> LayerConfig {
        self.base.as_ref().map_or_else(LayerConfig::default, |base| base.layer(layer))
    }

    fn format(&self, layer: &str) -> Format {
        if let Some(format) = self.base(layer).weights {
            return format;
        }
        self.layers.iter().rev().find(|(name, _)| name == layer).map_or(self.weights, |(_, format)| *format)
    }

    /// Bits of a layer's truncated results.
    fn truncated(&self, layer: &network::Layer) -> Option<u32> {
        match &self.base {
            Some(_) => Some(self.base(&layer.name)).filter(|own| own.shift.is_some()).map(|own| own.bits.unwrap_or(8)),
            None => self.truncate.filter(|_| layer.has_relu()),
        }
    }

    /// Tunes. The same rows, targets and options give the same network. `progress` is called after every epoch.
    ///
    /// # Errors
    /// Everything that is wrong with the options, labels that do not fit, classes without rows, and nodes that cannot be
    /// tuned.
    pub fn run(&self, rows: &Rows, targets: &Targets, progress: &(dyn Fn(Progress) + Sync)) -> Result<Tuned> {
        let classes = matches!(targets, Targets::Classes(_));
        // What the generator folds into layers has to be in them while they are tuned.
        let mut graph = self.graph.clone();
        simplify(&mut graph);
        let network = Network::new(&graph, classes)?;
        self.check(&network, rows, targets)?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let groups = match targets {
            Targets::Classes(labels) => (by_class(labels, network.classes()), true),
            Targets::Values { rows, .. } => (vec![(0..*rows).collect()], false),
        };
        let split = split(groups, self.validation, self.allow_missing_classes, &mut rng)?;
        let session = Session { tuner: self, network, rows, targets, classes, split };
        session.tune(progress)
    }
}

/// What candle says when something does not fit: an error of this program rather than of its user.
fn failed(error: candle_core::Error) -> Error {
    Problem::new("tuning", error.to_string()).into()
}

/// The scales and formats that one start has in common with the others.
struct Start {
    weights: Weights,
    float: train::Quality,
}

/// One call of [`Tuner::run`].
struct Session<'a> {
    tuner: &'a Tuner<'a>,
    network: Network,
    rows: &'a Rows,
    targets: &'a Targets,
    classes: bool,
    split: Split,
}

/// One tuned restart.
struct Candidate {
    parameters: Parameters,
    arithmetic: Arithmetic,
    untuned: train::Quality,
    untuned_training: train::Quality,
    best: train::Best,
}

impl Session<'_> {
    fn tune(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<Tuned> {
        let tuner = self.tuner;
        let float_epochs = if tuner.from_scratch { tuner.float_epochs } else { 0 };
        let total = tuner.restarts * (float_epochs + tuner.epochs);
        let (done, best) = (AtomicUsize::new(0), Mutex::new(None::<f64>));
        let report = |accuracy: Option<f64>| {
            let mut best = best.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let reached = accuracy.into_iter().chain(*best).reduce(f64::max);
            *best = reached;
            progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, total, best: reached });
        };
        // Inputs that no network changes.
        let config = self.input_config()?;
        let plan = self.plan(&self.network.graph, &config)?;
        let training = self.batch(&plan, &self.split.training).map_err(failed)?;
        let validation = self.batch(&plan, &self.split.validation).map_err(failed)?;
        let schedule = Schedule {
            epochs: tuner.epochs,
            batch: tuner.batch.unwrap_or((training.len() / 48).clamp(8, 256)),
            learning_rate: tuner.learning_rate,
        };
        let run = Run {
            network: &self.network,
            training: &training,
            validation: &validation,
            classes: self.classes,
            schedule,
            progress: &report,
        };
        let float_run =
            Run { schedule: Schedule { epochs: float_epochs, ..schedule }, progress: &|_| report(None), ..run };
        let float = |restart: usize| -> Result<Start> {
            let mut rng = self.rng(restart, 0);
            let start = if tuner.from_scratch { self.random(&mut rng) } else { self.given()? };
            let parameters = self.parameters(&start, 1.0)?;
            let best = float_run.train(&parameters, None, &mut rng).map_err(failed)?;
            Ok(Start { weights: parameters.weights().map_err(failed)?, float: best.validation })
        };
        let floats = if tuner.from_scratch { self.parallel(tuner.restarts, &float)? } else { vec![float(0)?] };
        let mut order: Vec<usize> = (0..floats.len()).collect();
        order.sort_by(|&a, &b| floats[a].float.loss.total_cmp(&floats[b].float.loss));
        let candidate = |restart: usize| -> Result<Candidate> {
            let start = &floats[order[restart % order.len()]].weights;
            self.candidate(restart, start, &config, &run)
        };
        let mut candidates = self.parallel(tuner.restarts, &candidate)?;
        let mut chosen = 0;
        for (k, c) in candidates.iter().enumerate() {
            if c.best.validation.better_than(&candidates[chosen].best.validation) {
                chosen = k;
            }
        }
        let untuned = (candidates[0].untuned_training, candidates[0].untuned);
        let chosen = candidates.swap_remove(chosen);
        let float = self.network.with(&floats[order[0]].weights);
        self.finish(&run, &config, chosen, untuned, float)
    }

    /// Exports the best, and measures it as the generator will compile it.
    fn finish(
        &self,
        run: &Run,
        config: &Config,
        mut chosen: Candidate,
        untuned: (train::Quality, train::Quality),
        float: Graph,
    ) -> Result<Tuned> {
        chosen.arithmetic.shifts.clone_from(&chosen.best.shifts);
        let (weights, config) = self.export(&chosen.parameters, &chosen.arithmetic, config, run.training)?;
        let mut graph = self.network.with(&weights);
        graph.quantization = Some(config.to_json());
        let plan = self.plan(&graph, &config)?;
        chosen.arithmetic.quants = self.quants(&plan);
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let everything = self.batch(&plan, &all).map_err(failed)?;
        let measure = |numbers, batch: &Batch| {
            train::evaluate(&self.network, &chosen.parameters, numbers, batch, self.classes).map_err(failed)
        };
        let numbers = Numbers::Integer(&chosen.arithmetic);
        let (_, classes) = measure(numbers, &everything)?;
        let (training, validation) = (measure(numbers, run.training)?.0, measure(numbers, run.validation)?.0);
        let float_network = Network::new(&float, self.classes)?;
        let float_parameters = self.parameters(&float_network.weights(), 1.0)?;
        let float_of = |batch: &Batch| {
            train::evaluate(&self.network, &float_parameters, Numbers::Real, batch, self.classes).map_err(failed)
        };
        let score = |training: train::Quality, validation: train::Quality| Score {
            training: training.accuracy.unwrap_or(training.loss),
            validation: validation.accuracy.unwrap_or(validation.loss),
        };
        Ok(Tuned {
            graph,
            config,
            float_score: score(float_of(run.training)?.0, float_of(run.validation)?.0),
            untuned_score: score(untuned.0, untuned.1),
            score: score(training, validation),
            classes,
            validation_rows: self.split.validation.clone(),
            float,
        })
    }

    fn candidate(&self, restart: usize, start: &Weights, config: &Config, run: &Run) -> Result<Candidate> {
        // Grids that are a little coarser and finer find other networks.
        let stretch = [1.0, 1.2, 0.85, 1.4][restart % 4];
        let parameters = self.parameters(start, stretch)?;
        let mut arithmetic = Arithmetic {
            formats: self.network.layers.iter().map(|l| self.tuner.format(&l.name)).collect(),
            truncated: self.network.layers.iter().map(|l| self.tuner.truncated(l)).collect(),
            shifts: vec![0; self.network.layers.len()],
            masks: self.masks()?,
            quants: self.quants(&self.plan(&self.network.with(start), config)?),
        };
        let fixed = self.network.layers.iter().map(|l| self.tuner.base(&l.name).shift).collect::<Vec<_>>();
        let mut chooser =
            Shifts { truncated: &arithmetic.truncated.clone(), fixed: &fixed, chosen: arithmetic.shifts.clone() };
        let first = run.training.first(CALIBRATION).map_err(failed)?;
        self.network.integer(&parameters, &arithmetic, &mut chooser, &first.integers).map_err(failed)?;
        arithmetic.shifts = chooser.chosen;
        let measure = |batch: &Batch| {
            train::evaluate(&self.network, &parameters, Numbers::Integer(&arithmetic), batch, self.classes)
                .map_err(failed)
        };
        let (untuned_training, untuned) = (measure(run.training)?.0, measure(run.validation)?.0);
        let best =
            run.train(&parameters, Some((arithmetic.clone(), &fixed)), &mut self.rng(restart, 1)).map_err(failed)?;
        Ok(Candidate { parameters, arithmetic, untuned, untuned_training, best })
    }

    /// The weights that the graph has, and biases as the given quantization has them.
    fn given(&self) -> Result<Weights> {
        let mut weights = self.network.weights();
        let Some(base) = &self.tuner.base else { return Ok(weights) };
        let plan = self.plan(&self.network.graph, base)?;
        for (k, layer) in self.network.layers.iter().enumerate() {
            let own = base.layer(&layer.name);
            let step = plan.steps.iter().find(|step| step.name == layer.name);
            let (Some(bias), Some(scale), Some(step)) = (&own.bias, &own.scale, step) else { continue };
            let operand = plan.values[step.inputs[0]].quant.scale;
            let real = |(o, &b): (usize, &i32)| (f64::from(b) * scale.of(o) * operand) as f32;
            weights.bias[k] = bias.iter().enumerate().map(real).collect();
        }
        Ok(weights)
    }

    /// By layer, the masks of the given quantization.
    fn masks(&self) -> Result<Vec<Option<Masks>>> {
        let masks = |layer: &network::Layer| {
            let own = self.tuner.base(&layer.name).masks;
            own.map(|masks| Masks::new(&masks.concat(), (layer.outputs, layer.inputs))).transpose()
        };
        self.network.layers.iter().map(masks).collect::<Candle<_>>().map_err(failed)
    }

    /// Runs restarts side by side; each is its own, so that the number of threads changes nothing.
    fn parallel<T: Send>(&self, count: usize, f: &(dyn Fn(usize) -> Result<T> + Sync)) -> Result<Vec<T>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
        let next = AtomicUsize::new(0);
        let results: Vec<Mutex<Option<Result<T>>>> = (0..count).map(|_| Mutex::new(None)).collect();
        let work = || {
            loop {
                let k = next.fetch_add(1, Ordering::Relaxed);
                let Some(slot) = results.get(k) else { break };
                *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(f(k));
            }
        };
        // The tensors are small: candle's own threads would wait for each other longer than they compute.
        let single = || rayon::ThreadPoolBuilder::new().num_threads(1).build();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| match single() {
                    Ok(pool) => pool.install(work),
                    Err(_) => work(),
                });
            }
        });
        let lost = || Err(Problem::new("tuning", "a restart ended without a result").into());
        results
            .into_iter()
            .map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).unwrap_or_else(lost))
            .collect()
    }

    fn rng(&self, restart: usize, stage: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.tuner.seed);
        rng.set_stream(1 + 2 * restart as u64 + stage);
        rng
    }

    /// Weights after He et al. 2015 (arXiv 1502.01852) for ReLUs, after Glorot and Bengio 2010 elsewhere. What goes into a
    /// ReLU is then moved and scaled to mean 0 and variance 1 over the data (as Mishkin and Matas 2015, arXiv 1511.06422):
    /// inputs that are never negative would else leave many of few units without any, or always, a result.
    fn random(&self, rng: &mut ChaCha8Rng) -> Weights {
        let layers = &self.network.layers;
        let mut all = Weights { weight: Vec::new(), bias: Vec::new() };
        for layer in layers {
            let fan = if layer.has_relu() { layer.inputs as f64 } else { (layer.inputs + layer.outputs) as f64 };
            let limit = (6.0 / fan).sqrt() as f32;
            all.weight.push((0..layer.inputs * layer.outputs).map(|_| rng.random_range(-limit..limit)).collect());
            all.bias.push(vec![0.0; layer.outputs]);
        }
        for (k, layer) in layers.iter().enumerate().filter(|(_, layer)| layer.has_relu()) {
            let graph = self.network.with(&all);
            let moments = self.moments(&graph, self.network.results()[k], layer.outputs);
            for (o, (mean, square)) in moments.into_iter().enumerate() {
                let deviation = (square - mean * mean).max(0.0).sqrt();
                let factor = if deviation > 1e-6 { 1.0 / deviation } else { 1.0 };
                all.weight[k][o * layer.inputs..][..layer.inputs].iter_mut().for_each(|w| *w *= factor as f32);
                all.bias[k][o] = (-mean * factor) as f32;
            }
        }
        all
    }

    /// Parameters at the given weights, whose scales have the least squared error over the data, times `stretch`.
    fn parameters(&self, start: &Weights, stretch: f64) -> Result<Parameters> {
        let squares = self.squares(&self.network.with(start));
        let mut scales = Vec::new();
        let mut reach = Vec::new();
        for (k, layer) in self.network.layers.iter().enumerate() {
            let format = self.tuner.format(&layer.name);
            let given = self.tuner.base(&layer.name).scale;
            let one = match &given {
                Some(scale) => matches!(scale, Scale::Layer(_)),
                None => !self.tuner.by_output || layer.last || self.tuner.truncated(layer).is_some(),
            };
            let each = if one { 1 } else { layer.outputs };
            let square: Vec<f64> = squares[k].iter().copied().cycle().take(layer.inputs * layer.outputs).collect();
            let part = layer.inputs * layer.outputs / each;
            let scale = |(o, w): (usize, &[f32])| match &given {
                Some(given) => given.of(o) * stretch,
                None => weight_scale(w, &square, format).unwrap_or(1.0) * stretch,
            };
            scales.push(start.weight[k].chunks(part).enumerate().map(scale).collect());
            reach.push((squares[k].iter().sum::<f64>() / layer.inputs as f64).sqrt());
        }
        Parameters::new(&self.network, start, &reach, &scales).map_err(failed)
    }

    /// By layer, the mean square of each feature of its operand.
    fn squares(&self, graph: &Graph) -> Vec<Vec<f64>> {
        let operands = self.network.operands().into_iter().zip(&self.network.layers);
        let squares = |m: Vec<(f64, f64)>| m.into_iter().map(|(_, square)| square).collect();
        operands.map(|(id, layer)| squares(self.moments(graph, id, layer.inputs))).collect()
    }

    /// Mean and mean square of each of a tensor's features, over its rows and those of the data.
    fn moments(&self, graph: &Graph, tensor: TensorId, features: usize) -> Vec<(f64, f64)> {
        let mut moments = vec![(0.0, 0.0); features];
        let mut evaluator = Evaluator::new(graph);
        let rows = self.sample();
        for &row in &rows {
            evaluator.run(&self.rows.row(row));
            let all = evaluator.value(tensor);
            let share = features as f64 / (all.len() * rows.len()) as f64;
            for (k, &x) in all.iter().enumerate() {
                moments[k % features].0 += f64::from(x) * share;
                moments[k % features].1 += f64::from(x).powi(2) * share;
            }
        }
        moments
    }

    /// Training rows, at most [`CALIBRATION`] of them.
    fn sample(&self) -> Vec<usize> {
        let all = &self.split.training;
        all.iter().copied().step_by(all.len().div_ceil(CALIBRATION).max(1)).collect()
    }

    /// The plan that the generator makes.
    fn plan(&self, graph: &Graph, config: &Config) -> Result<Plan> {
        let sample = self.sample();
        let rows = self.rows.filtered(|row| sample.binary_search(&row).is_ok());
        let calibration = calibrate(graph, &rows, StuckColumns::Allowed)?;
        quantize(graph, &calibration, &Options { config: config.clone(), ..Options::default() })
    }

    /// The numbers of the inputs, as given, or over what the training rows have; in fewer than 8 bits over what [`ends`]
    /// leaves of each feature, of all rows, as [`mlp`] has it: what that scales to 0 .. 1 begins at 0, and takes masks.
    fn input_config(&self) -> Result<Config> {
        if let Some(base) = self.tuner.base.as_ref().filter(|base| !base.inputs.is_empty()) {
            return Ok(Config { inputs: base.inputs.clone(), ..Config::default() });
        }
        let graph = &self.network.graph;
        let rows = if self.tuner.input_bits < 8 {
            self.rows.clamped(|column| ends(column.iter().copied()))
        } else {
            self.rows.filtered(|row| self.split.training.binary_search(&row).is_ok())
        };
        let calibration = calibrate(graph, &rows, StuckColumns::Allowed)?;
        let config = Config { input_bits: Some(self.tuner.input_bits), ..Config::default() };
        let options = Options { config, headroom: 0.0, observer: RangeObserver::MinMax, ..Options::default() };
        let plan = quantize(graph, &calibration, &options)?;
        let inputs = plan.inputs.iter().map(|input| {
            let quant = plan.values[input.value].quant;
            let zero_point = (quant.zero_point != -128).then_some(quant.zero_point);
            let bits = self.tuner.input_bits;
            (input.name.clone(), InputConfig { bits, scale: Some(quant.scale), zero_point })
        });
        Ok(Config { inputs: inputs.collect(), ..Config::default() })
    }

    fn quants(&self, plan: &Plan) -> Vec<Option<crate::plan::Quant>> {
        let mut quants = vec![None; self.network.graph.tensors.len()];
        for value in plan.values.iter().filter(|v| v.quant.ty == crate::plan::Type::I8) {
            quants[value.tensor] = Some(value.quant);
        }
        quants
    }

    /// Rows as tensors, with inputs quantized as the generated module does it.
    fn batch(&self, plan: &Plan, rows: &[usize]) -> Candle<Batch> {
        let (mut real, mut integers): (Vec<Tensor>, Vec<(TensorId, Tensor)>) = (Vec::new(), Vec::new());
        for (k, (input, &id)) in plan.inputs.iter().zip(&self.network.graph.inputs).enumerate() {
            let value = &plan.values[input.value];
            let (mut x, mut q) = (Vec::new(), Vec::new());
            for &row in rows {
                let row = self.rows.row(row)[k];
                x.extend_from_slice(row);
                let all = simulate::quantize(plan, input, row).integers();
                q.extend(all.into_iter().map(|q| (q - value.quant.zero_point) as f32));
            }
            let dims = |id: TensorId| [&[rows.len()], self.network.graph.tensors[id].shape.as_slice()].concat();
            real.push(Tensor::from_vec(x, dims(id), &Device::Cpu)?);
            integers.push((value.tensor, Tensor::from_vec(q, dims(value.tensor), &Device::Cpu)?));
        }
        Batch::new(real, integers, self.targets, rows)
    }

    /// Weights on their grids, and what the generator needs to find the same integers.
    fn export(
        &self,
        parameters: &Parameters,
        arithmetic: &Arithmetic,
        config: &Config,
        batch: &Batch,
    ) -> Result<(Weights, Config)> {
        struct Collect<'a>(&'a [u32], Vec<LayerIntegers>);
        impl Observer for Collect<'_> {
            fn shift(&mut self, k: usize, _: &Tensor) -> Candle<u32> {
                Ok(self.0[k])
            }
            fn layer(&mut self, _: usize, integers: &dyn Fn() -> Candle<LayerIntegers>) -> Candle<()> {
                self.1.push(integers()?);
                Ok(())
            }
        }
        let mut collect = Collect(&arithmetic.shifts, Vec::new());
        let one = batch.first(1).map_err(failed)?;
        self.network.integer(parameters, arithmetic, &mut collect, &one.integers).map_err(failed)?;
        let mut weights = Weights { weight: Vec::new(), bias: Vec::new() };
        let mut config = config.clone();
        for (k, (layer, found)) in self.network.layers.iter().zip(collect.1).enumerate() {
            let scale = |o: usize| f64::from(found.scale[o % found.scale.len()]);
            let real = |(i, &w): (usize, &f32)| (f64::from(w) * scale(i / layer.inputs)) as f32;
            weights.weight.push(found.weight.iter().enumerate().map(real).collect());
            let real = |(o, &b): (usize, &f32)| (f64::from(b) * scale(o) * found.operand) as f32;
            weights.bias.push(found.bias.iter().enumerate().map(real).collect());
            let scales: Vec<f64> = (0..layer.outputs).map(scale).collect();
            let truncated = arithmetic.truncated[k];
            let own = LayerConfig {
                weights: Some(arithmetic.formats[k]),
                scale: Some(if found.scale.len() == 1 { Scale::Layer(scale(0)) } else { Scale::Outputs(scales) }),
                shift: truncated.map(|_| arithmetic.shifts[k]),
                bits: truncated,
                masks: self.tuner.base(&layer.name).masks,
                ..LayerConfig::default()
            };
            config.layers.insert(layer.name.clone(), own);
        }
        Ok((weights, config))
    }
}
