//! Number formats of weights. All are subsets of int8, so that every layer has the same sums whichever kernel reads it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number format of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// -127 to 127.
    #[default]
    #[serde(rename = "int8")]
    Int8,
    /// -8 to 7.
    #[serde(rename = "int4")]
    Int4,
    /// -1, 0 and 1.
    #[serde(rename = "ternary")]
    Ternary,
    /// 0 and both signs of 1, 2, 4, ... 64: a sign and an exponent from 0 to 6.
    #[serde(rename = "pow2")]
    PowerOfTwo,
    /// The same without 0.
    #[serde(rename = "pow2-nonzero")]
    PowerOfTwoNonzero,
}

impl Format {
    /// All formats, those of fewer bits first, and of the same bits those that cost less to multiply with.
    pub const ALL: [Format; 5] =
        [Format::Ternary, Format::PowerOfTwoNonzero, Format::PowerOfTwo, Format::Int4, Format::Int8];

    /// Name as it is written in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Format::Int8 => "int8",
            Format::Int4 => "int4",
            Format::Ternary => "ternary",
            Format::PowerOfTwo => "pow2",
            Format::PowerOfTwoNonzero => "pow2-nonzero",
        }
    }

    /// Bits of a weight where layers of the format are packed.
    pub fn bits(self) -> u32 {
        match self {
            Format::Int8 => 8,
            Format::Int4 | Format::PowerOfTwo | Format::PowerOfTwoNonzero => 4,
            Format::Ternary => 2,
        }
    }

    /// The largest weight of both signs.
    pub fn largest(self) -> i8 {
        match self {
            Format::Int8 => 127,
            Format::Int4 => 7,
            Format::Ternary => 1,
            Format::PowerOfTwo | Format::PowerOfTwoNonzero => 64,
        }
    }

    /// Whether a weight is one of the format's.
    pub fn holds(self, weight: i8) -> bool {
        match self {
            Format::Int8 => weight != i8::MIN,
            Format::Int4 => (-8..=7).contains(&weight),
            Format::Ternary => (-1..=1).contains(&weight),
            Format::PowerOfTwo => weight == 0 || Format::PowerOfTwoNonzero.holds(weight),
            Format::PowerOfTwoNonzero => weight.unsigned_abs().is_power_of_two() && weight != i8::MIN,
        }
    }

    /// The first of [`Format::ALL`] that holds all weights.
    pub fn of(weights: &[i8]) -> Format {
        let holds = |format: &Format| weights.iter().all(|&w| format.holds(w));
        Self::ALL.into_iter().find(holds).unwrap_or_default()
    }

    /// All weights of the format, from the lowest.
    pub fn levels(self) -> impl Iterator<Item = i8> {
        (i8::MIN..=i8::MAX).filter(move |&w| self.holds(w))
    }

    /// The nearest weight to a real number; of two, the one farther from zero, as `f64::round`.
    pub fn round(self, real: f64) -> i8 {
        match self {
            Format::Int8 => real.round().clamp(-127.0, 127.0) as i8,
            Format::Int4 => real.round().clamp(-8.0, 7.0) as i8,
            Format::Ternary => real.round().clamp(-1.0, 1.0) as i8,
            Format::PowerOfTwo if real.abs() < 0.5 => 0,
            Format::PowerOfTwo | Format::PowerOfTwoNonzero => {
                // Between 2^k and 2^(k + 1) the middle is at 1.5 * 2^k.
                let exponent = (real.abs().max(1.0) / 1.5).log2().ceil().clamp(0.0, 6.0);
                let exponent = if real.abs() >= 1.5 * exponent.exp2() { (exponent + 1.0).min(6.0) } else { exponent };
                let magnitude = exponent.exp2() as i8;
                if real < 0.0 { -magnitude } else { magnitude }
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| format!("'{text}' is no format of weights: int8, int4, ternary, pow2 or pow2-nonzero"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_rounds_to_the_nearest_weight_of_its_format() {
        for format in Format::ALL {
            let levels: Vec<i8> = format.levels().collect();
            for k in -1400..=1400 {
                let real = f64::from(k) / 10.0;
                let rounded = format.round(real);
                assert!(format.holds(rounded), "{format} {real} {rounded}");
                let error = |w: i8| (f64::from(w) - real).abs();
                let least = levels.iter().map(|&w| error(w)).fold(f64::INFINITY, f64::min);
                assert!(error(rounded) <= least + 1e-9, "{format} {real} {rounded}");
            }
        }
    }

    #[test]
    fn weights_have_the_smallest_format_that_holds_them() {
        assert_eq!(Format::of(&[1, 0, -1]), Format::Ternary);
        assert_eq!(Format::of(&[1, 64, -8]), Format::PowerOfTwoNonzero);
        assert_eq!(Format::of(&[1, 0, -64]), Format::PowerOfTwo);
        assert_eq!(Format::of(&[3, -8, 7]), Format::Int4);
        assert_eq!(Format::of(&[8, 3]), Format::Int8);
        assert_eq!(Format::PowerOfTwo.levels().count(), 15);
        assert_eq!(Format::PowerOfTwoNonzero.levels().count(), 14);
    }

    #[test]
    fn names_read_as_they_are_written() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_string(&format).ok(), Some(format!("\"{format}\"")));
        }
    }
}
