//! Searching as a whole: against the generator's own plans, its determinism, how it goes on, and what it refuses.

use super::*;
use crate::Builder;
use crate::approximate::network::{Change, Incremental};
use crate::data::{Array, Data};
use crate::import;
use crate::plan::simulate::{Simulator, quantize};
use crate::quantize::config::ArgMaxConfig;
use crate::tune::{Targets, Tuner, mlp, onnx};
use rand::Rng;
use std::path::PathBuf;

/// Three classes in six dimensions that overlap a little; the last column is always 0.
fn clouds() -> (Vec<f32>, Vec<usize>) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let centers: Vec<f32> = (0..15).map(|_| random.random_range(0.0..10.0)).collect();
    let labels: Vec<usize> = (0..240).map(|k| k % 3).collect();
    let mut values = Vec::new();
    for &label in &labels {
        values.extend(
            (0..5).map(|k| centers[label * 5 + k] + (0..4).map(|_| random.random_range(-2.5..2.5f32)).sum::<f32>()),
        );
        values.push(0.0);
    }
    (values, labels)
}

struct Example {
    /// Gives logits.
    graph: Graph,
    rows: Rows,
    labels: Vec<usize>,
    /// Rows that chose while it was tuned.
    validation: Vec<usize>,
}

fn rows_of(graph: &Graph, values: &[f32]) -> Rows {
    let array = Array { name: String::new(), shape: vec![values.len() / 6, 6], values: values.to_vec() };
    Rows::new(graph, &Data { arrays: vec![array], columns: vec![] }, Path::new("rows")).unwrap()
}

/// A float network, or one that is tuned to powers of two and truncated results.
fn example(tuned: bool) -> Example {
    let (values, labels) = clouds();
    let slices: Vec<&[f32]> = values.chunks(6).collect();
    let graph = mlp(&[6, 5, 3], &slices);
    let rows = rows_of(&graph, &values);
    let tuner = Tuner::new(&graph).epochs(15).float_epochs(15).learning_rate(0.05).restarts(2).from_scratch();
    let tuner = if tuned { tuner.input_bits(4).truncate(6) } else { tuner };
    let found = tuner.run(&rows, &Targets::Classes(labels.clone()), &|_| {}).unwrap();
    let graph = if tuned { found.graph } else { Graph { quantization: None, ..found.float } };
    Example { graph, rows, labels, validation: found.validation_rows }
}

impl Example {
    /// The graph with its class, as the generator reads it from a file.
    fn with_class(&self) -> Graph {
        let mut graph = import::from_bytes("mlp", &onnx::write(&self.graph).unwrap(), None).unwrap();
        graph.append_arg_max().unwrap();
        simplify(&mut graph);
        graph
    }

    fn config(graph: &Graph) -> Config {
        graph.quantization.as_ref().map_or_else(Config::default, |text| Config::from_json(text).unwrap())
    }
}

fn quick(graph: &Graph) -> Search<'_> {
    let formats = [Format::Int8, Format::PowerOfTwo];
    Search::new(graph, Example::config(graph)).population(24).generations(6).formats(&formats)
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tinymlp-search-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// All files but the state, by name.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
            .filter(|(name, _)| name != "state.json")
            .collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Every point, built from the written files, gets the share of the held-out rows right that was told, and costs what was
/// told. Gives their number.
fn builds_as_told(name: &str, tuned: bool, objective: Objective, device: Device) -> usize {
    let example = example(tuned);
    let graph = example.with_class();
    let search = quick(&graph).objective(objective).target(device);
    let (front, rate) = search.run(&example.rows, &example.labels, None, &|_| {}).unwrap();
    assert!(rate.candidates > 100, "{rate:?}");
    let folder = Folder::new(name);
    front.write(&folder.0).unwrap();
    let model = folder.0.join("model.onnx");
    std::fs::write(&model, onnx::write(&example.graph).unwrap()).unwrap();
    let held_out = example.rows.filtered(|row| front.held_out.contains(&row));
    let labels: Vec<usize> = front.held_out.iter().map(|&row| example.labels[row]).collect();
    for point in front.points.iter().chain([&front.exact]) {
        let mut builder = Builder::new(&model)
            .calibration(folder.0.join("calibration.npy"))
            .quantization(folder.0.join(&point.file))
            .allow_constant_columns()
            .arg_max();
        if let Device::Core(target) = device {
            builder = builder.target(target.core);
        }
        let compiled = builder.compile().unwrap();
        let found = crate::report::evaluate(&compiled.graph, &compiled.plan, &held_out, Some(&labels), &mut |_| {});
        assert_eq!(found.figures.quantized_accuracy, Some(point.accuracy), "{name} {}", point.name);
        let predicted = compiled.report.predicted.map(|p| (p.instructions_mean.round(), p.flash_bytes));
        let told = point.cost.instructions.zip(point.cost.flash_bytes);
        assert_eq!(predicted, told, "{name} {}", point.name);
    }
    // Something was approximated.
    assert!(front.points.iter().any(|point| front.price(point) < front.price(&front.exact)), "{name}");
    front.points.len()
}

#[test]
fn points_build_to_what_was_evaluated() {
    let points = [
        builds_as_told("tuned-printed", true, Objective::Adders, Device::Circuit),
        builds_as_told("float-printed", false, Objective::Adders, Device::Circuit),
        builds_as_told("tuned-core", true, Objective::Instructions, Core::Armv6m.into()),
        builds_as_told("float-core", false, Objective::Flash, Core::Rv32ec.into()),
        builds_as_told("float-ram", false, Objective::Ram, Core::Armv7em.into()),
    ];
    // Fronts, not only single points.
    assert!(points.iter().sum::<usize>() > 2 * points.len(), "{points:?}");
}

/// Random genes of a space.
fn random_genes(space: &Space, random: &mut ChaCha8Rng) -> Vec<u8> {
    space.largest().iter().map(|&most| random.random_range(0..=most)).collect()
}

#[test]
fn candidates_give_the_classes_of_their_plans() {
    for tuned in [true, false] {
        let example = example(tuned);
        let graph = example.with_class();
        let bench = Bench::new(&graph, &example.rows, (Objective::Adders, Device::Circuit, None)).unwrap();
        let base = Example::config(&graph);
        let (plan, network) = bench.network(&base).unwrap();
        let formats = [Format::Int8, Format::Int4, Format::PowerOfTwo, Format::Ternary];
        let space = Space::new(&graph, &bench.calibration, (&base, &plan, &network), &formats, Objective::Adders);
        let samples = Samples::new(&plan, &example.rows, &example.labels);
        let trial = Trial::new(&bench, &space, (&samples, &samples), &network);
        // What is not approximated stays as it was tuned.
        assert_eq!(trial.candidate(&space.exact()).unwrap().network.layers == network.layers, tuned);
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut trees = 0;
        for _ in 0..40 {
            let genes = random_genes(&space, &mut random);
            let candidate = trial.candidate(&genes).unwrap();
            trees += usize::from(candidate.network.tree.is_some());
            let plan = bench.plan(&candidate.config).unwrap();
            let mut simulator = Simulator::new(&plan);
            let simulated = (0..example.rows.len()).map(|row| {
                simulator.run(&[quantize(&plan, &plan.inputs[0], example.rows.row(row)[0])]);
                simulator.integers(plan.outputs[0].value)[0] as usize
            });
            assert_eq!(candidate.network.classify(&samples), simulated.collect::<Vec<_>>());
        }
        assert!(trees > 20, "{trees} approximate choices");
    }
}

#[test]
fn balanced_sums_have_the_means_of_the_exact_ones() {
    let example = example(true);
    let graph = example.with_class();
    let bench = Bench::new(&graph, &example.rows, (Objective::Adders, Device::Circuit, None)).unwrap();
    let base = Example::config(&graph);
    let (plan, network) = bench.network(&base).unwrap();
    let samples = Samples::new(&plan, &example.rows, &example.labels);
    let means = network.means(&samples);
    let mut masked = network.clone();
    masked.layers.iter_mut().flat_map(|layer| &mut layer.masks).step_by(3).for_each(|mask| *mask &= 0x34);
    assert_ne!(masked.means(&samples), means);
    masked.balance(&samples, &means);
    let off = masked.means(&samples).concat().iter().zip(means.concat()).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(off <= 0.5 + 1e-9, "{off}");
}

#[test]
fn changes_one_by_one_are_as_all_at_once() {
    let (values, labels) = clouds();
    let slices: Vec<&[f32]> = values.chunks(6).collect();
    let graph = mlp(&[6, 5, 4, 3], &slices);
    let rows = rows_of(&graph, &values);
    let tuner = Tuner::new(&graph).epochs(5).float_epochs(5).restarts(1).from_scratch().input_bits(4).truncate(6);
    let graph = tuner.run(&rows, &Targets::Classes(labels.clone()), &|_| {}).unwrap().graph;
    let example = Example { graph, rows, labels, validation: Vec::new() };
    let graph = example.with_class();
    let bench = Bench::new(&graph, &example.rows, (Objective::Adders, Device::Circuit, None)).unwrap();
    let (plan, network) = bench.network(&Example::config(&graph)).unwrap();
    let samples = Samples::new(&plan, &example.rows, &example.labels);
    let means = network.means(&samples);
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut state = Incremental::balanced(network.clone(), &samples, means.clone());
    for _ in 0..30 {
        let layer = random.random_range(0..3);
        let of = &state.network().layers[layer];
        let (output, input) = (random.random_range(0..of.outputs), random.random_range(0..of.inputs));
        state.apply(Change { layer, output, input, mask: random.random() });
        // All sums are what the network with its masks and biases gives, and balanced.
        let network = state.network().clone();
        let off = network.means(&samples).concat().into_iter().zip(means.concat());
        assert!(off.fold(0.0f64, |most, (a, b)| most.max((a - b).abs())) <= 0.5 + 1e-9);
        let anew = Incremental::new(network.clone(), &samples);
        assert_eq!((state.correct(), state.power()), (network.correct(&samples), anew.power()));
    }
}

#[test]
fn interrupted_searches_end_as_uninterrupted_ones() {
    let example = example(true);
    let graph = example.with_class();
    let written = |name: &str, runs: &[(usize, usize)]| {
        let folder = Folder::new(name);
        let state = folder.0.join("state.json");
        for &(generations, threads) in runs {
            let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
            let search = quick(&graph).generations(generations).threads(threads);
            let (front, _) = search.run(&example.rows, &example.labels, Some(&state), &|_| {}).unwrap();
            front.write(&folder.0).unwrap();
        }
        folder.files()
    };
    let whole = written("whole", &[(7, 1)]);
    assert!(whole.len() > 4);
    assert!(written("threads", &[(7, 3)]) == whole);
    assert!(written("parts", &[(0, 2), (3, 1), (3, 1), (7, 2)]) == whole);
    assert!(written("longer", &[(12, 1)]) != whole);
}

#[test]
fn a_state_of_another_search_is_refused() {
    let example = example(true);
    let graph = example.with_class();
    let folder = Folder::new("refused");
    let state = folder.0.join("state.json");
    let run = |search: Search, labels: &[usize]| search.run(&example.rows, labels, Some(&state), &|_| {});
    run(quick(&graph), &example.labels).unwrap();
    let before = std::fs::read(&state).unwrap();
    let refused = |search: Search, labels: &[usize], reason: &str| {
        let error = run(search, labels).expect_err(reason).to_string();
        assert!(error.contains(reason) && error.contains("--restart"), "{error}");
    };
    let mut others = example.labels.clone();
    others.swap(0, 1);
    refused(quick(&graph), &others, "another model, data or options");
    refused(quick(&graph).seed(5), &example.labels, "another model, data or options");
    refused(quick(&graph).validation(0.3), &example.labels, "another model, data or options");
    refused(quick(&graph).target(Core::Avr.into()), &example.labels, "another model, data or options");
    refused(quick(&graph).generations(2), &example.labels, "6 generations behind it");
    assert_eq!(std::fs::read(&state).unwrap(), before);
    std::fs::write(&state, "{").unwrap();
    refused(quick(&graph), &example.labels, "no state of a search");
}

#[test]
fn rows_held_out_are_those_of_tuning() {
    let example = example(true);
    let graph = example.with_class();
    let (front, _) = quick(&graph).generations(0).run(&example.rows, &example.labels, None, &|_| {}).unwrap();
    assert_eq!(front.held_out, example.validation);
    assert_eq!(front.steering_rows + front.held_out_rows, example.labels.len());
}

#[test]
fn what_was_tuned_stays() {
    let example = example(true);
    let graph = example.with_class();
    let base = Example::config(&graph);
    let (front, _) = quick(&graph).run(&example.rows, &example.labels, None, &|_| {}).unwrap();
    for point in &front.points {
        for (name, layer) in &point.quantization.layers {
            let own = base.layer(name);
            assert_eq!((&layer.weights, &layer.scale), (&own.weights, &own.scale), "{} {name}", point.name);
        }
        assert_eq!(point.quantization.inputs, base.inputs);
    }
    // A given choice of the class stays as well.
    let argmax = Some(ArgMaxConfig { bits: Some(4), ..ArgMaxConfig::default() });
    let search = Search { base: Config { argmax: argmax.clone(), ..base }, ..quick(&graph) };
    let (front, _) = search.run(&example.rows, &example.labels, None, &|_| {}).unwrap();
    assert!(front.points.iter().all(|point| point.quantization.argmax == argmax));
}

#[test]
fn greedy_starts_leave_out_what_carries_nothing() {
    let example = example(false);
    let graph = example.with_class();
    let bench = Bench::new(&graph, &example.rows, (Objective::Instructions, Device::Circuit, None)).unwrap();
    let base = Config::default();
    let (plan, network) = bench.network(&base).unwrap();
    let space =
        Space::new(&graph, &bench.calibration, (&base, &plan, &network), &[Format::Int8], Objective::Instructions);
    let samples = Samples::new(&plan, &example.rows, &example.labels);
    let trial = Trial::new(&bench, &space, (&samples, &samples), &network);
    let candidate = trial.candidate(&space.exact()).unwrap();
    let options = (Objective::Instructions, 0, NonZeroUsize::MIN);
    let seeds = greedy::seeds(&space, &space.exact(), &candidate, &samples, options);
    // Of each hidden unit the weight of the last column, which is always 0, before any that costs accuracy.
    let exact = candidate.network.correct(&samples);
    let mut lossless = 0;
    for genes in &seeds {
        let network = trial.candidate(genes).unwrap().network;
        let silent = (0..5).all(|unit| network.layers[0].summands(unit).all(|(input, ..)| input != 5));
        if network.correct(&samples) < exact {
            assert!(silent, "something else went first");
        }
        lossless += usize::from(silent);
    }
    assert!(lossless > 0, "{} seeds", seeds.len());
}

#[test]
fn budgets_name_the_cheapest_point_that_keeps_to_them() {
    let example = example(true);
    let graph = example.with_class();
    let search = quick(&graph).budgets(&[0.0, 0.03, 0.2, 0.9]);
    let (front, _) = search.run(&example.rows, &example.labels, None, &|_| {}).unwrap();
    for budget in &front.budgets {
        let keeps = |point: &&Point| {
            let lost = front.reference_accuracy - point.accuracy.min(point.expected_accuracy);
            lost <= budget.max_drop + 1e-9
        };
        let cheapest = front.points.iter().filter(keeps).min_by(|a, b| front.price(a).total_cmp(&front.price(b)));
        assert_eq!(budget.point, cheapest.map(|point| point.name.clone()), "{budget:?}");
        assert_eq!(budget.nearest.is_some(), cheapest.is_none());
    }
    // Points are cheaper the less is expected of them.
    let ordered = |pair: &[Point]| {
        pair[0].expected_accuracy > pair[1].expected_accuracy && front.price(&pair[0]) > front.price(&pair[1])
    };
    assert!(front.points.windows(2).all(ordered));
    let svg = plot::svg(&front);
    assert_eq!(svg.matches("<circle").count(), 2 * front.points.len());
    assert_eq!(svg.matches("budget</text>").count(), 4);
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
}

#[test]
fn problems_are_told_at_once() {
    let example = example(false);
    let graph = example.with_class();
    let said = |search: &Search, labels: &[usize], words: &[&str]| {
        let error = search.run(&example.rows, labels, None, &|_| {}).expect_err(&words.join(" ")).to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "no `{word}` in {error}"));
    };
    let wrong = quick(&graph).validation(1.0).budgets(&[]).formats(&[]).population(1);
    said(&wrong, &example.labels[1..], &["validation", "budgets", "formats", "population", "239 for 240 rows"]);
    said(&quick(&graph).target(Core::Portable.into()), &example.labels, &["not predicted", "cortex-m0"]);
    said(&quick(&graph).objective(Objective::Flash), &example.labels, &["flash are not predicted for circuits"]);
    let mut labels = example.labels.clone();
    labels[7] = 3;
    said(&quick(&graph), &labels, &["label 3 of row 7", "3 classes"]);
    let missing: Vec<usize> = example.labels.iter().map(|&label| label.min(1)).collect();
    said(&quick(&graph), &missing, &["class 2", "has 0 row(s)"]);
    let (front, _) = quick(&graph).allow_missing_classes().run(&example.rows, &missing, None, &|_| {}).unwrap();
    assert!(!front.points.is_empty());
    said(&quick(&example.graph), &example.labels, &["choice of a class", "--argmax"]);
    let other = mlp(&[5, 3, 2], &[&[0.0; 5], &[1.0; 5]]);
    said(&quick(&graph).reference(&other), &example.labels, &["takes [5] values, the model [6]", "number of classes"]);
    // A network that is no chain.
    let mut sigmoid = graph.clone();
    let relu = sigmoid.nodes.iter_mut().find(|node| node.origin.contains("Relu")).unwrap();
    relu.op = Op::Map(crate::graph::Expr::unary(crate::graph::expr::Unary::Sigmoid, crate::graph::Expr::Input(0)));
    said(&quick(&sigmoid), &example.labels, &["fully connected", "ReLU"]);
}
