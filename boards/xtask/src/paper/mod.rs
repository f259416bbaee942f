//! `cargo xtask paper`: the data sets and networks of the bespoke-MLP paper (Afentaki et al. 2023, "Bespoke Approximation
//! of Multiplication-Accumulation and Activation Targeting Printed Multilayer Perceptrons", arXiv 2312.17612) by the
//! whole path: a float network from scratch, int8, tuned to powers of two, searched for approximations, run on boards.
//!
//! Training rows train and choose everything. Test rows are read by nothing but the figures of the table.

mod sets;
mod table;
mod trial;

use crate::error::{Context, Error, Result};
use crate::out::outln;
use crate::{markers, setup, workspace};
use clap::Args;
use serde::{Deserialize, Serialize};
use sets::Set;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;
use trial::{Bench, Trial};

/// What to run, and what to do with it.
#[derive(Args)]
pub struct Arguments {
    /// Only this set (repeatable).
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// What is random follows from it (repeatable).
    #[arg(long = "seed", value_name = "N", default_values_t = [1, 2, 3])]
    seeds: Vec<u64>,
    /// Seeds that are measured on boards: the first so many. Accuracy and full adders are of all.
    #[arg(long, value_name = "N", default_value_t = 1)]
    measured: usize,
    /// Test rows that run on boards: the first so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    rows: usize,
    /// Candidates of a generation of the search.
    #[arg(long, value_name = "N", default_value_t = 200)]
    population: usize,
    /// Generations of the search.
    #[arg(long, value_name = "N", default_value_t = 100)]
    generations: usize,
    /// Go on with what an earlier run left: files and figures that are there are not made again.
    #[arg(long)]
    resume: bool,
    /// Write the figures to `bench/paper.json`, and the table of `codegen/docs/approximation.md` anew.
    #[arg(long)]
    update_page: bool,
}

/// The file of figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The compiler, on which figures of boards depend.
    pub rustc: String,
    /// Where the rows are told apart.
    pub split: String,
    /// What all that is random followed from.
    pub seeds: Vec<u64>,
    /// Options of the search.
    pub search: String,
    /// Rows that ran on boards, at most.
    pub rows: usize,
    /// Set by set, seed by seed.
    pub trials: Vec<Trial>,
}

/// Runs all trials, prints the table and writes it where that is asked for.
pub fn run(arguments: &Arguments) -> Result<()> {
    let sets = sets::named(&arguments.sets)?;
    if arguments.seeds.is_empty() || arguments.rows == 0 {
        return Err(Error::new("there is nothing to run without seeds or rows"));
    }
    if arguments.update_page && sets.len() < sets::ALL.len() {
        return Err(Error::new("the page shows all sets, but not all are to be run: leave out --set"));
    }
    let boards = if arguments.measured > 0 { trial::boards()? } else { Vec::new() };
    boards.iter().try_for_each(setup::require)?;
    let effort = [("--population", arguments.population), ("--generations", arguments.generations)];
    let effort: Vec<String> = effort.iter().flat_map(|(name, n)| [name.to_string(), n.to_string()]).collect();
    let record = Record {
        rustc: workspace::rustc_version()?,
        split: "split42".into(),
        seeds: arguments.seeds.clone(),
        search: effort.join(" "),
        rows: arguments.rows,
        trials: Vec::new(),
    };
    let bench = Bench { tinymlp: trial::tinymlp()?, boards, effort, rows: arguments.rows };
    let record = trials(arguments, &sets, &bench, record)?;
    let tables = table::markdown(&record);
    outln!("{tables}");
    if arguments.update_page {
        let path = workspace::boards().join("xtask/bench/paper.json");
        let text = serde_json::to_string_pretty(&record).context(|| "cannot write JSON".into())? + "\n";
        fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
        markers::update(&workspace::root().join("codegen/docs/approximation.md"), "approximate", &tables)?;
    }
    Ok(())
}

/// First all that the host says, seed by seed, then the boards: a run that is cut short has something of every set.
fn trials(arguments: &Arguments, sets: &[Set], bench: &Bench, mut record: Record) -> Result<Record> {
    let start = Instant::now();
    let say = |what: String| eprintln!("{:4.0} min  {what}", start.elapsed().as_secs_f64() / 60.0);
    for &seed in &arguments.seeds {
        for set in sets {
            say(format!("{} {}, seed {seed}", set.title, set.shape()));
            let folder = folder(set.name, seed);
            if !arguments.resume && folder.exists() {
                fs::remove_dir_all(&folder).context(|| format!("cannot remove {}", folder.display()))?;
            }
            let kept = fs::read(folder.join(TRIAL)).ok().and_then(|text| serde_json::from_slice(&text).ok());
            let trial = match kept {
                Some(trial) => trial,
                None => bench.run(set, seed, &folder)?,
            };
            save(&trial)?;
            record.trials.push(trial);
        }
    }
    let measured = &arguments.seeds[..arguments.measured.min(arguments.seeds.len())];
    // The two that are compared come first. What was made for printing does not run.
    for design in [0, 5, 1, 6, 7] {
        for trial in record.trials.iter_mut().filter(|trial| measured.contains(&trial.seed)) {
            let Some(design) = trial.designs.get_mut(design) else { continue };
            say(format!("{} of {}, seed {} on boards", design.name, trial.set, trial.seed));
            bench.measure(&folder(&trial.set, trial.seed), design)?;
            save(trial)?;
        }
    }
    Ok(record)
}

/// What is known of a trial, in its folder.
const TRIAL: &str = "trial.json";

fn save(trial: &Trial) -> Result<()> {
    let path = folder(&trial.set, trial.seed).join(TRIAL);
    let text = serde_json::to_vec_pretty(trial).context(|| "cannot write JSON".into())?;
    fs::write(&path, text).context(|| format!("cannot write {}", path.display()))
}

fn folder(set: &str, seed: u64) -> PathBuf {
    workspace::target().join("paper").join(format!("{set}-{seed}"))
}
