//! The choice of a class by comparators of some bits.

use super::plan;
use crate::error::{Context, Result};
use tinymlp_codegen::Format;
use tinymlp_codegen::approximate::arg_max::{Comparator, Tree, highest};
use tinymlp_codegen::approximate::network::{Network, Samples};
use tinymlp_codegen::graph::{Graph, Op};
use tinymlp_codegen::plot::{Axis, Figure, Kind, Mark, Panel};
use tinymlp_codegen::quantize::config::{Config, LayerConfig, Scale};
use tinymlp_codegen::quantize::weight_scale;

/// One scale for the last layer's weights, so that its sums are compared as they are.
fn one_scale(graph: &Graph) -> Config {
    let mut config = Config::default();
    let layers = graph.nodes.iter().filter_map(|node| match &node.op {
        Op::Gemm { weight, .. } => Some((&node.name, weight)),
        _ => None,
    });
    if let Some((name, weight)) = layers.last() {
        let scale = weight_scale(weight, &vec![1.0; weight.len()], Format::Int8).map(Scale::Layer);
        config.layers.insert(name.clone(), LayerConfig { scale, ..LayerConfig::default() });
    }
    config
}

/// Error bound, measured loss and changed classes by the bits that are compared.
pub fn argmax() -> Result<Figure> {
    let (plan, rows) = plan("digits", one_scale)?;
    let network = Network::new(&plan).context(|| "digits".into())?;
    let samples = Samples::new(&plan, &rows, &vec![0; rows.len()]);
    let columns = network.results(&samples);
    let sums: Vec<i32> = (0..samples.len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    let [.., last] = &network.layers[..] else { unreachable!("digits has layers") };
    let limits = (0..last.outputs).map(|o| last.bounds(o));
    let (low, high) = limits.fold((0, 0), |(low, high), (l, h)| (low.min(l), high.max(h)));
    let exact = Tree::exact(network.classes(), network.last, (low, high));
    let live = exact.comparators[0].bits;
    let right = exact.choose(&sums);
    let (mut bound, mut lost, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for count in 1..=live.count_ones() {
        let comparators = exact.comparators.iter().map(|c| Comparator { bits: highest(live, count), ..*c });
        let tree = Tree { comparators: comparators.collect(), ..exact.clone() };
        let found = tree.choose(&sums);
        let at = |row: usize, class: u16| sums[row * network.classes() + usize::from(class)];
        let pairs = || found.iter().zip(&right).enumerate();
        let most = pairs().map(|(row, (&found, &right))| at(row, right) - at(row, found)).max().unwrap_or(0);
        let differ = pairs().filter(|(_, (found, right))| found != right).count();
        let count = f64::from(count);
        let share = |sum: f64| 100.0 * sum / (high - low) as f64;
        bound.push((count, share(tree.error((low, high)) as f64)));
        lost.push((count, share(most.into())));
        changed.push((count, 100.0 * differ as f64 / right.len() as f64));
    }
    let x = || Axis::linear("highest bits that are compared", 0.0, f64::from(live.count_ones()));
    let mark = |series, kind, points| Mark { series, kind, points };
    Ok(Figure {
        description: "Error bound and changed classes of an argmax that compares some bits".into(),
        width: 720.0,
        height: 200.0,
        columns: 2,
        series: vec!["largest on 200 rows".into(), "bound for any input".into()],
        panels: vec![
            Panel {
                title: "Largest sum less the one found".into(),
                x: x(),
                y: Axis::logarithmic("% of the sums' range", 0.001, 100.0),
                marks: vec![mark(1, Kind::Line, bound), mark(0, Kind::LineAndPoints, lost)],
            },
            Panel {
                title: "Rows whose class differs".into(),
                x: x(),
                y: Axis::linear("% of 200 rows", 0.0, 40.0),
                marks: vec![mark(0, Kind::LineAndPoints, changed)],
            },
        ],
    })
}
