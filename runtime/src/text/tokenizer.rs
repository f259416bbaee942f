//! What turns words into fingerprints.

use super::Fingerprint;

/// Turns words, a character at a time, into fingerprints of `N` values.
pub trait Tokenizer<const N: usize> {
    /// Takes a character of the word.
    fn push(&mut self, c: char);

    /// Ends the word, and begins the next one.
    fn finish(&mut self) -> Fingerprint<N>;
}
