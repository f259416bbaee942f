//! What models consist of beside operators: names, order, functions, branches, labels, inputs and outputs.

use tinymlp_codegen::graph::simplify::simplify;
use tinymlp_codegen::graph::{Graph, Kind, Labels, Op, eval};
use tinymlp_codegen::import;
use tinymlp_tests::onnx::{Model, attribute as a, floats, ints, node, texts, value_info};

fn import(model: &Model) -> Graph {
    import::from_bytes("test", &model.bytes(), None).unwrap_or_else(|e| panic!("{e}"))
}

/// The outputs for one input.
fn run(graph: &Graph, x: &[f32]) -> Vec<Vec<f32>> {
    let values = eval::evaluate(graph, &[x]);
    graph.outputs.iter().map(|o| values[o.tensor].clone()).collect()
}

#[test]
fn names_are_unique_and_come_from_the_file() {
    let mut model = Model::new(13)
        .input("x", &[-1, 2])
        .initializer(floats("w", &[2], &[1.0, 2.0]))
        .node("Add", &["x", "w"], &["a"], vec![])
        .node("Mul", &["a", "w"], &["b"], vec![])
        .node("LayerNormalization", &["b", "w"], &["c"], vec![])
        .output("c");
    for node in &mut model.graph().node[..2] {
        node.name = "same".into();
    }
    let graph = import(&model);
    let names: Vec<_> = graph.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names[..2], ["same", "same_2"]);
    assert_eq!(names.last(), Some(&"c"));
    assert!(graph.nodes[2..].iter().all(|n| n.origin == "LayerNormalization" && n.name.starts_with('c')));
    let mut tensors: Vec<_> = graph.tensors.iter().map(|t| t.name.as_str()).collect();
    assert!(["x", "w", "a", "b", "c"].iter().all(|n| tensors.contains(n)), "{tensors:?}");
    tensors.sort_unstable();
    tensors.dedup();
    assert_eq!(tensors.len(), graph.tensors.len());
    assert!(graph.tensors[graph.inputs[0]].batched);
}

#[test]
fn any_order_and_initializers_among_the_inputs() {
    let mut model = Model::new(8)
        .input("w", &[2])
        .input("x", &[1, 2])
        .input("unused", &[1, 7])
        .initializer(floats("w", &[2], &[1.0, 2.0]))
        .node("Mul", &["a", "a"], &["y"], vec![])
        .node("Add", &["x", "w"], &["a"], vec![])
        .node("LSTM", &["x"], &["nobody_needs_it"], vec![])
        .output("y");
    model.0.ir_version = 3;
    let graph = import(&model);
    assert_eq!(graph.inputs.iter().map(|&i| graph.tensors[i].name.as_str()).collect::<Vec<_>>(), ["x", "unused"]);
    let values = eval::evaluate(&graph, &[&[3.0, 4.0], &[0.0; 7]]);
    assert_eq!(values[graph.outputs[0].tensor], [16.0, 36.0]);
    assert!(matches!(&graph.nodes[1].op, Op::Map(_)) && graph.nodes[1].inputs.len() == 1, "one operand, used twice");
}

#[test]
fn functions_are_unfolded() {
    let twice =
        vec![node("local:scale", &["v", ""], &["t"], vec![a("by", 3f32)]), node("Add", &["t", "t"], &["w"], vec![])];
    let mut factor = a("value_float", 0f32);
    factor.ref_attr_name = "by".into();
    let scale = vec![
        node("Constant", &[], &["c"], vec![factor]),
        node("Mul", &["v", "c"], &["p"], vec![]),
        node("Clip", &["p", "low"], &["w"], vec![]),
    ];
    let model = Model::new(13)
        .input("x", &[1, 2])
        .function("scale", &["v", "low"], &["w"], scale)
        .function("twice", &["v"], &["w"], twice)
        .node("local:twice", &["x"], &["a"], vec![])
        .node("local:twice", &["a"], &["y"], vec![])
        .output("y");
    let graph = import(&model);
    assert_eq!(run(&graph, &[1.0, -2.0]), [[36.0, -72.0]]);
    assert!(graph.nodes.iter().any(|n| n.name.starts_with("a/")), "{:?}", graph.nodes);
    // A function that calls itself, and functions that unfold to 2^16 calls and more.
    let endless = Model::new(13)
        .input("x", &[1])
        .function("f", &["v"], &["w"], vec![node("local:f", &["v"], &["w"], vec![])])
        .node("local:f", &["x"], &["y"], vec![])
        .output("y");
    let error = import::from_bytes("test", &endless.bytes(), None).unwrap_err().to_string();
    assert!(error.contains("deep"), "{error}");
    let mut bomb = Model::new(13).input("x", &[1]).node("local:f14", &["x"], &["y"], vec![]).output("y");
    for k in 0..15 {
        let inner = if k == 0 { "Relu".to_owned() } else { format!("local:f{}", k - 1) };
        let nodes = ["v", "a", "b", "c"].windows(2).map(|w| node(&inner, &[w[0]], &[w[1]], vec![])).collect();
        bomb = bomb.function(&format!("f{k}"), &["v"], &["c"], nodes);
    }
    let error = import::from_bytes("test", &bomb.bytes(), None).unwrap_err();
    assert!(error.problems().len() < 10 && error.to_string().contains("more than"), "{error}");
}

#[test]
fn constant_conditions_select_a_branch() {
    let branch = |op: &str| {
        let mut g =
            Model::new(13).node(op, &["x", "k"], &["r"], vec![]).initializer(floats("k", &[], &[10.0])).output("r");
        g.graph().clone()
    };
    let model = |elements: i64| {
        Model::new(13)
            .input("x", &[1, 2])
            .initializer(ints("n", &[], &[elements]))
            .node("If", &["c"], &["y"], vec![a("then_branch", branch("Add")), a("else_branch", branch("Mul"))])
            .node("Size", &["x"], &["s"], vec![])
            .node("Equal", &["s", "n"], &["c"], vec![])
            .output("y")
    };
    assert_eq!(run(&import(&model(2)), &[1.0, 2.0]), [[11.0, 12.0]]);
    assert_eq!(run(&import(&model(3)), &[1.0, 2.0]), [[10.0, 20.0]]);
}

/// As skl2onnx writes a binary MLPClassifier behind a StandardScaler.
fn classifier(classes: tinymlp_codegen::import::proto::TensorProto, cast: bool) -> Model {
    let mut model = Model::new(15)
        .input("x", &[-1, 3])
        .initializer(floats("w", &[3, 1], &[1.0, -1.0, 0.5]))
        .initializer(floats("b", &[1, 1], &[0.25]))
        .initializer(floats("unity", &[], &[1.0]))
        .initializer(classes)
        .initializer(ints("flat", &[1], &[-1]))
        .node("Cast", &["x"], &["cast_input"], vec![a("to", 1)])
        .node(
            "ai.onnx.ml:Scaler",
            &["cast_input"],
            &["scaled"],
            vec![a("offset", &[0.5f32, 0.0, 1.0][..]), a("scale", &[2f32, 1.0, 0.5][..])],
        )
        .node("MatMul", &["scaled", "w"], &["m"], vec![])
        .node("Add", &["m", "b"], &["z"], vec![])
        .node("Sigmoid", &["z"], &["p"], vec![])
        .node("Sub", &["unity", "p"], &["q"], vec![])
        .node("Concat", &["q", "p"], &["probabilities"], vec![a("axis", 1)])
        .node("ArgMax", &["probabilities"], &["index"], vec![a("axis", 1)])
        .node("ai.onnx.ml:ArrayFeatureExtractor", &["classes", "index"], &["extracted"], vec![]);
    let label = if cast {
        model = model.node("Cast", &["extracted"], &["as_int"], vec![a("to", 7)]);
        "as_int"
    } else {
        "extracted"
    };
    model
        .node("Reshape", &[label, "flat"], &["label"], vec![])
        .node("ai.onnx.ml:ZipMap", &["probabilities"], &["map"], vec![a("classlabels_int64s", &[3i64, 7][..])])
        .output("label")
        .output("map")
}

#[test]
fn label_heads() {
    for (classes, cast, expected) in [
        (ints("classes", &[2], &[3, 7]), true, Labels::Integers(vec![3, 7])),
        (floats("classes", &[1, 2], &[3.0, 7.0]), true, Labels::Integers(vec![3, 7])),
        (texts("classes", &[2], &["no", "yes"]), false, Labels::Strings(vec!["no".into(), "yes".into()])),
    ] {
        let graph = import(&classifier(classes, cast));
        let [label, map] = graph.outputs.as_slice() else { panic!("{:?}", graph.outputs) };
        assert_eq!((label.name.as_str(), label.labels.as_ref()), ("label", Some(&expected)));
        assert_eq!(graph.tensors[label.tensor].kind, Kind::Index);
        assert_eq!(graph.tensors[label.tensor].shape, [1]);
        assert_eq!(map.labels, Some(Labels::Integers(vec![3, 7])));
        assert_eq!(graph.tensors[map.tensor].kind, Kind::Real);
        let outputs = run(&graph, &[1.0, 0.0, 1.0]);
        assert_eq!(outputs[0], [1.0]);
        assert!((outputs[1][1] - 1.0 / (1.0 + (-1.25f32).exp())).abs() < 1e-6);
        assert_eq!(run(&graph, &[0.0, 3.0, 1.0])[0], [0.0]);
    }
}

#[test]
fn other_label_forms() {
    let base =
        || Model::new(13).input("x", &[1, 3]).node("ArgMax", &["x"], &["i"], vec![a("axis", -1), a("keepdims", 0)]);
    let gathered =
        base().initializer(ints("c", &[3], &[5, 6, 7])).node("Gather", &["c", "i"], &["y"], vec![]).output("y");
    assert_eq!(import(&gathered).outputs[0].labels, Some(Labels::Integers(vec![5, 6, 7])));
    let encoded = base()
        .node(
            "ai.onnx.ml:LabelEncoder",
            &["i"],
            &["y"],
            vec![a("keys_int64s", &[2i64, 0, 1][..]), a("values_strings", &["c", "a", "b"][..])],
        )
        .output("y");
    let strings = |all: &[&str]| Some(Labels::Strings(all.iter().map(|&s| s.to_owned()).collect()));
    assert_eq!(import(&encoded).outputs[0].labels, strings(&["a", "b", "c"]));
    let text = base()
        .initializer(ints("c", &[3], &[5, 6, 7]))
        .node("Gather", &["c", "i"], &["g"], vec![])
        .node("Cast", &["g"], &["y"], vec![a("to", 8)])
        .output("y");
    assert_eq!(import(&text).outputs[0].labels, strings(&["5", "6", "7"]));
}

#[test]
fn data_types_of_initializers() {
    use tinymlp_codegen::import::proto::{TensorProto, data_type::*};
    let typed = |data_type: i32, fill: &dyn Fn(&mut TensorProto)| {
        let mut t = TensorProto { name: "w".into(), dims: vec![2], data_type, ..TensorProto::default() };
        fill(&mut t);
        t
    };
    for (tensor, expected) in [
        (typed(FLOAT, &|t| t.float_data = vec![1.5, -2.0]), [1.5, -2.0]),
        (typed(DOUBLE, &|t| t.double_data = vec![1.5, -2.0]), [1.5, -2.0]),
        (typed(DOUBLE, &|t| t.raw_data = [1.5f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect()), [1.5, -2.0]),
        (typed(FLOAT16, &|t| t.int32_data = vec![0x3e00, 0xc000]), [1.5, -2.0]),
        (typed(FLOAT16, &|t| t.raw_data = vec![0x00, 0x3e, 0x00, 0xc0]), [1.5, -2.0]),
        (typed(BFLOAT16, &|t| t.raw_data = vec![0xc0, 0x3f, 0x00, 0xc0]), [1.5, -2.0]),
        (typed(INT32, &|t| t.int32_data = vec![3, -4]), [3.0, -4.0]),
        (typed(INT64, &|t| t.int64_data = vec![3, -4]), [3.0, -4.0]),
        (typed(UINT64, &|t| t.uint64_data = vec![3, 4]), [3.0, 4.0]),
        (typed(INT8, &|t| t.raw_data = vec![3, 0xfc]), [3.0, -4.0]),
        (typed(UINT8, &|t| t.raw_data = vec![3, 0xfc]), [3.0, 252.0]),
        (typed(INT16, &|t| t.raw_data = vec![3, 0, 0xfc, 0xff]), [3.0, -4.0]),
        (typed(BOOL, &|t| t.raw_data = vec![1, 0]), [1.0, 0.0]),
    ] {
        let model = Model::new(13)
            .input("x", &[1, 2])
            .initializer(tensor)
            .node("Cast", &["w"], &["c"], vec![a("to", 1)])
            .node("Add", &["x", "c"], &["y"], vec![])
            .output("y");
        assert_eq!(run(&import(&model), &[0.0, 0.0]), [expected]);
    }
}

#[test]
fn an_input_as_output_is_copied() {
    let model = Model::new(13).input("x", &[1, 2]).node("Dropout", &["x"], &["y"], vec![]).output("x").output("y");
    let graph = import(&model);
    assert_eq!(run(&graph, &[1.0, 2.0]), [[1.0, 2.0], [1.0, 2.0]]);
    assert!(graph.outputs.iter().all(|o| !graph.inputs.contains(&o.tensor)));
    // Inputs of other types of numbers are numbers too.
    let mut model = Model::new(13).node("Cast", &["x"], &["y"], vec![a("to", 1)]).output("y");
    model.graph().input.push(value_info("x", 7, Some(&[1, 2])));
    assert_eq!(run(&import(&model), &[1.0, 2.0]), [[1.0, 2.0]]);
}

/// Simplified, with the same results.
fn simplified(model: &Model, x: &[f32]) -> Graph {
    let graph = import(model);
    let mut simple = graph.clone();
    simplify(&mut simple);
    for (a, b) in run(&graph, x).into_iter().flatten().zip(run(&simple, x).into_iter().flatten()) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    simple
}

#[test]
fn layer_normalization_in_parts_is_one_operator() {
    let x: Vec<f32> = (0..12).map(|k| (k as f32 * 1.3).sin() * 3.0).collect();
    let last = || vec![a("axes", &[-1i64][..])];
    for (square, quotient, axes) in
        [("Pow", "Div", last()), ("Mul", "Div", last()), ("Pow", "Mul", last()), ("Mul", "Mul", last())]
    {
        let mut model = Model::new(13)
            .input("x", &[-1, 3, 4])
            .initializer(floats("two", &[], &[2.0]))
            .initializer(floats("epsilon", &[], &[0.25]))
            .initializer(floats("scale", &[4], &[1.0, -2.0, 0.5, 3.0]))
            .initializer(floats("bias", &[4], &[0.5, 0.0, -1.0, 2.0]))
            .node("ReduceMean", &["x"], &["mean"], axes)
            .node("Sub", &["x", "mean"], &["centred"], vec![])
            .node(square, &["centred", if square == "Pow" { "two" } else { "centred" }], &["squares"], vec![])
            .node("ReduceMean", &["squares"], &["variance"], last())
            .node("Add", &["variance", "epsilon"], &["sum"], vec![])
            .node("Sqrt", &["sum"], &["root"], vec![]);
        if quotient == "Mul" {
            model = model.node("Reciprocal", &["root"], &["one"], vec![]);
        }
        let model = model
            .node(quotient, &["centred", if quotient == "Mul" { "one" } else { "root" }], &["normal"], vec![])
            .node("Mul", &["normal", "scale"], &["scaled"], vec![])
            .node("Add", &["scaled", "bias"], &["y"], vec![])
            .output("y");
        let graph = simplified(&model, &x);
        let [node] = &graph.nodes[..] else { panic!("{:?}", graph.nodes) };
        let Op::LayerNormalization { scale, bias, epsilon } = &node.op else { panic!("{node:?}") };
        assert_eq!((&scale[..], &bias[..]), (&[1.0, -2.0, 0.5, 3.0][..], &[0.5, 0.0, -1.0, 2.0][..]));
        assert!((epsilon - 0.25).abs() < 1e-9);
    }
    // Over another axis, or with another mean, it is none.
    for (mean, variance) in [(1, -1), (-1, 1), (1, 1)] {
        let model = Model::new(13)
            .input("x", &[-1, 4, 4])
            .initializer(floats("two", &[], &[2.0]))
            .node("ReduceMean", &["x"], &["mean"], vec![a("axes", &[mean as i64][..])])
            .node("Sub", &["x", "mean"], &["centred"], vec![])
            .node("Pow", &["centred", "two"], &["squares"], vec![])
            .node("ReduceMean", &["squares"], &["variance"], vec![a("axes", &[variance as i64][..])])
            .node("Sqrt", &["variance"], &["root"], vec![])
            .node("Div", &["centred", "root"], &["y"], vec![])
            .output("y");
        let graph = simplified(&model, &x.iter().chain(&x[..4]).copied().collect::<Vec<_>>());
        assert!(!graph.nodes.iter().any(|n| matches!(n.op, Op::LayerNormalization { .. })), "{mean} {variance}");
    }
}

#[test]
fn layers_between_transpositions_run_along_columns() {
    let x: Vec<f32> = (0..24).map(|k| (k as f32 * 0.9).cos()).collect();
    let w: Vec<f32> = (0..20).map(|k| (k as f32 * 0.7).sin()).collect();
    // One batch of 2 matrices of 4 tokens and 3 channels.
    let mixer = |perm: &[i64], back: &[i64], tokens: i64| {
        let (rows, columns) = ([tokens, 20 / tokens], [20 / tokens, tokens]);
        Model::new(13)
            .input("x", &[-1, 2, 4, 3])
            .initializer(floats("w", &rows, &w))
            .initializer(floats("v", &columns, &w))
            .initializer(floats("b", &[20 / tokens], &w[..(20 / tokens) as usize]))
            .node("Transpose", &["x"], &["t"], vec![a("perm", perm)])
            .node("MatMul", &["t", "w"], &["h"], vec![])
            .node("Add", &["h", "b"], &["i"], vec![])
            .node("Tanh", &["i"], &["j"], vec![])
            .node("MatMul", &["j", "v"], &["k"], vec![])
            .node("Transpose", &["k"], &["l"], vec![a("perm", back)])
    };
    let count = |graph: &Graph, is: fn(&Op) -> bool| graph.nodes.iter().filter(|n| is(&n.op)).count();
    let transposes = |graph: &Graph| count(graph, |op| matches!(op, Op::Transpose { .. }));
    let columns = |graph: &Graph| count(graph, |op| matches!(op, Op::GemmColumns { .. }));
    let swap = [0, 1, 3, 2];
    let residual = mixer(&swap, &swap, 4).node("Add", &["l", "x"], &["y"], vec![]).output("y");
    let graph = simplified(&residual, &x);
    assert_eq!((transposes(&graph), columns(&graph)), (0, 2));
    // Along the second axis, by permutations that are not their own inverse.
    let graph = simplified(&mixer(&[0, 2, 3, 1], &[0, 3, 1, 2], 2).output("l"), &x);
    assert_eq!((transposes(&graph), columns(&graph)), (0, 2));
    // What is needed transposed, or comes back in another order, stays.
    let graph = simplified(&mixer(&swap, &swap, 4).output("l").output("j"), &x);
    assert_eq!((transposes(&graph), columns(&graph)), (2, 0));
    let graph = simplified(&mixer(&[0, 2, 3, 1], &[0, 2, 3, 1], 2).output("l"), &x);
    assert_eq!((transposes(&graph), columns(&graph)), (2, 0));
}
