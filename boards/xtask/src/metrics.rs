//! What a firmware has measured, as it wrote it.

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

/// An error where the two functions of known length do not measure it: nothing else that was counted is right then.
pub fn check(counter: &str, empty: u64, calibration: u64) -> Result<()> {
    if (empty, calibration) == (EMPTY_INSTRUCTIONS.into(), CALIBRATION_INSTRUCTIONS.into()) {
        return Ok(());
    }
    Err(Error::new(format!(
        "the emulator does not count by {counter} as it should: a call of {EMPTY_INSTRUCTIONS} instructions measures \
         {empty}, one of {CALIBRATION_INSTRUCTIONS} measures {calibration}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_counts_something_else_is_found() {
        assert!(check("x", 2, 2002).is_ok());
        assert!(check("x", 3, 2003).is_err());
        assert!(check("x", 2, 2003).is_err());
    }
}
