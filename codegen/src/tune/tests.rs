//! Tuning as a whole: against the generator's own plan, its determinism, and what it refuses.

use super::*;
use crate::Builder;
use crate::data::{Array, Data, write_npy};
use crate::graph::eval::evaluate;
use crate::graph::{Kind, Op};
use crate::import;
use std::path::{Path, PathBuf};

/// Three classes in `features` dimensions, in clouds that overlap a little.
fn clouds(rows: usize, features: usize) -> (Vec<f32>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let centers: Vec<f32> = (0..3 * features).map(|_| rng.random_range(0.0..10.0)).collect();
    let labels: Vec<usize> = (0..rows).map(|k| k % 3).collect();
    let around = |label: usize, rng: &mut ChaCha8Rng| -> Vec<f32> {
        let noise = |rng: &mut ChaCha8Rng| (0..4).map(|_| rng.random_range(-2.5..2.5f32)).sum::<f32>();
        (0..features).map(|k| centers[label * features + k] + noise(rng)).collect()
    };
    (labels.iter().flat_map(|&label| around(label, &mut rng)).collect(), labels)
}

struct Example {
    graph: Graph,
    rows: Rows,
    labels: Vec<usize>,
    values: Vec<f32>,
}

fn example(topology: &[usize]) -> Example {
    let (values, labels) = clouds(300, topology[0]);
    let slices: Vec<&[f32]> = values.chunks(topology[0]).collect();
    let graph = mlp(topology, &slices);
    let rows = rows_of(&graph, &values);
    Example { graph, rows, labels, values }
}

fn rows_of(graph: &Graph, values: &[f32]) -> Rows {
    let width = graph.tensors[graph.inputs[0]].len();
    let array = Array { name: String::new(), shape: vec![values.len() / width, width], values: values.to_vec() };
    Rows::new(graph, &Data { arrays: vec![array], columns: vec![] }, Path::new("rows")).unwrap()
}

fn quick(graph: &Graph) -> Tuner<'_> {
    Tuner::new(graph).epochs(12).float_epochs(12).learning_rate(0.05).restarts(2).from_scratch()
}

fn tune(tuner: &Tuner, example: &Example) -> Tuned {
    tuner.run(&example.rows, &Targets::Classes(example.labels.clone()), &|_| {}).unwrap()
}

/// A file that goes with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("tinymlp-tune-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Classes of all rows by the generator's plan of the written model.
fn compiled(name: &str, tuned: &Tuned, example: &Example) -> Vec<usize> {
    let model = Temporary::new(&format!("{name}.onnx"), &onnx::write(&tuned.graph).unwrap());
    let width = example.values.len() / example.labels.len();
    let training: Vec<f32> = (0..example.labels.len())
        .filter(|row| tuned.validation_rows.binary_search(row).is_err())
        .flat_map(|row| example.values[row * width..(row + 1) * width].to_vec())
        .collect();
    let calibration = Temporary::new(&format!("{name}.npy"), &write_npy(width, &training));
    let compiled = Builder::new(&model.0).calibration(&calibration.0).arg_max().compile().unwrap();
    crate::report::evaluate(&compiled.graph, &compiled.plan, &example.rows, None, &mut |_| {}).classes
}

#[test]
fn truncated_networks_compile_to_the_integers_they_were_tuned_in() {
    for format in Format::ALL {
        let example = example(&[6, 8, 5, 3]);
        let tuned = tune(&quick(&example.graph).weights(format).input_bits(4).truncate(6), &example);
        assert_eq!(compiled(&format!("truncated-{format}"), &tuned, &example), tuned.classes, "{format}");
        assert!(tuned.score.training > 0.7, "{format}: {:?}", tuned.score);
    }
}

#[test]
fn a_scaler_that_is_the_same_for_all_features_compiles_as_it_was_tuned() {
    let Example { mut values, labels, .. } = example(&[6, 5, 3]);
    // Of one range each: the generator folds such a scaler into the layer.
    for column in 0..6 {
        values[column] = -20.0;
        values[6 + column] = 40.0;
    }
    let slices: Vec<&[f32]> = values.chunks(6).collect();
    let graph = mlp(&[6, 5, 3], &slices);
    let rows = rows_of(&graph, &values);
    let example = Example { graph, rows, labels, values };
    let tuned = tune(&quick(&example.graph).input_bits(5).truncate(8), &example);
    assert_eq!(compiled("uniform", &tuned, &example), tuned.classes);
}

#[test]
fn points_are_tuned_again_with_their_masks() {
    let example = example(&[6, 8, 3]);
    let first = tune(&quick(&example.graph).input_bits(4).truncate(6), &example);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut config = first.config.clone();
    for (name, inputs) in [("fc1", 6), ("fc2", 8)] {
        let layer = config.layers.get_mut(name).unwrap();
        let row = |rng: &mut ChaCha8Rng| (0..inputs).map(|_| [0, 255, rng.random()][rng.random_range(0..3)]).collect();
        layer.masks = Some((0..if name == "fc1" { 8 } else { 3 }).map(|_| row(&mut rng)).collect());
    }
    // Biases of a point take the place of the model's.
    config.layers.get_mut("fc1").unwrap().bias = Some((0..8).map(|o| 3 * o - 9).collect());
    let tuner = Tuner::new(&first.graph).quantized(config.clone()).epochs(12).learning_rate(0.05).restarts(2);
    let again = tune(&tuner, &example);
    assert_eq!(compiled("again", &again, &example), again.classes);
    assert!(again.score.training > again.untuned_score.training, "{:?} {:?}", again.untuned_score, again.score);
    assert_eq!(again.config.inputs, config.inputs);
    for (name, layer) in &again.config.layers {
        let own = &config.layers[name];
        assert_eq!((&layer.masks, layer.shift, layer.bits), (&own.masks, own.shift, own.bits), "{name}");
    }
    // Without an epoch it is the point itself.
    let tuner = Tuner::new(&first.graph).quantized(config.clone()).epochs(0).restarts(1);
    let model = Temporary::new("point.onnx", &onnx::write(&first.graph).unwrap());
    let quantization = Temporary::new("point.json", config.to_json().as_bytes());
    let data = Temporary::new("point.npy", &write_npy(6, &example.values));
    let builder = Builder::new(&model.0).calibration(&data.0).quantization(&quantization.0).arg_max();
    let point = builder.compile().unwrap();
    let expected = crate::report::evaluate(&point.graph, &point.plan, &example.rows, None, &mut |_| {}).classes;
    assert_eq!(tune(&tuner, &example).classes, expected);
}

#[test]
fn few_bits_are_not_spent_on_outliers() {
    let range = |values: &[f32]| ends(values.iter().copied());
    let mut values: Vec<f32> = (0..100).map(|k| k as f32).collect();
    assert_eq!(range(&values), (3.0, 96.0));
    values[99] = 1e6;
    assert_eq!(range(&values), (3.0, 96.0));
    // A few of another value are what such a feature says.
    assert_eq!(range(&[vec![0.0; 99], vec![7.0]].concat()), (0.0, 7.0));
    assert_eq!((range(&[2.5]), range(&[])), ((2.5, 2.5), (0.0, 0.0)));

    // One row far out moves the range of no input.
    let Example { mut values, labels, .. } = example(&[6, 5, 3]);
    let scale = |values: &[f32]| {
        let graph = mlp(&[6, 5, 3], &values.chunks(6).collect::<Vec<_>>());
        let example = Example { rows: rows_of(&graph, values), graph, labels: labels.clone(), values: values.to_vec() };
        let tuned = tune(&quick(&example.graph).input_bits(4).float_epochs(1).epochs(1), &example);
        tuned.config.inputs["x"].scale.unwrap()
    };
    let before = scale(&values);
    values[..6].fill(1e4);
    assert!((scale(&values) / before - 1.0).abs() < 0.1);
}

#[test]
fn rounded_networks_compile_to_the_integers_they_were_tuned_in() {
    for by_output in [false, true] {
        let example = example(&[6, 8, 3]);
        let tuner = quick(&example.graph).weights(Format::Int4);
        let tuned = tune(&if by_output { tuner.by_output() } else { tuner }, &example);
        let classes = compiled(&format!("rounded-{by_output}"), &tuned, &example);
        let differ = classes.iter().zip(&tuned.classes).filter(|(a, b)| a != b).count();
        // The plan's multipliers have 16 bits: a sum near the middle of two results may go the other way.
        assert!(differ <= classes.len() / 100, "{differ} of {} rows", classes.len());
        assert!(tuned.score.training > 0.8, "{:?}", tuned.score);
    }
}

#[test]
fn tuning_repairs_what_rounding_breaks() {
    let example = example(&[6, 4, 3]);
    let tuned = tune(&quick(&example.graph).epochs(60).weights(Format::Ternary).input_bits(2).truncate(4), &example);
    assert!(tuned.score.validation > tuned.untuned_score.validation + 0.05, "{tuned:?}");
}

#[test]
fn weights_lie_on_the_grid_that_the_config_says() {
    let example = example(&[6, 8, 3]);
    let tuner = quick(&example.graph).input_bits(4).truncate(8).layer_weights("fc2", Format::Ternary);
    let tuned = tune(&tuner, &example);
    assert_eq!(tuned.config.inputs["x"].bits, 4);
    for (name, format) in [("fc1", Format::PowerOfTwo), ("fc2", Format::Ternary)] {
        let layer = &tuned.config.layers[name];
        assert_eq!((layer.weights, layer.shift.is_some()), (Some(format), name == "fc1"));
        let Some(Scale::Layer(scale)) = layer.scale else { panic!("{layer:?}") };
        let node = tuned.graph.nodes.iter().find(|n| n.name == name).unwrap();
        let Op::Gemm { weight, .. } = &node.op else { panic!("{node:?}") };
        for &w in weight.iter() {
            let integer = f64::from(w) / scale;
            assert!((integer - integer.round()).abs() < 1e-4 && format.holds(integer.round() as i8), "{w} / {scale}");
        }
    }
    assert_eq!(tuned.graph.quantization, Some(tuned.config.to_json()));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let example = example(&[5, 4, 3]);
    let bytes = |seed| onnx::write(&tune(&quick(&example.graph).seed(seed).truncate(8), &example).graph).unwrap();
    assert_eq!(bytes(3), bytes(3));
    assert_ne!(bytes(3), bytes(4));
}

#[test]
fn values_are_tuned_by_their_squared_error() {
    let (values, _) = clouds(200, 4);
    let slices: Vec<&[f32]> = values.chunks(4).collect();
    let graph = mlp(&[4, 6, 1], &slices);
    let wanted: Vec<f32> = slices.iter().map(|x| (x[0] - x[1]) * 0.1 + (x[2] * 0.05).max(0.3)).collect();
    let variance = wanted.iter().map(|v| v * v).sum::<f32>() / 200.0 - (wanted.iter().sum::<f32>() / 200.0).powi(2);
    let targets = Targets::Values { values: wanted, rows: 200 };
    let tuner = quick(&graph).epochs(40).float_epochs(60).weights(Format::Int8);
    let tuned = tuner.run(&rows_of(&graph, &values), &targets, &|_| {}).unwrap();
    assert!(tuned.score.validation < 0.1 * f64::from(variance), "{:?} of {variance}", tuned.score);
    assert!(tuned.classes.is_empty());
}

#[test]
fn bad_input_is_refused_with_the_reason() {
    let example = example(&[4, 4, 3]);
    let refused = |tuner: Tuner, labels: &[usize]| {
        tuner.run(&example.rows, &Targets::Classes(labels.to_vec()), &|_| {}).map(|_| ()).unwrap_err().to_string()
    };
    let tuner = || quick(&example.graph);
    let labels = &example.labels;
    assert!(refused(tuner(), &labels[..299]).contains("299 for 300 rows"));
    let beyond: Vec<usize> = labels.iter().map(|l| l + 1).collect();
    assert!(refused(tuner(), &beyond).contains("label 3 of row 2 is out of range: the model has 3 classes"));
    let without: Vec<usize> = labels.iter().map(|l| l % 2).collect();
    assert!(refused(tuner(), &without).contains("class 2: has 0 row(s)"));
    let mut once = without.clone();
    once[5] = 2;
    assert!(refused(tuner(), &once).contains("class 2: has 1 row(s)"));
    assert!(tuner().epochs(1).allow_missing_classes().run(&example.rows, &Targets::Classes(once), &|_| {}).is_ok());
    let both = refused(tuner().layer_weights("fc9", Format::Int4).input_bits(9), labels);
    assert!(both.contains("fc9") && both.contains("\"fc1\", \"fc2\"") && both.contains("9 are not 1 to 8"), "{both}");
    let wrong = Targets::Values { values: vec![0.0; 300], rows: 300 };
    let error = tuner().run(&example.rows, &wrong, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("300 values for 300 rows of 3 outputs"), "{error}");
    let error = refused(tuner().validation(1.0), labels);
    assert!(error.contains("no share between 0 and 1"), "{error}");
}

#[test]
fn all_nodes_that_cannot_be_tuned_are_named() {
    let mut graph = example(&[4, 4, 3]).graph;
    let asin = Op::Map(crate::graph::Expr::unary(crate::graph::expr::Unary::Asin, crate::graph::Expr::Input(0)));
    graph.nodes[2].op = asin;
    graph.nodes[3].op = Op::MatMul;
    let error = Network::new(&graph, true).err().unwrap().to_string();
    assert!(error.contains("'relu1'") && error.contains("'fc2'"), "{error}");
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models/exporters");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    files
}

#[test]
fn a_graph_that_is_written_reads_as_it_was() {
    let mut written = 0;
    for file in fixtures() {
        let mut graph = import::load(&file).unwrap();
        simplify(&mut graph);
        if graph.outputs.iter().any(|o| o.labels.is_some()) {
            assert!(onnx::write(&graph).unwrap_err().to_string().contains("has labels"));
            continue;
        }
        let bytes = onnx::write(&graph).unwrap();
        let mut read = import::from_bytes("again", &bytes, None).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        simplify(&mut read);
        let layers = |g: &Graph| -> Vec<String> {
            g.nodes.iter().filter(|n| matches!(n.op, Op::Gemm { .. })).map(|n| n.name.clone()).collect()
        };
        assert_eq!(layers(&read), layers(&graph), "{}", file.display());
        let inputs: Vec<Vec<f32>> = graph
            .inputs
            .iter()
            .map(|&id| (0..graph.tensors[id].len()).map(|k| 0.2 + (k as f32 * 0.7).sin().abs() * 0.6).collect())
            .collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let (before, after) = (evaluate(&graph, &inputs), evaluate(&read, &inputs));
        for (a, b) in graph.outputs.iter().zip(&read.outputs) {
            assert_eq!(a.name, b.name, "{}", file.display());
            for (x, y) in before[a.tensor].iter().zip(&after[b.tensor]) {
                assert!((x - y).abs() <= 1e-4 * x.abs().max(1.0), "{}: {x} and {y}", file.display());
            }
        }
        written += 1;
    }
    assert!(written > 100, "{written} fixtures were written");
}

#[test]
fn original_files_keep_everything_but_their_weights() {
    let mut patched = 0;
    for file in fixtures() {
        let original = std::fs::read(&file).unwrap();
        let mut graph = import::load(&file).unwrap();
        simplify(&mut graph);
        for node in &mut graph.nodes {
            if let Op::Gemm { weight, bias } = &node.op {
                let half = |v: &[f32]| v.iter().map(|x| x * 0.5).collect::<Vec<f32>>().into();
                node.op = Op::Gemm { weight: half(weight), bias: half(bias) };
            }
        }
        graph.quantization = Some(Config::default().to_json());
        let Some(bytes) = onnx::patch(&original, &graph, file.parent()) else { continue };
        let mut read = import::from_bytes("again", &bytes, file.parent()).unwrap();
        simplify(&mut read);
        assert_eq!(read.quantization, graph.quantization);
        let inputs: Vec<Vec<f32>> = graph.inputs.iter().map(|&id| vec![0.3; graph.tensors[id].len()]).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let (before, after) = (evaluate(&graph, &inputs), evaluate(&read, &inputs));
        for (a, b) in graph.outputs.iter().zip(&read.outputs) {
            assert_eq!((&a.name, &a.labels), (&b.name, &b.labels), "{}", file.display());
            assert_eq!(before[a.tensor], after[b.tensor], "{}", file.display());
        }
        // A second change replaces the first.
        assert_eq!(onnx::patch(&bytes, &graph, file.parent()), Some(bytes), "{}", file.display());
        patched += 1;
    }
    assert!(patched > 40, "{patched} fixtures were patched");
}

#[test]
fn networks_of_all_exporters_compute_what_their_graphs_do() {
    let mut computed = 0;
    for file in fixtures() {
        let mut graph = import::load(&file).unwrap();
        simplify(&mut graph);
        let Ok(network) = Network::new(&graph, false) else { continue };
        if graph.tensors[network.logits].kind == Kind::Index {
            continue;
        }
        let values: Vec<Vec<f32>> = graph
            .inputs
            .iter()
            .map(|&id| (0..2 * graph.tensors[id].len()).map(|k| 0.2 + (k as f32 * 0.7).sin().abs() * 0.6).collect())
            .collect();
        let inputs = graph.inputs.iter().zip(&values).map(|(&id, v)| {
            let shape = [&[2], graph.tensors[id].shape.as_slice()].concat();
            Tensor::from_vec(v.clone(), shape, &Device::Cpu)
        });
        let inputs = inputs.collect::<Candle<Vec<_>>>().unwrap();
        let ones = vec![vec![1.0]; network.layers.len()];
        let reach = vec![1.0; network.layers.len()];
        let parameters = Parameters::new(&network, &network.weights(), &reach, &ones).unwrap();
        let found = network.float(&parameters, &inputs).unwrap().to_vec2::<f32>().unwrap();
        for (row, found) in found.iter().enumerate() {
            let half: Vec<&[f32]> = values.iter().map(|v| &v[row * v.len() / 2..(row + 1) * v.len() / 2]).collect();
            for (x, y) in evaluate(&graph, &half)[network.logits].iter().zip(found) {
                assert!((x - y).abs() <= 1e-3 * x.abs().max(1.0), "{}: {x} and {y}", file.display());
            }
        }
        computed += 1;
    }
    assert!(computed > 80, "{computed} fixtures were computed");
}
