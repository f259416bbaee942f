//! Text models by the whole path: ONNX with `tinymlp.text` to modules that take bytes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tinymlp_codegen::graph::eval::Evaluator;
use tinymlp_codegen::plan::simulate::Simulator;
use tinymlp_codegen::text::{self, TextModel, Utterances};
use tinymlp_codegen::{Builder, Compiled};
use tinymlp_tests::models::{here, not_run};
use tinymlp_tests::onnx::{Model, attribute as a, floats, ints};
use tinymlp_tests::project::{Project, succeed};
use tract_onnx::prelude::*;

const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// A model in the making: sizes, and what its property says.
#[derive(Clone)]
struct Sketch {
    positions: usize,
    buckets: usize,
    window: usize,
    slots: bool,
    property: String,
}

const LABELS: &str = r#""intent":["on","off","\"ü\" {}"]"#;

fn property(tokenizer: &str, normalize: &str, punctuation: bool, sketch: (usize, usize, usize), slots: bool) -> String {
    let (hashes, buckets, window) = sketch;
    let labels = if slots { format!(r#"{LABELS},"slots":["O","B"]"#) } else { LABELS.into() };
    format!(
        r#"{{"version":1,"input":"counts",{tokenizer},"normalize":"{normalize}","punctuation":{punctuation},"hashes":{hashes},"buckets":{buckets},"window":{window},"labels":{{{labels}}}}}"#
    )
}

fn noise(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|k| ((k * 7 + seed) as f32 * 0.7).sin()).collect()
}

/// The front of every made model: the first layer, and a function of its rows under the name `h`, as wide as asked.
fn front(sketch: &Sketch, width: usize) -> Model {
    let features = (2 * sketch.window + 1) * sketch.buckets;
    let dims = [features as i64, width as i64];
    Model::new(13)
        .input("counts", &[1, sketch.positions as i64, features as i64])
        .initializer(floats("w", &dims, &noise(features * width, 1)))
        .initializer(floats("b", &[width as i64], &noise(width, 2)))
        .node("MatMul", &["counts", "w"], &["p"], vec![])
        .node("Add", &["p", "b"], &["r"], vec![])
        .node("Tanh", &["r"], &["h"], vec![])
}

fn model(sketch: &Sketch) -> Model {
    const WIDTH: usize = 6;
    heads(front(sketch, WIDTH), WIDTH, sketch.slots).metadata("tinymlp.text", &sketch.property)
}

/// Intent and slots from `h`.
fn heads(model: Model, width: usize, slots: bool) -> Model {
    let model = model
        .initializer(ints("axes", &[1], &[1]))
        .initializer(floats("v", &[width as i64, 3], &noise(width * 3, 3)))
        .node("ReduceSum", &["h", "axes"], &["s"], vec![a("keepdims", 0)])
        .node("MatMul", &["s", "v"], &["intent"], vec![])
        .output("intent");
    if !slots {
        return model;
    }
    let model = model.initializer(floats("u", &[width as i64, 2], &noise(width * 2, 4)));
    model.node("MatMul", &["h", "u"], &["slots"], vec![]).output("slots")
}

fn sketches() -> [(&'static str, Sketch); 3] {
    let words =
        |sizes, normalize, punctuation, slots| property(r#""tokenizer":"words""#, normalize, punctuation, sizes, slots);
    let pieces = r#""tokenizer":"wordpiece","vocabulary":"pieces.txt""#;
    [
        (
            "cased",
            Sketch {
                positions: 5,
                buckets: 31,
                window: 2,
                slots: true,
                property: words((9, 31, 2), "cased", true, true),
            },
        ),
        (
            "uncased",
            Sketch {
                positions: 3,
                buckets: 40,
                window: 0,
                slots: false,
                property: words((128, 40, 0), "uncased", false, false),
            },
        ),
        (
            "pieces",
            Sketch {
                positions: 4,
                buckets: 64,
                window: 1,
                slots: true,
                property: property(pieces, "uncased", true, (16, 64, 1), true),
            },
        ),
    ]
}

/// Words that training never saw, and bytes that are no words.
fn texts() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = [
        "",
        " \t\n\r ",
        "play blue river by anna bell",
        "PLAY  Blue\tRiver",
        "wake me, please: at half-past nine!",
        "zürich ZÜRICH ZU\u{308}RICH żółć ไทย 한국어 🙂",
        "\u{0}\u{1}\u{7f}a\u{200b}b\u{feff}",
        "a b c d e f g h i j k l m n o p q r s t u v w x y z",
        "x",
        "it's “quoted” – dash ´",
    ]
    .map(|t| t.as_bytes().to_vec())
    .into();
    texts.extend([&b"\xff\xfe\x80"[..], b"caf\xc3", b"\xf0\x9f\x99 smile \xed\xa0\x80 \xc0\xaf"].map(<[u8]>::to_vec));
    texts.push(b"abcdefghij".repeat(1024));
    texts.push("ü ".repeat(5000).into_bytes());
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32
    };
    for k in 0..200 {
        let length = random() % 60;
        let byte = |r: u32| match (k % 3, r % 5) {
            (0, _) => r as u8,
            (_, 0) => b' ',
            _ => b'a' + (r >> 8) as u8 % 8,
        };
        texts.push((0..length).map(|_| byte(random())).collect());
    }
    // Characters of every script and of none, and at times the last of them cut.
    for _ in 0..100 {
        let mut text = Vec::new();
        for _ in 0..random() % 40 {
            let most = if random() % 2 == 0 { 0x11_0000 } else { 0x600 };
            let character = char::from_u32(random() % most).unwrap_or(' ');
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        text.truncate(text.len().saturating_sub((random() % 2) as usize));
        texts.push(text);
    }
    texts
}

struct Case {
    name: &'static str,
    file: PathBuf,
    compiled: Compiled,
}

impl Case {
    fn text(&self) -> &TextModel {
        self.compiled.plan.text.as_deref().expect("a text model")
    }
}

fn builders() -> Vec<(&'static str, PathBuf, Builder)> {
    let folder = Path::new(TEMPORARY).join("text-models");
    std::fs::create_dir_all(&folder).expect("a folder");
    let pieces = "[UNK]\nplay\nblue\n##er\nriv\na\n##b\nb\n##c\nzurich\n,\n!\n한국\n##어\nhalf\nnine\n";
    std::fs::write(folder.join("pieces.txt"), pieces).expect("a vocabulary");
    let train = here("models/pnlp/small.train.tsv");
    let file = here("models/pnlp/small.onnx");
    let mut all = vec![("small", file.clone(), Builder::new(file).calibration(&train))];
    for (name, sketch) in sketches() {
        let file = folder.join(format!("{name}.onnx"));
        std::fs::write(&file, model(&sketch).bytes()).expect("a model");
        let builder = Builder::new(&file).calibration(&train);
        all.push((name, file, if name == "cased" { builder.int16("all") } else { builder }));
    }
    all
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let compile = |(name, file, builder): (_, _, Builder)| {
        let compiled =
            builder.name(format!("net_{name}")).golden(3).compile().unwrap_or_else(|e| panic!("{name}: {e}"));
        Case { name, file, compiled }
    };
    builders().into_iter().map(compile).collect()
});

/// The dense model, as its file says, on counts: what any other tool computes.
fn dense(case: &Case, texts: &[Vec<u8>]) -> Vec<Vec<Vec<f32>>> {
    let model = case.text();
    let (span, front_end) = (model.span, &model.front_end);
    let (hashes, buckets) = (front_end.hashes, usize::from(front_end.buckets));
    let found = front_end.features(texts.iter().map(Vec::as_slice)).expect("features");
    let plan =
        tract_onnx::onnx().model_for_path(&case.file).and_then(|m| m.into_typed()?.into_runnable()).expect("a model");
    let run = |words: &[u16]| {
        let words: Vec<&[u16]> = words.chunks(hashes).take_while(|w| usize::from(w[0]) < buckets).collect();
        let mut counts = vec![0f32; front_end.positions * span * buckets];
        for t in 0..words.len() {
            for k in 0..span {
                let Some(word) = (t + k).checked_sub(span / 2).and_then(|at| words.get(at)) else { continue };
                word.iter().for_each(|&b| counts[(t * span + k) * buckets + usize::from(b)] += 1.0);
            }
        }
        let counts = Tensor::from_shape(&[1, front_end.positions, span * buckets], &counts).expect("counts");
        let outputs = plan.run(tvec!(counts.into())).expect("outputs");
        let floats = |t: &TValue| t.to_plain_array_view::<f32>().expect("floats").iter().copied().collect();
        outputs.iter().map(floats).collect()
    };
    found.buckets.chunks(front_end.positions * hashes).map(run).collect()
}

#[test]
fn sums_of_rows_are_the_dense_layer_of_the_file() {
    let texts = texts();
    for case in &*CASES {
        let graph = &case.compiled.graph;
        let rows = case.text().rows(texts.iter().map(Vec::as_slice)).expect("rows");
        let mut evaluator = Evaluator::new(graph);
        for (k, expected) in dense(case, &texts).into_iter().enumerate() {
            evaluator.run(&rows.row(k));
            for (o, expected) in expected.iter().enumerate() {
                let found = evaluator.output(o);
                let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-3 * (1.0 + b.abs()));
                assert!(found.len() == expected.len() && close, "{}: text {k}: {found:?}, not {expected:?}", case.name);
            }
        }
    }
}

/// A program that runs every module on every text, byte by byte, at once, and in pieces of several lengths.
fn program(project: &Project) -> String {
    let mut main = String::from(
        r#"#![deny(warnings)]
use tinymlp::{Model, Scratch};

fn bytes<T>(value: &T) -> &[u8] {
    // SAFETY: arrays of integers of one type, and structs of those.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

macro_rules! run {
    ($m:ident, $model:ident, $texts:expr, $results:expr) => {{
        let mut scratch = $m::Scratch::NEW;
        // SAFETY: bytes, of which any are valid.
        unsafe { core::ptr::write_bytes(&mut scratch, 0xa5, 1) };
        for pieces in [&[1][..], &[1 << 20], &[2, 0, 7, 1, 1, 5, 30, 3]] {
            for text in $texts {
                // SAFETY: integers.
                let mut output: $m::Output = unsafe { core::mem::zeroed() };
                let mut encoder = $m::encoder(&mut scratch);
                let mut rest = &text[..];
                let mut lengths = pieces.iter().cycle();
                while let Some(&length) = lengths.next().filter(|_| !rest.is_empty()) {
                    let (piece, behind) = rest.split_at(length.min(rest.len()));
                    encoder.push(piece);
                    rest = behind;
                }
                let summary = encoder.finish();
                $m::infer(&mut scratch, &mut output);
                for count in [summary.words, summary.cut, summary.invalid] {
                    $results.extend(count.to_le_bytes());
                }
                $results.extend(bytes(&output));
            }
        }
        assert_eq!($m::self_test(&mut scratch), Ok(()));
        println!("{} {}", $m::POSITIONS, $m::$model::INFO.scratch_bytes);
    }};
}

fn main() {
    let data = std::fs::read("data/texts").expect("texts");
    let mut texts = Vec::new();
    let mut rest = &data[..];
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let (text, tail) = tail.split_at(u32::from_le_bytes(*head) as usize);
        texts.push(text);
        rest = tail;
    }
    let mut results = Vec::new();
"#,
    );
    let mut modules = String::new();
    for (k, case) in CASES.iter().enumerate() {
        let module = &case.compiled.module;
        for (name, content) in &module.files {
            project.write(&format!("src/m{k}/{name}"), content);
        }
        modules += &format!("mod m{k} {{\n    include!(\"m{k}/{}.rs\");\n}}\n", module.name);
        main += &format!("    run!(m{k}, {}, &texts, results);\n", module.type_name);
    }
    format!("{main}    std::fs::write(\"data/results\", results).expect(\"results\");\n}}\n{modules}")
}

#[test]
fn modules_compute_what_the_simulation_does() {
    let project = Project::new(TEMPORARY, "text", "\"text\"");
    let texts = texts();
    let data: Vec<u8> = texts.iter().flat_map(|t| [&(t.len() as u32).to_le_bytes()[..], t].concat()).collect();
    project.write("data/texts", data);
    project.write("src/main.rs", program(&project));
    let printed = project.run(&[]);
    let found = std::fs::read(project.folder.join("data/results")).expect("results");
    let mut found = found.as_slice();
    for (case, line) in CASES.iter().zip(printed.lines()) {
        let (plan, model) = (&case.compiled.plan, case.text());
        let positions = model.front_end.positions;
        assert_eq!(line, format!("{positions} {}", case.compiled.report.ram_bytes));
        let rows = model.rows(texts.iter().map(Vec::as_slice)).expect("rows");
        let features = model.front_end.features(texts.iter().map(Vec::as_slice)).expect("features");
        let mut simulator = Simulator::new(plan);
        for pieces in ["bytes", "one piece", "pieces"] {
            for (k, text) in texts.iter().enumerate() {
                simulator.run_real(&rows.row(k));
                let words = features.words[k];
                let summary =
                    [words.min(positions) as u32, words.saturating_sub(positions) as u32, features.invalid[k]];
                let mut expected: Vec<u8> = summary.iter().flat_map(|n| n.to_le_bytes()).collect();
                expected.extend(plan.outputs.iter().flat_map(|o| simulator.value(o.value).bytes()));
                let (head, rest) = found.split_at(expected.len());
                assert_eq!(head, expected, "{}: text {k} ({} bytes) in {pieces}", case.name, text.len());
                found = rest;
            }
        }
    }
    assert!(found.is_empty());
}

/// A row that is almost constant keeps little of itself in integers: its normalization is the real row's.
#[test]
fn the_normalization_of_no_word_is_computed_by_the_generator() {
    let Compiled { graph, plan, .. } = &small().compiled;
    let step = plan.steps.iter().find(|s| s.kernel.op() == "WordNormalization").expect("a normalization of words");
    let rows = small().text().rows([&b""[..], b"wake me"]).expect("rows");
    let (mut float, mut simulator) = (Evaluator::new(graph), Simulator::new(plan));
    let value = &plan.values[step.output];
    let error = |row: usize, float: &mut Evaluator, simulator: &mut Simulator| -> f64 {
        float.run(&rows.row(row));
        simulator.run_real(&rows.row(row));
        let off = |(&real, q): (&f32, f64)| (f64::from(real) - q).abs() / value.quant.scale;
        let last = value.len() - value.features();
        float.value(value.tensor)[last..]
            .iter()
            .zip(&simulator.real(step.output)[last..])
            .map(|(a, &b)| off((a, b)))
            .fold(0.0, f64::max)
    };
    for row in 0..2 {
        let found = error(row, &mut float, &mut simulator);
        assert!(found <= 0.501, "{found} steps");
    }
}

#[test]
fn what_bad_texts_give() {
    let front_end = &CASES[0].text().front_end;
    let of = |text: &[u8]| {
        let found = front_end.features([text]).expect("features");
        (found.words[0], found.invalid[0])
    };
    assert_eq!(of(b""), (0, 0));
    assert_eq!(of(b"\x00\x07\x1b"), (0, 0));
    assert_eq!(of(b"\xff \xc3("), (2, 2));
    assert_eq!(of(&b"long".repeat(2560)), (1, 0));
    assert_eq!(of(&b"w ".repeat(100)), (100, 0));
}

#[test]
fn modules_are_formatted_in_every_style_and_the_same_again() {
    if Command::new("rustfmt").arg("--version").output().is_err() {
        return not_run("rustfmt is not installed", "REQUIRE_TOOLS");
    }
    let project = Project::new(TEMPORARY, "text-formatted", "");
    let mut files = Vec::new();
    for (case, (_, _, builder)) in CASES.iter().zip(builders()) {
        let file = format!("src/{}.rs", case.name);
        project.write(&file, &case.compiled.module.files[0].1);
        files.push(file);
        let again = builder.name(format!("net_{}", case.name)).golden(3).compile().expect("compiles again");
        assert!(again.module == case.compiled.module, "{}", case.name);
    }
    for edition in ["2021", "2024"] {
        let mut rustfmt = Command::new("rustfmt");
        succeed(rustfmt.current_dir(&project.folder).args(["--check", "--edition", edition]).args(&files));
    }
}

#[test]
fn modules_pass_clippy() {
    let project = Project::new(TEMPORARY, "text-linted", "\"text\", \"float\"");
    if !project.cargo(&["clippy", "--version"]).output().is_ok_and(|o| o.status.success()) {
        return not_run("clippy is not installed", "REQUIRE_TOOLS");
    }
    let mut library = String::from(
        "//! Generated modules.\n#![no_std]\n#![forbid(unsafe_code)]\n#![deny(warnings, missing_docs, unused, clippy::all)]\n",
    );
    for (name, _, builder) in builders() {
        let module = builder.io("f32".parse().expect("a type")).compile().expect("compiles").module;
        for (file, content) in &module.files {
            project.write(&format!("src/{name}/{file}"), content);
        }
        library += &format!("/// {name}.\npub mod {name} {{\n    include!(\"{name}/{}.rs\");\n}}\n", module.name);
    }
    project.write("src/lib.rs", library);
    succeed(&mut project.cargo(&["clippy", "--quiet", "--", "-D", "warnings"]));
}

fn small() -> &'static Case {
    &CASES[0]
}

fn evaluate(rows: &str, name: &str) -> tinymlp_codegen::Result<text::TextEvaluation> {
    let file = Path::new(TEMPORARY).join(name);
    std::fs::write(&file, rows).expect("a file");
    let Compiled { graph, plan, .. } = &small().compiled;
    text::evaluate(graph, plan, small().text(), &Utterances::load(&file)?, &mut |_| {})
}

#[test]
fn the_trained_model_understands_words_it_never_saw() {
    let rows = std::fs::read_to_string(here("models/pnlp/small.test.tsv")).expect("rows");
    let found = evaluate(&rows, "small.test.tsv").expect("figures");
    assert_eq!((found.rows, found.words_cut, found.invalid), (60, 0, 0));
    let exact = [found.float.exact, found.quantized.exact].map(|share| share.expect("slots"));
    assert!(exact[0] > 0.8 && (exact[0] - exact[1]).abs() <= 0.05, "{found:?}");
}

#[test]
fn only_what_is_all_right_counts() {
    let rows = std::fs::read_to_string(here("models/pnlp/small.train.tsv")).expect("rows");
    // Rows of the training data, which the model knows.
    let known: Vec<Vec<&str>> = rows.lines().take(4).map(|l| l.split('\t').collect()).collect();
    let row = |k: usize, label: &str, tags: &str| format!("{label}\t{}\t{tags}\n", known[k][1]);
    let right = row(0, known[0][0], known[0][2]);
    let one = |rows: &str| {
        let found = evaluate(rows, "counted.tsv").expect("figures").quantized;
        (found.intent, found.slots.expect("slots"), found.exact.expect("slots"))
    };
    assert_eq!(one(&right), (1.0, 1.0, 1.0));
    assert_eq!(one(&format!("{right}{}", row(1, "unheard-of", known[1][2]))), (0.5, 1.0, 0.5));
    let other = known[2][2].replacen("B-", "B-unheard-of-", 1);
    assert_ne!(other, known[2][2]);
    assert_eq!(one(&format!("{right}{}", row(2, known[2][0], &other))), (1.0, 0.5, 0.5));
    let long = format!("{}\t{}\t{}\n", known[0][0], [known[0][1]; 13].join(" "), [known[0][2]; 13].join(" "));
    let found = evaluate(&format!("{right}{long}"), "cut.tsv").expect("figures");
    let words = 14 * known[0][1].split(' ').count();
    assert_eq!((found.words, found.words_cut, found.utterances_cut), (words, words - words / 14 - 12, 1));
    assert!(found.quantized.slots.is_some_and(|share| share == 0.5));

    let problems =
        evaluate("play\tplay it\tO\nplay\tstop\tO\nplay\ta b c\tO O\n", "wrong.tsv").unwrap_err().to_string();
    for part in ["wrong.tsv: row 1: has 1 tags, but the model's front end finds 2 words", "row 3: has 2 tags"] {
        assert!(problems.contains(part), "{problems}");
    }
    assert!(evaluate("just text\n", "bare.tsv").unwrap_err().to_string().contains("has no labels"));
    assert!(evaluate("play\tjust text\n", "untagged.tsv").unwrap_err().to_string().contains("no column of tags"));
}

/// What the builder says of a model.
fn refused(name: &str, model: &Model) -> String {
    let folder = Path::new(TEMPORARY).join("text-refused");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("{name}.onnx"));
    std::fs::write(&file, model.bytes()).expect("a model");
    Builder::new(&file).graph().map(|_| ()).expect_err(name).to_string()
}

#[test]
fn properties_that_do_not_fit_are_refused_with_what_to_do() {
    let [(_, cased), (_, uncased), (_, pieces)] = sketches();
    let changed = |sketch: &Sketch, from: &str, to: &str| {
        assert!(sketch.property.contains(from), "{from}");
        model(&Sketch { property: sketch.property.replacen(from, to, 1), ..sketch.clone() })
    };
    for (name, model, parts) in [
        ("json", changed(&cased, "{", "["), &["no JSON"][..]),
        ("version", changed(&cased, "\"version\":1", "\"version\":7"), &["version 7", "reads version 1"]),
        ("key", changed(&cased, "\"hashes\"", "\"hash\""), &["tinymlp.text", "unknown field `hash`", "its keys are"]),
        ("input", changed(&cased, "\"counts\"", "\"x\""), &["input 'counts'", "'x'"]),
        ("tokenizer", changed(&cased, "\"words\"", "\"bytes\""), &["unknown variant `bytes`"]),
        (
            "buckets",
            changed(&cased, "\"buckets\":31", "\"buckets\":32"),
            &["input 'counts'", "[1, 5, 155]", "has 160 counts"],
        ),
        ("window", changed(&cased, "\"window\":2", "\"window\":1"), &["a window of 3 words with 31 buckets"]),
        ("hashes", changed(&cased, "\"hashes\":9", "\"hashes\":200"), &["200 hash functions", "1 to 128"]),
        ("labels", changed(&cased, "\"on\",", ""), &["output 'intent'", "has 3 numbers", "but 2 labels"]),
        ("twice", changed(&cased, "\"on\"", "\"off\""), &["label \"off\" twice"]),
        ("no-labels", changed(&cased, ",\"slots\":[\"O\",\"B\"]", ""), &["output 'slots'", "has no labels"]),
        ("other-labels", changed(&uncased, "\"labels\":{", "\"labels\":{\"slots\":[],"), &["labels of 'slots'"]),
        ("no-vocabulary", changed(&pieces, ",\"vocabulary\":\"pieces.txt\"", ""), &["has no vocabulary"]),
        ("idle-vocabulary", changed(&cased, "\"words\"", "\"words\",\"vocabulary\":\"p\""), &["do not need"]),
        ("outside", changed(&pieces, "pieces.txt", "../pieces.txt"), &["no file beside the model"]),
        ("missing", changed(&pieces, "pieces.txt", "absent.txt"), &["absent.txt", "cannot be read"]),
    ] {
        let said = refused(name, &model);
        for part in parts.iter().copied().chain([&format!("{name}.onnx") as &str]) {
            assert!(said.contains(part), "{name}: no `{part}` in: {said}");
        }
    }
    let wrong = Sketch {
        property: cased.property.replacen("\"buckets\":31", "\"buckets\":32", 1).replacen("\"on\",", "", 1),
        ..cased
    };
    let said = refused("two", &model(&wrong));
    assert!(said.contains("160 counts") && said.contains("2 labels"), "{said}");
}

#[test]
fn networks_that_read_text_in_another_way_are_refused() {
    let [(_, sketch), ..] = sketches();
    let dims = [1, 5, 155];
    let text = |model: Model| model.metadata("tinymlp.text", &sketch.property);
    let relu = heads(Model::new(13).input("counts", &dims).node("Relu", &["counts"], &["h"], vec![]), 155, true);
    let said = refused("relu", &text(relu));
    assert!(said.contains("(Relu)") && said.contains("no fully connected layer"), "{said}");
    let twice = front(&sketch, 6).node("ReduceMax", &["counts"], &["m"], vec![a("keepdims", 0)]).output("m");
    let said = refused("twice", &text(heads(twice, 6, true)));
    assert!(said.contains("input 'counts'") && said.contains("is read by the nodes"), "{said}");
    let second = front(&sketch, 6).input("x", &[1, 2]).node("Relu", &["x"], &["z"], vec![]).output("z");
    assert!(refused("inputs", &text(heads(second, 6, true))).contains("has 2 inputs"));
    let direct = front(&sketch, 6).node("Identity", &["r"], &["rows"], vec![]).output("rows");
    let said = refused("direct", &text(heads(direct, 6, true)));
    assert!(said.contains("is an output as well"), "{said}");
    let unnamed = front(&sketch, 6).node("Identity", &["h"], &["class"], vec![]).output("class");
    assert!(refused("unnamed", &text(unnamed)).contains("no output 'intent'"));

    let folder = Path::new(TEMPORARY).join("text-refused");
    let file = folder.join("numbers.onnx");
    std::fs::write(&file, text(heads(front(&sketch, 6), 6, true)).bytes()).expect("a model");
    let said = Builder::new(&file).calibration("rows.npy").compile().expect_err("numbers").to_string();
    assert!(said.contains("rows.npy") && said.contains("no file of texts"), "{said}");
    let said = Builder::new(&file).arg_max().graph().expect_err("indices").to_string();
    assert!(said.contains("output 'intent'") && said.contains("give out the logits"), "{said}");
}
