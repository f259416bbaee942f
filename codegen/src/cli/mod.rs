//! Subcommands, one file each, and the options they share.

mod build;
mod cost;
mod evaluate;
mod features;
mod inspect;
mod new;
mod out;
mod search;
mod table;
mod tune;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::str::FromStr;
use tinymlp_codegen::{Builder, Core, Emission, Format, Io, Mode, Observer, Result};

/// Compiles trained MLP-family networks to Rust for microcontrollers.
#[derive(Debug, Parser)]
#[command(name = "tinymlp", version, about)]
pub(crate) struct Command {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Show what is in a model and whether it can be compiled; with a target, what it costs there.
    Inspect(inspect::Options),
    /// Quantize a model and write it as a Rust module, with a report.
    Build(build::Options),
    /// Compare the quantized model with the float model on a data set.
    Evaluate(evaluate::Options),
    /// Turn texts into the features that a text model is trained on.
    Features(features::Options),
    /// Train a float model in the integers it will run in, and write it with its quantization.
    Tune(tune::Options),
    /// Search for approximations of a model: a front of accuracy against cost, with a build command a point.
    Search(search::Options),
    /// Start a firmware project for a board: it builds as it stands, and checks itself on the device.
    New(new::Options),
}

/// What every command that quantizes takes.
#[derive(Args, Debug)]
struct Quantization {
    /// Model file (.onnx).
    model: PathBuf,
    /// Representative inputs, one a row (.npy, .npz or .csv); for a text model, texts or labels and texts (.tsv, .tsv.gz).
    #[arg(long, value_name = "FILE")]
    calibration: PathBuf,
    /// Name of the module; the model file's if not given.
    #[arg(long)]
    name: Option<String>,
    /// Real numbers the module converts from and to: quantized (none), f32, or a fixed-point type like I16F16.
    #[arg(long, default_value = "quantized", value_name = "TYPE")]
    io: Io,
    #[command(flatten)]
    precision: Precision,
    #[command(flatten)]
    target: Target,
}

/// How values become integers.
#[derive(Args, Debug)]
struct Precision {
    /// How ranges are chosen: min-max, mse, percentile or percentile=99.9.
    #[arg(long, default_value = "min-max", value_name = "OBSERVER")]
    observer: Observer,
    /// How much further than the calibration data ranges reach, as a share.
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    headroom: f64,
    /// A layer or input that gets int16 activations (repeatable; `all` for all).
    #[arg(long, value_name = "NAME")]
    int16: Vec<String>,
    /// Format of weights: int8, int4, ternary, pow2 or pow2-nonzero; of all layers, or of one as LAYER=FORMAT (repeatable).
    #[arg(long, value_name = "[LAYER=]FORMAT")]
    weights: Vec<Weights>,
    /// Inputs of so many bits, 1 to 8.
    #[arg(long, value_name = "BITS")]
    input_bits: Option<u32>,
    /// A JSON file that says how inputs and layers are quantized, instead of what the model file says of it.
    #[arg(long, value_name = "FILE")]
    quantization: Option<PathBuf>,
    /// Functions of one number: table, or piecewise for straight segments within 2 steps of the rounded function, or within
    /// so many as piecewise=MAXERROR says.
    #[arg(long, default_value = "table", value_name = "KIND")]
    activation: Activation,
    /// Give the class, an index, instead of a number a class.
    #[arg(long)]
    argmax: bool,
    /// Accept calibration data in which a column never changes from a value other than zero.
    #[arg(long)]
    allow_constant_columns: bool,
}

/// A format, of all layers or of one.
#[derive(Clone, Debug)]
struct Weights {
    layer: Option<String>,
    format: Format,
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (layer, format) = text.rsplit_once('=').map_or((None, text), |(layer, f)| (Some(layer.to_owned()), f));
        Ok(Self { layer, format: format.parse()? })
    }
}

/// What functions of one number become.
#[derive(Clone, Copy, Debug)]
enum Activation {
    Table,
    Piecewise { max_error: u32 },
}

impl FromStr for Activation {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            None if text == "table" => Ok(Self::Table),
            None if text == "piecewise" => Ok(Self::Piecewise { max_error: 2 }),
            Some(("piecewise", error)) => {
                let max_error = error.parse().map_err(|_| format!("'{error}' is no number of steps"))?;
                Ok(Self::Piecewise { max_error })
            }
            _ => Err("is none of table, piecewise and piecewise=MAXERROR".into()),
        }
    }
}

/// `20%` or `0.2`.
#[derive(Clone, Copy, Debug)]
struct Share(f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
        let share = number.trim().parse::<f64>().map(|n| n / unit).ok().filter(|s| *s > 0.0 && *s < 1.0);
        share.map(Self).ok_or_else(|| format!("'{text}' is no share between 0 and 1, such as 20% or 0.2"))
    }
}

/// What the module is for.
#[derive(Args, Debug)]
struct Target {
    /// Whose kernels are called: a core, a chip or a Rust target; the portable ones if not given.
    #[arg(long, value_name = "CORE")]
    target: Option<Core>,
    /// What comes first where kernels can be either fast or small: size, balanced or speed.
    #[arg(long, default_value = "balanced", value_name = "MODE")]
    mode: Mode,
    /// How fully connected layers become code: tables, bespoke (weights as instructions) or auto.
    #[arg(long, default_value = "tables", value_name = "EMISSION")]
    emission: Emission,
    /// Only kernels whose instructions do not depend on the data.
    #[arg(long)]
    constant_time: bool,
}

impl Quantization {
    fn builder(&self) -> Builder {
        let mut builder = Builder::new(&self.model).calibration(&self.calibration).io(self.io);
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        self.target.of(self.precision.of(builder))
    }
}

impl Precision {
    /// The builder with these options.
    fn of(&self, builder: Builder) -> Builder {
        let mut builder = builder.observer(self.observer).headroom(self.headroom);
        if self.allow_constant_columns {
            builder = builder.allow_constant_columns();
        }
        if self.argmax {
            builder = builder.arg_max();
        }
        if let Activation::Piecewise { max_error } = self.activation {
            builder = builder.piecewise(max_error);
        }
        if let Some(bits) = self.input_bits {
            builder = builder.input_bits(bits);
        }
        if let Some(file) = &self.quantization {
            builder = builder.quantization(file);
        }
        for Weights { layer, format } in &self.weights {
            builder = match layer {
                Some(layer) => builder.layer_weights(layer, *format),
                None => builder.weights(*format),
            };
        }
        self.int16.iter().fold(builder, |b, layer| b.int16(layer))
    }
}

impl Target {
    /// The builder with these options.
    fn of(&self, builder: Builder) -> Builder {
        let mut builder = builder.mode(self.mode).emission(self.emission);
        if let Some(core) = self.target {
            builder = builder.target(core);
        }
        if self.constant_time { builder.constant_time() } else { builder }
    }
}

/// Runs a command.
///
/// # Errors
/// Whatever the command finds wrong.
pub(crate) fn run(command: Command) -> Result<()> {
    match command.command {
        Sub::Inspect(options) => inspect::run(&options),
        Sub::Build(options) => build::run(&options),
        Sub::Evaluate(options) => evaluate::run(&options),
        Sub::Features(options) => features::run(&options),
        Sub::Tune(options) => tune::run(&options),
        Sub::Search(options) => search::run(&options),
        Sub::New(options) => new::run(&options),
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn shares_are_read_with_and_without_a_unit() {
        let share = |text: &str| text.parse::<Share>().map(|s| s.0);
        assert_eq!((share("20%"), share("0.25")), (Ok(0.2), Ok(0.25)));
        for wrong in ["0", "100%", "1.5", "-3%", "many"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
