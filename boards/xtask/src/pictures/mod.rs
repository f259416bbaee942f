//! `cargo xtask pictures`: draws what `codegen/docs/approximation.md` shows, from the generator's own code.
//!
//! Only models that are shipped, and of them only the weights and the calibration rows, so that the pictures can be drawn in
//! any clone, and no test row is read.

mod activations;
mod choice;
mod sums;
mod weights;

use crate::error::{Context, Error, Result};
use crate::out::outln;
use crate::workspace;
use std::fs;
use std::path::PathBuf;
use tinymlp_codegen::calibrate::{StuckColumns, calibrate};
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::graph::Graph;
use tinymlp_codegen::graph::simplify::simplify;
use tinymlp_codegen::import;
use tinymlp_codegen::plan::Plan;
use tinymlp_codegen::plot::Figure;
use tinymlp_codegen::quantize::{Options, config::Config, quantize};

/// Name of a picture's file, and what draws it.
type Picture = (&'static str, fn() -> Result<Figure>);

const ALL: [Picture; 8] = [
    ("formats.svg", || Ok(weights::levels())),
    ("sqnr.svg", weights::sqnr),
    ("masks.svg", sums::masks),
    ("bounds.svg", sums::bounds),
    ("relu.svg", || Ok(activations::relu())),
    ("segments.svg", || Ok(activations::segments())),
    ("segments-count.svg", || Ok(activations::counts())),
    ("argmax.svg", choice::argmax),
];

/// Writes all pictures.
pub fn run() -> Result<()> {
    for (name, draw) in ALL {
        let path = folder().join(name);
        fs::write(&path, draw()?.svg()).context(|| format!("cannot write {}", path.display()))?;
        outln!("{}", path.display());
    }
    Ok(())
}

fn folder() -> PathBuf {
    workspace::root().join("codegen/docs")
}

/// The simplified graph of a shipped model.
fn graph(name: &str, arg_max: bool) -> Result<Graph> {
    let path = workspace::root().join("tests/models").join(name).join("model.onnx");
    let mut graph = import::load(&path).map_err(message)?;
    if arg_max {
        graph.append_arg_max().map_err(message)?;
    }
    simplify(&mut graph);
    Ok(graph)
}

/// A shipped model that chooses a class, as a portable plan, with its calibration rows.
fn plan(name: &str, config: impl FnOnce(&Graph) -> Config) -> Result<(Plan, Rows)> {
    let graph = graph(name, true)?;
    let file = workspace::root().join("tests/models").join(name).join("calibration.npy");
    let data = data::load(&file).map_err(message)?;
    let rows = Rows::new(&graph, &data, &file).map_err(message)?;
    let calibration = calibrate(&graph, &rows, StuckColumns::Allowed).map_err(message)?;
    let options = Options { config: config(&graph), ..Options::default() };
    let plan = quantize(&graph, &calibration, &options).map_err(message)?;
    Ok((plan, rows))
}

fn message(error: tinymlp_codegen::Error) -> Error {
    Error::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_what_the_command_draws() {
        for (name, draw) in ALL {
            let kept = fs::read_to_string(folder().join(name)).unwrap_or_default();
            assert!(
                kept == draw().unwrap().svg(),
                "{name} is not what `cargo xtask pictures` draws: run it, and look at it"
            );
        }
    }

    #[test]
    fn the_page_shows_every_picture() {
        let page = fs::read_to_string(folder().join("approximation.md")).unwrap();
        let kept = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut kept: Vec<_> = kept.filter(|name| name.ends_with(".svg")).collect();
        kept.sort();
        let mut drawn = ALL.map(|(name, _)| name);
        drawn.sort();
        assert_eq!(kept, drawn);
        drawn.iter().for_each(|name| assert!(page.contains(&format!("]({name})")), "{name} is not on the page"));
    }
}
