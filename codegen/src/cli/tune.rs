//! `tinymlp tune`.

use super::out::outln;
use super::table::table;
use super::{Share, Weights};
use indicatif::{ProgressBar, ProgressStyle};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tinymlp_codegen::data::{self, Data, Rows};
use tinymlp_codegen::graph::Graph;
use tinymlp_codegen::quantize::config::Config;
use tinymlp_codegen::report::classes;
use tinymlp_codegen::tune::{Score, Targets, Tuner, mlp, onnx};
use tinymlp_codegen::{Builder, Error, Problem, Result};

/// Arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    /// Model file (.onnx), with float weights.
    #[arg(required_unless_present = "topology", conflicts_with = "topology")]
    model: Option<PathBuf>,
    /// Instead of a model: a network of so many inputs, hidden units with ReLU and outputs, such as 16-5-10, whose float
    /// weights are trained first. It scales its inputs by their range in the data.
    #[arg(long, value_name = "N-N-..", group = "scratch")]
    topology: Option<Topology>,
    /// Inputs to train with, one a row (.npy, .npz or .csv). Keep the test rows out of it.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Class of each row, counted from 0 (.npy or .csv); with --regression, the values of the output.
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// The tuned model.
    #[arg(long, value_name = "FILE.onnx")]
    output: PathBuf,
    /// The float model that was tuned: what --from-scratch or --topology trained.
    #[arg(long, value_name = "FILE.onnx", requires = "scratch")]
    float_output: Option<PathBuf>,
    /// A JSON file that says how inputs and layers are quantized, such as a point of `search`: the model is tuned again with
    /// its formats, widths and masks.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scratch", "weights", "by_output", "input_bits", "truncate"])]
    quantization: Option<PathBuf>,
    /// Format of weights: int8, int4, ternary, pow2 or pow2-nonzero; of all layers, or of one as LAYER=FORMAT (repeatable).
    #[arg(long, value_name = "[LAYER=]FORMAT", default_value = "pow2")]
    weights: Vec<Weights>,
    /// A scale of weights for each output, but for truncated and last layers.
    #[arg(long)]
    by_output: bool,
    /// Inputs of so many bits, 1 to 8.
    #[arg(long, value_name = "BITS", default_value_t = 8)]
    input_bits: u32,
    /// Cut the results of layers with a Relu down to so many bits by a shift, instead of rounding them.
    #[arg(long, value_name = "BITS", num_args = 0..=1, default_missing_value = "8")]
    truncate: Option<u32>,
    /// Passes over the training rows.
    #[arg(long, value_name = "N", default_value_t = 200)]
    epochs: usize,
    /// The optimizer's largest step, relative to the size of a layer's weights.
    #[arg(long, value_name = "RATE", default_value_t = 0.02)]
    learning_rate: f64,
    /// Rows between two steps of the optimizer; chosen by their number, if not given.
    #[arg(long, value_name = "ROWS")]
    batch: Option<NonZeroUsize>,
    /// What all that is random follows from: the same seed gives the same file.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Runs of which the best on the validation rows is taken.
    #[arg(long, value_name = "N", default_value = "4")]
    restarts: NonZeroUsize,
    /// Part of the rows of each class that chooses and does not train.
    #[arg(long, value_name = "SHARE", default_value = "20%")]
    validation: Share,
    /// Accept classes of the model with less than two rows.
    #[arg(long)]
    allow_missing_classes: bool,
    /// Forget the weights and train the float network first, for --float-epochs.
    #[arg(long, group = "scratch")]
    from_scratch: bool,
    /// Passes of the float training.
    #[arg(long, value_name = "N", default_value_t = 200, requires = "scratch")]
    float_epochs: usize,
    /// Tune for the squared error of values instead of for classes.
    #[arg(long)]
    regression: bool,
}

/// Numbers of inputs, hidden units and outputs.
#[derive(Clone, Debug)]
struct Topology(Vec<usize>);

impl FromStr for Topology {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers =
            text.split('-').map(|n| n.trim().parse().ok().filter(|&n: &usize| n > 0)).collect::<Option<Vec<_>>>();
        let numbers = numbers.filter(|n| n.len() >= 2);
        numbers
            .map(Self)
            .ok_or_else(|| format!("'{text}' is no topology, such as 16-5-10: 16 inputs, 5 hidden units, 10 outputs"))
    }
}

/// Where the network comes from.
enum Source<'a> {
    /// A file with its bytes.
    File(&'a Path, Vec<u8>),
    /// Numbers of units.
    Topology,
}

impl Source<'_> {
    fn folder(path: &Path) -> &Path {
        path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Writes the network with other weights: into the original's bytes where that goes.
    fn write(&self, graph: &Graph, output: &Path) -> Result<()> {
        let bytes = match self {
            Source::File(path, original) => match onnx::patch(original, graph, Some(Self::folder(path))) {
                Some(bytes) => bytes,
                None => {
                    eprintln!(
                        "note: the layers' weights are not the file's one by one: the model is written anew, simplified"
                    );
                    onnx::write(graph)?
                }
            },
            Source::Topology => onnx::write(graph)?,
        };
        onnx::save(output, bytes)
    }

    fn in_file(&self, error: Error) -> Error {
        match self {
            Source::File(path, _) => error.in_file(path),
            Source::Topology => error,
        }
    }
}

/// The network to tune.
fn network<'a>(options: &'a Options, data: &Data) -> Result<(Graph, Source<'a>)> {
    if let Some(Topology(topology)) = &options.topology {
        let [array] = &data.arrays[..] else {
            let reason = format!("holds {} arrays, but the network has one input", data.arrays.len());
            return Err(Problem::new(options.data.display().to_string(), reason).into());
        };
        let rows = array.shape.first().copied().unwrap_or(0).max(1);
        let width = array.values.len() / rows;
        if width != topology[0] {
            let reason = format!("has {width} columns, but the topology starts with {} inputs", topology[0]);
            return Err(Problem::new(options.data.display().to_string(), reason)
                .help("the topology's first number is that of the columns of the data")
                .into());
        }
        return Ok((mlp(topology, &array.values.chunks(width).collect::<Vec<_>>()), Source::Topology));
    }
    let path = options.model.as_deref().unwrap_or(Path::new(""));
    let graph = Builder::new(path).graph()?;
    let cannot = |e| Error::from(Problem::new(path.display().to_string(), format!("cannot be read: {e}")));
    let original = std::fs::read(path).map_err(cannot)?;
    // What cannot be written is said before hours of training.
    onnx::check(&original, &graph, Some(Source::folder(path))).map_err(|e| e.in_file(path))?;
    Ok((graph, Source::File(path, original)))
}

pub(super) fn run(options: &Options) -> Result<()> {
    let data = data::load(&options.data)?;
    let (graph, source) = network(options, &data)?;
    check_output(&options.output)?;
    options.float_output.iter().try_for_each(|path| check_output(path))?;
    let rows = Rows::new(&graph, &data, &options.data)?;
    let targets = targets(options, &graph, &rows)?;
    let mut tuner = tuner(options, &graph);
    if let Some(file) = &options.quantization {
        tuner = tuner.quantized(quantization(file)?);
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} epochs, {msg}{eta} left") {
        bar.set_style(style);
    }
    let tuned = tuner.run(&rows, &targets, &|progress| {
        bar.set_length(progress.total as u64);
        if let Some(best) = progress.best {
            bar.set_message(format!("best {:.2} %, ", 100.0 * best));
        }
        bar.set_position(progress.done as u64);
    });
    bar.finish_and_clear();
    let tuned = tuned.map_err(|e| source.in_file(e))?;
    source.write(&tuned.graph, &options.output)?;
    options.float_output.iter().try_for_each(|path| source.write(&tuned.float, path))?;
    let percent = |x: f64| if options.regression { format!("{x:.6}") } else { format!("{:.2}", 100.0 * x) };
    let row = |name: &str, s: Score| vec![name.to_owned(), percent(s.training), percent(s.validation)];
    let rows = [
        row("float", tuned.float_score),
        row("quantized before tuning", tuned.untuned_score),
        row("quantized after tuning", tuned.score),
    ];
    let [training, validation] = if options.regression {
        ["training [squared error]", "validation [squared error]"]
    } else {
        ["training [%]", "validation [%]"]
    };
    outln!("{}", table(&["", training, validation], &[1, 2], rows.into_iter()));
    outln!("wrote {}", options.output.display());
    Ok(())
}

fn tuner<'g>(options: &Options, graph: &'g Graph) -> Tuner<'g> {
    let mut tuner = Tuner::new(graph)
        .input_bits(options.input_bits)
        .epochs(options.epochs)
        .float_epochs(options.float_epochs)
        .learning_rate(options.learning_rate)
        .seed(options.seed)
        .restarts(options.restarts.get())
        .validation(options.validation.0);
    for Weights { layer, format } in &options.weights {
        tuner = match layer {
            Some(layer) => tuner.layer_weights(layer, *format),
            None => tuner.weights(*format),
        };
    }
    if let Some(bits) = options.truncate {
        tuner = tuner.truncate(bits);
    }
    if let Some(rows) = options.batch {
        tuner = tuner.batch(rows.get());
    }
    if options.by_output {
        tuner = tuner.by_output();
    }
    if options.allow_missing_classes {
        tuner = tuner.allow_missing_classes();
    }
    if options.from_scratch || options.topology.is_some() { tuner.from_scratch() } else { tuner }
}

fn quantization(file: &Path) -> Result<Config> {
    let cannot = |e| Error::from(Problem::new(file.display().to_string(), format!("cannot be read: {e}")));
    Config::from_json(&std::fs::read_to_string(file).map_err(cannot)?).map_err(|e| Error::from(e).in_file(file))
}

fn targets(options: &Options, graph: &Graph, rows: &Rows) -> Result<Targets> {
    if options.regression {
        let data = data::load(&options.labels)?;
        let place = options.labels.display().to_string();
        let array = data.arrays.into_iter().next().ok_or_else(|| Problem::new(place, "holds no array"))?;
        return Ok(Targets::Values { values: array.values, rows: rows.len() });
    }
    Ok(Targets::Classes(data::load_labels(&options.labels, rows.len(), classes(graph))?))
}

fn cannot_write(path: &Path, reason: impl std::fmt::Display) -> Error {
    Problem::new(path.display().to_string(), format!("cannot be written: {reason}")).into()
}

fn check_output(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (path.is_dir() || path.file_name().is_none(), folder.is_dir()) {
        (true, _) => Err(cannot_write(path, "it is a folder")),
        (_, false) => Err(cannot_write(path, format!("there is no folder {}", folder.display()))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Topology;

    #[test]
    fn a_topology_is_numbers_of_units() {
        let topology = |text: &str| text.parse::<Topology>().map(|t| t.0);
        assert_eq!((topology("16-5-10"), topology("4-2")), (Ok(vec![16, 5, 10]), Ok(vec![4, 2])));
        for wrong in ["16", "16-0-10", "16-x-10", "", "16--10"] {
            assert!(topology(wrong).is_err(), "{wrong}");
        }
    }
}
