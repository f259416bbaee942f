//! Damaged files: never a panic, neither in the importer nor in what comes after it for those that still import.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message;
use tinymlp_codegen::Io;
use tinymlp_codegen::calibrate::{StuckColumns, calibrate};
use tinymlp_codegen::data::{Array, Data, Rows};
use tinymlp_codegen::emit::emit;
use tinymlp_codegen::graph::simplify::simplify;
use tinymlp_codegen::graph::{Tensor, eval};
use tinymlp_codegen::import;
use tinymlp_codegen::import::proto::ModelProto;
use tinymlp_codegen::quantize::{Options, quantize};
use tinymlp_codegen::report::report;
use tinymlp_tests::onnx::{Model, attribute as a, floats, ints};

/// Real files, of moderate size.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("models")];
    let mut files = vec![generated()];
    while let Some(folder) = pending.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "onnx") {
                files.extend(std::fs::read(path).ok().filter(|bytes| bytes.len() < 100_000));
            }
        }
    }
    files
});

/// A model with operators that compute shapes.
fn generated() -> Vec<u8> {
    Model::new(13)
        .input("x", &[-1, 2, 6])
        .initializer(floats("w", &[6, 4], &[0.5; 24]))
        .initializer(ints("i", &[3], &[0, 2, 1]))
        .initializer(ints("s", &[2], &[1, 2]))
        .initializer(ints("pads", &[6], &[0, 0, 1, 0, 0, 1]))
        .node("MatMul", &["x", "w"], &["a"], vec![])
        .node("Pad", &["a", "pads"], &["b"], vec![])
        .node("Gather", &["b", "i"], &["c"], vec![a("axis", 2)])
        .node("Slice", &["c", "s", "i"], &["unused"], vec![])
        .node("Shape", &["c"], &["shape"], vec![])
        .node("Expand", &["c", "shape"], &["d"], vec![])
        .node("Split", &["d"], &["e", "f"], vec![a("axis", 1)])
        .node("Softmax", &["e"], &["g"], vec![a("axis", 1)])
        .node("ReduceMean", &["f"], &["h"], vec![a("axes", &[1i64, 2][..])])
        .node("Mul", &["g", "h"], &["m"], vec![])
        .node("Tile", &["m", "i3"], &["t"], vec![])
        .initializer(ints("i3", &[3], &[1, 2, 1]))
        .node("Transpose", &["t"], &["u"], vec![a("perm", &[0i64, 2, 1][..])])
        .node("ArgMax", &["u"], &["y"], vec![a("axis", 1)])
        .output("y")
        .output("u")
        .bytes()
}

/// Imports, and goes the whole path as far as it leads.
fn run(bytes: &[u8]) {
    let Ok(graph) = import::from_bytes("test", bytes, None) else { return };
    let arrays = graph.inputs.iter().enumerate().map(|(k, &id)| array(&graph.tensors[id], k)).collect();
    let data = Data { arrays, columns: vec![] };
    let first: Vec<&[f32]> =
        (graph.inputs.iter().zip(&data.arrays)).map(|(&id, array)| &array.values[..graph.tensors[id].len()]).collect();
    let values = eval::evaluate(&graph, &first);
    for (tensor, value) in graph.tensors.iter().zip(&values) {
        assert_eq!(tensor.len(), value.len(), "{}", tensor.name);
    }
    if graph.tensors.iter().map(|t| t.len()).sum::<usize>() > 50_000 {
        return;
    }
    let mut simple = graph.clone();
    simplify(&mut simple);
    let simplified = eval::evaluate(&simple, &first);
    for (before, after) in graph.outputs.iter().zip(&simple.outputs) {
        let [a, b] = [&values[before.tensor], &simplified[after.tensor]];
        assert_eq!(a.len(), b.len(), "{}", before.name);
    }
    let Ok(rows) = Rows::new(&simple, &data, Path::new("rows")) else { return };
    let Ok(calibration) = calibrate(&simple, &rows, StuckColumns::Allowed) else { return };
    for int16 in [vec![], vec!["all".to_owned()]] {
        let Ok(plan) = quantize(&simple, &calibration, &Options { int16, ..Options::default() }) else { continue };
        report(&simple, &plan, &rows);
        for io in [Io::Quantized, Io::F32] {
            let _ = emit(&plan, io);
        }
    }
}

/// Three rows of arbitrary inputs.
fn array(tensor: &Tensor, seed: usize) -> Array {
    let mut shape = vec![3];
    shape.extend(&tensor.shape);
    let value = |k: usize| ((k * 37 + seed * 11) % 101) as f32 / 25.0 - 2.0;
    Array { name: tensor.name.clone(), shape, values: (0..3 * tensor.len()).map(value).collect() }
}

/// Changes a field of a model as a wrong exporter might.
fn change(model: &mut ModelProto, what: u8, which: usize, value: i64) {
    fn pick<T>(list: &mut [T], which: usize) -> Option<&mut T> {
        let n = list.len().max(1);
        list.get_mut(which % n)
    }
    const OPERATORS: [&str; 30] = [
        "Add",
        "Gemm",
        "MatMul",
        "Concat",
        "Split",
        "Slice",
        "Gather",
        "GatherND",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Expand",
        "Tile",
        "Pad",
        "Softmax",
        "ArgMax",
        "ReduceSum",
        "ReduceProd",
        "Cast",
        "Range",
        "ConstantOfShape",
        "Where",
        "Clip",
        "LayerNormalization",
        "BatchNormalization",
        "PRelu",
        "Shape",
        "Identity",
    ];
    if what == 0 {
        if let Some(import) = pick(&mut model.opset_import, which) {
            import.version = value;
        }
        return;
    }
    let Some(graph) = &mut model.graph else { return };
    let names: Vec<String> = graph.node.iter().flat_map(|n| n.output.iter().chain(&n.input)).cloned().collect();
    let other = names.get(value.unsigned_abs() as usize % names.len().max(1)).cloned().unwrap_or_default();
    let node = pick(&mut graph.node, which);
    let initializer = pick(&mut graph.initializer, which);
    match (what, node, initializer) {
        (1, _, Some(t)) => {
            if let Some(d) = pick(&mut t.dims, which / 7) {
                *d = value;
            }
        }
        (2, _, Some(t)) => t.raw_data = value.to_le_bytes().repeat(t.raw_data.len() / 8),
        (3, _, Some(t)) => t.data_type = value as i32,
        (4, Some(node), _) => {
            if let Some(a) = pick(&mut node.attribute, which / 7) {
                a.i = value;
                a.ints.iter_mut().for_each(|i| *i = value);
            }
        }
        (5, Some(node), _) => {
            if let Some(input) = pick(&mut node.input, which / 7) {
                *input = other;
            }
        }
        (6, Some(node), _) => node.input.truncate(which / 7 % 3),
        (7, Some(node), _) => node.op_type = OPERATORS[value.unsigned_abs() as usize % OPERATORS.len()].into(),
        (8, Some(node), _) => node.attribute.clear(),
        (9, Some(node), _) => node.output.push("extra".into()),
        _ => {
            let types = pick(&mut graph.input, which).and_then(|i| i.r#type.as_mut()?.tensor_type.as_mut());
            if let Some(dim) = types.and_then(|t| pick(&mut t.shape.as_mut()?.dim, which / 7)) {
                dim.dim_value = Some(value);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_and_cut_bytes(
        file: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = file.get(&FILES).clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        run(&bytes);
    }

    #[test]
    fn changed_fields(
        file: prop::sample::Index,
        changes in prop::collection::vec(
            (0u8..11, any::<u16>(), prop_oneof![-3i64..20, any::<i64>(), Just(i64::MAX), Just(1 << 31)]),
            1..5,
        ),
    ) {
        let mut model = ModelProto::decode(file.get(&FILES).as_slice()).expect("a model");
        for (what, which, value) in changes {
            change(&mut model, what, which.into(), value);
        }
        run(&model.encode_to_vec());
    }
}
