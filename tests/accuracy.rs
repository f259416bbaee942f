//! What quantization costs: trained models against their labels, the benchmark models beside the repository, and the
//! signal to noise ratio of every exported model.

use std::io::Read;
use std::path::Path;

use tinymlp_codegen::data::{load_labels, write_npy};
use tinymlp_codegen::graph::eval::Evaluator;
use tinymlp_codegen::plan::simulate::Simulator;
use tinymlp_codegen::plan::{Step, Type};
use tinymlp_codegen::report::{Evaluation, classes, evaluate};
use tinymlp_codegen::{Builder, Compiled, Core};
use tinymlp_tests::models::{Fixture, exported, here, made, rows, shared, shared_model, trained};

const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// The model of a folder on the folder's test set.
fn evaluated(folder: &Path, builder: Builder) -> Evaluation {
    let compiled = builder.compile().unwrap_or_else(|e| panic!("{e}"));
    let inputs = rows(&compiled.graph, &folder.join("test_x.npy"));
    let labels = load_labels(&folder.join("test_y.npy"), inputs.len(), classes(&compiled.graph)).expect("labels");
    evaluate(&compiled.graph, &compiled.plan, &inputs, Some(&labels), &mut |_| {}).figures
}

fn accuracies(figures: &Evaluation) -> (f64, f64) {
    (figures.float_accuracy.expect("labels"), figures.quantized_accuracy.expect("labels"))
}

#[test]
fn trained_models_lose_at_most_half_a_point() {
    for (model, expected) in trained().into_iter().zip([349.0 / 360.0, 110.0 / 114.0, 1.0, 347.0 / 360.0]) {
        let folder = model.model.parent().expect("a folder").to_owned();
        for (builder, allowed) in [(model.builder(), 0.005), (model.builder().int16("all"), 0.005)] {
            let (float, quantized) = accuracies(&evaluated(&folder, builder));
            println!("{}: float {float:.4}, quantized {quantized:.4}", model.name);
            assert!((float - expected).abs() < 1e-9, "{}: float {float}, documented {expected}", model.name);
            assert!(quantized >= float - allowed, "{}: float {float}, quantized {quantized}", model.name);
        }
    }
}

#[test]
fn a_mixer_moves_nothing_but_its_pixels() {
    let model = &trained()[3];
    let compiled = model.builder().compile().unwrap_or_else(|e| panic!("{e}"));
    let steps = &compiled.plan.steps;
    let within = |step: &Step| step.kernel.tiles().map_or(Vec::new(), |tiles| tiles.body.steps.clone());
    let all: Vec<Step> = steps.iter().flat_map(|step| [vec![step.clone()], within(step)].concat()).collect();
    let count = |op: &str| all.iter().filter(|s| s.kernel.op() == op).count();
    // Two blocks, each with two normalizations and a layer pair along each axis; and the normalization before the head.
    assert_eq!((count("LayerNormalization"), count("Columns"), count("Strided")), (5, 2, 1), "{steps:#?}");
    // Those pairs, and what makes the pixels patches and the classes.
    assert_eq!(count("Gemm"), 10, "{steps:#?}");
}

#[test]
fn benchmark_models_stay_within_half_a_point() {
    for name in ["digits", "mnist", "wdbc"] {
        let Some((folder, model)) = shared_model(&format!("bench/{name}")) else { return };
        let figures = evaluated(&folder, Builder::new(&model.model).calibration(&model.calibration));
        let (float, quantized) = accuracies(&figures);
        println!("{name}: {figures:?}");
        assert!(quantized >= float - 0.005, "{name}: float {float}, quantized {quantized}");
        // Luck on a small test set (one row of wdbc is 0.44 points) must not hide what changed.
        assert!(figures.agreement.is_some_and(|share| share >= 0.99), "{name}: {figures:?}");
    }
}

#[test]
fn the_anomaly_score_is_nearer_to_the_float_models_than_tflites() {
    let Some(folder) = shared("mlperf-tiny-ad") else { return };
    let sound = std::fs::read(folder.join("normal_id_01_00000000_hist_librosa.bin")).expect("a sound");
    let features: Vec<f32> = sound.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let (bands, frames) = (128, 5);
    let windows: Vec<f32> =
        features.windows(bands * frames).step_by(bands).flat_map(|window| window.iter().copied()).collect();
    assert_eq!(windows.len(), 196 * bands * frames);
    let calibration = Path::new(TEMPORARY).join("ad01.npy");
    std::fs::write(&calibration, write_npy(bands * frames, &windows)).expect("a file");
    let compiled = Builder::new(folder.join("ad01_fp32.onnx")).calibration(&calibration).compile();
    let compiled = compiled.unwrap_or_else(|e| panic!("{e}"));
    let (mut float, mut simulator) = (Evaluator::new(&compiled.graph), Simulator::new(&compiled.plan));
    let (mut float_score, mut score) = (0.0, 0.0);
    let distance = |x: &[f32], y: &[f64]| {
        x.iter().zip(y).map(|(&x, y)| (f64::from(x) - y).powi(2)).sum::<f64>() / x.len() as f64 / 196.0
    };
    for window in windows.chunks_exact(bands * frames) {
        float.run(&[window]);
        simulator.run_real(&[window]);
        let real: Vec<f64> = float.output(0).iter().map(|&v| v.into()).collect();
        float_score += distance(window, &real);
        score += distance(window, &simulator.real(compiled.plan.outputs[0].value));
    }
    println!("ad01: float {float_score:.4}, int8 {score:.4}; TFLite's int8 model 10.2652");
    assert!((float_score - 9.7071).abs() < 0.0001, "float {float_score}, published 9.7071");
    assert!((score - 9.7071).abs() < 10.2652 - 9.7071, "{score}");
}

/// The least signal to noise ratio of a real output over the calibration rows, in dB.
fn least_sqnr(compiled: &Compiled, fixture: &Fixture) -> f64 {
    let (graph, plan) = (&compiled.graph, &compiled.plan);
    let rows = fixture.rows(graph);
    let (mut float, mut simulator) = (Evaluator::new(graph), Simulator::new(plan));
    let mut noise = vec![(0.0, 0.0); plan.outputs.len()];
    for row in 0..rows.len() {
        float.run(&rows.row(row));
        simulator.run_real(&rows.row(row));
        for (k, (output, noise)) in plan.outputs.iter().zip(&mut noise).enumerate() {
            for (&r, q) in float.output(k).iter().zip(simulator.real(output.value)) {
                noise.0 += f64::from(r).powi(2);
                noise.1 += (f64::from(r) - q).powi(2);
            }
        }
    }
    let real = |k: &usize| plan.values[plan.outputs[*k].value].quant.ty != Type::U16;
    let ratio = |k: usize| 10.0 * (noise[k].0 / noise[k].1.max(f64::MIN_POSITIVE)).log10();
    (0..noise.len()).filter(real).map(ratio).fold(f64::INFINITY, f64::min)
}

#[test]
fn exported_models_keep_their_signal() {
    let (mut low, mut ratios, mut count) = (Vec::new(), [Vec::new(), Vec::new()], 0);
    for fixture in exported().into_iter().chain(made(&Path::new(TEMPORARY).join("accuracy-models"))) {
        for (int16, least) in [(false, 20.0), (true, 27.0)] {
            let builder = if int16 { fixture.builder().int16("all") } else { fixture.builder() };
            let Ok(compiled) = builder.compile() else { continue };
            count += 1;
            let ratio = least_sqnr(&compiled, &fixture);
            ratios[usize::from(int16)].push(ratio);
            if ratio < least {
                low.push(format!("{}{}: {ratio:.1} dB", fixture.name, if int16 { " in int16" } else { "" }));
            }
        }
    }
    for (ratios, ty) in ratios.iter_mut().zip(["int8", "int16"]) {
        ratios.sort_by(f64::total_cmp);
        println!("{ty}: {} models, least {:.1} dB, median {:.1} dB", ratios.len(), ratios[0], ratios[ratios.len() / 2]);
    }
    assert!(low.is_empty(), "{low:#?}");
    assert!(count >= 2 * 218, "{count} models could be compiled");
}

/// Labels are checked against the number of classes, which for an index is what its `ArgMax` searches.
#[test]
fn labels_of_a_model_that_gives_an_index() {
    for name in ["torch_argmax_ts", "torch_argmax_dynamo", "jax_argmax"] {
        let fixture = exported().into_iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no fixture {name}"));
        let compiled = fixture.builder().compile().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(classes(&compiled.graph), Some(4), "{name}");
        let rows = fixture.rows(&compiled.graph);
        let found = evaluate(&compiled.graph, &compiled.plan, &rows, None, &mut |_| {});
        let again = evaluate(&compiled.graph, &compiled.plan, &rows, Some(&found.classes), &mut |_| {});
        assert_eq!(again.figures.quantized_accuracy, Some(1.0), "{name}");
    }
}

/// The images of an IDX file, 28x28, reduced as `tests/models/mnist16/train.py` does it: the middle 24x24 pixels averaged
/// by area to 16x16 and rounded to bytes.
fn sixteen(images: &[u8]) -> Vec<[f32; 256]> {
    // Result 2k is two thirds of pixel 3k and one of 3k + 1; result 2k + 1 one of 3k + 1 and two of 3k + 2.
    let parts = |r: usize| {
        if r.is_multiple_of(2) {
            [(r / 2 * 3, 2), (r / 2 * 3 + 1, 1)]
        } else {
            [(r / 2 * 3 + 1, 1), (r / 2 * 3 + 2, 2)]
        }
    };
    let reduced = |image: &[u8]| -> [f32; 256] {
        std::array::from_fn(|k| {
            let (rows, columns) = (parts(k / 16), parts(k % 16));
            let sum = rows.iter().flat_map(|&(r, a)| columns.iter().map(move |&(c, b)| (r, c, a * b)));
            let ninths: u32 = sum.map(|(r, c, part)| u32::from(image[(r + 2) * 28 + c + 2]) * part).sum();
            ((2 * ninths + 9) / 18) as f32 / 255.0
        })
    };
    images[16..].chunks_exact(28 * 28).map(reduced).collect()
}

/// What `train.py` computes of the written files in numpy integers, and its README states: as many images right.
#[test]
fn mnist_of_low_bits_is_as_right_as_an_independent_evaluation() {
    let Some(folder) = shared("images/mnist") else { return };
    let unzip = |name: &str| {
        let file = std::fs::File::open(folder.join(name)).expect("a file of MNIST");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("a gzip file");
        bytes
    };
    let images = sixteen(&unzip("t10k-images-idx3-ubyte.gz"));
    let labels = unzip("t10k-labels-idx1-ubyte.gz").split_off(8);
    assert_eq!((images.len(), labels.len()), (10_000, 10_000));
    let model = here("models/mnist16");
    for (file, right) in [("model.onnx", 9910), ("model_pow2.onnx", 9906)] {
        let builder = Builder::new(model.join(file)).calibration(model.join("calibration.npy"));
        let plan = builder.target(Core::Rv32ec).compile().expect("a model that compiles").plan;
        let mut simulator = Simulator::new(&plan);
        let mut found = 0;
        for (image, &label) in images.iter().zip(&labels) {
            simulator.run_real(&[image]);
            found += usize::from(simulator.integers(plan.outputs[0].value) == [i32::from(label)]);
        }
        assert_eq!(found, right, "{file}");
    }
}
