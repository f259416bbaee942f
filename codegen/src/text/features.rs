//! Text files as the features that a network is trained on: the runtime's own front end on the host.

use crate::error::{Error, Problem, Result};
use crate::text::Vocabulary;
use std::io::Read;
use std::path::Path;
use tinymlp::text::{Cased, Fingerprint, Mixed, Normalize, Part, Tokenizer, Uncased, WholeWords, WordPiece, Words};

/// Most hash functions of a fingerprint. Fewer are the first of these.
pub const MAX_HASHES: usize = 128;

/// Most characters of a word that is looked up in a vocabulary, as in BERT.
pub const MAX_CHARACTERS: usize = 100;

/// Unpacked bytes of a text file, at most.
const MAX_BYTES: u64 = 1 << 30;

/// Where words end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// At white space: for text that comes as tokens.
    Spaces,
    /// At white space, and around punctuation.
    Punctuation,
}

/// What words are made of.
#[derive(Clone, Debug)]
pub enum Tokens {
    /// Themselves.
    Words,
    /// Pieces of a vocabulary.
    Pieces(Vocabulary),
}

/// How text becomes features. Training and device have to agree on all of it.
#[derive(Clone, Debug)]
pub struct FrontEnd {
    /// What words are made of.
    pub tokens: Tokens,
    /// Where words end.
    pub split: Split,
    /// Whether case and accents matter.
    pub cased: bool,
    /// Hash functions of a fingerprint, 1 to [`MAX_HASHES`].
    pub hashes: usize,
    /// Counters of a counting Bloom filter.
    pub buckets: u16,
    /// Words that the network has a place for.
    pub positions: usize,
}

/// Features of many texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// `texts x positions x hashes` buckets; the number of buckets stands where there is no word.
    pub buckets: Vec<u16>,
    /// Words of each text, those that were cut included.
    pub words: Vec<usize>,
    /// Parts of each text that are no UTF-8.
    pub invalid: Vec<u32>,
}

impl FrontEnd {
    /// Whether a network can have these sizes.
    pub(crate) fn check(&self) -> Result<()> {
        if self.hashes == 0 || self.hashes > MAX_HASHES {
            let reason = format!("{} hash functions are none of 1 to {MAX_HASHES}", self.hashes);
            return Err(Problem::new("front end", reason).into());
        }
        if self.buckets == 0 || self.buckets == u16::MAX || self.positions == 0 {
            let reason = format!("has {} buckets and {} positions", self.buckets, self.positions);
            return Err(Problem::new("front end", reason)
                .help("there are 1 to 65534 buckets, and a position or more")
                .into());
        }
        Ok(())
    }

    /// The features of texts.
    ///
    /// # Errors
    /// Sizes that no network has.
    pub fn features<'t>(&self, texts: impl IntoIterator<Item = &'t [u8]>) -> Result<Texts> {
        self.check()?;
        let mut found = Texts::default();
        for text in texts {
            let (words, invalid) = match &self.tokens {
                Tokens::Words => self.normalized(text, WholeWords::<Mixed, MAX_HASHES>::new()),
                Tokens::Pieces(vocabulary) => {
                    self.normalized(text, WordPiece::<Mixed, MAX_HASHES, MAX_CHARACTERS>::new(vocabulary.automaton()))
                }
            };
            found.words.push(words.len());
            found.invalid.push(invalid);
            for position in 0..self.positions {
                let buckets = words.get(position).map_or([self.buckets; MAX_HASHES], |w| w.buckets(self.buckets));
                found.buckets.extend(&buckets[..self.hashes]);
            }
        }
        Ok(found)
    }

    fn normalized(&self, text: &[u8], tokenizer: impl Tokenizer<MAX_HASHES>) -> (Vec<Fingerprint<MAX_HASHES>>, u32) {
        match (self.cased, self.split) {
            (true, Split::Spaces) => fingerprints::<Cased, false>(text, tokenizer),
            (true, Split::Punctuation) => fingerprints::<Cased, true>(text, tokenizer),
            (false, Split::Spaces) => fingerprints::<Uncased, false>(text, tokenizer),
            (false, Split::Punctuation) => fingerprints::<Uncased, true>(text, tokenizer),
        }
    }
}

fn fingerprints<Z: Normalize, const PUNCTUATION: bool>(
    text: &[u8],
    mut tokenizer: impl Tokenizer<MAX_HASHES>,
) -> (Vec<Fingerprint<MAX_HASHES>>, u32) {
    let mut found = Vec::new();
    let mut take = |part| match part {
        Part::Character(c) => tokenizer.push(c),
        Part::End => found.push(tokenizer.finish()),
    };
    let mut words = Words::<Z, PUNCTUATION>::new();
    text.iter().for_each(|&byte| words.push(byte, &mut take));
    words.finish(&mut take);
    (found, words.invalid())
}

/// Reads a text file; unpacks those that end in `.gz`.
///
/// # Errors
/// A file that cannot be read or unpacked, or is no UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let place = path.display().to_string();
    String::from_utf8(read_bytes(path)?).map_err(|e| Problem::new(place, format!("is not UTF-8: {e}")).into())
}

/// Reads a file of any bytes; unpacks those that end in `.gz`.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let bad = |reason: String| Error::from(Problem::new(path.display().to_string(), reason));
    let bytes = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    let packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    if packed {
        let mut unpacked = Vec::new();
        let mut reader = flate2::read::MultiGzDecoder::new(bytes.as_slice()).take(MAX_BYTES + 1);
        reader.read_to_end(&mut unpacked).map_err(|e| bad(format!("cannot be unpacked: {e}")))?;
        if unpacked.len() as u64 > MAX_BYTES {
            return Err(bad("is larger than 1 GiB".into()));
        }
        return Ok(unpacked);
    }
    Ok(bytes)
}

/// A column, counted from 1, of lines that are separated by tabs.
///
/// # Errors
/// Every line without it.
pub fn column<'t>(table: &'t str, column: usize, file: &Path) -> Result<Vec<&'t str>> {
    let mut problems = crate::error::Problems::default();
    let mut cells = Vec::new();
    for (k, line) in table.lines().enumerate() {
        match column.checked_sub(1).and_then(|c| line.split('\t').nth(c)) {
            Some(cell) => cells.push(cell),
            None => problems.push(
                Problem::new(format!("{}: line {}", file.display(), k + 1), format!("has no column {column}"))
                    .help("columns are separated by tabs and counted from 1"),
            ),
        }
    }
    problems.finish(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front_end() -> FrontEnd {
        FrontEnd { tokens: Tokens::Words, split: Split::Spaces, cased: false, hashes: 4, buckets: 100, positions: 3 }
    }

    #[test]
    fn words_beyond_the_positions_are_counted_and_absent_ones_marked() {
        let found = front_end().features([b"set an alarm now".as_slice(), b"ALARM", b""]).unwrap();
        assert_eq!(found.words, [4, 1, 0]);
        let rows: Vec<&[u16]> = found.buckets.chunks(4).collect();
        assert_eq!(rows.len(), 9);
        assert_eq!(rows[2], rows[3]);
        assert!(rows[..4].concat().iter().all(|&b| b < 100));
        assert!(rows[4..].concat().iter().all(|&b| b == 100));
        let cased = FrontEnd { cased: true, ..front_end() }.features([b"alarm".as_slice(), b"ALARM"]).unwrap();
        assert_ne!(cased.buckets[..4], cased.buckets[12..16]);
        // Fewer hash functions are the first of more.
        let more = FrontEnd { hashes: 64, ..front_end() }.features([b"ALARM".as_slice()]).unwrap();
        assert_eq!(more.buckets[..4], rows[3][..]);
    }

    #[test]
    fn sizes_that_no_network_has_are_refused() {
        for front_end in [
            FrontEnd { hashes: 0, ..front_end() },
            FrontEnd { hashes: MAX_HASHES + 1, ..front_end() },
            FrontEnd { buckets: 0, ..front_end() },
            FrontEnd { positions: 0, ..front_end() },
        ] {
            assert!(front_end.features([b"a".as_slice()]).is_err());
        }
        let problem = column("a\tb\nc\n", 2, Path::new("x.tsv")).unwrap_err().to_string();
        assert!(problem.contains("x.tsv: line 2: has no column 2"), "{problem}");
    }
}
