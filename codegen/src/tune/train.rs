//! One training run: batches, the optimizer, the choice of the epoch.

use super::Targets;
use super::network::{self, Arithmetic, Candle, Chosen, Network, Observer, Parameters};
use crate::graph::TensorId;
use candle_core::{Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Rows that are computed at a time where nothing is learned from them.
const CHUNK: usize = 4096;

/// Rows of data, ready for a network.
pub(super) struct Batch {
    /// The model's inputs, each `rows x shape`.
    pub(super) real: Vec<Tensor>,
    /// Quantized inputs without their zero points.
    pub(super) integers: Vec<(TensorId, Tensor)>,
    /// Labels, or values as `rows x outputs`.
    pub(super) targets: Tensor,
}

impl Batch {
    pub(super) fn new(
        real: Vec<Tensor>,
        integers: Vec<(TensorId, Tensor)>,
        targets: &Targets,
        rows: &[usize],
    ) -> Candle<Self> {
        let targets = match targets {
            Targets::Classes(labels) => {
                Tensor::new(rows.iter().map(|&r| labels[r] as u32).collect::<Vec<_>>(), &Device::Cpu)?
            }
            Targets::Values { values, rows: all } => {
                let width = values.len() / all;
                let picked: Vec<f32> =
                    rows.iter().flat_map(|&r| &values[r * width..(r + 1) * width]).copied().collect();
                Tensor::from_vec(picked, (rows.len(), width), &Device::Cpu)?
            }
        };
        Ok(Self { real, integers, targets })
    }

    pub(super) fn len(&self) -> usize {
        self.targets.dims()[0]
    }

    fn each(&self, f: impl Fn(&Tensor) -> Candle<Tensor>) -> Candle<Self> {
        Ok(Self {
            real: self.real.iter().map(&f).collect::<Candle<_>>()?,
            integers: self.integers.iter().map(|(id, x)| Ok((*id, f(x)?))).collect::<Candle<_>>()?,
            targets: f(&self.targets)?,
        })
    }

    fn pick(&self, rows: &[u32]) -> Candle<Self> {
        let rows = Tensor::new(rows, &Device::Cpu)?;
        self.each(|x| x.index_select(&rows, 0))
    }

    pub(super) fn first(&self, rows: usize) -> Candle<Self> {
        self.each(|x| x.narrow(0, 0, rows.min(self.len()))?.contiguous())
    }
}

/// In which numbers a network computes.
#[derive(Clone, Copy)]
pub(super) enum Numbers<'a> {
    Real,
    Integer(&'a Arithmetic),
}

/// Logits of some rows.
fn logits(network: &Network, parameters: &Parameters, numbers: Numbers, batch: &Batch) -> Candle<Tensor> {
    match numbers {
        Numbers::Real => network.float(parameters, &batch.real),
        Numbers::Integer(arithmetic) => {
            network.integer(parameters, arithmetic, &mut Chosen(&arithmetic.shifts), &batch.integers)
        }
    }
}

fn loss(logits: &Tensor, batch: &Batch, classes: bool) -> Candle<Tensor> {
    if classes { network::cross_entropy(logits, &batch.targets) } else { candle_nn::loss::mse(logits, &batch.targets) }
}

/// How well a network does on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quality {
    /// Share of the rows whose class is right.
    pub(super) accuracy: Option<f64>,
    /// Cross-entropy or mean squared error.
    pub(super) loss: f64,
}

impl Quality {
    /// By accuracy, then by loss.
    pub(super) fn better_than(&self, other: &Quality) -> bool {
        let key = |q: &Quality| (q.accuracy.unwrap_or(0.0), -q.loss);
        key(self).partial_cmp(&key(other)) == Some(std::cmp::Ordering::Greater)
    }
}

/// Computes all rows; gives the classes too, where there are classes.
pub(super) fn evaluate(
    network: &Network,
    parameters: &Parameters,
    numbers: Numbers,
    batch: &Batch,
    classes: bool,
) -> Candle<(Quality, Vec<usize>)> {
    let (mut total, mut right, mut all) = (0.0, 0usize, Vec::new());
    for start in (0..batch.len()).step_by(CHUNK) {
        let rows = CHUNK.min(batch.len() - start);
        let part = batch.each(|x| x.narrow(0, start, rows)?.contiguous())?;
        let out = logits(network, parameters, numbers, &part)?.detach();
        total += f64::from(loss(&out, &part, classes)?.to_scalar::<f32>()?) * rows as f64;
        if classes {
            let found = network::classes(&out)?;
            let labels: Vec<u32> = part.targets.to_vec1()?;
            right += found.iter().zip(&labels).filter(|(f, l)| **f == **l as usize).count();
            all.extend(found);
        }
    }
    let rows = batch.len() as f64;
    Ok((Quality { accuracy: classes.then_some(right as f64 / rows), loss: total / rows }, all))
}

/// How a run trains.
#[derive(Clone, Copy)]
pub(super) struct Schedule {
    pub(super) epochs: usize,
    pub(super) batch: usize,
    pub(super) learning_rate: f64,
}

impl Schedule {
    /// Of one part of all steps: half a cosine down to nothing (Loshchilov and Hutter 2016, arXiv 1608.03983), after a few
    /// percent in which the optimizer's averages settle.
    fn learning_rate(&self, done: f64) -> f64 {
        let warm = (done / 0.03).min(1.0);
        self.learning_rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

/// The best epoch of a run.
pub(super) struct Best {
    pub(super) values: Vec<Tensor>,
    pub(super) shifts: Vec<u32>,
    pub(super) validation: Quality,
}

/// What a run needs.
pub(super) struct Run<'a> {
    pub(super) network: &'a Network,
    pub(super) training: &'a Batch,
    pub(super) validation: &'a Batch,
    pub(super) classes: bool,
    pub(super) schedule: Schedule,
    /// Called after every epoch with the accuracy on the validation rows.
    pub(super) progress: &'a (dyn Fn(Option<f64>) + Sync),
}

impl Run<'_> {
    /// Trains; leaves the parameters at the epoch with the least loss on the validation rows, and gives it: accuracy is
    /// of few values where rows are few, and the best of many epochs has it by chance. With an arithmetic, that is what
    /// the network computes in, and those of its shifts that are not fixed are chosen anew while the weights still move much.
    pub(super) fn train(
        &self,
        parameters: &Parameters,
        arithmetic: Option<(Arithmetic, &[Option<u32>])>,
        rng: &mut ChaCha8Rng,
    ) -> Candle<Best> {
        let (mut arithmetic, fixed) = arithmetic.unzip();
        let adam = |vars, lr| AdamW::new(vars, ParamsAdamW { lr, weight_decay: 0.0, ..ParamsAdamW::default() });
        let mut weights = adam(parameters.weights_and_biases(), self.schedule.learning_rate)?;
        let mut scales = adam(parameters.scales(), self.schedule.learning_rate)?;
        let mut best = self.state(parameters, arithmetic.as_ref())?;
        let mut order: Vec<u32> = (0..self.training.len() as u32).collect();
        let batches = order.len().div_ceil(self.schedule.batch);
        for epoch in 0..self.schedule.epochs {
            if let Some(arithmetic) = &mut arithmetic
                && epoch % 4 == 0
                && epoch * 2 <= self.schedule.epochs
            {
                let first = self.training.first(CHUNK)?;
                let mut chooser = Shifts {
                    truncated: &arithmetic.truncated.clone(),
                    fixed: fixed.unwrap_or_default(),
                    chosen: vec![0; self.network.layers.len()],
                };
                self.network.integer(parameters, arithmetic, &mut chooser, &first.integers)?;
                arithmetic.shifts = chooser.chosen;
            }
            let numbers = arithmetic.as_ref().map_or(Numbers::Real, Numbers::Integer);
            order.shuffle(rng);
            for (k, rows) in order.chunks(self.schedule.batch).enumerate() {
                let done = (epoch as f64 + k as f64 / batches as f64) / self.schedule.epochs as f64;
                let rate = self.schedule.learning_rate(done);
                let batch = self.training.pick(rows)?;
                let gradients =
                    loss(&logits(self.network, parameters, numbers, &batch)?, &batch, self.classes)?.backward()?;
                weights.set_learning_rate(rate);
                weights.step(&gradients)?;
                if arithmetic.is_some() {
                    scales.set_learning_rate(rate * SCALE_RATE);
                    scales.step(&gradients)?;
                }
            }
            let now = self.state(parameters, arithmetic.as_ref())?;
            (self.progress)(now.validation.accuracy);
            if now.validation.loss < best.validation.loss {
                best = now;
            }
        }
        parameters.restore(&best.values)?;
        Ok(best)
    }

    fn state(&self, parameters: &Parameters, arithmetic: Option<&Arithmetic>) -> Candle<Best> {
        let numbers = arithmetic.map_or(Numbers::Real, Numbers::Integer);
        let (validation, _) = evaluate(self.network, parameters, numbers, self.validation, self.classes)?;
        let shifts = arithmetic.map_or(Vec::new(), |a| a.shifts.clone());
        Ok(Best { values: parameters.snapshot()?, shifts, validation })
    }
}

/// How much slower scales learn than weights: each moves all weights of a layer.
const SCALE_RATE: f64 = 0.2;

/// Chooses shifts by the sums that come: the least by which all but one in a thousand fit the bits.
pub(super) struct Shifts<'a> {
    pub(super) truncated: &'a [Option<u32>],
    /// By layer, the shift that it has in any case.
    pub(super) fixed: &'a [Option<u32>],
    pub(super) chosen: Vec<u32>,
}

impl Observer for Shifts<'_> {
    fn shift(&mut self, k: usize, sums: &Tensor) -> Candle<u32> {
        if let Some(shift) = self.fixed.get(k).copied().flatten() {
            self.chosen[k] = shift;
            return Ok(shift);
        }
        let mut sums: Vec<f32> = sums.flatten_all()?.to_vec1()?;
        sums.retain(|&s| s > 0.0);
        sums.sort_unstable_by(f32::total_cmp);
        let high = sums.get((sums.len() * 999 / 1000).min(sums.len().saturating_sub(1))).copied().unwrap_or(0.0);
        let bits = self.truncated[k].unwrap_or(8);
        let fits = |shift: &u32| (high / 2f32.powi(*shift as i32)).floor() < 2f32.powi(bits as i32);
        self.chosen[k] = (0..24).find(fits).unwrap_or(24);
        Ok(self.chosen[k])
    }
}
