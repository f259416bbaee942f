//! Every operator of the importer, in its forms and versions.

use tinymlp_codegen::import::proto::TensorProto;
use tinymlp_codegen::import::proto::data_type::{FLOAT, FLOAT16, INT8, INT32, UINT8};
use tinymlp_tests::onnx::{Model, attribute as a, floats, ints};

use crate::suite::{Case, Operand, Random, Suite, input, list, operator, random, scalar};

/// An input with elements in a range.
fn within(dims: &[i64], low: f32, high: f32) -> Operand {
    Operand::Input(dims.into(), low, high)
}

fn case(name: &str, model: Model, inputs: &[&[i64]]) -> Case {
    Case { name: name.into(), model, ranges: inputs.iter().map(|dims| (dims.to_vec(), -2.0, 2.0)).collect() }
}

#[test]
fn gemm() {
    let mut suite = Suite::default();
    let x = || input(&[3, 4]);
    for opset in [7, 9, 11, 13, 20] {
        suite.op("Gemm", opset, &[x(), random(&[4, 5]), random(&[5])], vec![]);
        suite.op("Gemm", opset, &[x(), random(&[5, 4]), random(&[1, 5])], vec![a("transB", 1)]);
    }
    suite.op("Gemm", 13, &[input(&[4, 3]), random(&[4, 5]), random(&[5])], vec![a("transA", 1)]);
    suite.op("Gemm", 13, &[x(), random(&[4, 5])], vec![a("alpha", 0.5f32)]);
    let scaled = || vec![a("alpha", 0.5f32), a("beta", -1.5f32), a("transB", 1)];
    suite.op("Gemm", 13, &[x(), random(&[5, 4]), random(&[3, 5])], scaled());
    suite.op("Gemm", 13, &[x(), random(&[5, 4]), random(&[3, 1])], scaled());
    suite.op("Gemm", 13, &[x(), random(&[5, 4]), random(&[1])], scaled());
    suite.op("Gemm", 13, &[x(), random(&[5, 4]), random(&[])], scaled());
    suite.op("Gemm", 13, &[x(), random(&[5, 4]), input(&[3, 5])], scaled());
    suite.op("Gemm", 13, &[x(), input(&[5, 4]), input(&[5])], scaled());
    suite.op("Gemm", 13, &[random(&[3, 4]), input(&[5, 4]), random(&[5])], scaled());
    suite.op("Gemm", 13, &[random(&[4, 3]), input(&[4, 5])], vec![a("transA", 1)]);
    suite.op("Gemm", 13, &[input(&[4, 3]), input(&[4, 5])], vec![a("transA", 1), a("alpha", 2f32)]);
    suite.finish();
}

#[test]
fn mat_mul() {
    let mut suite = Suite::default();
    for (left, right) in [
        (input(&[1, 4]), random(&[4, 3])),
        (input(&[2, 3, 4]), random(&[4, 5])),
        (input(&[4]), random(&[4, 3])),
        (input(&[2, 4]), random(&[4])),
        (input(&[2, 4]), random(&[1, 1, 4, 3])),
        (random(&[3, 4]), input(&[4, 2])),
        (random(&[3, 4]), input(&[2, 4, 5])),
        (random(&[1, 3, 4]), input(&[4, 2])),
        (random(&[4]), input(&[4, 2])),
        (random(&[3, 4]), input(&[4])),
        (input(&[2, 3]), input(&[3, 4])),
        (input(&[2, 1, 3, 4]), input(&[5, 4, 2])),
        (input(&[2, 3, 4]), random(&[2, 4, 5])),
        (random(&[2, 3, 4]), input(&[2, 4, 5])),
        (input(&[3]), input(&[2, 3, 4])),
        (input(&[2, 3, 4]), input(&[4])),
    ] {
        suite.op("MatMul", 13, &[left, right], vec![]);
    }
    // tract has no product of two vectors.
    let dot = |a: &[f32], b: &[f32]| vec![vec![a.iter().zip(b).map(|(a, b)| a * b).sum()]];
    let ones = || Operand::Floats(vec![3], vec![1.0, 2.0, 3.0]);
    suite.formula(&operator("MatMul", 13, &[input(&[3]), input(&[3])], vec![], 1), |x| dot(&x[0], &x[1]));
    suite.formula(&operator("MatMul", 13, &[ones(), input(&[3])], vec![], 1), |x| dot(&[1.0, 2.0, 3.0], &x[0]));
    suite.formula(&operator("MatMul", 13, &[input(&[3]), ones()], vec![], 1), |x| dot(&[1.0, 2.0, 3.0], &x[0]));
    suite.finish();
}

/// Weights that a file holds as integers or in half precision, in front of a product.
#[test]
fn stored_weights() {
    let mut suite = Suite::default();
    let stored = |name: &str, dims: &[i64], data_type: i32, raw_data: Vec<u8>| TensorProto {
        name: name.into(),
        dims: dims.into(),
        data_type,
        raw_data,
        ..TensorProto::default()
    };
    let product = |model: Model| model.input("x", &[2, 4]).node("MatMul", &["x", "w"], &["y"], vec![]).output("y");
    // -120, -97, .. as int8; the same bits are numbers of uint8.
    let integers: Vec<u8> = (0..12).map(|k| (136 + 23 * k) as u8).collect();
    let scales = [0.5f32, 0.125, 0.0078125, 0.25];
    for (opset, ty) in [(10, INT8), (13, INT8), (13, UINT8), (19, UINT8), (21, INT8)] {
        for (count, axis) in [(0, None), (1, None), (3, Some(1)), (3, Some(-1)), (4, Some(0))] {
            // Scales an axis are of version 13.
            if opset < 13 && count != 0 {
                continue;
            }
            for zero in [false, true] {
                let dims: &[i64] = if count == 0 { &[] } else { &[count as i64] };
                let mut model = Model::new(opset)
                    .initializer(stored("q", &[4, 3], ty, integers.clone()))
                    .initializer(floats("s", dims, &scales[..count.max(1)]));
                let mut inputs = vec!["q", "s"];
                if zero {
                    model = model.initializer(stored("z", dims, ty, [7, 130, 0, 99][..count.max(1)].to_vec()));
                    inputs.push("z");
                }
                let attributes = axis.map(|axis| a("axis", axis)).into_iter().collect();
                let model = product(model.node("DequantizeLinear", &inputs, &["w"], attributes));
                let name = format!("DequantizeLinear (opset {opset}) type {ty} {count} scales {axis:?} zero {zero}");
                let real = |k: usize| {
                    let at = if axis == Some(0) { k / 3 } else { k % 3 };
                    let at = if count < 2 { 0 } else { at };
                    let whole = |byte: u8| if ty == INT8 { f32::from(byte as i8) } else { f32::from(byte) };
                    let zero = if zero { whole([7, 130, 0, 99][at]) } else { 0.0 };
                    (whole(integers[k]) - zero) * scales[at]
                };
                suite.formula(&case(&name, model, &[&[2, 4]]), |x| {
                    let sum = |t: usize, o: usize| (0..4).map(|i| x[0][4 * t + i] * real(3 * i + o)).sum();
                    vec![(0..6).map(|k| sum(k / 3, k % 3)).collect()]
                });
            }
        }
    }
    let scale = || floats("s", &[], &[0.25]);
    let biases = [-70_000i32, 3, 0].iter().flat_map(|b| b.to_le_bytes()).collect();
    let model = Model::new(13)
        .input("x", &[1, 3])
        .initializer(stored("q", &[3], INT32, biases))
        .initializer(scale())
        .node("DequantizeLinear", &["q", "s"], &["b"], vec![])
        .node("Add", &["x", "b"], &["y"], vec![])
        .output("y");
    suite.tract(&case("DequantizeLinear of a bias", model, &[&[1, 3]]));
    // 1.5, -2, 0.333, 65504
    let halves: Vec<u8> = [0x3E00u16, 0xC000, 0x3555, 0x7BFF].repeat(3).iter().flat_map(|h| h.to_le_bytes()).collect();
    let model = Model::new(13).initializer(stored("h", &[4, 3], FLOAT16, halves)).node(
        "Cast",
        &["h"],
        &["w"],
        vec![a("to", FLOAT)],
    );
    suite.tract(&case("Cast of half precision", product(model), &[&[2, 4]]));
    suite.finish();
}

#[test]
fn unary() {
    let mut suite = Suite::default();
    for op in [
        "Abs",
        "Atan",
        "Ceil",
        "Cos",
        "Cosh",
        "Erf",
        "Exp",
        "Floor",
        "Neg",
        "Reciprocal",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Tan",
        "Tanh",
        "Asinh",
        "HardSwish",
        "Mish",
        "Identity",
    ] {
        // Where the function has a pole, an interval without it.
        let x = if matches!(op, "Tan" | "Reciprocal") { within(&[2, 9], 0.2, 1.4) } else { within(&[2, 9], -4.0, 4.0) };
        for opset in [13, 18, 20] {
            suite.op(op, opset, std::slice::from_ref(&x), vec![]);
        }
    }
    for (op, low, high) in [
        ("Acos", -0.9, 0.9),
        ("Asin", -0.9, 0.9),
        ("Atanh", -0.9, 0.9),
        ("Acosh", 1.1, 4.0),
        ("Log", 0.1, 4.0),
        ("Sqrt", 0.1, 4.0),
    ] {
        suite.op(op, 13, &[within(&[2, 9], low, high)], vec![]);
    }
    suite.finish();
}

#[test]
fn parametric_activations() {
    let mut suite = Suite::default();
    let x = || within(&[2, 9], -4.0, 4.0);
    for op in ["LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "ThresholdedRelu", "Shrink"] {
        suite.op(op, 13, &[x()], vec![]);
    }
    for (op, name, value) in [
        ("LeakyRelu", "alpha", 0.3f32),
        ("Elu", "alpha", 0.7),
        ("Selu", "alpha", 1.2),
        ("Selu", "gamma", 1.3),
        ("HardSigmoid", "alpha", 0.4),
        ("HardSigmoid", "beta", 0.1),
        ("ThresholdedRelu", "alpha", 0.6),
        ("Shrink", "lambd", 0.8),
        ("Shrink", "bias", 0.3),
    ] {
        suite.op(op, 13, &[x()], vec![a(name, value)]);
    }
    suite.op("Gelu", 20, &[x()], vec![]);
    suite.op("Gelu", 20, &[x()], vec![a("approximate", "tanh")]);
    suite.op("Swish", 24, &[x()], vec![]);
    // tract leaves these attributes out of the formula.
    suite.elements("Swish", 24, x(), vec![a("alpha", 1.5f32)], |x| x / (1.0 + (-1.5 * x).exp()));
    suite.elements("Celu", 13, x(), vec![a("alpha", 1.75f32)], |x| x.max(0.0) + (1.75 * (x / 1.75).exp_m1()).min(0.0));
    for slope in [random(&[]), random(&[1]), random(&[4]), random(&[3, 1]), random(&[3, 4]), input(&[4])] {
        suite.op("PRelu", 16, &[input(&[2, 3, 4]), slope], vec![]);
    }
    // Bounds: attributes, inputs, one-sided, none.
    for opset in [7, 10] {
        suite.op("Clip", opset, &[x()], vec![a("min", -0.5f32), a("max", 1.5f32)]);
        suite.op("Clip", opset, &[x()], vec![a("max", 1.5f32)]);
        suite.op("Clip", opset, &[x()], vec![]);
    }
    for opset in [11, 13] {
        suite.op("Clip", opset, &[x(), scalar(-0.5), scalar(1.5)], vec![]);
        suite.op("Clip", opset, &[x(), Operand::Absent, scalar(1.5)], vec![]);
        suite.op("Clip", opset, &[x(), scalar(0.0)], vec![]);
    }
    suite.op("Clip", 13, &[x(), scalar(0.0), scalar(f32::MAX)], vec![]);
    suite.op("Clip", 13, &[x(), scalar(f32::NEG_INFINITY), scalar(1.0)], vec![]);
    suite.finish();
}

/// tract has no `Binarizer`, `FeatureVectorizer`, `Scaler` and `ZipMap`, and knows neither `com.microsoft.Gelu` without
/// its domain nor a `LinearRegressor` of several targets row by row. Beside these, a few forms of other operators are
/// compared with formulas where they are tested: products of two vectors, `alpha` of `Celu` and `Swish`, `Mod` of
/// negative integers, `Pad` with axes, `noop_with_empty_axes`, `Normalizer` with MAX.
#[test]
fn formulas_where_tract_has_none() {
    let mut suite = Suite::default();
    let x = || within(&[2, 9], -4.0, 4.0);
    suite.elements("Elu", 7, x(), vec![a("alpha", 2f32)], |x| if x < 0.0 { 2.0 * x.exp_m1() } else { x });
    suite.elements("com.microsoft:Gelu", 13, x(), vec![], |x| 0.5 * x * (1.0 + libm_erf(x / 2f64.sqrt())));
    suite.elements("IsNaN", 13, x(), vec![], |_| 0.0);
    suite.elements("ai.onnx.ml:Binarizer", 13, x(), vec![a("threshold", 0.5f32)], |x| f64::from(x > 0.5));
    let scaler = |offset: &[f32], scale: &[f32]| {
        operator("ai.onnx.ml:Scaler", 13, &[input(&[1, 3])], vec![a("offset", offset), a("scale", scale)], 1)
    };
    suite.formula(&scaler(&[1.0, 2.0, -3.0], &[0.5, 0.25, 2.0]), |x| {
        vec![vec![(x[0][0] - 1.0) * 0.5, (x[0][1] - 2.0) * 0.25, (x[0][2] + 3.0) * 2.0]]
    });
    suite.formula(&scaler(&[1.0], &[0.5]), |x| vec![x[0].iter().map(|x| (x - 1.0) * 0.5).collect()]);
    let vectorizer = operator("ai.onnx.ml:FeatureVectorizer", 13, &[input(&[1, 3]), input(&[1, 2])], vec![], 1);
    suite.formula(&vectorizer, |x| vec![[x[0].as_slice(), &x[1]].concat()]);
    let zip_map =
        operator("ai.onnx.ml:ZipMap", 13, &[input(&[1, 3])], vec![a("classlabels_int64s", &[1i64, 2, 3][..])], 1);
    suite.formula(&zip_map, |x| x.to_vec());
    let regressor = vec![
        a("coefficients", &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0][..]),
        a("intercepts", &[0.5f32, -0.5][..]),
        a("targets", 2),
    ];
    suite.formula(&operator("ai.onnx.ml:LinearRegressor", 13, &[input(&[1, 3])], regressor, 1), |x| {
        let x = &x[0];
        vec![vec![x[0] + 2.0 * x[1] + 3.0 * x[2] + 0.5, 4.0 * x[0] + 5.0 * x[1] + 6.0 * x[2] - 0.5]]
    });
    suite.finish();
}

/// The error function by numerical integration, independent of the crate's series.
fn libm_erf(x: f64) -> f64 {
    let n = 20_000;
    let h = x / f64::from(n);
    let f = |k: i32| (-(h * f64::from(k)).powi(2)).exp();
    let inner: f64 = (1..n).map(|k| f(k) * if k % 2 == 1 { 4.0 } else { 2.0 }).sum();
    (f(0) + f(n) + inner) * h / 3.0 * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn binary() {
    let mut suite = Suite::default();
    let shapes: [(&[i64], &[i64]); 6] = [
        (&[2, 3], &[2, 3]),
        (&[2, 3], &[3]),
        (&[2, 3], &[2, 1]),
        (&[2, 3], &[]),
        (&[2, 1, 3], &[4, 1]),
        (&[3], &[2, 1, 1]),
    ];
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"] {
        for (left, right) in shapes {
            suite.op(op, 13, &[input(left), input(right)], vec![]);
            suite.op(op, 16, &[input(left), random(right)], vec![]);
            suite.op(op, 16, &[random(right), input(left)], vec![]);
        }
    }
    suite.op("Add", 7, &[input(&[2, 3]), random(&[3])], vec![]);
    for exponent in [2.0, 3.0, 0.5, -1.0, 1.7] {
        suite.op("Pow", 13, &[within(&[2, 3], 0.2, 3.0), scalar(exponent)], vec![]);
    }
    suite.op("Pow", 13, &[scalar(2.0), input(&[2, 3])], vec![]);
    suite.op("Pow", 13, &[within(&[2, 3], 0.2, 3.0), input(&[2, 3])], vec![]);
    suite.op("Mod", 13, &[input(&[2, 3]), scalar(0.7)], vec![a("fmod", 1)]);
    for op in ["Max", "Min", "Sum", "Mean"] {
        suite.op(op, 13, &[input(&[2, 3]), random(&[3]), input(&[2, 1])], vec![]);
        suite.op(op, 13, &[input(&[2, 3])], vec![]);
    }
    suite.finish();
}

#[test]
fn logic() {
    let mut suite = Suite::default();
    for op in ["And", "Or", "Xor"] {
        let model = Model::new(13)
            .input("a", &[2, 3])
            .input("b", &[2, 3])
            .initializer(floats("zero", &[], &[0.0]))
            .node("Greater", &["a", "zero"], &["p"], vec![])
            .node("Less", &["b", "zero"], &["q"], vec![])
            .node(op, &["p", "q"], &["r"], vec![])
            .node("Not", &["r"], &["n"], vec![])
            .node("Where", &["n", "a", "b"], &["y"], vec![])
            .node("Cast", &["r"], &["f"], vec![a("to", 1)])
            .output("y")
            .output("f");
        suite.tract(&case(op, model, &[&[2, 3], &[2, 3]]));
    }
    let chosen = Model::new(13)
        .input("a", &[2, 3])
        .initializer(floats("row", &[3], &[1.0, 0.0, 1.0]))
        .initializer(floats("b", &[2, 1], &[5.0, 6.0]))
        .node("Cast", &["row"], &["c"], vec![a("to", 9)])
        .node("Where", &["c", "a", "b"], &["y"], vec![])
        .output("y");
    suite.tract(&case("Where with a constant condition", chosen, &[&[2, 3]]));
    suite.finish();
}

#[test]
fn concat_and_split() {
    let mut suite = Suite::default();
    for axis in [0, 1, 2, -1, -3] {
        suite.op("Concat", 13, &[input(&[2, 3, 4]), random(&[2, 3, 4]), input(&[2, 3, 4])], vec![a("axis", axis)]);
    }
    suite.op("Concat", 13, &[input(&[2, 3]), random(&[2, 1]), input(&[2, 4])], vec![a("axis", 1)]);
    suite.op("Concat", 13, &[input(&[2, 3])], vec![a("axis", 1)]);
    let mut split = |opset: i64, operands: &[Operand], attributes: Vec<_>, outputs: usize| {
        suite.tract(&operator("Split", opset, operands, attributes, outputs));
    };
    split(11, &[input(&[2, 6])], vec![a("axis", 1)], 3);
    split(11, &[input(&[2, 6])], vec![a("axis", -1), a("split", &[1i64, 2, 3][..])], 3);
    split(11, &[input(&[4, 2])], vec![], 2);
    split(13, &[input(&[2, 6]), list(&[4, 2])], vec![a("axis", 1)], 2);
    split(13, &[input(&[2, 6])], vec![a("axis", 1)], 2);
    split(18, &[input(&[2, 7])], vec![a("axis", 1), a("num_outputs", 3)], 3);
    split(18, &[input(&[2, 7]), list(&[3, 4])], vec![a("axis", 1)], 2);
    suite.finish();
}

#[test]
fn slice() {
    let mut suite = Suite::default();
    let x = || input(&[4, 6]);
    suite.op("Slice", 9, &[x()], vec![a("starts", &[1i64, -3][..]), a("ends", &[3i64, 1000][..])]);
    suite.op("Slice", 9, &[x()], vec![a("starts", &[1i64][..]), a("ends", &[-1i64][..]), a("axes", &[1i64][..])]);
    for opset in [10, 11, 13] {
        suite.op("Slice", opset, &[x(), list(&[1, 2]), list(&[3, 5])], vec![]);
        suite.op("Slice", opset, &[x(), list(&[-4]), list(&[i64::MAX]), list(&[-1])], vec![]);
        suite.op("Slice", opset, &[x(), list(&[0, 1]), list(&[4, 6]), list(&[0, 1]), list(&[2, 3])], vec![]);
    }
    suite.op("Slice", 13, &[x(), list(&[-1]), list(&[i64::MIN + 1]), list(&[1]), list(&[-1])], vec![]);
    suite.op("Slice", 13, &[x(), list(&[4, 3]), list(&[0, 0]), list(&[1, 0]), list(&[-2, -1])], vec![]);
    suite.finish();
}

#[test]
fn gather() {
    let mut suite = Suite::default();
    let x = || input(&[3, 4, 5]);
    for axis in [0, 1, -1] {
        for indices in [
            Operand::Ints(vec![], vec![1]),
            Operand::Ints(vec![], vec![-1]),
            list(&[2]),
            list(&[0, 1, 2]),
            list(&[2, 1, 0]),
            list(&[0, 2, 1, 1]),
            list(&[-1, 0]),
            Operand::Ints(vec![2, 2], vec![0, 2, 1, 1]),
        ] {
            suite.op("Gather", 13, &[x(), indices], vec![a("axis", axis)]);
        }
    }
    suite.op("Gather", 13, &[x(), list(&[1])], vec![]);
    suite.op("GatherND", 13, &[x(), Operand::Ints(vec![2, 1], vec![2, 0])], vec![]);
    suite.op("GatherND", 13, &[x(), Operand::Ints(vec![3, 2], vec![2, 0, 1, 3, 0, 0])], vec![]);
    suite.op("GatherND", 13, &[x(), Operand::Ints(vec![2, 3], vec![2, 0, 4, 1, 3, 2])], vec![]);
    let columns = operator("ai.onnx.ml:ArrayFeatureExtractor", 13, &[input(&[2, 5]), list(&[0, 3])], vec![], 1);
    suite.formula(&columns, |x| vec![vec![x[0][0], x[0][3], x[0][5], x[0][8]]]);
    suite.finish();
}

#[test]
fn shapes() {
    let mut suite = Suite::default();
    let x = || input(&[2, 3, 4]);
    for shape in [&[2i64, 12][..], &[0, -1], &[-1], &[4, 3, 2], &[0, 0, 2, 2], &[1, 24]] {
        suite.op("Reshape", 13, &[x(), list(shape)], vec![]);
    }
    suite.op("Reshape", 14, &[x(), list(&[6, 4])], vec![a("allowzero", 1)]);
    for axis in [0, 1, 2, 3, -1] {
        suite.op("Flatten", 13, &[x()], vec![a("axis", axis)]);
    }
    suite.op("Flatten", 7, &[x()], vec![]);
    let thin = || input(&[1, 3, 1, 2]);
    suite.op("Squeeze", 11, &[thin()], vec![a("axes", &[0i64, 2][..])]);
    suite.op("Squeeze", 11, &[thin()], vec![a("axes", &[-2i64][..])]);
    suite.op("Squeeze", 13, &[thin(), list(&[2])], vec![]);
    suite.op("Squeeze", 13, &[thin()], vec![]);
    suite.op("Unsqueeze", 11, &[x()], vec![a("axes", &[0i64, 4][..])]);
    suite.op("Unsqueeze", 13, &[x(), list(&[1])], vec![]);
    suite.op("Unsqueeze", 13, &[x(), list(&[-1])], vec![]);
    suite.op("Transpose", 13, &[x()], vec![]);
    suite.op("Transpose", 13, &[x()], vec![a("perm", &[0i64, 2, 1][..])]);
    suite.op("Transpose", 13, &[x()], vec![a("perm", &[1i64, 2, 0][..])]);
    suite.op("Dropout", 7, &[x()], vec![a("ratio", 0.5f32)]);
    suite.op("Dropout", 13, &[x(), scalar(0.5)], vec![]);
    suite.op("Expand", 13, &[input(&[3, 1]), list(&[3, 4])], vec![]);
    suite.op("Expand", 13, &[input(&[3, 1]), list(&[2, 1, 4])], vec![]);
    suite.op("Expand", 13, &[input(&[3, 4]), list(&[1])], vec![]);
    suite.op("Expand", 13, &[input(&[3, 4]), list(&[1, 1, 1])], vec![]);
    suite.op("Tile", 13, &[input(&[2, 3]), list(&[1, 2])], vec![]);
    suite.op("Tile", 13, &[input(&[2, 3]), list(&[3, 2])], vec![]);
    suite.op("Pad", 10, &[input(&[2, 3])], vec![a("pads", &[0i64, 1, 0, 2][..]), a("value", 1.5f32)]);
    suite.op("Pad", 13, &[input(&[2, 3]), list(&[1, 0, 0, 2])], vec![]);
    suite.op("Pad", 13, &[input(&[2, 3]), list(&[0, 1, 1, 0]), scalar(-1.0)], vec![]);
    let axes = operator("Pad", 18, &[input(&[2, 3]), list(&[-1, 2]), Operand::Absent, list(&[1])], vec![], 1);
    suite.formula(&axes, |x| vec![vec![x[0][1], x[0][2], 0.0, 0.0, x[0][4], x[0][5], 0.0, 0.0]]);
    suite.finish();
}

/// The shape arithmetic that PyTorch writes for `x.view(x.size(0), -1)`, and its relatives.
#[test]
fn folded_shapes() {
    let mut suite = Suite::default();
    let view = Model::new(13)
        .input("x", &[2, 3, 4])
        .initializer(ints("zero", &[], &[0]))
        .initializer(ints("axes", &[1], &[0]))
        .initializer(ints("minus", &[1], &[-1]))
        .node("Shape", &["x"], &["s"], vec![])
        .node("Gather", &["s", "zero"], &["b"], vec![])
        .node("Unsqueeze", &["b", "axes"], &["u"], vec![])
        .node("Concat", &["u", "minus"], &["d"], vec![a("axis", 0)])
        .node("Reshape", &["x", "d"], &["y"], vec![])
        .output("y");
    suite.tract(&case("view", view, &[&[2, 3, 4]]));
    let arithmetic = Model::new(15)
        .input("x", &[2, 3, 4])
        .initializer(ints("two", &[], &[2]))
        .initializer(ints("zero", &[], &[0]))
        .initializer(ints("one", &[], &[1]))
        .initializer(ints("first", &[1], &[0]))
        .node("Shape", &["x"], &["tail"], vec![a("start", 1), a("end", -1)])
        .node("Size", &["x"], &["n"], vec![])
        .node("Div", &["n", "two"], &["half"], vec![])
        .node("Squeeze", &["tail"], &["three"], vec![])
        .node("Sub", &["half", "three"], &["nine"], vec![])
        .node("Range", &["zero", "nine", "two"], &["r"], vec![])
        .node("Cast", &["r"], &["f"], vec![a("to", 1)])
        .node("ReduceSum", &["f"], &["sum"], vec![a("keepdims", 0)])
        .node("Constant", &[], &["k"], vec![a("value_float", 0.5f32)])
        .node("Mul", &["sum", "k"], &["factor"], vec![])
        .node("Mul", &["x", "factor"], &["scaled"], vec![])
        .node("ConstantOfShape", &["tail"], &["zeros"], vec![a("value", floats("", &[1], &[0.25]))])
        .node("Unsqueeze", &["zeros", "one_axis"], &["column"], vec![])
        .initializer(ints("one_axis", &[1], &[1]))
        .node("Add", &["scaled", "column"], &["y"], vec![])
        .output("y");
    suite.tract(&case("arithmetic", arithmetic, &[&[2, 3, 4]]));
    suite.finish();
}

#[test]
fn normalizations() {
    let mut suite = Suite::default();
    let positive = |dims: &[i64]| Operand::Random(dims.into(), 0.5, 1.5);
    for x in [input(&[3, 4]), input(&[2, 4, 5])] {
        let parameters = [x, positive(&[4]), random(&[4]), random(&[4]), positive(&[4])];
        for opset in [7, 9, 14, 15] {
            suite.op("BatchNormalization", opset, &parameters, vec![a("epsilon", 1e-3f32)]);
        }
        suite.op("BatchNormalization", 13, &parameters, vec![]);
    }
    let x = || input(&[2, 3, 4]);
    suite.op("LayerNormalization", 17, &[x(), random(&[4]), random(&[4])], vec![]);
    suite.op("LayerNormalization", 17, &[x(), random(&[4])], vec![a("axis", -1), a("epsilon", 0.01f32)]);
    suite.op("LayerNormalization", 17, &[x(), random(&[3, 4]), random(&[3, 4])], vec![a("axis", 1)]);
    suite.op("RMSNormalization", 23, &[x(), random(&[4])], vec![a("epsilon", 0.01f32)]);
    suite.op("LpNormalization", 13, &[x()], vec![a("axis", 1), a("p", 1)]);
    suite.op("LpNormalization", 13, &[x()], vec![]);
    for norm in ["L1", "L2"] {
        suite.op("ai.onnx.ml:Normalizer", 13, &[input(&[2, 3])], vec![a("norm", norm)]);
    }
    let max = operator("ai.onnx.ml:Normalizer", 13, &[within(&[1, 3], 0.5, 2.0)], vec![a("norm", "MAX")], 1);
    suite.formula(&max, |x| vec![x[0].iter().map(|v| v / x[0].iter().copied().fold(0.0, f32::max)).collect()]);
    suite.finish();
}

#[test]
fn softmax() {
    let mut suite = Suite::default();
    for op in ["Softmax", "LogSoftmax"] {
        for axis in [0, 1, 2, -1] {
            suite.op(op, 13, &[input(&[2, 3, 4])], vec![a("axis", axis)]);
            suite.op(op, 11, &[input(&[2, 3, 4])], vec![a("axis", axis)]);
        }
        for opset in [7, 11, 13, 18] {
            suite.op(op, opset, &[input(&[2, 3, 4])], vec![]);
            suite.op(op, opset, &[within(&[2, 5], -30.0, 30.0)], vec![]);
        }
    }
    suite.finish();
}

#[test]
fn arg_max() {
    let mut suite = Suite::default();
    for op in ["ArgMax", "ArgMin"] {
        for (axis, keep) in [(0, 1), (1, 0), (-1, 1), (2, 0)] {
            suite.op(op, 13, &[input(&[2, 3, 4])], vec![a("axis", axis), a("keepdims", keep)]);
        }
        suite.op(op, 7, &[input(&[2, 3])], vec![]);
    }
    // Among equals, the first or the last.
    let ties = |last: i64| {
        let model = Model::new(13)
            .input("x", &[1, 6])
            .node("Round", &["x"], &["r"], vec![])
            .node("ArgMax", &["r"], &["y"], vec![a("axis", 1), a("select_last_index", last)])
            .output("y");
        case("ArgMax of equals", model, &[&[1, 6]])
    };
    suite.tract(&ties(0));
    suite.tract(&ties(1));
    suite.finish();
}

#[test]
fn reductions() {
    let mut suite = Suite::default();
    let x = || within(&[2, 3, 4], 0.2, 2.0);
    for op in [
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    ] {
        let by_input = if op == "ReduceSum" { 13 } else { 18 };
        for (axes, keep) in [(&[1i64][..], 1), (&[-1], 0), (&[0, 2], 1), (&[1, 2], 0)] {
            suite.op(op, by_input - 2, &[x()], vec![a("axes", axes), a("keepdims", keep)]);
            suite.op(op, by_input, &[x(), list(axes)], vec![a("keepdims", keep)]);
        }
        suite.op(op, by_input - 2, &[x()], vec![]);
        suite.op(op, by_input, &[x()], vec![a("keepdims", 0)]);
    }
    for op in ["ReduceSum", "ReduceMean"] {
        suite.formula(&operator(op, 18, &[x()], vec![a("noop_with_empty_axes", 1)], 1), |x| x.to_vec());
    }
    suite.op("GlobalAveragePool", 13, &[input(&[1, 3, 4, 2])], vec![]);
    suite.op("GlobalMaxPool", 13, &[input(&[1, 3, 4, 2])], vec![]);
    suite.finish();
}

#[test]
fn casts() {
    let mut suite = Suite::default();
    for (to, range) in [(1, 4.0), (11, 4.0), (7, 4.0), (6, 4.0)] {
        let model = Model::new(13)
            .input("x", &[2, 5])
            .node("Cast", &["x"], &["c"], vec![a("to", to)])
            .node("Cast", &["c"], &["y"], vec![a("to", 1)])
            .output("y");
        suite.tract(&Case { name: format!("Cast to {to}"), model, ranges: vec![(vec![2, 5], -range, range)] });
    }
    let integers = |op: &str| {
        let model = Model::new(13)
            .input("x", &[2, 5])
            .initializer(ints("three", &[], &[3]))
            .node("Cast", &["x"], &["i"], vec![a("to", 7)])
            .node(op, &["i", "three"], &["q"], vec![])
            .node("Cast", &["q"], &["y"], vec![a("to", 1)])
            .output("y");
        Case { name: format!("{op} of integers"), model, ranges: vec![(vec![2, 5], -9.0, 9.0)] }
    };
    suite.tract(&integers("Div"));
    // tract's has the sign of the dividend.
    suite.formula(&integers("Mod"), |x| vec![x[0].iter().map(|x| (x.trunc() as i64).rem_euclid(3) as f32).collect()]);
    let like = Model::new(15)
        .input("x", &[2, 5])
        .initializer(ints("i", &[1], &[0]))
        .node("CastLike", &["x", "i"], &["c"], vec![])
        .node("CastLike", &["c", "x"], &["y"], vec![])
        .output("y");
    suite.tract(&case("CastLike", like, &[&[2, 5]]));
    suite.finish();
}

/// A perceptron with a skip connection and a gate, as a whole.
#[test]
fn networks() {
    let mut suite = Suite::default();
    let mut random = Random(3);
    let mut weight = |name: &str, dims: &[i64]| floats(name, dims, &random.vector(dims, -0.5, 0.5));
    let model = Model::new(13)
        .input("x", &[1, 8])
        .initializer(weight("w1", &[16, 8]))
        .initializer(weight("b1", &[16]))
        .initializer(weight("w2", &[16, 8]))
        .initializer(weight("b2", &[1, 8]))
        .node("Gemm", &["x", "w1", "b1"], &["h"], vec![a("transB", 1)])
        .node("Sigmoid", &["h"], &["s"], vec![])
        .node("Mul", &["h", "s"], &["silu"], vec![])
        .node("MatMul", &["silu", "w2"], &["m"], vec![])
        .node("Add", &["m", "b2"], &["d"], vec![])
        .node("Add", &["d", "x"], &["skip"], vec![])
        .node("Split", &["skip"], &["p", "q"], vec![a("axis", 1)])
        .node("Tanh", &["p"], &["t"], vec![])
        .node("Mul", &["t", "q"], &["gated"], vec![])
        .node("Softmax", &["gated"], &["y"], vec![a("axis", 1)])
        .output("y")
        .output("skip");
    suite.tract(&case("gated network with a skip connection", model, &[&[1, 8]]));
    suite.finish();
}
