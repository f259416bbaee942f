//! The figures of `bench/recorded.toml`: what peers cost, and what tinymlp aims at.

use crate::error::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    peer: Vec<Peer>,
    target: Vec<Targets>,
}

#[derive(Debug, Deserialize)]
struct Peer {
    name: String,
    cores: Vec<String>,
    compiler: String,
    /// By model.
    #[serde(flatten)]
    figures: BTreeMap<String, Cost>,
}

#[derive(Debug, Deserialize)]
struct Targets {
    cores: Vec<String>,
    #[serde(flatten)]
    models: BTreeMap<String, Target>,
}

/// What a peer costs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Instructions of one inference.
    pub instructions: Option<u64>,
    /// Cycles of one inference.
    pub cycles: Option<u64>,
    /// Bytes of code and constants.
    pub flash: u64,
    /// Bytes of statics.
    pub ram: u64,
    /// Bytes of the deepest stack.
    pub stack: u64,
    /// Anomaly score, where the model has one.
    pub score: Option<f64>,
}

/// A peer that does best in something.
#[derive(Clone, Debug, Serialize)]
pub struct Best {
    /// Who.
    pub name: String,
    /// Compiled with what.
    pub compiler: String,
    /// What it costs.
    #[serde(flatten)]
    pub cost: Cost,
}

/// What tinymlp aims at for a model on a core.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Instructions of one inference, whatever the data.
    pub instructions: Option<u64>,
    /// Instructions of the mean inference where work on zeros is skipped.
    pub zero_skip: Option<u64>,
    /// Cycles of one inference.
    pub cycles: Option<u64>,
    /// Bytes of code and constants in size mode.
    pub flash: Option<u64>,
    /// Bytes beside the constants in size mode.
    pub flash_beside_constants: Option<u64>,
    /// Bytes of statics and stack.
    pub ram_and_stack: Option<u64>,
}

impl Recorded {
    /// The file of this checkout.
    pub fn read() -> Result<Self> {
        toml::from_str(include_str!("../../bench/recorded.toml")).context(|| "bench/recorded.toml".into())
    }

    /// The peer that is fastest, by cycles where the emulators have them.
    pub fn fastest(&self, core: &str, model: &str) -> Option<Best> {
        self.best(core, model, |cost| cost.cycles.or(cost.instructions).unwrap_or(u64::MAX))
    }

    /// The peer that takes least flash.
    pub fn smallest(&self, core: &str, model: &str) -> Option<Best> {
        self.best(core, model, |cost| cost.flash)
    }

    fn best(&self, core: &str, model: &str, key: impl Fn(&Cost) -> u64) -> Option<Best> {
        let peers = self.peer.iter().filter(|peer| peer.cores.iter().any(|c| c == core));
        let (peer, cost) = peers.filter_map(|p| Some((p, p.figures.get(model)?))).min_by_key(|(_, cost)| key(cost))?;
        Some(Best { name: peer.name.clone(), compiler: peer.compiler.clone(), cost: cost.clone() })
    }

    /// The target for a model on a core.
    pub fn target(&self, core: &str, model: &str) -> Option<Target> {
        self.target.iter().find(|t| t.cores.iter().any(|c| c == core))?.models.get(model).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::models;
    use super::*;

    #[test]
    fn the_best_peers_are_found() {
        let recorded = Recorded::read().unwrap();
        let fastest = |core, model| {
            let best = recorded.fastest(core, model).unwrap();
            (best.cost.cycles.or(best.cost.instructions).unwrap(), best.name)
        };
        assert_eq!(fastest("cortex-m4f", "digits"), (6787, "CMSIS-NN -O3".into()));
        assert_eq!(fastest("cortex-m4f", "wdbc"), (1541, "NNoM's kernel -O3".into()));
        assert_eq!(fastest("cortex-m0plus", "mnist"), (286_010, "NNoM's kernel -O3".into()));
        assert_eq!(fastest("avr", "digits"), (89_057, "plain C int8 -Os".into()));
        assert_eq!(recorded.smallest("cortex-m4f", "mnist").unwrap().cost.flash, 53_616);
        assert!(recorded.fastest("cortex-m4f", "shipped-wine").is_none());
        assert_eq!(recorded.target("cortex-m4f", "mnist").unwrap().zero_skip, Some(18_200));
        assert!(recorded.target("avr", "mnist").is_none());
    }

    #[test]
    fn every_recorded_model_is_one_that_can_be_benched() {
        let recorded = Recorded::read().unwrap();
        let peers = recorded.peer.iter().flat_map(|peer| peer.figures.keys());
        for model in peers.chain(recorded.target.iter().flat_map(|target| target.models.keys())) {
            assert!(models::ALL.iter().any(|known| known.name == model), "{model}");
        }
    }
}
