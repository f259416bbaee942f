//! microflow, from crates.io: a macro that compiles a TFLite file, int8 within and float out. It takes its input by
//! value, as a matrix of `nalgebra`: making that from the array is part of what is measured.

use super::{Answer, Case, Expected, Network, Peer, floats, manifest, write};
use crate::bench::models::Source;
use crate::error::{Error, Result};
use std::path::Path;
use tinymlp_codegen::data;

/// The peer.
pub const PEER: Peer = Peer { name: "microflow 0.1.3", description: "Rust, int8, by this rustc", network };

/// How `ad01_int8.tflite` stands for real inputs: `real = SCALE * (q - ZERO_POINT)`.
const SCALE: f32 = 0.391_015_23;
const ZERO_POINT: f32 = 89.0;

fn network(case: &Case) -> Result<Network> {
    let folder = case.model.folder();
    let rows = case.reference.rows();
    let (file, inputs, expected) = match case.model.source {
        Source::AnomalyDetection => {
            let quantized = |x: &f32| ((x / SCALE).round() + ZERO_POINT).clamp(-128.0, 127.0) as i8;
            let inputs = case.reference.inputs.iter().map(|row| row.iter().map(quantized).collect()).collect();
            ("ad01_int8.tflite", inputs, None)
        }
        _ => {
            let inputs = read(&folder.join("tflite_int8_input.npy"), rows)?;
            let inputs = inputs.iter().map(|row| row.iter().map(|&q| q as i8).collect()).collect();
            let outputs = read(&folder.join("tflite_int8_output.npy"), rows)?;
            let expected = Expected { who: "TFLite's interpreter on the same int8 model", outputs };
            ("model_int8.tflite", inputs, Some(expected))
        }
    };
    let inputs: Vec<Vec<i8>> = inputs;
    let (input, output) = (inputs.first().map_or(0, Vec::len), case.reference.outputs());
    let text = format!(
        "#![no_std]
use microflow::buffer::Buffer2D;
use tinymlp::{{Arena, Info, Model}};

#[microflow::model({:?})]
struct Network;

pub struct Peer;

impl Model for Peer {{
    type Input = [i8; {input}];
    type Output = [f32; {output}];
    type Scratch = Arena<0>;
    const INFO: Info = Info {{ name: \"microflow\", sha256: \"\", macs: 0, constant_bytes: 0, scratch_bytes: 0 }};
    fn infer(input: &Self::Input, _: &mut Self::Scratch, output: &mut Self::Output) {{
        let result = Network::predict_quantized(Buffer2D::<i8, 1, {input}>::from_row_slice(input));
        output.copy_from_slice(result.as_slice());
    }}
}}
",
        folder.join(file)
    );
    let dependencies = "microflow = \"=0.1.3\"\nnalgebra = { version = \"0.32\", default-features = false, features = [\"macros\"] }\n";
    write(case.folder, &[("Cargo.toml", manifest(dependencies)), ("src/lib.rs", text)])?;
    Ok(Network {
        inputs: inputs.concat().iter().map(|&q| q as u8).collect(),
        input_bytes: input,
        output_bytes: size_of::<f32>() * output,
        answer: |bytes| Answer::Values(floats(bytes)),
        expected,
    })
}

/// The first rows of a file with one array.
fn read(path: &Path, rows: usize) -> Result<Vec<Vec<f32>>> {
    let data = data::load(path).map_err(|error| Error::new(error.to_string()))?;
    let array = data.arrays.first().filter(|array| array.shape.first().is_some_and(|&all| all >= rows && rows > 0));
    let array = array.ok_or_else(|| Error::new(format!("{} has less than {rows} rows", path.display())))?;
    Ok(array.values.chunks_exact(array.values.len() / array.shape[0]).take(rows).map(<[f32]>::to_vec).collect())
}
