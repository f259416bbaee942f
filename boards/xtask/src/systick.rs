//! From ticks of SysTick to exact instruction counts.
//!
//! The emulator advances its clock by `2^shift` ns an instruction, and SysTick counts that clock at its own
//! frequency. With at least two ticks an instruction, the count is the ticks divided by that ratio, rounded, and
//! exact. The timer has 24 bits: where it wrapped, a second run in which the clock is slow tells how often.

use crate::error::{Error, Result};
use crate::metrics::INSTRUCTIONS;
use crate::protocol::{Header, Row};

/// The clock in the run that gives the counts: 128 ns an instruction, two ticks from 15.6 MHz up.
pub const FINE_SHIFT: u32 = 7;
/// The clock in the run that tells how often the timer wrapped in the other.
pub const COARSE_SHIFT: u32 = 0;
const WRAP: u128 = 1 << 24;

/// A timer of an emulator that counts instructions.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    /// Its frequency.
    pub hz: u64,
}

impl Timer {
    /// Whether the calibration of the run at [`FINE_SHIFT`] gives what it must: else the frequency is wrong, or the
    /// emulator counts otherwise than thought.
    pub fn check(&self, header: &Header) -> Result<()> {
        if u128::from(self.hz) << FINE_SHIFT < 2_000_000_000 {
            return Err(Error::new(format!("systick_hz = {} is less than two ticks an instruction", self.hz)));
        }
        let count = |ticks: u64| self.instructions(ticks.into());
        let counter = format!("systick_hz = {}", self.hz);
        INSTRUCTIONS.check(&counter, count(header.empty.ticks), count(header.calibration.ticks))
    }

    /// Instructions of a call that took so many ticks at [`FINE_SHIFT`].
    fn instructions(&self, ticks: u128) -> u64 {
        let ticks_per_second_of_instructions = u128::from(self.hz) << FINE_SHIFT;
        let count = (ticks * 1_000_000_000 + ticks_per_second_of_instructions / 2) / ticks_per_second_of_instructions;
        (count as u64).saturating_sub(INSTRUCTIONS.reading)
    }

    /// Instructions of every row. `coarse` is the same run at [`COARSE_SHIFT`], needed where a row has wrapped.
    pub fn count(&self, fine: &[Row], coarse: Option<&[Row]>) -> Result<Vec<u64>> {
        let rows = fine.iter().enumerate().map(|(index, row)| {
            if !row.span.wrapped {
                return Ok(self.instructions(row.span.ticks.into()));
            }
            let coarse = coarse.and_then(|rows| rows.get(index)).filter(|row| !row.span.wrapped);
            let coarse = coarse.ok_or_else(|| Error::new("an inference takes too long for the timer to measure"))?;
            let about = u128::from(coarse.span.ticks) << (FINE_SHIFT - COARSE_SHIFT);
            let ticks = u128::from(row.span.ticks);
            let wraps = (about + WRAP / 2).saturating_sub(ticks) / WRAP;
            Ok(self.instructions(ticks + wraps * WRAP))
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Span;

    /// The emulator: time is a whole number of instructions, ticks are what of it has passed, started anywhere.
    fn ticks(hz: u64, shift: u32, instructions: u64, start: u64) -> u64 {
        let at = |n: u64| (u128::from(n) << shift) * u128::from(hz) / 1_000_000_000;
        (at(start + instructions + INSTRUCTIONS.reading) - at(start)) as u64
    }

    fn row(ticks: u64) -> Row {
        Row { span: Span { ticks: ticks % WRAP as u64, wrapped: ticks >= WRAP as u64 }, stack_bytes: 0 }
    }

    #[test]
    fn every_count_is_exact_wherever_it_starts() {
        for hz in [16_000_000, 20_000_000, 24_000_000, 25_000_000, 32_000_000, 168_000_000] {
            for start in 0..50 {
                for n in (0..300).chain([8049, 18_510, 1_234_567, 5_242_878, 5_242_879, 5_242_880, 300_000_001]) {
                    let fine = row(ticks(hz, FINE_SHIFT, n, start));
                    let coarse = row(ticks(hz, COARSE_SHIFT, n, start + 3));
                    if fine.span.wrapped && coarse.span.wrapped {
                        continue;
                    }
                    assert_eq!(Timer { hz }.count(&[fine], Some(&[coarse])).unwrap(), [n], "{hz} Hz from {start}");
                }
            }
        }
    }

    #[test]
    fn a_wrap_does_not_go_unnoticed() {
        let wrapped = row(ticks(25_000_000, FINE_SHIFT, 6_000_000, 0));
        assert!(wrapped.span.wrapped);
        assert!(Timer { hz: 25_000_000 }.count(&[wrapped], None).is_err());
        assert!(Timer { hz: 25_000_000 }.count(&[wrapped], Some(&[wrapped])).is_err());
    }

    #[test]
    fn a_wrong_frequency_is_found() {
        let span = |ticks| Span { ticks, wrapped: false };
        let header = |empty, calibration| Header {
            input_bytes: 0,
            output_bytes: 0,
            scratch_bytes: 0,
            empty: span(empty),
            calibration: span(calibration),
        };
        assert!(Timer { hz: 25_000_000 }.check(&header(9, 6409)).is_ok());
        assert!(Timer { hz: 16_000_000 }.check(&header(6, 4102)).is_ok());
        assert!(Timer { hz: 25_000_000 }.check(&header(6, 4102)).is_err());
        // One instruction would be less than two ticks.
        assert!(Timer { hz: 12_500_000 }.check(&header(4, 3204)).is_err());
    }
}
