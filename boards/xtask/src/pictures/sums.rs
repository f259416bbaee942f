//! Accumulation: bits of summands that are left out, and how many bits a sum needs.

use super::plan;
use crate::error::{Context, Result};
use tinymlp_codegen::Format;
use tinymlp_codegen::approximate::adders::{Adders, Digits};
use tinymlp_codegen::approximate::network::{Activation, Layer, Network, Samples};
use tinymlp_codegen::plot::{Axis, Figure, Kind, Mark, Panel};
use tinymlp_codegen::quantize::config::Config;

/// The shipped digits with weights of a format and inputs of some bits.
fn digits(format: Format, input_bits: u32) -> Result<(Network, Samples)> {
    let config = |_: &_| Config { weights: Some(format), input_bits: Some(input_bits), ..Config::default() };
    let (plan, rows) = plan("digits", config)?;
    let network = Network::new(&plan).context(|| "digits".into())?;
    // Classes are compared with the network's own, not with labels.
    let samples = Samples::new(&plan, &rows, &vec![0; rows.len()]);
    Ok((network, samples))
}

/// Ways of leaving out of the summands of a layer what counts least, each by one number.
const WAYS: [(&str, fn(i8, u32) -> u8); 3] = [
    ("columns of the sum, from the lowest", |w, k| u8::MAX << k.saturating_sub(exponent(w)).min(7)),
    ("low bits of every operand", |_, k| u8::MAX << k.min(7)),
    ("whole summands, smallest weights first", |w, k| if exponent(w) < k { 0 } else { u8::MAX }),
];

/// Of a power of two.
fn exponent(w: i8) -> u32 {
    w.unsigned_abs().checked_ilog2().unwrap_or(0)
}

/// The network with masks by weight.
fn masked(network: &Network, mask: impl Fn(i8) -> u8) -> Network {
    let mut network = network.clone();
    for layer in &mut network.layers {
        let live = layer.live();
        layer.masks = layer.weight.iter().map(|&w| mask(w) & live).collect();
    }
    network
}

/// What masks save in adders, and how many rows change their class.
pub fn masks() -> Result<Figure> {
    let (network, samples) = digits(Format::PowerOfTwo, 4)?;
    let all = Adders::new(&network, Digits::Binary).accumulation() as f64;
    let classes = network.classify(&samples);
    let same = |masked: &Network| {
        let found = masked.classify(&samples);
        100.0 * found.iter().zip(&classes).filter(|(a, b)| a == b).count() as f64 / classes.len() as f64
    };
    let mut marks = Vec::new();
    for (series, (_, mask)) in WAYS.into_iter().enumerate() {
        let networks = (0..10).map(|k| masked(&network, |w| mask(w, k)));
        let points = networks.map(|n| (100.0 * Adders::new(&n, Digits::Binary).accumulation() as f64 / all, same(&n)));
        marks.push(Mark { series, kind: Kind::LineAndPoints, points: points.collect() });
    }
    Ok(Figure {
        description: "Full adders and unchanged classes of digits with masks".into(),
        width: 720.0,
        height: 220.0,
        columns: 2,
        series: WAYS
            .iter()
            .map(|(name, _)| *name)
            .chain(["bound of that error for any input"])
            .map(str::to_owned)
            .collect(),
        panels: vec![
            Panel {
                title: "What is kept".into(),
                x: Axis::linear("full adders, % of those without masks", 0.0, 100.0),
                y: Axis::linear("rows with the same class, %", 0.0, 100.0),
                marks,
            },
            error(&network, &samples),
        ],
    })
}

/// By how much the first layer's sums are off.
fn error(network: &Network, samples: &Samples) -> Panel {
    let [first, ..] = &network.layers[..] else { unreachable!("digits has two layers") };
    let sums = |layer: Layer| {
        let alone = Network { layers: vec![Layer { result: Activation::Sums, ..layer }], last: false, tree: None };
        alone.results(samples)
    };
    let exact = sums(first.clone());
    let (mut bounds, mut found) = (Vec::new(), Vec::new());
    for k in 1..10 {
        let (_, mask) = WAYS[0];
        let layer = masked(network, |w| mask(w, k)).layers.swap_remove(0);
        let live = layer.live();
        let of_output = |o: usize| {
            let row = o * layer.inputs..(o + 1) * layer.inputs;
            let lost = layer.weight[row.clone()].iter().zip(&layer.masks[row]);
            // What is left out is positive; weights of one sign add up, those of the other take away.
            let each = lost.map(|(&w, &m)| i64::from(w) * i64::from(live & !m));
            let (low, high) = each.fold((0, 0), |(low, high), e| (low + e.min(0), high + e.max(0)));
            high.max(-low)
        };
        bounds.push((f64::from(k), (0..layer.outputs).map(of_output).max().unwrap_or(0) as f64));
        let off = sums(layer).iter().flatten().zip(exact.iter().flatten()).map(|(a, b)| (a - b).abs()).max();
        found.push((f64::from(k), f64::from(off.unwrap_or(0))));
    }
    let largest = exact.iter().flatten().map(|s| s.abs()).max().unwrap_or(0);
    let mark = |series, kind, points| Mark { series, kind, points };
    Panel {
        title: "Error of the first layer's sums".into(),
        x: Axis::linear("lowest columns left out", 0.0, 10.0),
        y: Axis::logarithmic("steps of the sum", 1.0, 100_000.0),
        marks: vec![
            mark(0, Kind::Guide, vec![(0.0, f64::from(largest)), (10.0, f64::from(largest))]),
            mark(3, Kind::Line, bounds),
            mark(0, Kind::LineAndPoints, found),
        ],
    }
}

/// Bits of the sums of the first layer, by format and by bits of the inputs.
pub fn bounds() -> Result<Figure> {
    const INPUTS: [u32; 3] = [8, 4, 2];
    let mut marks = Vec::new();
    for (series, input_bits) in INPUTS.into_iter().enumerate() {
        let mut points = Vec::new();
        for (k, format) in Format::ALL.into_iter().enumerate() {
            let (network, _) = digits(format, input_bits)?;
            let layer = &network.layers[0];
            let most = (0..layer.outputs).map(|o| layer.bounds(o)).map(|(low, high)| high.max(-low - 1)).max();
            // With a sign.
            let bits = i64::BITS - most.unwrap_or(0).leading_zeros() + 1;
            points.push((f64::from(bits), k as f64));
        }
        marks.push(Mark { series, kind: Kind::Points, points });
    }
    marks.push(Mark {
        series: 0,
        kind: Kind::Guide,
        points: vec![(16.0, -0.6), (16.0, Format::ALL.len() as f64 - 0.4)],
    });
    let names: Vec<&str> = Format::ALL.iter().rev().map(|format| format.name()).collect();
    Ok(Figure {
        description: "Bits of the first layer's sums of digits by format of weights and bits of inputs".into(),
        width: 720.0,
        height: 170.0,
        columns: 1,
        series: INPUTS.map(|bits| format!("inputs of {bits} bits")).to_vec(),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::linear("bits that the largest sum needs, with its sign", 4.0, 24.0),
            y: Axis::names("", &names),
            marks,
        }],
    })
}
