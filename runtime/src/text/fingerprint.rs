//! MinHash of a word.

use super::{Family, Hash};

/// For each of `N` hash functions the least value over what was added.
///
/// Fingerprints of parts merge: the least of all is the least of the parts' least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint<const N: usize> {
    /// Of nothing: the largest values.
    pub least: [u32; N],
}

impl<const N: usize> Default for Fingerprint<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> Fingerprint<N> {
    /// The fingerprint of nothing.
    pub const EMPTY: Self = Self { least: [u32::MAX; N] };

    /// Adds a string by its hash.
    #[inline(never)]
    pub fn add<F: Family>(&mut self, hash: Hash) {
        let mut value = hash.first;
        for least in &mut self.least {
            *least = value.min(*least);
            value = F::next(value, hash.step);
        }
    }

    /// Adds the trigrams of characters, or all of them together where there are three or fewer; nothing of none.
    pub fn add_trigrams<F: Family>(&mut self, characters: &[char]) {
        if characters.is_empty() {
            return;
        }
        if characters.len() < 3 {
            return self.add::<F>(F::hash(characters));
        }
        for trigram in characters.windows(3) {
            self.add::<F>(F::hash(trigram));
        }
    }

    /// The bucket of each value among `buckets`: a counting Bloom filter as a list.
    #[inline(always)]
    pub fn buckets(&self, buckets: u16) -> [u16; N] {
        self.least.map(|value| value.checked_rem(u32::from(buckets)).unwrap_or(0) as u16)
    }
}
