//! A program as a function in Rust, laid out as rustfmt does it.

use super::ir::{Op, Program};
use std::fmt::Write;

impl Program {
    /// A function of this name; of 16-bit numbers, if `narrow` (and [`Program::is_narrow`]).
    pub fn text(&self, name: &str, narrow: bool) -> String {
        let result = if self.index { "u16" } else { "i8" };
        let ty = if narrow { "i16" } else { "i32" };
        // Of constants the low bits, where no more of the sum is needed.
        let low = |c: i32| if narrow { i32::from(c as i16) } else { c };
        let reads = self.ops.iter().any(|op| matches!(op, Op::Load(_) | Op::LoadByte(_)));
        let x = if reads { "x" } else { "_x" };
        let parameters = [format!("{x}: &[i8; {}]", self.inputs), format!("y: &mut [{result}; {}]", self.outputs)];
        let mut text = format!("fn {name}({}) {{\n", parameters.join(", "));
        let compares = self.ops.iter().filter(|op| matches!(op, Op::Compare(..))).count();
        let mut compared = 0;
        for (k, op) in self.ops.iter().enumerate() {
            let value = match *op {
                Op::Load(i) => format!("{ty}::from(x[{i}])"),
                Op::LoadByte(i) => format!("{ty}::from(x[{i}] as u8)"),
                Op::Constant(c) => format!("{}{ty}", low(c)),
                Op::And(a, mask) => format!("v{a} & {}", low(mask)),
                Op::ShiftLeft(a, n) => format!("v{a} << {n}"),
                Op::ShiftRight(a, n) => format!("v{a} >> {n}"),
                Op::Add(a, b) => format!("v{a}.wrapping_add(v{b})"),
                Op::Sub(a, b) => format!("v{a}.wrapping_sub(v{b})"),
                Op::AddConstant(a, c) => format!("v{a}.wrapping_add({})", low(c)),
                Op::Multiply(a, c) => format!("v{a}.wrapping_mul({})", low(c)),
                Op::Larger(a, b) => format!("v{a}.max(v{b})"),
                Op::Not(a) => format!("!v{a}"),
                Op::Index(a) => {
                    let _ = writeln!(text, "    y[0] = v{a} as u16;");
                    continue;
                }
                Op::Requantize(a, multiplier, shift) => format!("tinymlp::requantize(v{a}, {multiplier}, {shift})"),
                Op::Max(a, c) => format!("v{a}.max({c})"),
                Op::Min(a, c) => format!("v{a}.min({c})"),
                Op::Store(o, a) => {
                    let _ = writeln!(text, "    y[{o}] = v{a} as i8;");
                    continue;
                }
                Op::Compare(o, a) => {
                    compared += 1;
                    let sign = if self.last { ">=" } else { ">" };
                    let _ = match (compared == 1, compared == compares) {
                        (true, true) => writeln!(text, "    let index = {o};"),
                        (true, false) => writeln!(text, "    let (mut best, mut index) = (v{a}, {o});"),
                        (false, false) => {
                            writeln!(text, "    if v{a} {sign} best {{\n        (best, index) = (v{a}, {o});\n    }}")
                        }
                        (false, true) => {
                            writeln!(text, "    if v{a} {sign} best {{\n        index = {o};\n    }}")
                        }
                    };
                    continue;
                }
            };
            let _ = writeln!(text, "    let v{k} = {value};");
        }
        if compares > 0 {
            text.push_str("    y[0] = index;\n");
        }
        text.push_str("}\n");
        text
    }
}
