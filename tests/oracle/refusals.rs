//! What cannot be imported: every reason is said at once, with its place and what to do.

use tinymlp_codegen::import;
use tinymlp_codegen::import::proto::{StringStringEntryProto, TensorProto};
use tinymlp_tests::onnx::{Model, attribute as a, floats, ints, value_info};

fn problems(bytes: &[u8]) -> Vec<String> {
    let error = import::from_bytes("test", bytes, None).expect_err("refused");
    error.problems().iter().map(ToString::to_string).collect()
}

/// The one problem of a model, which must contain all the given parts.
fn refused(model: &Model, parts: &[&str]) {
    let all = problems(&model.bytes());
    assert_eq!(all.len(), 1, "{all:#?}");
    for part in parts {
        assert!(all[0].contains(part), "no `{part}` in: {}", all[0]);
    }
}

fn base() -> Model {
    Model::new(13).input("x", &[-1, 4])
}

#[test]
fn files_that_are_no_models() {
    for (bytes, what) in [
        (&b""[..], "empty"),
        (b"\x1c\0\0\0TFL3....", "TensorFlow Lite"),
        (b"PK\x03\x04....", "zip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"{\"model\": 1}", "JSON"),
        (b"Not found.\n", "text"),
        (b"\x08\x07", "no graph"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "damaged"),
    ] {
        let all = problems(bytes);
        assert!(all.len() == 1 && all[0].contains(what), "{all:?}");
    }
    let mut model = base().node("Relu", &["x"], &["y"], vec![]).output("y");
    model.0.opset_import.truncate(1);
    let whole = model.bytes();
    for length in 1..whole.len() {
        assert!(!problems(&whole[..length]).is_empty());
    }
}

#[test]
fn all_unsupported_operators_at_once() {
    let model = base()
        .node("LSTM", &["x"], &["a"], vec![])
        .node("Relu", &["a"], &["b"], vec![])
        .node("MaxPool", &["b"], &["c"], vec![])
        .node("QuantizeLinear", &["x"], &["d"], vec![])
        .node("DequantizeLinear", &["x", "x"], &["f"], vec![])
        .node("custom:Thing", &["c", "d", "f"], &["e"], vec![])
        .node("Add", &["e", "x"], &["y"], vec![])
        .output("y");
    let all = problems(&model.bytes());
    let expected = [
        ["node 'a' (LSTM)", "on [1, 4]", "feed-forward"],
        ["node 'c' (MaxPool)", "on ?", "MLP-family"],
        ["node 'd' (QuantizeLinear)", "on [1, 4]", "float model"],
        ["node 'f' (DequantizeLinear)", "computed from the model's inputs", "float model"],
        ["node 'e' (Thing)", "custom.Thing", "supported operators"],
    ];
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for parts in expected {
        assert!(all.iter().any(|p| parts.iter().all(|part| p.contains(part))), "{parts:?} in {all:#?}");
    }
}

#[test]
fn shapes() {
    let relu = |model: Model| model.node("Relu", &["x"], &["y"], vec![]).output("y");
    refused(&relu(Model::new(13).input("x", &[-1, -1])), &["input 'x'", "axis 1", "`symbol1`", "fixed size"]);
    let mut shapeless = relu(Model::new(13));
    shapeless.graph().input.push(value_info("x", 1, None));
    refused(&shapeless, &["input 'x'", "shape is not known"]);
    let mut text = relu(Model::new(13));
    text.graph().input.push(value_info("x", 8, Some(&[1])));
    refused(&text, &["input 'x'", "string"]);
    let misfit = base().initializer(floats("w", &[5], &[0.0; 5])).node("Add", &["x", "w"], &["y"], vec![]).output("y");
    refused(&misfit, &["node 'y' (Add)", "[1, 4]", "[5]", "broadcast"]);
    let product =
        base().initializer(floats("w", &[5, 2], &[0.0; 10])).node("MatMul", &["x", "w"], &["y"], vec![]).output("y");
    refused(&product, &["node 'y' (MatMul)", "[1, 4]", "[5, 2]"]);
    let batch = base().initializer(ints("s", &[2], &[8, 4])).node("Reshape", &["x", "s"], &["y"], vec![]).output("y");
    refused(&batch, &["node 'y' (Reshape)", "[1, 4]", "[8, 4]", "batch"]);
    let computed =
        base().node("Cast", &["x"], &["s"], vec![a("to", 7)]).node("Reshape", &["x", "s"], &["y"], vec![]).output("y");
    refused(&computed, &["node 'y' (Reshape)", "shape (input 1)", "constant"]);
    refused(&base().node("Softmax", &["x"], &["y"], vec![a("axis", 2)]).output("y"), &["axis 2", "2 axes"]);
}

#[test]
fn weights() {
    let with = |data: &[f32]| {
        let w = floats("w", &[4, 1], data);
        base().initializer(w).node("MatMul", &["x", "w"], &["y"], vec![]).output("y")
    };
    refused(&with(&[0.0, 0.0, f32::NAN, 0.0]), &["initializer 'w'", "[2, 0]", "not a number"]);
    refused(&with(&[0.0, f32::INFINITY, 0.0, 0.0]), &["initializer 'w'", "[1, 0]", "infinite"]);
    refused(&with(&[0.0; 3]), &["initializer 'w'", "16 bytes", "12"]);
    let scalar = base().initializer(floats("w", &[], &[f32::NAN])).node("Mul", &["x", "w"], &["y"], vec![]).output("y");
    refused(&scalar, &["node 'y' (Mul)", "NaN"]);
    let folded = base()
        .initializer(floats("w", &[4], &[1.0, 0.0, 1.0, 1.0]))
        .node("Reciprocal", &["w"], &["r"], vec![])
        .node("Mul", &["x", "r"], &["y"], vec![])
        .output("y");
    refused(&folded, &["node 'y' (Mul)", "constant `r`", "[1]", "infinite"]);
    let mut external = floats("w", &[4, 1], &[]);
    external.data_location = 1;
    external.external_data = vec![StringStringEntryProto { key: "location".into(), value: "w.bin".into() }];
    let external = base().initializer(external).node("MatMul", &["x", "w"], &["y"], vec![]).output("y");
    refused(&external, &["initializer 'w'", "w.bin", "load the model from its path"]);
}

#[test]
fn graphs() {
    let cycle = base()
        .node("Add", &["x", "c"], &["b"], vec![])
        .node("Relu", &["b"], &["c"], vec![])
        .node("Relu", &["c"], &["y"], vec![])
        .output("y");
    let all = problems(&cycle.bytes());
    assert!(all[0].contains("'b' (Add), 'c' (Relu) form a cycle"), "{all:?}");
    refused(&base().node("Add", &["x", "z"], &["y"], vec![]).output("y"), &["node 'y' (Add)", "'z'", "not defined"]);
    refused(&base().node("Relu", &["x"], &["y"], vec![]).output("z"), &["output 'z'", "no node"]);
    refused(&base().node("Relu", &["x"], &["y"], vec![]), &["no outputs"]);
    let constant = base().node("Shape", &["x"], &["y"], vec![]).output("y");
    refused(&constant, &["output 'y'", "constant"]);
    let twice = base().node("Relu", &["x"], &["y"], vec![]).node("Tanh", &["x"], &["y"], vec![]).output("y");
    refused(&twice, &["node 'y' (Tanh)", "twice"]);
    let mask =
        base().node("Dropout", &["x"], &["d", "mask"], vec![]).node("Add", &["d", "mask"], &["y"], vec![]).output("y");
    refused(&mask, &["node 'd' (Dropout)", "output 1 ('mask')"]);
    let index = base().node("ArgMax", &["x"], &["i"], vec![]).node("Add", &["i", "x"], &["y"], vec![]).output("y");
    refused(&index, &["node 'y' (Add)", "ArgMax"]);
    refused(&Model::new(6).input("x", &[1]).node("Relu", &["x"], &["y"], vec![]).output("y"), &["opset 6", "opset 7"]);
    let attribute = base().node("Softmax", &["x"], &["y"], vec![a("axis", 1f32)]).output("y");
    refused(&attribute, &["node 'y' (Softmax)", "`axis`"]);
    let training = base().node("BatchNormalization", &["x"], &["y"], vec![a("training_mode", 1)]).output("y");
    refused(&training, &["evaluation mode"]);
}

/// Peak of the process's address space, where the system tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmPeak:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn a_kilobyte_cannot_claim_gigabytes() {
    let before = peak_kib();
    let big = 1i64 << 30;
    let lying = |dims: &[i64]| TensorProto { dims: dims.to_vec(), ..floats("w", &[], &[1.0]) };
    let shape = |dims: &[i64]| ints("s", &[dims.len() as i64], dims);
    let sum = |model: Model| model.node("Add", &["x", "w"], &["y"], vec![]).output("y");
    let doubling = (0..40).fold(base().initializer(floats("c0", &[1], &[1.0])), |model, k| {
        let (c, next) = (format!("c{k}"), format!("c{}", k + 1));
        model.node("Concat", &[&c, &c], &[&next], vec![a("axis", 0)])
    });
    for model in [
        sum(base().initializer(lying(&[big, big]))),
        sum(base().initializer(lying(&[big]))),
        sum(base().initializer(lying(&[i64::MAX; 3]))),
        sum(Model::new(13).input("x", &[-1, big]).initializer(floats("w", &[], &[1.0]))),
        sum(base().initializer(shape(&[big])).node("ConstantOfShape", &["s"], &["w"], vec![])),
        sum(base().initializer(shape(&[1, big, 4])).node("Expand", &["x", "s"], &["w"], vec![])),
        sum(base().initializer(shape(&[1, big])).node("Tile", &["x", "s"], &["w"], vec![])),
        sum(base().initializer(shape(&[0, 0, 0, big])).node("Pad", &["x", "s"], &["w"], vec![])),
        sum(base()
            .initializer(ints("zero", &[], &[0]))
            .initializer(ints("one", &[], &[1]))
            .initializer(ints("n", &[], &[big]))
            .node("Range", &["zero", "n", "one"], &["r"], vec![])
            .node("Cast", &["r"], &["w"], vec![a("to", 1)])),
        doubling.node("Add", &["x", "c40"], &["y"], vec![]).output("y"),
    ] {
        assert!(!problems(&model.bytes()).is_empty());
    }
    if let (Some(before), Some(after)) = (before, peak_kib()) {
        assert!(after - before < 512 << 10, "{} MiB", (after - before) >> 10);
    }
}
