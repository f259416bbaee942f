//! What a firmware has measured, as it wrote it.

use crate::emulator::Cost;
use crate::error::{Context, Error, Result};
use crate::protocol::{CALIBRATION_INSTRUCTIONS, EMPTY_INSTRUCTIONS, Header, METRICS, Row};
use std::fs;
use std::path::Path;

/// What one run has measured.
#[derive(Debug)]
pub struct Measurements {
    /// The firmware's description of itself.
    pub header: Header,
    /// In the order of the inputs.
    pub rows: Vec<Row>,
}

/// Reads the file of measurements in `folder`.
pub fn read(folder: &Path) -> Result<Measurements> {
    let path = folder.join(METRICS);
    let bytes = fs::read(&path).context(|| format!("cannot read {}", path.display()))?;
    let broken = || Error::new(format!("{} is not what a firmware writes", path.display()));
    let (words, []) = bytes.as_chunks::<4>() else { return Err(broken()) };
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (header, rows) = words.split_first_chunk().ok_or_else(broken)?;
    let header = Header::from_words(*header).ok_or_else(broken)?;
    let (rows, []) = rows.as_chunks() else { return Err(broken()) };
    Ok(Measurements { header, rows: rows.iter().copied().map(Row::from_words).collect() })
}

/// What the two functions of known length must measure, and how much more every measurement is.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// The function that does nothing.
    pub empty: u64,
    /// The loop.
    pub calibration: u64,
    /// What ends a measurement is itself within it.
    pub reading: u64,
}

/// In instructions.
pub const INSTRUCTIONS: Calibration =
    Calibration { empty: EMPTY_INSTRUCTIONS as u64, calibration: CALIBRATION_INSTRUCTIONS as u64, reading: 1 };

impl Calibration {
    /// An error where the two functions do not measure what they must: nothing else that was counted is right then.
    pub fn check(&self, counter: &str, empty: u64, calibration: u64) -> Result<()> {
        let &Self { empty: right_empty, calibration: right_calibration, .. } = self;
        if (empty, calibration) == (right_empty, right_calibration) {
            return Ok(());
        }
        Err(Error::new(format!(
            "the emulator does not count by {counter} as it should: a call of {right_empty} measures {empty}, one of \
             {right_calibration} measures {calibration}"
        )))
    }
}

/// The file of an emulator that counts by itself between marks, in the run's folder: instructions and cycles of the
/// two functions of known length, then those of every row.
const COUNTERS: &str = "counters.bin";

/// What every row has cost by the emulator's own counters.
pub fn counted(measurements: &Measurements, folder: &Path, cycles: &Calibration) -> Result<(Header, Vec<Cost>)> {
    let path = folder.join(COUNTERS);
    let bytes = fs::read(&path).context(|| format!("cannot read {}", path.display()))?;
    let broken = || Error::new(format!("{} is not what belongs to the firmware's measurements", path.display()));
    let (numbers, []) = bytes.as_chunks::<8>() else { return Err(broken()) };
    let (pairs, []) = numbers.as_chunks::<2>() else { return Err(broken()) };
    let pairs: Vec<_> = pairs
        .iter()
        .map(|&[instructions, count]| {
            let [instructions, count] = [instructions, count].map(u64::from_le_bytes);
            (instructions.saturating_sub(INSTRUCTIONS.reading), count.saturating_sub(cycles.reading))
        })
        .collect();
    let Some(([empty, calibration], rows)) = pairs.split_first_chunk() else { return Err(broken()) };
    INSTRUCTIONS.check("instructions", empty.0, calibration.0)?;
    cycles.check("cycles", empty.1, calibration.1)?;
    if rows.len() != measurements.rows.len() {
        return Err(broken());
    }
    let cost = |(row, &(instructions, cycles)): (&Row, &(u64, u64))| Cost {
        instructions,
        cycles: Some(cycles),
        stack_bytes: row.stack_bytes,
    };
    Ok((measurements.header, measurements.rows.iter().zip(rows).map(cost).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_counts_something_else_is_found() {
        assert!(INSTRUCTIONS.check("x", 2, 2002).is_ok());
        assert!(INSTRUCTIONS.check("x", 3, 2003).is_err());
        assert!(INSTRUCTIONS.check("x", 2, 2003).is_err());
    }
}
