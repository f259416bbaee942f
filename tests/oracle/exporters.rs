//! Models as PyTorch, Keras, JAX and scikit-learn export them, against what onnxruntime computed.

use std::path::{Path, PathBuf};

use tinymlp_codegen::graph::eval::Evaluator;
use tinymlp_codegen::graph::simplify::simplify;
use tinymlp_codegen::graph::{Graph, Kind, Labels};
use tinymlp_codegen::import;
use tinymlp_tests::npy::{self, Array, Values};

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/exporters");
    let mut models: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.filter_map(|e| Some(e.ok()?.path())).collect())
        .unwrap_or_default();
    models.retain(|p| p.extension().is_some_and(|e| e == "onnx"));
    models.sort();
    models
}

/// Row `row` of an array, of `len` elements.
fn row(values: &Values, row: usize, len: usize) -> Values {
    let range = row * len..(row + 1) * len;
    match values {
        Values::Floats(v) => Values::Floats(v[range].to_vec()),
        Values::Integers(v) => Values::Integers(v[range].to_vec()),
        Values::Strings(v) => Values::Strings(v[range].to_vec()),
    }
}

fn floats(values: &Values) -> Vec<f32> {
    match values {
        Values::Floats(v) => v.clone(),
        Values::Integers(v) => v.iter().map(|&i| i as f32).collect(),
        Values::Strings(_) => panic!("text"),
    }
}

/// Our value in the type of the expected one.
fn like(expected: &Values, ours: &[f32], labels: Option<&Labels>) -> Values {
    match (expected, labels) {
        (Values::Floats(_), _) => Values::Floats(ours.to_vec()),
        (Values::Integers(_), Some(Labels::Integers(l))) => {
            Values::Integers(ours.iter().map(|&i| l[i as usize]).collect())
        }
        (Values::Strings(_), Some(Labels::Strings(l))) => {
            Values::Strings(ours.iter().map(|&i| l[i as usize].clone()).collect())
        }
        _ => Values::Integers(ours.iter().map(|&i| i as i64).collect()),
    }
}

/// The graph as it was imported, and as quantization gets it.
fn check(model: &Path) -> Result<(), String> {
    let mut graph = import::load(model).map_err(|e| e.to_string())?;
    compare(model, &graph)?;
    simplify(&mut graph);
    compare(model, &graph).map_err(|e| format!("simplified, {e}"))
}

fn compare(model: &Path, graph: &Graph) -> Result<(), String> {
    let beside = |what: &str| {
        let path = model.with_extension(format!("{what}.npy"));
        npy::load(&if path.exists() { path } else { model.with_extension(format!("{what}.npz")) })
    };
    let (inputs, expected) = (beside("input"), beside("output"));
    if inputs.len() != graph.inputs.len() {
        return Err(format!("{} inputs, not {}", graph.inputs.len(), inputs.len()));
    }
    let mut evaluator = Evaluator::new(graph);
    let rows = inputs[0].shape[0];
    for r in 0..rows {
        let operands: Vec<Vec<f32>> = graph
            .inputs
            .iter()
            .map(|&id| {
                let tensor = &graph.tensors[id];
                let by_name = inputs.iter().find(|a: &&Array| a.name == tensor.name).unwrap_or(&inputs[0]);
                floats(&row(&by_name.values, r, tensor.len()))
            })
            .collect();
        evaluator.run(&operands.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for (k, output) in graph.outputs.iter().enumerate() {
            let tensor = &graph.tensors[output.tensor];
            let array = expected.iter().find(|a| a.name == output.name).ok_or(format!("no output {}", output.name))?;
            let wanted = row(&array.values, r, tensor.len());
            if tensor.kind == Kind::Real && matches!(wanted, Values::Strings(_)) {
                return Err(format!("{} should be text", output.name));
            }
            let ours = like(&wanted, evaluator.output(k), output.labels.as_ref());
            let equal = match (&ours, &wanted) {
                (Values::Floats(a), Values::Floats(b)) => {
                    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-5 + 2e-5 * b.abs())
                }
                _ => ours == wanted,
            };
            if !equal {
                return Err(format!("row {r} of {}: {ours:?}, not {wanted:?}", output.name));
            }
        }
    }
    Ok(())
}

#[test]
fn exported_models_compute_what_onnxruntime_did() {
    let models = fixtures();
    if models.is_empty() {
        println!("not run: there are no fixtures in tests/models/exporters");
    }
    let failures: Vec<String> = models
        .iter()
        .filter_map(|m| Some(format!("{}: {}", m.file_stem()?.to_string_lossy(), check(m).err()?)))
        .collect();
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), models.len(), failures.join("\n"));
}
