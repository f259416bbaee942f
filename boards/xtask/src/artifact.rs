//! What emulation needs of a model: the generated module, the quantized inputs, and what the host simulation says
//! the device must answer.

use crate::error::{Error, Result};
use crate::firmware::Module;
use crate::workspace;
use std::path::PathBuf;
use tinymlp::{Model, Scratch};

#[path = "../fixtures/deep_stack.rs"]
mod deep_stack;
#[path = "../fixtures/long_run.rs"]
mod long_run;
#[path = "../fixtures/too_deep.rs"]
mod too_deep;
#[path = "../fixtures/two_layers.rs"]
mod two_layers;

/// A model ready to be built into firmware, with the inputs to run and the outputs to expect.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The generated module.
    pub module: Module,
    /// Number of input rows.
    pub rows: usize,
    /// The rows' bytes as the module's input type lays them out, one after the other.
    pub inputs: Vec<u8>,
    /// The rows' bytes of the module's output type that the host simulation gives.
    pub outputs: Vec<u8>,
    /// How to read those bytes, for messages.
    pub output_type: Vec<Field>,
    /// Share of rows whose answer is the label, where there are labels. As the device gives the same outputs or
    /// emulation fails, it is the device's accuracy too.
    pub accuracy: Option<f64>,
}

/// A run of equal elements in an output type.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, where the output type is a struct.
    pub name: Option<String>,
    /// First byte.
    pub offset: usize,
    /// Number of elements.
    pub count: usize,
    /// Type of the elements.
    pub element: Element,
}

/// The type of an output's elements.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(dead_code, reason = "generated modules have them all")]
pub enum Element {
    /// `i8`
    I8,
    /// `i16`
    I16,
    /// `u16`
    U16,
    /// `i32`
    I32,
}

impl Element {
    /// Size of one.
    pub fn bytes(self) -> usize {
        match self {
            Element::I8 => 1,
            Element::I16 | Element::U16 => 2,
            Element::I32 => 4,
        }
    }

    /// The value of the element that starts at `offset`; 0 beyond the end.
    pub fn read(self, bytes: &[u8], offset: usize) -> i64 {
        let byte = |i: usize| bytes.get(offset + i).copied().unwrap_or(0);
        let two = [byte(0), byte(1)];
        match self {
            Element::I8 => i64::from(byte(0) as i8),
            Element::I16 => i64::from(i16::from_le_bytes(two)),
            Element::U16 => i64::from(u16::from_le_bytes(two)),
            Element::I32 => i64::from(i32::from_le_bytes([two[0], two[1], byte(2), byte(3)])),
        }
    }
}

/// Modules written by hand, for trying the boards without a model file.
const FIXTURES: [&str; 4] = ["two-layers", "deep-stack", "long-run", "too-deep"];

/// A hand-written module with `rows` arbitrary inputs.
pub fn fixture(name: &str, rows: usize) -> Result<Artifact> {
    match name {
        "two-layers" => Ok(simulate::<two_layers::TwoLayers, _, _>("two_layers.rs", "TwoLayers", rows)),
        "deep-stack" => Ok(simulate::<deep_stack::DeepStack, _, _>("deep_stack.rs", "DeepStack", rows)),
        "long-run" => Ok(simulate::<long_run::LongRun, _, _>("long_run.rs", "LongRun", rows)),
        "too-deep" => Ok(simulate::<too_deep::TooDeep, _, _>("too_deep.rs", "TooDeep", rows)),
        _ => Err(Error::new(format!("there is no fixture '{name}'. Known: {}", FIXTURES.join(", ")))),
    }
}

/// The module of a fixture file.
pub fn fixture_module(file: &str, type_name: &str) -> Module {
    let path: PathBuf = workspace::boards().join("xtask/fixtures").join(file);
    Module { path, type_name: type_name.into() }
}

fn simulate<M, const I: usize, const O: usize>(file: &str, type_name: &str, rows: usize) -> Artifact
where
    M: Model<Input = [i8; I], Output = [i8; O]>,
{
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i8
    };
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let mut scratch = M::Scratch::NEW;
    for _ in 0..rows {
        let input: [i8; I] = std::array::from_fn(|_| next());
        let mut output = [0; O];
        M::infer(&input, &mut scratch, &mut output);
        inputs.extend(input.map(|x| x as u8));
        outputs.extend(output.map(|y| y as u8));
    }
    let output_type = vec![Field { name: None, offset: 0, count: O, element: Element::I8 }];
    Artifact { module: fixture_module(file, type_name), rows, inputs, outputs, output_type, accuracy: None }
}
