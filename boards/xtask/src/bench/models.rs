//! The models that are measured.

use crate::artifact::{self, Artifact, Files};
use crate::bench::variants::Variant;
use crate::error::{Context, Error, Result};
use crate::workspace;
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use tinymlp_codegen::data::{self, Rows};
use tinymlp_codegen::graph::eval::Evaluator;
use tinymlp_codegen::plan::simulate::Simulator;
use tinymlp_codegen::{Builder, Core};

/// A model with its data.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// What tables, the budget and `--model` call it.
    pub name: &'static str,
    /// Its layers.
    pub shape: &'static str,
    /// Where it is.
    pub source: Source,
    /// Rows that run on the emulators: the first so many. Few where an inference is long, so that a board takes
    /// about a minute on a slow emulator. Accuracy is of all rows: where the outputs of these equal the host's
    /// simulation, so do the others'.
    pub rows: usize,
}

/// Where a model and its data lie.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// In a folder of `shared/data/bench` beside the checkout.
    Bench(&'static str),
    /// MLPerf Tiny's anomaly detection, in `shared/data/mlperf-tiny-ad` beside the checkout.
    AnomalyDetection,
    /// In a folder of `tests/models`.
    Shipped(&'static str),
}

const ALL_ROWS: usize = usize::MAX;

/// All of them.
pub const ALL: &[Model] = &[
    Model { name: "digits", shape: "64-32-10", source: Source::Bench("digits"), rows: ALL_ROWS },
    Model { name: "mnist", shape: "784-64-32-10", source: Source::Bench("mnist"), rows: 100 },
    Model { name: "wdbc", shape: "30-10-2", source: Source::Bench("wdbc"), rows: ALL_ROWS },
    Model { name: "ad01", shape: "640-128x4-8-128x4-640", source: Source::AnomalyDetection, rows: 24 },
    Model { name: "shipped-digits", shape: "64-32-10", source: Source::Shipped("digits"), rows: ALL_ROWS },
    Model { name: "shipped-wdbc", shape: "30-10-2", source: Source::Shipped("wdbc"), rows: ALL_ROWS },
    Model { name: "shipped-wine", shape: "13-16-16-3 with a skip", source: Source::Shipped("wine"), rows: ALL_ROWS },
];

/// Mel bands of a frame of sound, and frames of an input of the anomaly detection.
const BANDS: usize = 128;
const FRAMES: usize = 5;

/// Those of these names, or for no names all whose data is there, with what to say of the others.
pub fn named(names: &[String]) -> Result<(Vec<Model>, Option<String>)> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|m| m.name != **name)) {
        let known = ALL.iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
        return Err(Error::new(format!("there is no model '{unknown}'. Known: {known}")));
    }
    let asked = ALL.iter().copied().filter(|m| names.is_empty() || names.iter().any(|name| name == m.name));
    let (present, absent): (Vec<_>, Vec<_>) = asked.partition(|m| m.file().is_file());
    if absent.is_empty() {
        return Ok((present, None));
    }
    let what = absent.iter().map(|m| format!("{} ({})", m.name, m.file().display())).collect::<Vec<_>>().join(", ");
    let there = ALL.iter().filter(|m| m.file().is_file()).map(|m| m.name).collect::<Vec<_>>().join(", ");
    let message = format!(
        "the benchmark data is no part of this repository and does not lie beside it: {what}. \
         The models that are there: {there}"
    );
    if names.is_empty() && std::env::var_os("REQUIRE_SHARED").is_none_or(|value| value != "1") {
        return Ok((present, Some(message)));
    }
    Err(Error::new(message))
}

/// How well a model does: what is better depends on what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Share of all test rows with the right class.
    Accuracy {
        /// On the device.
        quantized: f64,
        /// Of the float model.
        float: f64,
    },
    /// Mean over all windows of the mean squared error, of an autoencoder.
    Score {
        /// On the device.
        quantized: f64,
        /// Of the float model.
        float: f64,
    },
}

/// A model generated, with the inputs to run.
#[derive(Debug)]
pub struct Prepared {
    /// For the emulators.
    pub artifact: Artifact,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Bytes of constants.
    pub constant_bytes: usize,
    /// On all test rows.
    pub quality: Option<Quality>,
}

impl Model {
    /// The model file.
    pub fn file(&self) -> PathBuf {
        match self.source {
            Source::AnomalyDetection => self.folder().join("ad01_fp32.onnx"),
            _ => self.folder().join("model.onnx"),
        }
    }

    /// The folder with the model file.
    pub fn folder(&self) -> PathBuf {
        let root = workspace::root();
        // Not `root/../shared`: messages name the folder as people would.
        let shared = || root.parent().unwrap_or(&root).join("shared/data");
        match self.source {
            Source::Bench(name) => shared().join("bench").join(name),
            Source::AnomalyDetection => shared().join("mlperf-tiny-ad"),
            Source::Shipped(name) => root.join("tests/models").join(name),
        }
    }

    /// The model file and its data, made into files where need be.
    pub fn files(&self) -> Result<Files> {
        let file = |name: &str| self.folder().join(name);
        if let Source::AnomalyDetection = self.source {
            let windows = self.windows()?;
            return Ok(Files { model: self.file(), calibration: windows.clone(), inputs: windows, labels: None });
        }
        Ok(Files {
            model: self.file(),
            calibration: file("calibration.npy"),
            inputs: file("test_x.npy"),
            labels: Some(file("test_y.npy")),
        })
    }

    /// The windows of a sound as the benchmark cuts them: five frames, from every frame on.
    fn windows(&self) -> Result<PathBuf> {
        let sound = self.folder().join("normal_id_01_00000000_hist_librosa.bin");
        let bytes = fs::read(&sound).context(|| format!("cannot read {}", sound.display()))?;
        let features: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let windows: Vec<f32> = features.windows(BANDS * FRAMES).step_by(BANDS).flatten().copied().collect();
        let folder = workspace::target().join("bench");
        fs::create_dir_all(&folder).context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join(format!("{}-windows.npy", self.name));
        let content = data::write_npy(BANDS * FRAMES, &windows);
        if fs::read(&path).is_ok_and(|old| old == content) {
            return Ok(path);
        }
        fs::write(&path, content).context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Generates the model for a core, simulates all rows, and keeps the first `limit` for the emulators, or as many
    /// as its line of the table says.
    pub fn prepare(&self, variant: &Variant, core: Core, limit: Option<usize>) -> Result<Prepared> {
        // The name of the folder that the module is in, until it is discarded: one a core.
        let name = format!("{}_{core}", self.name.replace('-', "_"));
        let configure = |builder: Builder| (variant.configure)(builder.name(&name).target(core));
        let simulated = artifact::simulate(&self.files()?, configure, None)?;
        let compiled = &simulated.compiled;
        let (macs, constant_bytes) = (compiled.report.macs, compiled.report.flash_bytes);
        let quality = match (self.source, &simulated.artifact.evaluation) {
            (Source::AnomalyDetection, _) => {
                let (mut float, mut simulator) = (Evaluator::new(&compiled.graph), Simulator::new(&compiled.plan));
                let output = compiled.plan.outputs[0].value;
                Some(Quality::Score {
                    quantized: score(&simulated.rows, |x| {
                        simulator.run_real(x);
                        simulator.real(output)
                    }),
                    float: score(&simulated.rows, |x| {
                        float.run(x);
                        float.output(0).iter().map(|&v| v.into()).collect()
                    }),
                })
            }
            (_, Some(evaluation)) => {
                let accuracies = evaluation.quantized_accuracy.zip(evaluation.float_accuracy);
                accuracies.map(|(quantized, float)| Quality::Accuracy { quantized, float })
            }
            _ => None,
        };
        let mut artifact = simulated.artifact;
        artifact.keep(limit.unwrap_or(self.rows));
        Ok(Prepared { artifact, macs, constant_bytes, quality })
    }
}

/// The mean over all rows of the mean squared difference of input and output.
pub fn score(rows: &Rows, mut run: impl FnMut(&[&[f32]]) -> Vec<f64>) -> f64 {
    let distance = |row| {
        let x = rows.row(row);
        let y = run(&x);
        let squares = x.concat().iter().zip(&y).map(|(&x, y)| (f64::from(x) - y).powi(2)).sum::<f64>();
        squares / y.len().max(1) as f64
    };
    (0..rows.len()).map(distance).sum::<f64>() / rows.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_model_lists_the_known_ones() {
        let message = named(&["resnet".into()]).unwrap_err().to_string();
        assert!(message.contains("resnet") && message.contains("digits, mnist, wdbc, ad01"), "{message}");
    }

    #[test]
    fn shipped_models_are_always_there() {
        let (models, _) = named(&["shipped-wine".into(), "shipped-digits".into()]).unwrap();
        assert_eq!(models.iter().map(|m| m.name).collect::<Vec<_>>(), ["shipped-digits", "shipped-wine"]);
        let prepared = models[0].prepare(&super::super::variants::ALL[0], Core::Portable, Some(7)).unwrap();
        assert_eq!((prepared.artifact.rows, prepared.artifact.inputs.len(), prepared.macs), (7, 7 * 64, 2368));
        let Some(Quality::Accuracy { float, .. }) = prepared.quality else { panic!("{:?}", prepared.quality) };
        assert!((float - 349.0 / 360.0).abs() < 1e-9, "of all rows, not of those that run: {float}");
        artifact::discard(&prepared.artifact).unwrap();
    }
}
