//! Functions between real numbers and the quantized input and output, for callers who want them.

use super::literal::{Literal, item, signature, statement};
use super::{io_names, names, nested};
use crate::error::{Problem, Problems, Result};
use crate::plan::{Plan, Quant, Type};
use std::fmt::Write;
use std::str::FromStr;

/// What the module converts from and to, besides the quantized input and output it always has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Io {
    /// Nothing: no conversion code at all.
    #[default]
    Quantized,
    /// `f32`; needs the runtime's feature `float`.
    F32,
    /// A type of the `fixed` crate; needs the runtime's feature `fixed`. No floating point is used.
    Fixed(FixedFormat),
}

/// A signed fixed-point type: `I16F16` has 16 integer and 16 fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedFormat {
    integer: u32,
    fraction: u32,
}

impl FromStr for Io {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let unknown = || format!("'{text}' is not quantized, f32 or a fixed-point type like I16F16 (8, 16 or 32 bits)");
        match text {
            "quantized" => Ok(Io::Quantized),
            "f32" => Ok(Io::F32),
            _ => {
                let (integer, fraction) = text.strip_prefix('I').and_then(|t| t.split_once('F')).ok_or_else(unknown)?;
                let number = |t: &str| t.parse::<u32>().map_err(|_| unknown());
                let (integer, fraction) = (number(integer)?, number(fraction)?);
                match integer.checked_add(fraction) {
                    Some(8 | 16 | 32) => Ok(Io::Fixed(FixedFormat { integer, fraction })),
                    _ => Err(unknown()),
                }
            }
        }
    }
}

impl FixedFormat {
    fn name(self) -> String {
        format!("tinymlp::fixed::types::I{}F{}", self.integer, self.fraction)
    }

    /// Whether it holds the real numbers that all integers of a tensor stand for, but for two steps at each end.
    fn holds(self, quant: Quant, offset: f64, scale: f64) -> bool {
        let (min, max) = quant.limits();
        let reach = |q: i32| (offset + scale * f64::from(q - quant.zero_point)).abs();
        reach(min + 2).max(reach(max - 2)) <= 2f64.powi(self.integer as i32 - 1)
    }

    /// What to say where it does not.
    fn too_small(self, port: String) -> Problem {
        Problem::new(port, format!("the type {} does not reach as far as its values", self.name()))
            .help("choose a type with more integer bits")
    }
}

/// The functions, or nothing.
pub(super) fn functions(plan: &Plan, io: Io) -> Result<String> {
    let mut problems = Problems::default();
    let mut text = String::new();
    let element = match io {
        Io::Quantized => return Ok(text),
        Io::F32 => "f32".to_owned(),
        Io::Fixed(format) => {
            let name = format.name();
            let _ = write!(
                text,
                "\n/// The real numbers this module converts from and to.\n#[allow(dead_code)]\npub type Real = {name};\n"
            );
            "Real".to_owned()
        }
    };
    if plan.text.is_none() {
        quantize(plan, io, &element, &mut text, &mut problems);
    }
    let suffixes = io_names("dequantize", plan.outputs.iter().map(|o| o.name.as_str()));
    for (k, (output, name)) in plan.outputs.iter().zip(suffixes).enumerate() {
        let value = &plan.values[output.value];
        if value.quant.ty == Type::U16 {
            continue;
        }
        let ty = nested(&element, &output.shape);
        let field = if plan.outputs.len() == 1 {
            "output".to_owned()
        } else {
            format!("output.{}", names::fields(plan.outputs.iter().map(|o| o.name.as_str()))[k])
        };
        let (flat, zero) = (flat(&output.shape), if io == Io::F32 { "0.0" } else { "Real::ZERO" });
        let zeros = output.shape.iter().rev().fold(zero.to_owned(), |inner, n| format!("[{inner}; {n}]"));
        let zeros = if output.shape.is_empty() { format!("[{zero}]") } else { zeros };
        let constants = io_names("OUTPUT", plan.outputs.iter().map(|o| o.name.as_str()));
        // A slice of a nested array is a reference already.
        let borrow = if flat.is_empty() && field != "output" { "&" } else { "" };
        let from = format!("{borrow}{field}{flat}");
        let to = format!("{}{}", if flat.is_empty() { "&mut real" } else { "real" }, flat_mut(&output.shape));
        let call = match io {
            Io::Fixed(format) if !format.holds(value.quant, 0.0, value.quant.scale) => {
                problems.push(format.too_small(format!("output '{}'", output.name)));
                continue;
            }
            Io::Fixed(format) => {
                let factor = value.quant.scale * 2f64.powi(format.fraction as i32);
                let reach = value.quant.limits().1 * 2;
                let Some((m, shift)) = multiplier(factor, i64::from(reach)) else {
                    let reason = format!("a step of {} does not fit the type {}", value.quant.scale, format.name());
                    problems.push(
                        Problem::new(format!("output '{}'", output.name), reason)
                            .help("choose a type with fewer fraction bits"),
                    );
                    continue;
                };
                let fields = [("zero_point", value.quant.zero_point), ("multiplier", m), ("shift", shift as i32)];
                let table = format!("{}_TO_REAL", constants[k]);
                let head = format!("const {table}: convert::ToFixed");
                let _ = write!(text, "\n{}", item(&head, &integers("convert::ToFixed", &fields)));
                statement("convert::to_fixed", &[&from, &table, &to])
            }
            _ => statement("convert::to_f32", &[&from, &constants[k], &to]),
        };
        let head = signature(&name.to_lowercase(), &["output: &Output".to_owned()], &ty);
        let what = super::one_line(&output.name);
        let _ = write!(
            text,
            "\n/// The real values of output `{what}`.\n#[allow(dead_code)]\n{head}    let mut real = {zeros};\n{call}    real\n}}\n"
        );
    }
    problems.finish(text)
}

fn quantize(plan: &Plan, io: Io, element: &str, text: &mut String, problems: &mut Problems) {
    let inputs = || plan.inputs.iter().map(|i| i.name.clone());
    let names: Vec<String> = inputs().chain(inputs().map(|name| name + "_q")).collect();
    let fields = names::fields(names.iter().map(String::as_str));
    let (fields, locals) = fields.split_at(plan.inputs.len());
    let constants = io_names("INPUT", plan.inputs.iter().map(|i| i.name.as_str()));
    let (mut parameters, mut body, mut results) = (Vec::new(), String::new(), Vec::new());
    for (k, input) in plan.inputs.iter().enumerate() {
        let quant = plan.values[input.value].quant;
        let (field, local, constant) = (&fields[k], &locals[k], &constants[k]);
        parameters.push(format!("{field}: &{}", nested(element, &input.shape)));
        results.push((field.clone(), Literal::Atom(local.clone())));
        let zeros = input.shape.iter().rev().fold("0".to_owned(), |inner, n| format!("[{inner}; {n}]"));
        let zeros = if input.shape.is_empty() { "[0]".to_owned() } else { zeros };
        let _ = writeln!(body, "    let mut {local}: {} = {zeros};", nested(quant.ty.name(), &input.shape));
        let nested_input = input.shape.len() > 1;
        let from = format!("{field}{}", flat(&input.shape));
        let to = format!("{}{local}{}", if nested_input { "" } else { "&mut " }, flat_mut(&input.shape));
        match (io, &input.features) {
            (Io::Fixed(format), features) => {
                let each: Vec<(f64, f64)> = match features {
                    Some(f) => f.offset.iter().copied().zip(f.scale.iter().copied()).collect(),
                    None => vec![(0.0, quant.scale)],
                };
                if each.iter().any(|&(offset, scale)| !format.holds(quant, offset, scale)) {
                    problems.push(format.too_small(format!("input '{}'", input.name)));
                    return;
                }
                let one = 2f64.powi(format.fraction as i32);
                let mut items = Vec::new();
                for (offset, scale) in &each {
                    // Negative scales (a factor below zero on the input) turn the sign of the multiplier.
                    let Some((m, shift)) = multiplier(1.0 / (scale.abs() * one), 0) else {
                        problems.push(
                            Problem::new(
                                format!("input '{}'", input.name),
                                format!("a step of {scale} cannot be told apart by the type {}", format.name()),
                            )
                            .help("choose a type with more fraction bits"),
                        );
                        return;
                    };
                    let m = if *scale < 0.0 { -m } else { m };
                    let offset = (offset * one).round() as i32;
                    let fields = [
                        ("offset", offset),
                        ("multiplier", m),
                        ("shift", shift as i32),
                        ("zero_point", quant.zero_point),
                    ];
                    items.push(integers("convert::FromFixed", &fields));
                }
                let table = format!("{constant}_FROM_REAL");
                let head = format!("static {table}: [convert::FromFixed; {}]", each.len());
                let _ = write!(text, "\n{}", item(&head, &Literal::Array(items)));
                body.push_str(&statement("convert::from_fixed", &[&from, &format!("&{table}"), &to]));
            }
            (_, Some(_)) => {
                let tables =
                    [format!("&{constant}_OFFSET"), format!("&{constant}_PER_UNIT"), format!("{constant}_ZERO_POINT")];
                body.push_str(&statement("convert::from_f32_each", &[&from, &tables[0], &tables[1], &tables[2], &to]));
            }
            (_, None) => {
                let per_unit = super::float(crate::plan::simulate::per_unit(quant.scale));
                body.push_str(&statement("convert::from_f32", &[&from, &per_unit, &quant.zero_point.to_string(), &to]));
            }
        }
        if quant.max < quant.ty.limits().1 {
            body.push_str(&statement("convert::at_most", &[&quant.max.to_string(), &to]));
        }
    }
    let result = match &results[..] {
        [_] => locals[0].clone(),
        _ => Literal::Struct("Input".into(), results).layout(4, 4, 0),
    };
    let head = signature("quantize", &parameters, "Input");
    let _ = write!(
        text,
        "\n/// The quantized input for real values; values out of range saturate.\n#[allow(dead_code)]\n{head}{body}    {result}\n}}\n"
    );
}

/// A struct of integers.
fn integers(name: &str, fields: &[(&str, i32)]) -> Literal {
    Literal::Struct(name.into(), fields.iter().map(|(f, v)| ((*f).to_owned(), Literal::Atom(v.to_string()))).collect())
}

/// `factor` as multiplier and shift for numbers of magnitude `reach` (0: any, they saturate).
fn multiplier(factor: f64, reach: i64) -> Option<(i32, u32)> {
    let shift = (0..=30u32).find(|&s| (factor * 2f64.powi(32 - s as i32)).round() < 2_147_483_648.0)?;
    let m = (factor * 2f64.powi(32 - shift as i32)).round() as i32;
    (reach.checked_shl(shift)? <= i64::from(i32::MAX)).then_some((m, shift))
}

/// From nested arrays to one slice.
fn flat(shape: &[usize]) -> String {
    ".as_flattened()".repeat(shape.len().saturating_sub(1))
}

fn flat_mut(shape: &[usize]) -> String {
    ".as_flattened_mut()".repeat(shape.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_parses() {
        assert_eq!("I16F16".parse(), Ok(Io::Fixed(FixedFormat { integer: 16, fraction: 16 })));
        assert_eq!("f32".parse(), Ok(Io::F32));
        for wrong in ["I16", "I20F20", "U8F8", "I4294967295F1", ""] {
            assert!(wrong.parse::<Io>().is_err(), "{wrong}");
        }
    }
}
