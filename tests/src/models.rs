//! The models under `tests/models`, and those that may lie beside the repository.

use std::io::Write;
use std::path::{Path, PathBuf};
use tinymlp_codegen::Builder;
use tinymlp_codegen::data::{self, Rows, write_npy};
use tinymlp_codegen::graph::Graph;

use crate::files::npz;
use crate::onnx::{Model, attribute, floats, ints};

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
    ["digits", "wdbc", "wine", "mixer"].map(|name| folder(name, &here("models").join(name))).into()
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

/// What the exporters do not write: arrays so long that they go to files, and names that no Rust text may hold.
///
/// # Panics
/// If they cannot be written to `folder`.
pub fn made(folder: &Path) -> [Fixture; 7] {
    std::fs::create_dir_all(folder).expect("a folder");
    let numbers = |n: usize| -> Vec<f32> { (0..n).map(|k| (k as f32 * 0.7).sin()).collect() };
    let write = |name: &str, model: &Model, columns: usize, names: &[&str]| {
        let (model_file, calibration) = (folder.join(format!("{name}.onnx")), folder.join(format!("{name}.npz")));
        std::fs::write(&model_file, model.bytes()).expect("a model");
        let arrays: Vec<_> =
            names.iter().map(|n| (n.to_string(), write_npy(columns, &numbers(columns * 12)))).collect();
        std::fs::write(&calibration, npz(&arrays)).expect("its inputs");
        Fixture { name: name.into(), model: model_file, calibration }
    };
    let wide = Model::new(17)
        .input("x", &[-1, 96])
        .initializer(floats("w", &[96, 80], &numbers(96 * 80)))
        .initializer(floats("v", &[80, 64], &numbers(80 * 64)))
        .node("MatMul", &["x", "w"], &["h"], vec![])
        .node("Tanh", &["h"], &["t"], vec![])
        .node("MatMul", &["t", "v"], &["y"], vec![])
        .output("y");
    // Kernels that no exported model needs, under the names of what every module defines.
    let attention = Model::new(17)
        .input("a", &[-1, 12])
        .input("a_q", &[-1, 12])
        .initializer(ints("rows", &[3], &[-1, 3, 4]))
        .initializer(ints("columns", &[3], &[-1, 4, 3]))
        .initializer(floats("slope", &[1, 3], &[0.5, -0.25, 0.0]))
        .node("Reshape", &["a", "rows"], &["q"], vec![])
        .node("Reshape", &["a_q", "columns"], &["k"], vec![])
        .node("MatMul", &["q", "k"], &["real"], vec![])
        .node("PRelu", &["real", "slope"], &["y"], vec![])
        .output("y");
    let gates = Model::new(17)
        .input("x", &[-1, 3])
        .initializer(floats("w", &[3, 3], &numbers(9)))
        .node("MatMul", &["x", "w"], &["infer"], vec![])
        .node("Relu", &["infer"], &["X"], vec![])
        .node("Mul", &["X", "x"], &["y"], vec![])
        .output("y");
    // Three layers read what is mostly zero, the last of them after a layer that does not.
    let mut heads = Model::new(17)
        .input("x", &[-1, 8])
        .initializer(floats("w", &[8, 64], &numbers(8 * 64)))
        .initializer(floats("less", &[64], &[-3.0; 64]))
        .initializer(floats("v", &[64, 32], &numbers(64 * 32)))
        .node("MatMul", &["x", "w"], &["h"], vec![])
        .node("Add", &["h", "less"], &["some"], vec![])
        .node("Relu", &["some"], &["X"], vec![]);
    for head in ["a", "b"] {
        heads = heads.node("MatMul", &["X", "v"], &[head], vec![]).output(head);
    }
    let heads = heads
        .initializer(floats("u", &[32, 8], &numbers(32 * 8)))
        .node("MatMul", &["b", "u"], &["c"], vec![])
        .node("MatMul", &["X", "v"], &["d"], vec![])
        .output("c")
        .output("d");
    let hostile = ["type", "input", "a\n// \"*/ }`\\", "日本", "a b", "a-b"];
    let mut names = Model::new(17);
    for name in hostile {
        names = names.input(name, &[-1, 3]);
    }
    for (k, name) in hostile.iter().enumerate() {
        let (sum, out) = (format!("Self\r\n}}{k}"), format!("fn {k}\n"));
        let previous = if k == 0 { hostile[5].to_owned() } else { format!("fn {}\n", k - 1) };
        names = names.node("Mul", &[name, &previous], &[&sum], vec![]).node("Sigmoid", &[&sum], &[&out], vec![]);
    }
    let names = names.output("fn 5\n").output("Self\r\n}5").output("fn 3\n");
    // As a tuned model: powers of two, truncated ReLU, masks, sums to the index of the largest.
    let power = |k: usize| [1.0, -0.5, 0.0, 0.25, -0.125][k * k % 5];
    let powers = |n: usize| -> Vec<f32> { (0..n).map(power).collect() };
    let masks = |outputs: usize, inputs: usize, bits: u32| -> String {
        let row = |o: usize| {
            format!("{:?}", (0..inputs).map(|i| 0xff << ((o + i) % 5) & ((1 << bits) - 1)).collect::<Vec<u32>>())
        };
        format!("[{}]", (0..outputs).map(row).collect::<Vec<_>>().join(","))
    };
    let first = format!(r#"{{"weights":"pow2","scale":0.015625,"shift":3,"masks":{}}}"#, masks(5, 8, 4));
    let second = r#"{"weights":"pow2","scale":0.015625,"shift":4,"bits":6}"#;
    let third = format!(r#"{{"weights":"pow2","scale":0.015625,"masks":{}}}"#, masks(4, 6, 6));
    let last = r#"{"weights":"pow2","scale":0.015625}"#;
    let tuned = Model::new(17)
        .metadata(
            "tinymlp.quantization",
            &format!(r#"{{"version":1,"inputs":{{"x":{{"bits":4,"scale":0.0625}}}},"layers":{{"h":{first},"g":{second},"y":{third},"z":{last}}}}}"#),
        )
        .input("x", &[-1, 8])
        .initializer(floats("w", &[5, 8], &powers(40)))
        .initializer(floats("b", &[5], &[0.5, 0.0, -0.25, 0.125, 0.0625]))
        .initializer(floats("v", &[5, 6], &powers(30)))
        .initializer(floats("u", &[6, 4], &powers(24)))
        .node("Gemm", &["x", "w", "b"], &["h"], vec![attribute("transB", 1)])
        .node("Relu", &["h"], &["r"], vec![])
        .node("MatMul", &["r", "v"], &["g"], vec![])
        .node("Relu", &["g"], &["s"], vec![])
        .node("MatMul", &["s", "u"], &["y"], vec![])
        .node("ArgMax", &["y"], &["class"], vec![attribute("axis", -1), attribute("keepdims", 0)])
        .node("MatMul", &["s", "u"], &["z"], vec![])
        .node("ArgMax", &["z"], &["other"], vec![attribute("axis", -1), attribute("select_last_index", 1)])
        .output("class")
        .output("other");
    let [attention, gates, heads] =
        [("real", attention, 12, &["a", "a_q"][..]), ("x", gates, 3, &["x"]), ("heads", heads, 8, &["x"])]
            .map(|(name, model, columns, inputs)| write(name, &model, columns, inputs));
    // As a tuned model that is large enough to be packed.
    let small = |n: usize| -> Vec<f32> { (0..n).map(|k| ((k * k + 3 * k) % 16) as f32 * 0.125 - 1.0).collect() };
    let (first, last) = (r#"{"weights":"int4","scale":0.125,"shift":5}"#, r#"{"weights":"int4","scale":0.125}"#);
    let packed = Model::new(17)
        .metadata(
            "tinymlp.quantization",
            &format!(
                r#"{{"version":1,"inputs":{{"x":{{"bits":7,"scale":0.01}}}},"layers":{{"h":{first},"y":{last}}}}}"#
            ),
        )
        .input("x", &[-1, 32])
        .initializer(floats("w", &[32, 24], &small(32 * 24)))
        .initializer(floats("v", &[24, 16], &small(24 * 16)))
        .node("MatMul", &["x", "w"], &["h"], vec![])
        .node("Relu", &["h"], &["r"], vec![])
        .node("MatMul", &["r", "v"], &["y"], vec![])
        .node("ArgMax", &["y"], &["class"], vec![attribute("axis", -1)])
        .output("class");
    let packed = write("packed", &packed, 32, &["x"]);
    let tuned = write("tuned", &tuned, 8, &["x"]);
    [packed, tuned, attention, gates, heads, write("wide", &wide, 96, &["x"]), write("0 \"type\"", &names, 3, &hostile)]
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
