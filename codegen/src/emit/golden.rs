//! Golden vectors: inputs with the outputs that the host simulation gives, by which a device checks itself.

use super::literal::{Literal, item};
use super::names;
use crate::data::Rows;
use crate::plan::simulate::{Simulator, quantize};
use crate::plan::{Plan, ValueId};
use crate::text::Utterances;
use std::fmt::Write;

/// `count` of the rows, from all over the data, and the function that compares. `texts` are those of a text model, as many.
pub(crate) fn golden(plan: &Plan, type_name: &str, rows: &Rows, texts: Option<&Utterances>, count: usize) -> String {
    let count = count.min(rows.len());
    let mut simulator = Simulator::new(plan);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for k in 0..count {
        let at = k * rows.len() / count;
        let row = rows.row(at);
        let quantized: Vec<_> = plan.inputs.iter().zip(row).map(|(input, x)| quantize(plan, input, x)).collect();
        simulator.run(&quantized);
        let given = plan.inputs.iter().map(|i| (i.name.as_str(), simulator.integers(i.value), i.shape.as_slice()));
        inputs.push(match texts {
            // Bytes that are no UTF-8 have the features of what stands for them.
            Some(texts) => Literal::Atom(format!("{:?}", String::from_utf8_lossy(&texts.rows[at].text))),
            None => tensors("Input", given.collect()),
        });
        let result = plan.outputs.iter().map(|o| (o.name.as_str(), simulator.integers(o.value), o.shape.as_slice()));
        outputs.push(tensors("Output", result.collect()));
    }
    let mut text = String::new();
    if let [_, _, ..] = plan.outputs[..] {
        text.push_str(&elements(plan));
    }
    for (name, doc, vectors) in [
        ("GOLDEN_INPUTS: [Input", "Inputs of the calibration data", inputs),
        ("GOLDEN_OUTPUTS: [Output", "What the host simulation computes of them", outputs),
    ] {
        let head = format!("pub static {name}; {count}]");
        let _ = write!(text, "\n/// {doc}.\n#[allow(dead_code)]\n{}", item(&head, &Literal::Array(vectors)));
    }
    let _ = write!(
        text,
        "\n/// Runs the network on the golden inputs and gives the first difference to the host's outputs.\n\
         #[allow(dead_code)]\n\
         pub fn self_test(scratch: &mut Scratch) -> Result<(), tinymlp::Difference> {{\n    \
         tinymlp::self_test::<{type_name}>(&GOLDEN_INPUTS, &GOLDEN_OUTPUTS, scratch)\n}}\n"
    );
    text
}

/// One value of the type of all inputs or outputs.
fn tensors(ty: &str, tensors: Vec<(&str, Vec<i32>, &[usize])>) -> Literal {
    let fields = names::fields(tensors.iter().map(|(name, ..)| *name));
    let mut arrays: Vec<_> = tensors.iter().map(|(_, values, shape)| array(values, shape)).collect();
    match arrays.len() {
        1 => arrays.remove(0),
        _ => Literal::Struct(ty.into(), fields.into_iter().zip(arrays).collect()),
    }
}

/// A nested array; a scalar is an array of one.
fn array(values: &[i32], shape: &[usize]) -> Literal {
    match shape {
        [] | [_] => Literal::Array(values.iter().map(|v| Literal::Atom(v.to_string())).collect()),
        [_, inner @ ..] => {
            let size = inner.iter().product::<usize>().max(1);
            Literal::Array(values.chunks(size).map(|v| array(v, inner)).collect())
        }
    }
}

/// The outputs of a struct, one after the other.
fn elements(plan: &Plan) -> String {
    let fields = names::fields(plan.outputs.iter().map(|o| o.name.as_str()));
    let len = |value: ValueId| plan.values[value].len();
    let count: usize = plan.outputs.iter().map(|o| len(o.value)).sum();
    let (mut compare, mut spoil, mut offset) = (String::new(), String::new(), 0);
    for (field, output) in fields.iter().zip(&plan.outputs) {
        let at = if offset == 0 { "offset".to_owned() } else { format!("offset.wrapping_add({offset})") };
        let _ = write!(
            compare,
            "        let (found, expected) = (&self.{field}, &other.{field});\n        \
             if let Some(difference) = found.first_difference(expected, {at}) {{\n            \
             return Some(difference);\n        }}\n"
        );
        let _ = writeln!(spoil, "        self.{field}.spoil();");
        offset += len(output.value);
    }
    format!(
        "\nimpl tinymlp::Elements for Output {{\n    const COUNT: usize = {count};\n\n    \
         fn first_difference(&self, other: &Self, offset: usize) -> Option<tinymlp::Difference> {{\n\
         {compare}        None\n    }}\n\n    fn spoil(&mut self) {{\n{spoil}    }}\n}}\n"
    )
}
