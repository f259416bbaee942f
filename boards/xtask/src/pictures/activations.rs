//! Activations: truncated ReLU, and functions in straight segments.

use tinymlp::requantize;
use tinymlp_codegen::approximate::piecewise::{Function, Segments};
use tinymlp_codegen::plan::kernels::{Buffer, Kernel, Limits, Piecewise};
use tinymlp_codegen::plan::{Quant, Type};
use tinymlp_codegen::plot::{Axis, Figure, Kind, Mark, Panel};

/// Bits that the truncated ReLU of the picture cuts off, and its largest result.
const SHIFT: u32 = 5;
const MOST: i32 = 7;

/// Rounded and truncated results of a ReLU, and by how much they are off.
pub fn relu() -> Figure {
    let one = 1 << SHIFT;
    let multiplier = 1 << (32 - SHIFT);
    // As the generator has them: the truncated one is the rounded one of a bias that is half a step less.
    let rounded = |sum: i32| requantize(sum, multiplier, 0).clamp(0, MOST);
    let truncated = |sum: i32| requantize(sum - one / 2, multiplier, 0).clamp(0, MOST);
    let steps = |sum: i32| f64::from(sum) / f64::from(one);
    let exact = |sum: i32| steps(sum).clamp(0.0, f64::from(MOST));
    let sums = || -2 * one..=9 * one;
    let curve = |series, kind, f: &dyn Fn(i32) -> f64| Mark {
        series,
        kind,
        points: sums().map(|s| (steps(s), f(s))).collect(),
    };
    let x = || Axis::linear("sum, in steps of the result", -2.0, 9.0);
    Figure {
        description: "Rounded and truncated ReLU and their errors".into(),
        width: 720.0,
        height: 190.0,
        columns: 2,
        series: vec![
            "rounded".into(),
            "truncated (shift)".into(),
            String::new(),
            String::new(),
            String::new(),
            "real numbers".into(),
        ],
        panels: vec![
            Panel {
                title: "Result of 3 bits".into(),
                x: x(),
                y: Axis::linear("steps", -1.0, 8.0),
                marks: vec![
                    Mark { series: 5, kind: Kind::Line, points: vec![(-2.0, 0.0), (0.0, 0.0), (7.0, 7.0), (9.0, 7.0)] },
                    curve(0, Kind::Steps, &|s| rounded(s).into()),
                    curve(1, Kind::Steps, &|s| truncated(s).into()),
                ],
            },
            Panel {
                title: "Error".into(),
                x: x(),
                y: Axis::linear("steps", -1.2, 1.2),
                marks: vec![
                    curve(0, Kind::Line, &|s| f64::from(rounded(s)) - exact(s)),
                    curve(1, Kind::Line, &|s| f64::from(truncated(s)) - exact(s)),
                ],
            },
        ],
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// The form with tanh, which differs from the exact one by less than 0.0005.
fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
}

type Named = (&'static str, fn(f64) -> f64);

const FUNCTIONS: [Named; 4] = [("sigmoid", sigmoid), ("tanh", f64::tanh), ("GELU", gelu), ("SiLU", silu)];

/// Largest input of the functions.
const REACH: f64 = 8.0;

/// Numbers of a function's input and output, and its rounded results.
fn rounded(f: fn(f64) -> f64, ty: Type) -> (Quant, Quant, Vec<i32>) {
    let (low, high) = ty.limits();
    let x = Quant::new(ty, REACH / f64::from(high), 0);
    let values = (low..=high).map(|q| f(x.real(q)));
    let (least, most) = values.fold((0f64, 0f64), |(l, h), v| (l.min(v), h.max(v)));
    let scale = (most - least) / f64::from(high - low);
    let y = Quant::new(ty, scale, (f64::from(low) - least / scale).round() as i32);
    let results = (low..=high).map(|q| y.quantize(f(x.real(q)))).collect();
    (x, y, results)
}

/// What the runtime computes of all inputs.
fn run(segments: Segments, ty: Type) -> Vec<i32> {
    let (min, max) = ty.limits();
    let inputs: Vec<i32> = (min..=max).collect();
    let kernel = Piecewise { len: inputs.len(), ty, segments, limits: Limits { ty, zero_point: 0, min, max } };
    let mut found = Buffer::new(ty, inputs.len());
    kernel.run(&[&Buffer::from_integers(ty, &inputs)], &mut found);
    found.integers()
}

/// Difference from the table, over all inputs.
pub fn segments() -> Figure {
    const ERROR: i32 = 2;
    let panel = |(name, f): Named| {
        let (x, _, results) = rounded(f, Type::I8);
        let function = Function { first: -128, results: &results, limits: Type::I8.limits() };
        let made = function.within(ERROR);
        let title = format!("{name}: {} segments", made.segments.len());
        let found = run(made, Type::I8);
        let off = (-128..=127).zip(found.iter().zip(&results)).map(|(q, (a, b))| (x.real(q), f64::from(a - b)));
        Panel {
            title,
            x: Axis::linear("input", -REACH, REACH),
            y: Axis::linear("difference, steps", -3.0, 3.0),
            marks: vec![Mark { series: 0, kind: Kind::Steps, points: off.collect() }],
        }
    };
    Figure {
        description: "Difference of straight segments from the table over all inputs of int8".into(),
        width: 720.0,
        height: 110.0,
        columns: 2,
        series: vec!["straight segments less table, steps of int8 (1/255 of the output's range)".into()],
        panels: FUNCTIONS.map(panel).to_vec(),
    }
}

/// Error by number of segments, of int8 and int16.
pub fn counts() -> Figure {
    let each: Vec<usize> = (1..=12).collect();
    let panel = |ty: Type, title: &str, most: f64, counts: &[usize]| {
        let mut marks = Vec::new();
        for (series, (_, f)) in FUNCTIONS.into_iter().enumerate() {
            let (_, _, results) = rounded(f, ty);
            let function = Function { first: ty.limits().0, results: &results, limits: ty.limits() };
            let points = counts.iter().map(|&count| (count as f64, f64::from(function.with_segments(count).error)));
            marks.push(Mark { series, kind: Kind::LineAndPoints, points: points.collect() });
        }
        Panel {
            title: title.into(),
            x: Axis::linear("segments", 0.0, 12.0),
            y: Axis::logarithmic("largest difference, steps", 1.0, most),
            marks,
        }
    };
    Figure {
        description: "Largest difference of straight segments from the function, by their number".into(),
        width: 720.0,
        height: 200.0,
        columns: 2,
        series: FUNCTIONS.map(|(name, _)| name.to_owned()).to_vec(),
        panels: vec![panel(Type::I8, "int8", 100.0, &each), panel(Type::I16, "int16", 20_000.0, &[1, 2, 4, 8, 12])],
    }
}
