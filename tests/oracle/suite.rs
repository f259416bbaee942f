//! Runs models through the importer and the evaluator, and through tract or a formula, and compares.

use prost::Message;
use tinymlp_codegen::graph::eval;
use tinymlp_codegen::graph::simplify::simplify;
use tinymlp_codegen::import;
use tinymlp_codegen::import::proto::AttributeProto;
use tinymlp_tests::onnx::{Model, floats, ints};
use tract_onnx::prelude::*;

/// An operand of the operator under test.
#[derive(Clone)]
pub enum Operand {
    /// An input of the model with elements in a range.
    Input(Vec<i64>, f32, f32),
    /// An initializer with random elements in a range.
    Random(Vec<i64>, f32, f32),
    /// An initializer.
    Floats(Vec<i64>, Vec<f32>),
    /// An initializer of integers.
    Ints(Vec<i64>, Vec<i64>),
    /// An optional operand that is left out.
    Absent,
}

/// An input with elements from -2 to 2.
pub fn input(dims: &[i64]) -> Operand {
    Operand::Input(dims.into(), -2.0, 2.0)
}

/// An initializer with elements from -2 to 2.
pub fn random(dims: &[i64]) -> Operand {
    Operand::Random(dims.into(), -2.0, 2.0)
}

/// A vector of integers.
pub fn list(values: &[i64]) -> Operand {
    Operand::Ints(vec![values.len() as i64], values.into())
}

/// A float scalar.
pub fn scalar(value: f32) -> Operand {
    Operand::Floats(vec![], vec![value])
}

/// A small generator of uniform numbers; the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * ((self.0 >> 40) as f32 / (1u64 << 24) as f32)
    }

    pub fn vector(&mut self, dims: &[i64], low: f32, high: f32) -> Vec<f32> {
        (0..dims.iter().product::<i64>()).map(|_| self.uniform(low, high)).collect()
    }
}

/// A model with its inputs' ranges.
pub struct Case {
    pub name: String,
    pub model: Model,
    pub ranges: Vec<(Vec<i64>, f32, f32)>,
}

/// A model of one operator with `outputs` results named `y0`, `y1`, ...
pub fn operator(op: &str, opset: i64, operands: &[Operand], attributes: Vec<AttributeProto>, outputs: usize) -> Case {
    let mut model = Model::new(opset);
    let mut random = Random(op.len() as u64 + operands.len() as u64);
    let mut names = Vec::new();
    let mut ranges = Vec::new();
    for (k, operand) in operands.iter().enumerate() {
        let name = format!("x{k}");
        match operand {
            Operand::Input(dims, low, high) => {
                model = model.input(&name, dims);
                ranges.push((dims.clone(), *low, *high));
            }
            Operand::Random(dims, low, high) => {
                model = model.initializer(floats(&name, dims, &random.vector(dims, *low, *high)));
            }
            Operand::Floats(dims, data) => model = model.initializer(floats(&name, dims, data)),
            Operand::Ints(dims, data) => model = model.initializer(ints(&name, dims, data)),
            Operand::Absent => {}
        }
        names.push(if matches!(operand, Operand::Absent) { String::new() } else { name });
    }
    let results: Vec<String> = (0..outputs).map(|k| format!("y{k}")).collect();
    let (inputs, outputs): (Vec<&str>, Vec<&str>) =
        (names.iter().map(String::as_str).collect(), results.iter().map(String::as_str).collect());
    let name = format!("{op} (opset {opset}) {:?}", attributes.iter().map(|a| &a.name).collect::<Vec<_>>());
    model = model.node(op, &inputs, &outputs, attributes);
    for output in outputs {
        model = model.output(output);
    }
    Case { name, model, ranges }
}

/// Collects failures, so that one run shows all.
#[derive(Default)]
pub struct Suite {
    failures: Vec<String>,
    cases: usize,
}

impl Suite {
    /// One operator against tract, with one result.
    pub fn op(&mut self, op: &str, opset: i64, operands: &[Operand], attributes: Vec<AttributeProto>) {
        self.tract(&operator(op, opset, operands, attributes, 1));
    }

    /// A model against tract.
    pub fn tract(&mut self, case: &Case) {
        self.compare(case, &run_tract);
    }

    /// A model against a function of its inputs that gives all its outputs.
    pub fn formula(&mut self, case: &Case, formula: impl Fn(&[Vec<f32>]) -> Vec<Vec<f32>>) {
        self.compare(case, &|_, inputs, _| Ok(formula(inputs)));
    }

    /// One operator of one input against a function of its elements.
    pub fn elements(
        &mut self,
        op: &str,
        opset: i64,
        operand: Operand,
        attributes: Vec<AttributeProto>,
        f: impl Fn(f64) -> f64,
    ) {
        let case = operator(op, opset, &[operand], attributes, 1);
        self.formula(&case, |inputs| vec![inputs[0].iter().map(|&x| f(f64::from(x)) as f32).collect()]);
    }

    fn compare(&mut self, case: &Case, oracle: &Oracle) {
        self.cases += 1;
        if let Err(e) = compare(case, oracle) {
            self.failures.push(format!("{}: {e}", case.name));
        }
    }

    /// Fails if a case did.
    pub fn finish(self) {
        let (failed, all) = (self.failures.len(), self.cases);
        assert!(failed == 0, "{failed} of {all} fail:\n{}", self.failures.join("\n"));
    }
}

type Oracle<'a> = dyn Fn(&Model, &[Vec<f32>], &[Vec<i64>]) -> Result<Vec<Vec<f32>>, String> + 'a;

fn compare(case: &Case, oracle: &Oracle) -> Result<(), String> {
    let graph = import::from_bytes("test", &case.model.bytes(), None).map_err(|e| format!("import: {e}"))?;
    // As quantization gets it: what the passes change must not change the results.
    let mut simple = graph.clone();
    simplify(&mut simple);
    let dims: Vec<Vec<i64>> = case.ranges.iter().map(|(dims, ..)| dims.clone()).collect();
    let mut random = Random(7);
    for _ in 0..3 {
        let inputs: Vec<Vec<f32>> =
            case.ranges.iter().map(|(dims, low, high)| random.vector(dims, *low, *high)).collect();
        let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let (values, simplified) = (eval::evaluate(&graph, &slices), eval::evaluate(&simple, &slices));
        let expected = oracle(&case.model, &inputs, &dims).map_err(|e| format!("oracle: {e}"))?;
        let imported = graph.outputs.iter().zip(&expected).map(|(o, e)| (o, &values[o.tensor], e));
        let simplified = simple.outputs.iter().zip(&expected).map(|(o, e)| (o, &simplified[o.tensor], e));
        for (output, ours, expected) in imported.chain(simplified) {
            let scale = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()) + 1e-6 * scale;
            if ours.len() != expected.len() || !ours.iter().zip(expected).all(close) {
                return Err(format!("{}: {ours:?}, not {expected:?}, for {inputs:?}", output.name));
            }
        }
        if graph.outputs.len() != expected.len() {
            return Err(format!("{} outputs, not {}", graph.outputs.len(), expected.len()));
        }
    }
    Ok(())
}

fn run_tract(model: &Model, inputs: &[Vec<f32>], dims: &[Vec<i64>]) -> Result<Vec<Vec<f32>>, String> {
    let mut proto = model.0.clone();
    // The type of the outputs is tract's to infer.
    for output in proto.graph.iter_mut().flat_map(|g| &mut g.output) {
        output.r#type = None;
    }
    let bytes = proto.encode_to_vec();
    let run = || -> TractResult<Vec<Vec<f32>>> {
        let plan = tract_onnx::onnx().model_for_read(&mut bytes.as_slice())?.into_typed()?.into_runnable()?;
        let operands = inputs
            .iter()
            .zip(dims)
            .map(|(data, dims)| {
                let shape: Vec<usize> = dims.iter().map(|&d| d as usize).collect();
                Ok(Tensor::from_shape(&shape, data)?.into())
            })
            .collect::<TractResult<TVec<TValue>>>()?;
        let outputs = plan.run(operands)?;
        outputs
            .iter()
            .map(|t| Ok(t.cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect()))
            .collect()
    };
    run().map_err(|e| format!("{e:#}"))
}
