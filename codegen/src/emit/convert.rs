//! Functions between real numbers and the quantized input and output, for callers who want them.

use super::{io_names, names, nested};
use crate::error::{Problem, Problems, Result};
use crate::plan::{Plan, Type};
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
            let short = name.rsplit("::").next().unwrap_or_default().to_owned();
            let _ = write!(text, "\n/// The real numbers this module converts from and to.\n#[allow(dead_code)]\npub type Real = {name}; // {short}\n");
            "Real".to_owned()
        }
    };
    quantize(plan, io, &element, &mut text, &mut problems);
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
        let call = match io {
            Io::Fixed(format) => {
                let factor = value.quant.scale * 2f64.powi(format.fraction as i32);
                let reach = value.quant.ty.limits().1 * 2;
                match multiplier(factor, i64::from(reach)) {
                    Some((m, shift)) => {
                        let zero_point = value.quant.zero_point;
                        let _ = write!(
                            text,
                            "\n#[rustfmt::skip]\nconst {}_TO_REAL: convert::ToFixed = convert::ToFixed {{ zero_point: {zero_point}, multiplier: {m}, shift: {shift} }};\n",
                            constants[k]
                        );
                        format!("convert::to_fixed({field}{flat}, {}_TO_REAL, &mut real{})", constants[k], flat_mut(&output.shape))
                    }
                    None => {
                        problems.push(
                            Problem::new(format!("output '{}'", output.name), format!("a step of {} does not fit the type {}", value.quant.scale, format.name()))
                                .help("choose a type with fewer fraction bits"),
                        );
                        continue;
                    }
                }
            }
            _ => format!("convert::to_f32({field}{flat}, {}, &mut real{})", constants[k], flat_mut(&output.shape)),
        };
        let name = name.to_lowercase();
        let _ = write!(
            text,
            "\n/// The real values of output `{}`.\n#[allow(dead_code)]\n#[rustfmt::skip]\npub fn {name}(output: &Output) -> {ty} {{\n    let mut real = {zeros};\n    {call};\n    real\n}}\n",
            super::one_line(&output.name)
        );
    }
    problems.finish(text)
}

fn quantize(plan: &Plan, io: Io, element: &str, text: &mut String, problems: &mut Problems) {
    let fields = names::fields(plan.inputs.iter().map(|i| i.name.as_str()));
    let constants = io_names("INPUT", plan.inputs.iter().map(|i| i.name.as_str()));
    let (mut parameters, mut body, mut results) = (Vec::new(), String::new(), Vec::new());
    for (k, input) in plan.inputs.iter().enumerate() {
        let quant = plan.values[input.value].quant;
        let (field, constant) = (&fields[k], &constants[k]);
        parameters.push(format!("{field}: &{}", nested(element, &input.shape)));
        results.push(field.clone());
        let zeros = input.shape.iter().rev().fold("0".to_owned(), |inner, n| format!("[{inner}; {n}]"));
        let zeros = if input.shape.is_empty() { "[0]".to_owned() } else { zeros };
        let _ = writeln!(body, "    let mut {field}_q: {} = {zeros};", nested(quant.ty.name(), &input.shape));
        let (from, to) = (format!("{field}{}", flat(&input.shape)), format!("&mut {field}_q{}", flat_mut(&input.shape)));
        let _ = match (io, &input.features) {
            (Io::Fixed(format), features) => {
                let each: Vec<(f64, f64)> = match features {
                    Some(f) => f.offset.iter().copied().zip(f.scale.iter().copied()).collect(),
                    None => vec![(0.0, quant.scale)],
                };
                let one = 2f64.powi(format.fraction as i32);
                let mut items = String::new();
                for (offset, scale) in &each {
                    // Negative scales (a factor below zero on the input) turn the sign of the multiplier.
                    let Some((m, shift)) = multiplier(1.0 / (scale.abs() * one), 0) else {
                        problems.push(
                            Problem::new(format!("input '{}'", input.name), format!("a step of {scale} cannot be told apart by the type {}", format.name()))
                                .help("choose a type with more fraction bits"),
                        );
                        return;
                    };
                    let m = if *scale < 0.0 { -m } else { m };
                    let offset = (offset * one).round() as i32;
                    let _ = writeln!(items, "    convert::FromFixed {{ offset: {offset}, multiplier: {m}, shift: {shift}, zero_point: {} }},", quant.zero_point);
                }
                let _ = write!(text, "\n#[rustfmt::skip]\nstatic {constant}_FROM_REAL: [convert::FromFixed; {}] = [\n{items}];\n", each.len());
                writeln!(body, "    convert::from_fixed({from}, &{constant}_FROM_REAL, {to});")
            }
            (_, Some(_)) => {
                writeln!(body, "    convert::from_f32_each({from}, &{constant}_OFFSET, &{constant}_PER_UNIT, {constant}_ZERO_POINT, {to});")
            }
            (_, None) => {
                let per_unit = super::float(crate::plan::simulate::per_unit(quant.scale));
                writeln!(body, "    convert::from_f32({from}, {per_unit}, {}, {to});", quant.zero_point)
            }
        };
    }
    let result = if results.len() == 1 {
        format!("{}_q", results[0])
    } else {
        let fields: Vec<_> = results.iter().map(|f| format!("{f}: {f}_q")).collect();
        format!("Input {{ {} }}", fields.join(", "))
    };
    let _ = write!(
        text,
        "\n/// The quantized input for real values; values out of range saturate.\n#[allow(dead_code)]\n#[rustfmt::skip]\npub fn quantize({}) -> Input {{\n{body}    {result}\n}}\n",
        parameters.join(", ")
    );
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
