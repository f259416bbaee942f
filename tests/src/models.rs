//! The models under `tests/models`, and those that may lie beside the repository.

use std::io::Write;
use std::path::{Path, PathBuf};
use tinymlp_codegen::Builder;
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::graph::Graph;

/// A model with inputs of its own.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// Name: the file's, or the folder's for a trained model.
    pub name: String,
    /// The `.onnx` file.
    pub model: PathBuf,
    /// Its inputs.
    pub calibration: PathBuf,
}

impl Fixture {
    /// A builder of it, by its own name. The inputs of the exporter fixtures are few: constant columns are allowed.
    pub fn builder(&self) -> Builder {
        Builder::new(&self.model).calibration(&self.calibration).name(&self.name).allow_constant_columns()
    }

    /// Its calibration inputs.
    ///
    /// # Panics
    /// If they do not fit the graph.
    pub fn rows(&self, graph: &Graph) -> Rows {
        rows(graph, &self.calibration)
    }
}

/// The rows of a file for a graph.
///
/// # Panics
/// If they do not fit the graph.
pub fn rows(graph: &Graph, file: &Path) -> Rows {
    data::load(file).and_then(|d| Rows::new(graph, &d, file)).unwrap_or_else(|e| panic!("{e}"))
}

/// The folder of a path within this package.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The trained models.
pub fn trained() -> Vec<Fixture> {
    ["digits", "wdbc", "wine"].map(|name| folder(name, &here("models").join(name))).into()
}

fn folder(name: &str, folder: &Path) -> Fixture {
    Fixture { name: name.into(), model: folder.join("model.onnx"), calibration: folder.join("calibration.npy") }
}

/// The models that the exporters wrote, in the order of their names.
///
/// # Panics
/// If the folder cannot be read.
pub fn exported() -> Vec<Fixture> {
    let entries = std::fs::read_dir(here("models/exporters")).expect("the exporters' models");
    let mut models: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    models.retain(|p| p.extension().is_some_and(|e| e == "onnx"));
    models.sort();
    models
        .into_iter()
        .map(|model| {
            let array = model.with_extension("input.npy");
            let calibration = if array.exists() { array } else { model.with_extension("input.npz") };
            Fixture { name: model.file_stem().expect("a name").to_string_lossy().into_owned(), model, calibration }
        })
        .collect()
}

/// A folder of the data that lies beside the repository; says so on the terminal where it does not.
///
/// # Panics
/// If it is not there and the environment variable `REQUIRE_SHARED` is 1.
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = here("../../shared/data").join(path);
    if folder.exists() {
        return Some(folder);
    }
    not_run(&format!("shared/data/{path} does not lie beside the repository"), "REQUIRE_SHARED");
    None
}

/// The model of a folder of [`shared`] data.
pub fn shared_model(path: &str) -> Option<(PathBuf, Fixture)> {
    let found = shared(path)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let fixture = folder(name, &found);
    Some((found, fixture))
}

/// Says on the terminal, past the capture of test output, that a check did not run.
///
/// # Panics
/// If the environment variable `required` is 1.
pub fn not_run(reason: &str, required: &str) {
    assert!(std::env::var_os(required).is_none_or(|v| v != "1"), "{reason}, and {required}=1");
    // Nothing is lost where there is no terminal.
    let _ = writeln!(std::io::stderr(), "NOT RUN: {reason} ({required}=1 makes this a failure)");
}
