//! Weights: where the levels of the formats are, and what rounding to them costs.

use super::graph;
use crate::error::Result;
use tinymlp_codegen::Format;
use tinymlp_codegen::graph::Op;
use tinymlp_codegen::plot::{Axis, Figure, Kind, Mark, Panel};
use tinymlp_codegen::quantize::weight_scale;

/// Where a normal distribution is cut off, in standard deviations.
const REACH: f64 = 4.0;

/// Weights over a normal distribution, and how often each is met.
fn normal() -> (Vec<f32>, Vec<f64>) {
    let weights: Vec<f32> = (-2000..=2000).map(|k| (f64::from(k) * REACH / 2000.0) as f32).collect();
    let density = weights.iter().map(|&w| (-f64::from(w).powi(2) / 2.0).exp()).collect();
    (weights, density)
}

/// Names of the formats, those of more bits first.
fn names() -> Vec<&'static str> {
    Format::ALL.iter().rev().map(|format| format.name()).collect()
}

/// Levels of every format at the scale that suits a normal distribution best.
pub fn levels() -> Figure {
    let (weights, density) = normal();
    let mut marks = Vec::new();
    for (k, format) in Format::ALL.into_iter().enumerate() {
        let scale = weight_scale(&weights, &density, format).unwrap_or(1.0);
        let level = |w: i8| (f64::from(w) * scale, k as f64);
        marks.push(Mark { series: 0, kind: Kind::Ticks, points: format.levels().map(level).collect() });
    }
    let top = Format::ALL.len() as f64 - 0.4;
    let curve = weights.iter().zip(&density).step_by(20).map(|(&w, d)| (w.into(), -0.6 + d * (top + 0.6)));
    marks.insert(0, Mark { series: 5, kind: Kind::Area, points: curve.collect() });
    let mut series = vec![String::new(); 6];
    series[0] = "level of the format, at its best scale".into();
    series[5] = "how often a weight is met".into();
    Figure {
        description: "Levels of the formats of weights under a normal distribution".into(),
        width: 720.0,
        height: 190.0,
        columns: 1,
        series,
        panels: vec![Panel {
            title: String::new(),
            x: Axis::linear("weight, in standard deviations", -REACH, REACH),
            y: Axis::names("", &names()),
            marks,
        }],
    }
}

/// Signal to quantization noise of rows of weights, each with its own scale, in decibels.
fn decibels(rows: &[f32], width: usize, square: &[f64], format: Format) -> f64 {
    let (mut signal, mut noise) = (0.0, 0.0);
    for row in rows.chunks_exact(width) {
        let Some(scale) = weight_scale(row, square, format) else { continue };
        for (&w, weight) in row.iter().zip(square) {
            let w = f64::from(w);
            signal += weight * w * w;
            noise += weight * (f64::from(format.round(w / scale)) * scale - w).powi(2);
        }
    }
    10.0 * (signal / noise).log10()
}

/// Signal to quantization noise by format, of a normal distribution and of layers of the shipped models.
pub fn sqnr() -> Result<Figure> {
    let place = |k: usize, series: usize| k as f64 + 0.27 - 0.18 * series as f64;
    let (weights, density) = normal();
    let of_normal = Format::ALL.into_iter().enumerate();
    let of_normal = of_normal.map(|(k, f)| (decibels(&weights, weights.len(), &density, f), place(k, 0))).collect();
    let mut marks = vec![Mark { series: 0, kind: Kind::Points, points: of_normal }];
    let mut series = vec!["normal distribution".to_owned()];
    for (model, shape) in [("digits", "64-32-10"), ("wdbc", "30-10-2"), ("wine", "13-16-16-16-3")] {
        let mut points = Vec::new();
        for node in graph(model, false)?.nodes {
            let Op::Gemm { weight, bias } = node.op else { continue };
            let width = weight.len() / bias.len();
            let each = Format::ALL.into_iter().enumerate();
            points.extend(each.map(|(k, f)| (decibels(&weight, width, &vec![1.0; width], f), place(k, series.len()))));
        }
        marks.push(Mark { series: series.len(), kind: Kind::Points, points });
        series.push(format!("layers of {model}, {shape}"));
    }
    Ok(Figure {
        description: "Signal to quantization noise of weights by format".into(),
        width: 720.0,
        height: 240.0,
        columns: 1,
        series,
        panels: vec![Panel {
            title: String::new(),
            x: Axis::linear(
                "signal to quantization noise of the weights, dB (more is better; 6 dB halve the error)",
                0.0,
                55.0,
            ),
            y: Axis::names("", &names()),
            marks,
        }],
    })
}
