//! What becomes of a sum of three bytes.

use tinymlp::arch::avr::Form;

/// How multipliers of 16 significant bits, of which eight or more zeros follow, lie in a stream.
#[derive(Clone, Debug)]
pub(super) struct Scales {
    /// How many zeros follow the 16 bits, if they are as many for all outputs.
    common: Option<u32>,
    /// The same by output.
    places: Vec<u32>,
}

impl Scales {
    /// None where a multiplier is of another kind.
    pub(super) fn new(multiplier: &[i32]) -> Option<Self> {
        let short_at = |m: i32, k: u32| (0..1 << 16).contains(&(m >> k)) && m % (1 << k) == 0;
        let common = (8..16u32).find(|&k| multiplier.iter().all(|&m| short_at(m, k)));
        let places = match common {
            Some(k) => vec![k; multiplier.len()],
            None => multiplier.iter().map(|&m| (8..16u32).find(|&k| short_at(m, k))).collect::<Option<_>>()?,
        };
        Some(Self { common, places })
    }

    /// As the form of a layer has it.
    pub(super) fn shift(&self) -> u8 {
        self.common.map_or(Form::EACH, |k| (k - 8) as u8)
    }

    /// Most places that a product is shifted by.
    pub(super) fn most(&self) -> u8 {
        self.places.iter().max().map_or(0, |&k| k as u8 - 8)
    }

    /// The bytes of an output.
    pub(super) fn bytes(&self, multiplier: i32, output: usize) -> impl Iterator<Item = u8> {
        let places = self.places.get(output).copied().unwrap_or(8);
        let shift = self.common.is_none().then_some((places - 8) as u8);
        ((multiplier >> places) as u16).to_le_bytes().into_iter().chain(shift)
    }
}

/// Whether the results of sums within these limits, with the zero point and 128, are 16-bit integers.
pub(super) fn scales_to_16_bits((low, high): (i64, i64), multiplier: i32) -> bool {
    let scaled = |sum: i64| (sum * i64::from(multiplier) + (1 << 31)) >> 32;
    let results = -32_512..32_512;
    results.contains(&scaled(low)) && results.contains(&scaled(high))
}

/// What the time of a row depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Inputs that are not zero.
    pub(super) nonzero: f64,
    /// Share of results that are the smallest.
    pub(super) lowest: f64,
    /// Share of results that are the largest.
    pub(super) highest: f64,
}

/// What the code that scales, limits and stores a sum depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Whether negative sums are not scaled.
    pub(super) short: bool,
    /// As in the form of a layer.
    pub(super) shift: u8,
    /// Most places that a product is shifted by where every output has its own.
    pub(super) places: u8,
    /// Smallest result.
    pub(super) min: i8,
    /// Largest result.
    pub(super) max: i8,
}

impl End {
    /// Instructions of a result. Counted from the assembly.
    pub(super) fn instructions(&self, case: Case) -> f64 {
        // Shifts of one layer are much the same.
        let shift = match self.shift {
            Form::EACH => 4.0 + 5.0 * f64::from(self.places),
            shift => 3.0 * f64::from(shift),
        };
        let limit = |taken: f64, beyond: bool| if beyond { 2.0 + taken } else { 0.0 };
        let limits = 2.0
            + 2.0 * case.lowest
            + case.highest
            + limit(case.lowest, self.min > -128)
            + limit(case.highest, self.max < 127);
        let scale = 24.0 + shift + 3.0 + limits + 3.0;
        match self.short {
            false => scale,
            // What is the smallest has a negative sum.
            true => {
                let scale = scale - 2.0 * case.lowest;
                2.0 + case.lowest * 4.0 + (1.0 - case.lowest) * scale
            }
        }
    }

    /// Bytes of code.
    pub(super) fn code(&self) -> usize {
        let shift = if self.shift == Form::EACH { 14 } else { 6 * usize::from(self.shift) };
        let limits = if self.min > -128 { 6 } else { 0 } + if self.max < 127 { 6 } else { 0 };
        let short = if self.short { 4 + 8 } else { 0 };
        48 + shift + 14 + limits + 6 + short
    }
}
