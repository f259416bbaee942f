//! The whole path for programs and build scripts.

use crate::calibrate::{Observer, StuckColumns, calibrate};
use crate::data::{self, Rows};
use crate::emit::{Io, Module, emit, golden};
use crate::error::{Error, Problem, Result};
use crate::graph::{Graph, simplify::simplify};
use crate::import;
use crate::plan::Plan;
use crate::quantize::config::{ActivationConfig, Config};
use crate::quantize::format::Format;
use crate::quantize::{Options, quantize};
use crate::report::{Report, report};
use crate::target::{Core, Emission, Mode, Target};
use crate::text::{self, TextModel, Utterances};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Texts that ranges are taken from, at most.
const MAX_TEXTS: usize = 500;

/// Compiles one model.
///
/// In a build script, with `tinymlp-codegen` as a build dependency:
///
/// ```no_run
/// // build.rs
/// fn main() -> tinymlp_codegen::Result<()> {
///     tinymlp_codegen::Builder::new("model/digits.onnx")
///         .calibration("model/calibration.npy")
///         .generate()
/// }
/// ```
///
/// Options are values or their names:
///
/// ```no_run
/// # fn main() -> tinymlp_codegen::Result<()> {
/// use tinymlp_codegen::{Builder, Core, Mode};
/// Builder::new("digits.onnx").calibration("rows.npy").io("f32".parse()?).target("cortex-m55".parse()?).generate()?;
/// Builder::new("digits.onnx").calibration("rows.npy").target(Core::Armv6m).mode(Mode::Size).generate()
/// # }
/// ```
///
/// and in the program `mod digits { include!(concat!(env!("OUT_DIR"), "/digits.rs")); }`.
#[derive(Clone, Debug)]
pub struct Builder {
    model: PathBuf,
    calibration: Option<PathBuf>,
    name: Option<String>,
    options: Options,
    quantization: Option<PathBuf>,
    weights: Vec<(String, Format)>,
    arg_max: bool,
    stuck: StuckColumns,
    io: Io,
    core: Option<Core>,
    mode: Mode,
    emission: Emission,
    constant_time: bool,
    golden: usize,
}

/// A compiled model: everything there is to know of it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The float network, simplified.
    pub graph: Graph,
    /// The integer program.
    pub plan: Plan,
    /// Cost and accuracy by layer.
    pub report: Report,
    /// The generated text.
    pub module: Module,
}

/// What is in the model's files.
struct Read {
    /// Simplified.
    graph: Graph,
    text: Option<Arc<TextModel>>,
    sha256: String,
}

impl Builder {
    /// Starts with a model file.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            calibration: None,
            name: None,
            options: Options::default(),
            quantization: None,
            weights: Vec::new(),
            arg_max: false,
            stuck: StuckColumns::default(),
            io: Io::Quantized,
            core: None,
            mode: Mode::default(),
            emission: Emission::default(),
            constant_time: false,
            golden: 0,
        }
    }

    /// Representative inputs (`.npy`, `.npz` or `.csv`), one a row; a few hundred do. For a text model, texts, or labels and
    /// texts ([`Utterances::load`]), of which 500 from all over the file are taken at most. Required.
    #[must_use]
    pub fn calibration(mut self, file: impl Into<PathBuf>) -> Self {
        self.calibration = Some(file.into());
        self
    }

    /// Name of the module and its type; the model file's, if not given.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How ranges are chosen from the calibration data.
    #[must_use]
    pub fn observer(mut self, observer: Observer) -> Self {
        self.options.observer = observer;
        self
    }

    /// How much further than the calibration data ranges reach, as a share (0.05 if not given); see
    /// [`quantize::Options::headroom`](crate::quantize::Options::headroom).
    #[must_use]
    pub fn headroom(mut self, share: f64) -> Self {
        self.options.headroom = share;
        self
    }

    /// Gives a layer (by the name of its node, or an input's) int16 activations; `all` stands for all.
    #[must_use]
    pub fn int16(mut self, layer: impl Into<String>) -> Self {
        self.options.int16.push(layer.into());
        self
    }

    /// Format of the weights of all fully connected layers that say nothing else.
    #[must_use]
    pub fn weights(mut self, format: Format) -> Self {
        self.options.config.weights = Some(format);
        self
    }

    /// Format of one layer's weights, by the name of its node.
    #[must_use]
    pub fn layer_weights(mut self, layer: impl Into<String>, format: Format) -> Self {
        self.weights.push((layer.into(), format));
        self
    }

    /// Inputs of so many bits, 1 to 8.
    #[must_use]
    pub fn input_bits(mut self, bits: u32) -> Self {
        self.options.config.input_bits = Some(bits);
        self
    }

    /// A JSON file that says how inputs and layers are quantized, instead of what the model file says of it: see
    /// [`Config`].
    #[must_use]
    pub fn quantization(mut self, file: impl Into<PathBuf>) -> Self {
        self.quantization = Some(file.into());
        self
    }

    /// Makes the class, an index, the result of a model that gives a number a class.
    #[must_use]
    pub fn arg_max(mut self) -> Self {
        self.arg_max = true;
        self
    }

    /// Functions of one number become straight segments within so many steps of the rounded function, instead of tables,
    /// but for those of which the model's quantization says otherwise.
    #[must_use]
    pub fn piecewise(mut self, max_error: u32) -> Self {
        self.options.config.activation = Some(ActivationConfig { segments: None, max_error: Some(max_error) });
        self
    }

    /// Accepts calibration data in which a column never changes from a value other than zero.
    #[must_use]
    pub fn allow_constant_columns(mut self) -> Self {
        self.stuck = StuckColumns::Allowed;
        self
    }

    /// Adds functions that convert inputs and outputs from and to real numbers.
    #[must_use]
    pub fn io(mut self, io: Io) -> Self {
        self.io = io;
        self
    }

    /// Whose kernels the module calls. In a build script it is the package's target, if not given; elsewhere the
    /// portable kernels are taken. Every module gives the same results, and runs on any processor, but one: the Rust
    /// target `thumbv8m.main` is for cores with and without extensions. There a module for [`Core::Armv7em`], the
    /// default, needs the DSP extension; one for [`Core::Helium`], the default with `-Ctarget-cpu=cortex-m55` or
    /// `cortex-m85`, needs Helium, enabled before the first inference as floating point is (`cortex-m-rt` does that on
    /// `eabihf`). Without such a flag say `.target(Core::Helium)`, or `.target(Core::Armv6m)` for a Cortex-M33
    /// without DSP.
    #[must_use]
    pub fn target(mut self, core: Core) -> Self {
        self.core = Some(core);
        self
    }

    /// Whether small or fast kernels come first.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Whether fully connected layers read tables of weights or are straight-line code, where the quantization says nothing
    /// of it. See [`bespoke`](crate::bespoke).
    #[must_use]
    pub fn emission(mut self, emission: Emission) -> Self {
        self.emission = emission;
        self
    }

    /// Allows only kernels whose instructions do not depend on the data: none that skips zeros.
    #[must_use]
    pub fn constant_time(mut self) -> Self {
        self.constant_time = true;
        self
    }

    /// Adds so many golden vectors, inputs of the calibration data with the outputs that the host simulation gives, and a
    /// function `self_test` that compares: by it a device checks itself. They take flash (on AVR RAM too).
    #[must_use]
    pub fn golden(mut self, vectors: usize) -> Self {
        self.golden = vectors;
        self
    }

    /// Reads and simplifies the model, no more.
    ///
    /// # Errors
    /// Everything in the file that cannot be compiled.
    pub fn graph(&self) -> Result<Graph> {
        Ok(self.read()?.graph)
    }

    fn read(&self) -> Result<Read> {
        let cannot = |e| Problem::new(self.model.display().to_string(), format!("cannot be read: {e}"));
        let bytes = std::fs::read(&self.model).map_err(cannot)?;
        let mut graph = import::from_bytes("", &bytes, Some(self.folder())).map_err(|e| e.in_file(&self.model))?;
        graph.name = self.name.clone().unwrap_or_else(|| {
            self.model.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned())
        });
        if self.arg_max {
            graph.append_arg_max().map_err(|e| e.in_file(&self.model))?;
        }
        simplify(&mut graph);
        let text = text::read(&mut graph, self.folder()).map_err(|e| e.in_file(&self.model))?;
        let mut hash = Sha256::new_with_prefix(&bytes);
        for file in self.external_files(&bytes) {
            // It was read a moment ago; a file that is gone since then is a problem of the next run.
            hash.update(std::fs::read(file).unwrap_or_default());
        }
        let sha256 = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Read { graph, text: text.map(Arc::new), sha256 })
    }

    /// What the model's file, or the one given in its place, says of the quantization of a graph that it gave, and what
    /// the caller says over it.
    ///
    /// # Errors
    /// A file that cannot be read or is of another form.
    pub fn config(&self, graph: &Graph) -> Result<Config> {
        let (place, text) = match (&self.quantization, &graph.quantization) {
            (Some(file), _) => {
                let cannot = |e| Problem::new(file.display().to_string(), format!("cannot be read: {e}"));
                (file, Some(std::fs::read_to_string(file).map_err(cannot)?))
            }
            (None, text) => (&self.model, text.clone()),
        };
        let mut config = match text {
            Some(text) => Config::from_json(&text).map_err(|e| Error::from(e).in_file(place))?,
            None => Config::default(),
        };
        config.weights = self.options.config.weights.or(config.weights);
        config.activation = self.options.config.activation.or(config.activation);
        config.input_bits = self.options.config.input_bits.or(config.input_bits);
        for (layer, format) in &self.weights {
            config.layers.entry(layer.clone()).or_default().weights = Some(*format);
        }
        Ok(config)
    }

    fn folder(&self) -> &Path {
        self.model.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn external_files(&self, model: &[u8]) -> Vec<PathBuf> {
        import::external_files(model).into_iter().map(|file| self.folder().join(file)).collect()
    }

    /// Compiles the model without writing anything.
    ///
    /// # Errors
    /// Everything that is wrong with the model, the calibration data or the options.
    pub fn compile(&self) -> Result<Compiled> {
        if !(0.0..=16.0).contains(&self.options.headroom) {
            let reason = format!("{} is no share from 0 to 16", self.options.headroom);
            return Err(Problem::new("headroom", reason).into());
        }
        let Read { graph, text, sha256 } = self.read()?;
        let Some(file) = &self.calibration else {
            return Err(Problem::new("calibration", "no representative inputs were given")
                .help("pass a .npy, .npz or .csv file with a few hundred inputs, as the device will see them; texts for a text model")
                .into());
        };
        let (rows, texts) = match &text {
            Some(text) => {
                let texts = Utterances::load(file)?.sampled(MAX_TEXTS);
                (text.rows(texts.texts())?, Some(texts))
            }
            None => (Rows::new(&graph, &data::load(file)?, file)?, None),
        };
        let calibration = calibrate(&graph, &rows, self.stuck).map_err(|e| e.in_file(file))?;
        let options = Options { config: self.config(&graph)?, ..self.options.clone() };
        let mut plan = quantize(&graph, &calibration, &options).map_err(|e| e.in_file(&self.model))?;
        (plan.sha256, plan.text) = (sha256, text);
        plan.notes.splice(0..0, calibration.notes);
        let target = Target { core: self.core.unwrap_or_default(), mode: self.mode, constant_time: self.constant_time };
        let emission = |layer: &str| options.config.layer(layer).emission.unwrap_or(self.emission);
        let plan = plan.for_target_as(target, &rows, &emission);
        let report = report(&graph, &plan, &rows);
        let mut module = emit(&plan, self.io)?;
        if self.golden > 0 {
            let text = golden(&plan, &module.type_name, &rows, texts.as_ref(), self.golden);
            module.files[0].1.extend(text.into_bytes());
        }
        Ok(Compiled { graph, plan, report, module })
    }

    /// Compiles the model and writes the module to `OUT_DIR`, for a build script, and tells Cargo which files it
    /// read. What there is to know is in `report.json` there.
    ///
    /// # Errors
    /// As [`Builder::compile`], or a folder that cannot be written.
    pub fn generate(&self) -> Result<()> {
        let external = self.external_files(&std::fs::read(&self.model).unwrap_or_default());
        for file in [Some(&self.model), self.calibration.as_ref(), self.quantization.as_ref()]
            .into_iter()
            .flatten()
            .chain(&external)
        {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let Some(out) = std::env::var_os("OUT_DIR") else {
            return Err(Problem::new("OUT_DIR", "is not set: this is no build script")
                .help("use `compile` and `Compiled::write` elsewhere")
                .into());
        };
        // Cargo tells a build script what it builds for.
        let told = |key: &str| std::env::var(key).unwrap_or_default();
        let core = self.core.unwrap_or_else(|| Core::of_build(&told("TARGET"), &told("CARGO_ENCODED_RUSTFLAGS")));
        let compiled = self.clone().target(core).compile()?;
        compiled.write(Path::new(&out))?;
        Ok(())
    }
}

impl Compiled {
    /// Writes the module's files and `report.json` to a folder, which is made if needed; gives the module's path. Files
    /// that would not change are left alone. Either all files are written or none.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let json = serde_json::to_string_pretty(&self.report).unwrap_or_default() + "\n";
        let mut files: Vec<(String, Vec<u8>)> = self.module.files.clone();
        files.push(("report.json".into(), json.into_bytes()));
        write_all(folder, &files)?;
        Ok(folder.join(&self.module.files[0].0))
    }
}

/// Writes all files under temporary names first, then renames them.
pub(crate) fn write_all(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let failed =
        |path: &Path, e: std::io::Error| Problem::new(path.display().to_string(), format!("cannot be written: {e}"));
    let made = !folder.exists();
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let mut pending: Vec<(PathBuf, PathBuf)> = Vec::new();
    let result: Result<()> = (|| {
        for (name, content) in files {
            let path = folder.join(name);
            if std::fs::read(&path).is_ok_and(|old| old == *content) {
                continue;
            }
            if path.is_dir() {
                // Found now, not at the renaming, when other files are in place already.
                return Err(failed(&path, std::io::ErrorKind::IsADirectory.into()).into());
            }
            let temporary = folder.join(format!(".{name}.{}", std::process::id()));
            pending.push((temporary.clone(), path.clone()));
            std::fs::write(&temporary, content).map_err(|e| failed(&path, e))?;
        }
        for (from, to) in &pending {
            std::fs::rename(from, to).map_err(|e| failed(to, e))?;
        }
        Ok(())
    })();
    if result.is_err() {
        for (temporary, _) in &pending {
            let _ = std::fs::remove_file(temporary);
        }
        if made {
            let _ = std::fs::remove_dir(folder);
        }
    }
    result
}
