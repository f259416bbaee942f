//! Modules written by hand, for trying the boards without a model file.

use crate::artifact::{Artifact, Element, Field};
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
#[path = "../fixtures/vectors.rs"]
mod vectors;

/// Their names.
const FIXTURES: [&str; 6] = ["two-layers", "deep-stack", "small-stack", "long-run", "too-deep", "vectors"];

/// A hand-written module with `rows` arbitrary inputs.
pub fn named(name: &str, rows: usize) -> Result<Artifact> {
    match name {
        "two-layers" => Ok(simulated::<two_layers::TwoLayers, _, _>("two_layers.rs", "TwoLayers", rows)),
        "deep-stack" => Ok(simulated::<deep_stack::DeepStack<9000>, _, _>("deep_stack.rs", "DeepStack<9000>", rows)),
        "small-stack" => Ok(simulated::<deep_stack::DeepStack<700>, _, _>("deep_stack.rs", "DeepStack<700>", rows)),
        "long-run" => Ok(simulated::<long_run::LongRun, _, _>("long_run.rs", "LongRun", rows)),
        "too-deep" => Ok(simulated::<too_deep::TooDeep, _, _>("too_deep.rs", "TooDeep", rows)),
        "vectors" => Ok(simulated::<vectors::Vectors, _, _>("vectors.rs", "Vectors", rows)),
        _ => Err(Error::new(format!("there is no fixture '{name}'. Known: {}", FIXTURES.join(", ")))),
    }
}

/// The module of a fixture file.
pub fn module(file: &str, type_name: &str) -> Module {
    let path: PathBuf = workspace::boards().join("xtask/fixtures").join(file);
    Module { path, type_name: type_name.into(), text_bytes: None }
}

fn simulated<M, const I: usize, const O: usize>(file: &str, type_name: &str, rows: usize) -> Artifact
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
    let array = |count| vec![Field { name: None, offset: 0, count, element: Element::I8 }];
    let (input_type, output_type) = (array(I), array(O));
    Artifact {
        module: module(file, type_name),
        rows,
        inputs,
        outputs,
        input_type,
        output_type,
        evaluation: None,
        predicted: None,
        texts: None,
    }
}
