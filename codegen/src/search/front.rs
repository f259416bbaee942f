//! What a search ends with: points of which none is both cheaper and as accurate, and which of them keeps to a budget.
//!
//! A search that tries thousands of candidates finds some that are right by chance on the rows that steer it, the more so
//! the fewer rows there are; and of many points, the one that does best on the rows held out does so by chance, too. So
//! a point has to keep to a budget twice:
//!
//! - its accuracy on the rows held out does, and
//! - its *expected* accuracy does: that of all rows, after the steering rows are corrected by what the points of the front
//!   lose in the mean from the steering rows to those held out (each relative to the reference on the same rows, and of the
//!   points alone that lose no more than twice the largest budget on the steering rows). All
//!   rows together scatter less than those held out alone.
//!
//! Neither test rows nor anything else choose.

use super::evaluate::Bench;
pub use super::evaluate::Cost;
use super::{Device, Objective, Search, plot};
use crate::approximate::network::{Network, Samples};
use crate::builder::write_all;
use crate::data::write_npy;
use crate::error::Result;
use crate::quantize::config::Config;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The front of a search: the content of `front.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Front {
    /// Version of the form.
    pub version: u32,
    /// Version of the generator.
    pub generator: String,
    /// Name of the model.
    pub model: String,
    /// The core, or `printed`.
    pub target: String,
    /// What came first where kernels can be either fast or small.
    pub mode: String,
    /// What was minimized.
    pub objective: String,
    /// What all that is random followed from.
    pub seed: u64,
    /// Rows that steered the search.
    pub steering_rows: usize,
    /// Rows that tell the accuracy.
    pub held_out_rows: usize,
    /// Float accuracy of the reference on the rows held out.
    pub reference_accuracy: f64,
    /// Float accuracy of the reference on the rows that steered.
    pub reference_steering_accuracy: f64,
    /// By how much more points lose on the rows held out than on those that steered, in the mean.
    pub optimism: f64,
    /// The network without any approximation that the search chose: as its quantization says, or int8.
    pub exact: Point,
    /// The points, from the most expensive to the cheapest.
    pub points: Vec<Point>,
    /// The cheapest point of each budget.
    pub budgets: Vec<Budget>,
    /// Whether summands were left out by output in steps, as the network is too large for one by one.
    pub grouped: bool,
    /// Whether builds have to accept constant columns in the calibration data.
    pub constant_columns: bool,
    /// The rows held out, by their place in the data.
    #[serde(skip)]
    pub held_out: Vec<usize>,
    /// The calibration rows, and their width.
    #[serde(skip)]
    pub calibration: (usize, Vec<f32>),
}

/// A point of a front.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Name.
    pub name: String,
    /// File of its quantization.
    pub file: String,
    /// Accuracy on the rows held out.
    pub accuracy: f64,
    /// Accuracy on the rows that steered.
    pub steering_accuracy: f64,
    /// Accuracy to expect: see [`front`](self).
    pub expected_accuracy: f64,
    /// What it costs.
    #[serde(flatten)]
    pub cost: Cost,
    /// Summands that are left out, of all whose weight is not zero.
    pub left_out: usize,
    /// By layer, the format of its weights.
    pub formats: BTreeMap<String, String>,
    /// Its quantization.
    pub quantization: Config,
}

/// What became of a budget.
#[derive(Clone, Debug, Serialize)]
pub struct Budget {
    /// The most that accuracy may be below the reference, as a share.
    pub max_drop: f64,
    /// Name of the cheapest point that keeps to it.
    pub point: Option<String>,
    /// Name of the point that comes nearest, if none does.
    pub nearest: Option<String>,
}

/// A candidate with what it loses.
struct Rated {
    point: Point,
    price: f64,
    /// Below the reference on the rows held out, and to be expected.
    drops: [f64; 2],
}

/// Rates candidates, the first of which is the exact one, and chooses. Costs and integers are those of the written files.
pub(super) fn choose(
    search: &Search,
    bench: &Bench,
    (steering, held_out): (&Samples, &Samples),
    reference: [usize; 2],
    configs: &[Config],
    grouped: bool,
) -> Result<Front> {
    let share = |right: usize, of: &Samples| right as f64 / of.len().max(1) as f64;
    let references = [share(reference[0], steering), share(reference[1], held_out)];
    let mut measured = Vec::with_capacity(configs.len());
    for config in configs {
        let (cost, emission) = bench.cost(config)?;
        let mut config = config.clone();
        if let Some(emission) = emission {
            config.layers.values_mut().for_each(|layer| layer.emission = layer.emission.or(Some(emission)));
        }
        let config = Config::from_json(&config.to_json())?;
        let (_, network) = bench.network(&config)?;
        let accuracies = [share(network.correct(steering), steering), share(network.correct(held_out), held_out)];
        measured.push((config, cost, accuracies, left_out(&network)));
    }
    let drop = |accuracies: &[f64; 2]| [references[0] - accuracies[0], references[1] - accuracies[1]];
    let (_, searched) = measured.split_at(1);
    // Of points that no budget comes near to, nobody asks.
    let near = 2.0 * search.budgets.iter().copied().fold(0.0, f64::max);
    let drops = searched.iter().map(|(_, _, accuracies, _)| drop(accuracies)).filter(|drops| drops[0] <= near);
    let gaps: Vec<f64> = drops.map(|[own, other]| other - own).collect();
    let optimism = (gaps.iter().sum::<f64>() / gaps.len().max(1) as f64).max(0.0);
    let weights = [steering.len() as f64, held_out.len() as f64];
    let mut rated: Vec<Rated> = measured
        .into_iter()
        .enumerate()
        .map(|(k, (config, cost, accuracies, left_out))| {
            let [own, other] = drop(&accuracies);
            // The exact one was not searched for.
            let optimism = if k == 0 { 0.0 } else { optimism };
            let expected = (weights[0] * (own + optimism) + weights[1] * other) / (weights[0] + weights[1]);
            Rated {
                price: price(search.objective, &cost),
                drops: [other, expected],
                point: Point {
                    name: "exact".into(),
                    file: "exact.json".into(),
                    accuracy: accuracies[1],
                    steering_accuracy: accuracies[0],
                    expected_accuracy: references[1] - expected,
                    cost,
                    left_out,
                    formats: formats(&config),
                    quantization: config,
                },
            }
        })
        .collect();
    let exact = rated[0].point.clone();
    // By price, and among those the most accurate first.
    rated.sort_by(|a, b| a.price.total_cmp(&b.price).then(a.drops[1].total_cmp(&b.drops[1])));
    let mut best = f64::INFINITY;
    rated.retain(|one| {
        let better = one.drops[1] < best - 1e-12;
        best = best.min(one.drops[1]);
        better
    });
    rated.reverse();
    for (k, one) in rated.iter_mut().enumerate() {
        one.point.name = format!("point-{k:02}");
        one.point.file = format!("{}.json", one.point.name);
    }
    let most = |one: &Rated| one.drops[0].max(one.drops[1]);
    let budget = |&max_drop: &f64| {
        let kept = rated.iter().rev().find(|one| most(one) <= max_drop + 1e-9).map(|one| one.point.name.clone());
        let near = rated.iter().rev().min_by(|a, b| most(a).total_cmp(&most(b))).map(|one| one.point.name.clone());
        Budget { max_drop, nearest: near.filter(|_| kept.is_none()), point: kept }
    };
    let budgets = search.budgets.iter().map(budget).collect();
    let (target, mode) = match search.target {
        Device::Core(target) => (target.core.to_string(), target.mode.to_string()),
        Device::Circuit => ("printed".into(), String::new()),
    };
    let rows = &bench.rows;
    let values: Vec<f32> = (0..rows.len()).flat_map(|row| rows.row(row).concat()).collect();
    Ok(Front {
        version: 1,
        generator: format!("tinymlp-codegen {}", env!("CARGO_PKG_VERSION")),
        model: bench.graph.name.clone(),
        target,
        mode,
        objective: search.objective.to_string(),
        seed: search.seed,
        steering_rows: steering.len(),
        held_out_rows: held_out.len(),
        reference_accuracy: references[1],
        reference_steering_accuracy: references[0],
        optimism,
        exact,
        points: rated.into_iter().map(|one| one.point).collect(),
        budgets,
        grouped,
        constant_columns: bench.has_constant_columns(),
        held_out: Vec::new(),
        calibration: (values.len() / rows.len().max(1), values),
    })
}

impl Front {
    /// The point with a name.
    pub fn point(&self, name: &str) -> Option<&Point> {
        self.points.iter().find(|point| point.name == name)
    }

    /// What was minimized, of a point.
    pub fn price(&self, point: &Point) -> f64 {
        price(self.objective.parse().unwrap_or_default(), &point.cost)
    }

    /// Writes `front.json`, `front.svg`, the calibration rows that all points are built with as `calibration.npy`, and the
    /// quantization of each point and of the exact network in files of their names. Points of an earlier search go.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let json = |text: serde_json::Result<String>| (text.unwrap_or_default() + "\n").into_bytes();
        let mut files = vec![
            ("front.json".to_owned(), json(serde_json::to_string_pretty(self))),
            ("front.svg".to_owned(), plot::svg(self).into_bytes()),
            ("calibration.npy".to_owned(), write_npy(self.calibration.0, &self.calibration.1)),
        ];
        for point in self.points.iter().chain([&self.exact]) {
            files.push((point.file.clone(), json(Ok(point.quantization.to_json()))));
        }
        write_all(folder, &files)?;
        let old = |k: usize| folder.join(format!("point-{k:02}.json"));
        (self.points.len()..).map(old).take_while(|path| std::fs::remove_file(path).is_ok()).for_each(drop);
        Ok(())
    }
}

fn price(objective: Objective, cost: &Cost) -> f64 {
    let bytes = |bytes: Option<usize>| bytes.map_or(f64::MAX, |bytes| bytes as f64);
    match objective {
        Objective::Instructions => cost.instructions.unwrap_or(f64::MAX),
        Objective::Flash => bytes(cost.flash_bytes),
        Objective::Ram => bytes(cost.ram_bytes),
        Objective::Adders => (cost.full_adders + cost.comparator_bits) as f64,
    }
}

/// Summands that masks leave out. Where they do nothing else, the plan has zeros in the place of their weights.
fn left_out(network: &Network) -> usize {
    network.layers.iter().map(|l| l.weight.len() - (0..l.outputs).map(|o| l.summands(o).count()).sum::<usize>()).sum()
}

fn formats(config: &Config) -> BTreeMap<String, String> {
    config.layers.iter().map(|(name, l)| (name.clone(), l.weights.unwrap_or_default().to_string())).collect()
}
