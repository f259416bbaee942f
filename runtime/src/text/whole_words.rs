//! Words as they are, without a vocabulary.

use super::{Family, Fingerprint, Tokenizer};
use core::marker::PhantomData;

/// Fingerprints of a word's own trigrams: words of any length, in constant memory.
#[derive(Clone, Debug)]
pub struct WholeWords<F, const N: usize> {
    fingerprint: Fingerprint<N>,
    /// The last three characters, the latest last.
    last: [char; 3],
    /// How many of them there are.
    length: u8,
    family: PhantomData<F>,
}

impl<F: Family, const N: usize> Default for WholeWords<F, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Family, const N: usize> WholeWords<F, N> {
    /// Before the first word.
    pub const fn new() -> Self {
        Self { fingerprint: Fingerprint::EMPTY, last: ['\0'; 3], length: 0, family: PhantomData }
    }
}

impl<F: Family, const N: usize> Tokenizer<N> for WholeWords<F, N> {
    fn push(&mut self, c: char) {
        let [_, b, a] = self.last;
        self.last = [b, a, c];
        self.length = (self.length + 1).min(3);
        if self.length == 3 {
            self.fingerprint.add::<F>(F::hash(&self.last));
        }
    }

    fn finish(&mut self) -> Fingerprint<N> {
        let [_, b, a] = self.last;
        match self.length {
            1 => self.fingerprint.add::<F>(F::hash(&[a])),
            2 => self.fingerprint.add::<F>(F::hash(&[b, a])),
            _ => {}
        }
        self.length = 0;
        core::mem::take(&mut self.fingerprint)
    }
}
