//! Neighbouring words.

/// The buckets of `SPAN` words in a row, of which the middle one is the word at hand: a counting Bloom filter each, in
/// `N` numbers instead of one a bucket.
#[derive(Clone, Debug)]
pub struct Window<const N: usize, const SPAN: usize> {
    /// The earliest first; `None` before the first and after the last word.
    words: [Option<[u16; N]>; SPAN],
}

impl<const N: usize, const SPAN: usize> Default for Window<N, SPAN> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const SPAN: usize> Window<N, SPAN> {
    /// Before the first word.
    pub const fn new() -> Self {
        const { assert!(SPAN % 2 == 1, "a window has as many words on the left as on the right of its own") }
        Self { words: [None; SPAN] }
    }

    /// Moves on by a word: the next one, or `None` after the last.
    pub fn push(&mut self, word: Option<[u16; N]>) {
        let mut coming = word;
        for place in self.words.iter_mut().rev() {
            core::mem::swap(place, &mut coming);
        }
    }

    /// Whether there is a word in the middle.
    pub fn has_word(&self) -> bool {
        self.words.get(SPAN / 2).is_some_and(Option::is_some)
    }

    /// The features that are not zero, once for each count: feature `k * buckets + b` is bucket `b` of the window's word `k`.
    pub fn features(&self, buckets: u16) -> impl Iterator<Item = usize> + Clone + '_ {
        let words = self.words.iter().enumerate().filter_map(|(k, word)| Some((k, word.as_ref()?)));
        words.flat_map(move |(k, word)| {
            let first = k * usize::from(buckets);
            word.iter().map(move |&bucket| first + usize::from(bucket))
        })
    }
}
