//! Bad input of every kind, given to the real `tinymlp` command: a non-zero exit, a message that names the thing, no
//! panic, nothing left behind, and no memory for what a small file merely claims.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tinymlp_codegen::data::write_npy;
use tinymlp_tests::files::{npy, npz};
use tinymlp_tests::models::{here, shared};
use tinymlp_tests::onnx::{Model, attribute, floats, ints};
use tinymlp_tests::project::{cargo, succeed, text};

const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// The command, built by the workspace into the target folder of these tests.
static TINYMLP: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = Path::new(TEMPORARY).parent().expect("the target folder");
    let arguments = ["build", "--quiet", "--package", "tinymlp-codegen", "--features", "cli", "--bin", "tinymlp"];
    succeed(&mut cargo(&here(".."), target, &arguments));
    target.join("debug").join(format!("tinymlp{}", std::env::consts::EXE_SUFFIX))
});

/// A folder of inputs: `good.onnx` takes 4 values `x` a row, `good.npy` has such rows.
struct Folder(PathBuf);

fn good() -> Model {
    Model::new(17)
        .input("x", &[-1, 4])
        .initializer(floats("w", &[4, 3], &(0..12).map(|k| (k as f32).sin()).collect::<Vec<_>>()))
        .node("MatMul", &["x", "w"], &["y"], vec![])
        .output("y")
}

fn rows(n: usize) -> Vec<f32> {
    (0..4 * n).map(|k| (k as f32 * 1.3).cos()).collect()
}

impl Folder {
    fn new(name: &str) -> Self {
        let folder = Path::new(TEMPORARY).join("bad-input").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("the former folder is removed");
        }
        std::fs::create_dir_all(&folder).expect("a folder");
        let folder = Self(folder);
        folder.write("good.onnx", good().bytes());
        folder.write("good.npy", write_npy(4, &rows(16)));
        folder
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    /// All files and folders, with the contents of files.
    fn contents(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let (mut found, mut folders) = (BTreeMap::new(), vec![self.0.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path.clone(), std::fs::read(path).ok());
            }
        }
        found
    }

    fn run(&self, line: &str) -> Output {
        Command::new(&*TINYMLP).args(line.split_whitespace()).current_dir(&self.0).output().expect("it runs")
    }

    /// Runs a command line that must be refused with a message that has all `words`, and leaves everything as it was.
    /// Gives the message.
    fn refused(&self, line: &str, words: &[&str]) -> String {
        let before = self.contents();
        self.is_refusal(line, &self.run(line), words, &before)
    }

    fn is_refusal(
        &self,
        line: &str,
        output: &Output,
        words: &[&str],
        before: &BTreeMap<PathBuf, Option<Vec<u8>>>,
    ) -> String {
        let message = String::from_utf8(output.stderr.clone()).expect("text");
        assert!(matches!(output.status.code(), Some(1 | 2)), "{line}: {}\n{}", output.status, text(output));
        assert!(message.starts_with("error: "), "{line}: {message}");
        for word in words {
            assert!(message.contains(word), "{line}: no `{word}` in: {message}");
        }
        for word in ["panicked", "RUST_BACKTRACE", "unwrap", "Err("] {
            assert!(!message.contains(word), "{line}: `{word}` in: {message}");
        }
        assert!(output.stdout.is_empty(), "{line}: {}", text(output));
        assert!(self.contents() == *before, "{line} left something behind");
        message
    }

    /// A model that every command refuses with a message that has all `words`.
    fn model_refused(&self, name: &str, words: &[&str]) -> String {
        let mut words = words.to_vec();
        words.push(name);
        self.refused(&format!("build {name} --calibration good.npy --out out"), &words);
        self.refused(&format!("evaluate {name} --calibration good.npy --inputs good.npy --outputs out.npy"), &words);
        self.refused(&format!("inspect {name}"), &words)
    }

    /// A model that goes wrong only with data.
    fn build_refused(&self, name: &str, words: &[&str]) -> String {
        self.refused(&format!("build {name} --calibration good.npy --out out"), words)
    }

    /// Data that are refused as calibration and as inputs, with a message that has the name of the file and all `words`.
    fn data_refused(&self, name: &str, words: &[&str]) {
        let mut words = words.to_vec();
        words.push(name);
        self.refused(&format!("build good.onnx --calibration {name} --out out"), &words);
        self.refused(&format!("evaluate good.onnx --calibration good.npy --inputs {name} --outputs out.npy"), &words);
    }

    /// [`Folder::run`] with at most 200 MB of address space, where `sh` can limit it.
    fn in_little_memory(&self, line: &str) -> Output {
        if cfg!(not(target_os = "linux")) {
            return self.run(line);
        }
        let limited = format!("ulimit -v 200000; exec \"$0\" {line}");
        Command::new("sh").arg("-c").arg(limited).arg(&*TINYMLP).current_dir(&self.0).output().expect("it runs")
    }

    /// [`Folder::refused`] in little memory.
    fn refused_in_little_memory(&self, line: &str, words: &[&str]) {
        let before = self.contents();
        self.is_refusal(line, &self.in_little_memory(line), words, &before);
    }
}

#[test]
fn good_input_is_accepted() {
    let folder = Folder::new("good");
    succeed(Command::new(&*TINYMLP).args(["inspect", "good.onnx"]).current_dir(&folder.0));
    let output = folder.run("build good.onnx --calibration good.npy --out out");
    assert!(output.status.success(), "{}", text(&output));
    assert!(folder.0.join("out/good.rs").exists() && folder.0.join("out/report.json").exists());
    folder.write("labels.npy", npy("<i4", "(16,)", &[0; 64]));
    let output = folder.run("evaluate good.onnx --calibration good.npy --inputs good.npy --labels labels.npy --json");
    assert!(output.status.success() && text(&output).contains("\"quantized_accuracy\""), "{}", text(&output));
}

#[test]
fn files_that_are_no_models() {
    let folder = Folder::new("no-models");
    let digits = std::fs::read(here("models/digits/model.onnx")).expect("a model");
    let whole = digits.len();
    for (k, length) in
        [1, 2, 7, 50, 500, whole / 4, whole / 2, whole - 200, whole - 3, whole - 1].into_iter().enumerate()
    {
        let name = format!("cut{k}.onnx");
        folder.write(&name, &digits[..length]);
        folder.model_refused(&name, &["help: "]);
    }
    for (name, content, words) in [
        ("empty.onnx", &b""[..], &["empty"][..]),
        ("text.onnx", b"a model, perhaps\n", &["text file"]),
        ("json.onnx", b"{\"ir_version\": 8}", &["JSON"]),
        ("zip.onnx", b"PK\x03\x04 and so on", &["zip archive", "torch.onnx.export"]),
        ("page.onnx", b"<!DOCTYPE html><html></html>", &["web page"]),
        ("noise.onnx", &[0xff; 300], &["damaged"]),
        ("lfs.onnx", b"version https://git-lfs.github.com/spec/v1\n", &["git lfs pull"]),
    ] {
        folder.write(name, content);
        folder.model_refused(name, words);
    }
    folder.model_refused("good.npy", &["not an ONNX model"]);
    folder.model_refused("missing.onnx", &["cannot be read"]);
    std::fs::create_dir(folder.0.join("folder.onnx")).expect("a folder");
    folder.model_refused("folder.onnx", &["cannot be read"]);
    if let Some(data) = shared("bench/digits/model_int8.tflite") {
        std::fs::copy(data, folder.0.join("lite.onnx")).expect("a copy");
        folder.model_refused("lite.onnx", &["TensorFlow Lite", "tf2onnx"]);
    }
}

#[test]
fn damaged_models_are_refused_or_read_but_never_panic() {
    let folder = Folder::new("damaged");
    let digits = std::fs::read(here("models/digits/model.onnx")).expect("a model");
    // The structure lies at the ends; between them are weights.
    let places = (0..digits.len()).filter(|&k| k < 200 || digits.len() - k < 600 || k % 1009 == 0).step_by(9);
    let mut refused = 0;
    for place in places {
        let mut damaged = digits.clone();
        damaged[place] ^= 0xff;
        folder.write("damaged.onnx", damaged);
        let output = folder.run("inspect damaged.onnx");
        if !output.status.success() {
            refused += 1;
            let message = text(&output);
            assert_eq!(output.status.code(), Some(1), "byte {place}: {message}");
            assert!(message.contains("damaged.onnx: ") && !message.contains("panicked"), "byte {place}: {message}");
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn all_unsupported_operators_at_once() {
    let folder = Folder::new("unsupported");
    let model = Model::new(17)
        .input("x", &[-1, 4])
        .node("LSTM", &["x"], &["memory"], vec![])
        .node("Relu", &["memory"], &["r"], vec![])
        .node("MaxPool", &["x"], &["pooled"], vec![])
        .node("vendor:Magic", &["x"], &["magic"], vec![])
        .node("Sum", &["r", "pooled", "magic"], &["y"], vec![])
        .output("y");
    folder.write("ops.onnx", model.bytes());
    let message = folder.model_refused("ops.onnx", &[]);
    for parts in [["'memory' (LSTM)", "[1, 4]"], ["'pooled' (MaxPool)", "[1, 4]"], ["'magic' (Magic)", "[1, 4]"]] {
        let problem = message.split("error: ").find(|p| parts.iter().all(|part| p.contains(part)));
        assert!(problem.is_some_and(|p| p.contains("help: ")), "{parts:?} in {message}");
    }
    assert!(message.contains("3 problems found; nothing was written"), "{message}");
}

#[test]
fn models_that_cannot_be_compiled() {
    let folder = Folder::new("models");
    let refused = |model: Model, words: &[&str]| {
        folder.write("bad.onnx", model.bytes());
        folder.model_refused("bad.onnx", words)
    };
    let base = || Model::new(17).input("x", &[-1, 4]);
    let dynamic = Model::new(17).input("x", &[-1, -1]).node("Relu", &["x"], &["y"], vec![]).output("y");
    refused(dynamic, &["input 'x'", "axis 1", "fixed size"]);
    for (value, what) in [(f32::NAN, "not a number"), (f32::INFINITY, "infinite"), (f32::NEG_INFINITY, "infinite")] {
        let mut data = [0.5; 8];
        data[5] = value;
        let weights = floats("kernel", &[4, 2], &data);
        let model = base().initializer(weights).node("MatMul", &["x", "kernel"], &["y"], vec![]).output("y");
        refused(model, &["initializer 'kernel'", "[2, 1]", what]);
    }
    let cycle = base()
        .node("Add", &["x", "c"], &["b"], vec![])
        .node("Relu", &["b"], &["c"], vec![])
        .node("Relu", &["c"], &["y"], vec![])
        .output("y");
    refused(cycle, &["'b' (Add)", "'c' (Relu)", "cycle"]);
    // What only the data show: a logarithm of negative numbers.
    let logarithm = base().node("Log", &["x"], &["y"], vec![]).output("y");
    folder.write("log.onnx", logarithm.bytes());
    folder.build_refused("log.onnx", &["node 'y' (Log)", "infinite or undefined", "calibration data"]);
}

#[test]
fn models_that_claim_gigabytes() {
    let folder = Folder::new("huge-models");
    let huge = |model: Model, words: &[&str]| {
        let bytes = model.bytes();
        assert!(bytes.len() < 2000);
        folder.write("huge.onnx", bytes);
        for line in ["inspect huge.onnx", "build huge.onnx --calibration good.npy --out out"] {
            folder.refused_in_little_memory(line, words);
        }
    };
    let base = || Model::new(17).input("x", &[-1, 4]);
    let product = |model: Model| model.node("MatMul", &["x", "w"], &["y"], vec![]).output("y");
    for dims in [&[4, 1 << 40][..], &[1 << 32, 1 << 32], &[i64::MAX, 2], &[4, -1]] {
        let mut claim = floats("w", &[1], &[1.0]);
        claim.dims = dims.into();
        huge(product(base().initializer(claim)), &["initializer 'w'"]);
    }
    let mut expanded = base().initializer(ints("shape", &[2], &[4, 1 << 33]));
    expanded = expanded.node("ConstantOfShape", &["shape"], &["w"], vec![]);
    huge(product(expanded), &["'w' (ConstantOfShape)"]);
    let expand = base()
        .initializer(ints("shape", &[2], &[4, 1 << 33]))
        .initializer(floats("one", &[1, 1], &[1.0]))
        .node("Expand", &["one", "shape"], &["w"], vec![]);
    huge(product(expand), &["'w' (Expand)"]);
    let mut doubled = base().initializer(floats("w0", &[4, 4], &[0.5; 16]));
    let names: Vec<String> = (0..34).map(|k| format!("w{k}")).collect();
    for pair in names.windows(2) {
        doubled = doubled.node("Concat", &[&pair[0], &pair[0]], &[&pair[1]], vec![attribute("axis", 1)]);
    }
    huge(doubled.node("MatMul", &["x", "w33"], &["y"], vec![]).output("y"), &["(Concat)"]);
    let wide = Model::new(17).input("x", &[-1, 1 << 34]).node("Relu", &["x"], &["y"], vec![]).output("y");
    huge(wide, &["input 'x'"]);
    let mut computed = base();
    let names: Vec<String> = (0..34).map(|k| if k == 0 { "x".into() } else { format!("x{k}") }).collect();
    for pair in names.windows(2) {
        computed = computed.node("Concat", &[&pair[0], &pair[0]], &[&pair[1]], vec![attribute("axis", 1)]);
    }
    huge(computed.output("x33"), &["(Concat)"]);
}

#[test]
fn data_that_cannot_be_used() {
    let folder = Folder::new("data");
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    for (name, value) in [("NaN", f32::NAN), ("inf", f32::INFINITY), ("-inf", f32::NEG_INFINITY)] {
        let mut values = rows(16);
        values[4 * 11 + 2] = value;
        folder.write("values.npy", write_npy(4, &values));
        folder.data_refused("values.npy", &["row 11", "value 2", name]);
        folder.write("values.csv", format!("a,b,c,d\n1,2,3,4\n5,6,{name},8\n"));
        folder.data_refused("values.csv", &["row 1", "value 2", name]);
    }
    for (name, content, words) in [
        ("wide.npy", write_npy(5, &rows(20)), &["[16, 5]", "input 'x'", "4 values a row"][..]),
        ("flat.npy", npy("<f4", "(64,)", &bytes(&rows(16))), &["[64]", "input 'x'"]),
        ("norows.npy", npy("<f4", "(0, 4)", &[]), &["empty", "[0, 4]"]),
        ("nobytes.npy", vec![], &[".npy"]),
        ("complex.npy", npy("<c8", "(1, 4)", &[0; 32]), &["'<c8'", "astype"]),
        ("objects.npy", npy("|O", "(1, 4)", &[0; 32]), &["'|O'"]),
        ("words.npy", npy("<U3", "(1, 4)", &[0; 48]), &["'<U3'"]),
        ("short.npy", npy("<f4", "(16, 4)", &[0; 255]), &["[16, 4]", "255 bytes"]),
        ("long.npy", npy("<f4", "(16, 4)", &[0; 257]), &["[16, 4]", "257 bytes"]),
        ("cut.npy", write_npy(4, &rows(2))[..40].to_vec(), &["header"]),
        ("model.npy", good().bytes(), &["not .npy"]),
        ("data.bin", bytes(&rows(16)), &["extension", ".csv"]),
        ("text.csv", b"a,b,c,d\n1,2,3,4\n1,2,x,4\n".to_vec(), &["line 3", "'c'", "'x'"]),
        ("ragged.csv", b"1,2,3,4\n1,2,3\n".to_vec(), &["line 2", "3 fields"]),
        ("header.csv", b"a,b,c,d\n".to_vec(), &["no row"]),
        ("empty.csv", vec![], &["no row"]),
        ("narrow.csv", b"1,2,3\n4,5,6\n".to_vec(), &["[2, 3]", "input 'x'"]),
        ("broken.npz", b"PK\x03\x04nothing more".to_vec(), &["zip"]),
        (
            "names.npz",
            npz(&[("a".into(), write_npy(4, &rows(2))), ("b".into(), write_npy(4, &rows(2)))]),
            &["'x'", "\"a\""],
        ),
    ] {
        folder.write(name, content);
        folder.data_refused(name, words);
    }
    folder.data_refused("missing.npy", &["cannot be read"]);
    std::fs::create_dir(folder.0.join("folder.npy")).expect("a folder");
    folder.data_refused("folder.npy", &["cannot be read"]);
    // As calibration only.
    let mut stuck = rows(16);
    stuck.iter_mut().skip(2).step_by(4).for_each(|v| *v = 7.5);
    folder.write("stuck.npy", write_npy(4, &stuck));
    let line = "build good.onnx --calibration stuck.npy --out out";
    folder.refused(line, &["stuck.npy", "input 'x'", "never change", "column 2", "7.5"]);
    folder.write("same.npy", write_npy(4, &[1.0, 2.0, 3.0, 4.0].repeat(16)));
    folder.refused(
        "build good.onnx --calibration same.npy --out out",
        &["same.npy", "input 'x'", "all 16 rows are the same"],
    );
    let two =
        Model::new(17).input("a", &[-1, 4]).input("b", &[-1, 4]).node("Add", &["a", "b"], &["y"], vec![]).output("y");
    folder.write("two.onnx", two.bytes());
    folder.write("uneven.npz", npz(&[("a".into(), write_npy(4, &rows(2))), ("b".into(), write_npy(4, &rows(3)))]));
    folder.refused("build two.onnx --calibration uneven.npz --out out", &["uneven.npz", "'b' has 3 rows", "2"]);
    folder.refused("build two.onnx --calibration good.npy --out out", &["good.npy", "input 'a'", "input 'b'", "savez"]);
    folder.refused("build good.onnx --out out", &["--calibration"]);
}

#[test]
fn data_that_claim_gigabytes() {
    let folder = Folder::new("huge-data");
    let lie = npy("<f4", "(1000000000, 4)", &[0; 800]);
    folder.write("lie.npy", &lie);
    folder.write("overflow.npy", npy("<f8", "(4611686018427387904, 4)", &[0; 800]));
    folder.write("lie.npz", npz(&[("x".into(), lie)]));
    // A header as long as the format allows.
    let mut header = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
    header.resize(1000, b' ');
    folder.write("header.npy", header);
    for (file, word) in
        [("lie.npy", "800 bytes"), ("overflow.npy", "800 bytes"), ("lie.npz", "800 bytes"), ("header.npy", "header")]
    {
        let lines = [
            format!("build good.onnx --calibration {file} --out out"),
            format!("evaluate good.onnx --calibration good.npy --inputs {file} --outputs out.npy"),
            format!("evaluate good.onnx --calibration good.npy --inputs good.npy --labels {file} --outputs out.npy"),
        ];
        for line in lines {
            folder.refused_in_little_memory(&line, &[file, word]);
        }
    }
}

#[test]
fn an_archive_that_claims_gigabytes_takes_no_more_than_it_holds() {
    let folder = Folder::new("huge-archive");
    let mut archive = npz(&[("x".into(), write_npy(4, &rows(16)))]);
    let entry = archive.windows(4).position(|w| w == b"PK\x01\x02").expect("a directory");
    // The uncompressed size of the entry, which the reader has no need of.
    archive[entry + 24..entry + 28].fill(0xfe);
    folder.write("sizes.npz", archive);
    let output = folder.in_little_memory("build good.onnx --calibration sizes.npz --out out");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn labels_that_cannot_be_used() {
    let folder = Folder::new("labels");
    let labels = |values: &[f32]| {
        npy("<f4", &format!("({},)", values.len()), &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
    };
    let with = |value: f32| {
        let mut values = [0.0; 16];
        values[9] = value;
        labels(&values)
    };
    for (name, content, words) in [
        ("range.npy", with(3.0), &["label 3", "row 9", "3 classes"][..]),
        ("huge.npy", with(1e30), &["row 9", "3 classes"]),
        ("negative.npy", with(-1.0), &["label -1", "row 9"]),
        ("half.npy", with(1.5), &["label 1.5", "row 9"]),
        ("nan.npy", with(f32::NAN), &["NaN", "row 9"]),
        ("few.npy", labels(&[0.0; 15]), &["15 labels", "16 rows"]),
        ("none.npy", labels(&[]), &["0 labels", "16 rows"]),
        ("words.csv", b"label\ncat\n".to_vec(), &["line 2", "'cat'"]),
    ] {
        folder.write(name, content);
        let line = format!(
            "evaluate good.onnx --calibration good.npy --inputs good.npy --labels {name} --outputs out.npy --json"
        );
        let mut words = words.to_vec();
        words.push(name);
        folder.refused(&line, &words);
    }
}

#[test]
fn folders_that_cannot_be_written() {
    let folder = Folder::new("folders");
    folder.write("file", "in the way");
    let build = "build good.onnx --calibration good.npy";
    folder.refused(&format!("{build} --out file"), &["file", "cannot be written"]);
    folder.refused(&format!("{build} --out file/below/it"), &["file/below/it", "cannot be written"]);
    for blocked in ["good.rs", "report.json"] {
        let out = format!("blocked-{blocked}");
        std::fs::create_dir_all(folder.0.join(&out).join(blocked)).expect("a folder");
        folder.refused(&format!("{build} --out {out}"), &[blocked, "cannot be written"]);
    }
    let evaluate = "evaluate good.onnx --calibration good.npy --inputs good.npy";
    folder.refused(&format!("{evaluate} --outputs file/out.npy"), &["file/out.npy", "cannot be written"]);
    folder.refused(&format!("{evaluate} --outputs missing/out.npy"), &["missing/out.npy", "cannot be written"]);
    if Path::new("/dev/full").exists() {
        folder.refused(&format!("{evaluate} --outputs /dev/full"), &["/dev/full", "cannot be written"]);
    }
    // What was there stays, whole, when the next build fails.
    let output = folder.run(&format!("{build} --out out"));
    assert!(output.status.success(), "{}", text(&output));
    folder.refused("build missing.onnx --calibration good.npy --out out", &["missing.onnx"]);
    folder.refused(&format!("{build} --out out --int16 nothing"), &["nothing"]);
}

#[test]
fn options_that_mean_nothing() {
    let folder = Folder::new("options");
    let build = "build good.onnx --calibration good.npy --out out";
    folder.refused(&format!("{build} --int16 dense_7"), &["good.onnx", "int16 'dense_7'", "no node", "\"y\"", "all"]);
    for observer in ["median", "percentile=10", "percentile=x", "percentile=NaN"] {
        folder.refused(&format!("{build} --observer {observer}"), &["--observer", observer]);
    }
    for io in ["f64", "I20F20", "U8F8"] {
        folder.refused(&format!("{build} --io {io}"), &["--io", io]);
    }
    let evaluate = "evaluate good.onnx --calibration good.npy --inputs good.npy --outputs out.npy";
    for limit in ["0", "-1", "many"] {
        folder.refused(&format!("{evaluate} --limit={limit}"), &["--limit", limit]);
    }
    folder.refused("compile good.onnx", &["compile"]);
    folder.refused("build", &["MODEL"]);
}

/// Rows with the classes that `good.onnx` gives them.
fn labelled(folder: &Folder, count: usize) {
    let x = rows(count);
    let score = |row: &[f32], class: usize| -> f32 { (0..4).map(|i| row[i] * ((3 * i + class) as f32).sin()).sum() };
    let class = |row: &[f32]| (0..3).max_by(|&a, &b| score(row, a).total_cmp(&score(row, b))).unwrap_or(0) as f32;
    folder.write("x.npy", write_npy(4, &x));
    folder.write("y.npy", write_npy(1, &x.chunks(4).map(class).collect::<Vec<_>>()));
}

const SEARCH: &str = "search good.onnx --data x.npy --labels y.npy --target cortex-m0 --population 20";

#[test]
fn searches_are_refused_with_all_reasons_and_leave_nothing() {
    let folder = Folder::new("search");
    labelled(&folder, 90);
    folder.write("short.npy", write_npy(1, &[0.0; 89]));
    folder.write("missing.npy", write_npy(1, &(0..90).map(|k| (k % 2) as f32).collect::<Vec<_>>()));
    folder.write("file", "");
    let search = |rest: &str| format!("search good.onnx --data x.npy --target cortex-m0 {rest}");
    folder.refused(&search("--labels short.npy --out out"), &["short.npy", "89 labels for 90 rows"]);
    folder.refused(&search("--labels missing.npy --out out"), &["class 2", "0 row(s)"]);
    folder.refused(&search("--labels short.npy --out file"), &["89 labels", "file: cannot be written"]);
    folder.refused(&search("--labels y.npy --out out --objective size"), &["'size' is none of"]);
    folder.refused(&search("--labels y.npy --out out --max-accuracy-drop 200%"), &["no share"]);
    let printed = "search good.onnx --data x.npy --labels y.npy --out out --target printed --objective flash";
    folder.refused(printed, &["not predicted for circuits"]);
    let portable = "search good.onnx --data x.npy --labels y.npy --out out --target portable";
    folder.refused(portable, &["not predicted for 'portable'", "cortex-m0"]);
    let output = folder.run(&format!("{SEARCH} --generations 2 --out out"));
    assert!(output.status.success(), "{}", text(&output));
    let other = folder.refused(&format!("{SEARCH} --generations 2 --seed 7 --out out"), &["state.json", "--restart"]);
    assert!(other.contains("another model, data or options"), "{other}");
    let again = folder.run(&format!("{SEARCH} --generations 2 --seed 7 --out out --restart"));
    assert!(again.status.success(), "{}", text(&again));
}

#[test]
fn a_budget_that_nothing_keeps_to_is_an_error_with_the_front_written() {
    let folder = Folder::new("budget");
    labelled(&folder, 90);
    let other = Model::new(17)
        .input("x", &[-1, 4])
        .initializer(floats("w", &[4, 3], &(0..12).map(|k| (k as f32 * 0.7).cos()).collect::<Vec<_>>()))
        .node("MatMul", &["x", "w"], &["y"], vec![])
        .output("y");
    folder.write("other.onnx", other.bytes());
    let line = "search other.onnx --reference good.onnx --data x.npy --labels y.npy --target printed --out out";
    let output = folder.run(&format!("{line} --population 20 --generations 2 --max-accuracy-drop 1%"));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(message.contains("no point loses at most 1 %; the nearest is point-"), "{message}");
    for file in ["front.json", "front.svg", "calibration.npy", "point-00.json", "exact.json"] {
        assert!(folder.0.join("out").join(file).is_file(), "{file}");
    }
}

#[test]
fn an_interrupted_search_goes_on_and_ends_as_if_it_had_not_been() {
    let folder = Folder::new("interrupted");
    labelled(&folder, 90);
    let line = format!("{SEARCH} --generations 1000000 --out parts");
    let mut child = Command::new(&*TINYMLP)
        .args(line.split_whitespace())
        .current_dir(&folder.0)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it runs");
    let generation = || -> Option<usize> {
        let state = std::fs::read_to_string(folder.0.join("parts/state.json")).ok()?;
        let (_, rest) = state.split_once("\"generation\": ")?;
        rest.split(',').next()?.parse().ok()
    };
    while generation().is_none_or(|done| done < 3) {
        assert!(child.try_wait().expect("its state").is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    let end = generation().expect("a whole state") + 4;
    let files = |out: &str| {
        let output = folder.run(&format!("{SEARCH} --generations {end} --out {out}"));
        assert!(output.status.success(), "{}", text(&output));
        let all = folder.contents().into_iter();
        let of = all.filter_map(|(path, bytes)| Some((path.strip_prefix(folder.0.join(out)).ok()?.to_owned(), bytes)));
        // What was being written when it was killed may still be there.
        of.filter(|(path, _)| !path.to_string_lossy().starts_with('.')).collect::<BTreeMap<_, _>>()
    };
    let (parts, whole) = (files("parts"), files("whole"));
    assert!(whole.len() > 5, "{:?}", whole.keys());
    assert!(parts == whole, "{:?} and {:?}", parts.keys(), whole.keys());
}
