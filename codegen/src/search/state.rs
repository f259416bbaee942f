//! The file that an interrupted search goes on from.

use super::Search;
use super::nsga2::Individual;
use super::space::Space;
use crate::builder::write_all;
use crate::data::Rows;
use crate::error::{Problem, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The version of the form.
const VERSION: u32 = 1;

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u32,
    /// Hash of everything that the population depends on.
    search: String,
    /// Generations that are done.
    generation: usize,
    /// Genes in hexadecimal; what they are worth is found again.
    population: Vec<String>,
}

/// The state file of one search.
pub(super) struct File {
    path: PathBuf,
    search: String,
    genes: usize,
    generations: usize,
}

impl File {
    /// The number of generations is no part of the search: a finished one goes on if there are to be more.
    pub(super) fn new(path: &Path, search: &Search, space: &Space, (rows, labels): (&Rows, &[usize])) -> Self {
        let Search { graph, base, target, objective, emission, formats, validation, seed, population, .. } = search;
        let mut hash = Sha256::new_with_prefix(env!("CARGO_PKG_VERSION"));
        hash.update(format!("{:?} {:?} {:?}", graph.nodes, graph.outputs, base.to_json()));
        hash.update(format!("{target:?} {objective:?} {emission:?} {formats:?} {validation:?} {seed} {population}"));
        hash.update(space.largest());
        for row in 0..rows.len() {
            rows.row(row).into_iter().flatten().for_each(|x| hash.update(x.to_le_bytes()));
        }
        labels.iter().for_each(|&label| hash.update((label as u64).to_le_bytes()));
        Self {
            path: path.to_owned(),
            search: hex(&hash.finalize()),
            genes: space.largest().len(),
            generations: search.generations,
        }
    }

    /// Generations that are done and the population; none, if there is no file.
    pub(super) fn read(&self) -> Result<Option<(usize, Vec<Vec<u8>>)>> {
        let problem = |reason: String| Problem::new(self.path.display().to_string(), reason);
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(problem(format!("cannot be read: {e}")).into()),
        };
        let help = "give --restart to begin anew (the file is then replaced), or another folder";
        let state: State =
            serde_json::from_str(&text).map_err(|e| problem(format!("is no state of a search: {e}")).help(help))?;
        if state.version != VERSION || state.search != self.search {
            return Err(problem("is the state of a search with another model, data or options".into())
                .help(help)
                .into());
        }
        if state.generation > self.generations {
            let reason =
                format!("has {} generations behind it, and {} are asked for", state.generation, self.generations);
            return Err(problem(reason).help(help).into());
        }
        let population: Option<Vec<Vec<u8>>> = state.population.iter().map(|genes| unhex(genes)).collect();
        let population = population.filter(|all| !all.is_empty() && all.iter().all(|one| one.len() == self.genes));
        let population = population.ok_or_else(|| problem("holds other genes than the search".into()).help(help))?;
        Ok(Some((state.generation, population)))
    }

    /// Writes a generation; what was there before stays until it is whole.
    pub(super) fn write(&self, generation: usize, population: &[Individual]) -> Result<()> {
        let population = population.iter().map(|one| hex(&one.genes)).collect();
        let state = State { version: VERSION, search: self.search.clone(), generation, population };
        let text = serde_json::to_string_pretty(&state).unwrap_or_default() + "\n";
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name =
            self.path.file_name().map_or_else(|| "state.json".into(), |name| name.to_string_lossy().into_owned());
        write_all(folder, &[(name, text.into_bytes())])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |&byte: &u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(pair.first()?)? << 4 | digit(pair.get(1)?)?) as u8);
    text.as_bytes().chunks(2).map(byte).collect()
}
