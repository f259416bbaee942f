//! Words in pieces of a vocabulary.

use super::{Automaton, Family, Fingerprint, Tokenizer};
use core::marker::PhantomData;
use heapless::Vec;

/// BERT's WordPiece: the longest piece that a word begins with, then the longest continuation (`##` before it in the
/// vocabulary), and so on. A word that cannot be made of pieces, or that has more than `L` characters, is the one piece
/// `[UNK]`; BERT's own limit is 100.
///
/// A piece adds its trigrams to the word's fingerprint; a continuation, or a piece of three characters or fewer, is added as
/// a whole.
#[derive(Clone, Debug)]
pub struct WordPiece<'a, F, const N: usize, const L: usize> {
    vocabulary: Automaton<'a>,
    word: Vec<char, L>,
    too_long: bool,
    family: PhantomData<F>,
}

impl<'a, F: Family, const N: usize, const L: usize> WordPiece<'a, F, N, L> {
    /// Before the first word.
    pub const fn new(vocabulary: Automaton<'a>) -> Self {
        Self { vocabulary, word: Vec::new(), too_long: false, family: PhantomData }
    }

    /// Characters of the longest piece that `rest` begins with; 0 if there is none.
    fn longest(&self, rest: &[char], continuation: bool) -> usize {
        let mut longest = 0;
        let mut state = Some(self.vocabulary.root);
        if continuation {
            for byte in *b"##" {
                state = state.and_then(|s| self.vocabulary.edge(s, byte)).and_then(|edge| edge.target);
            }
        }
        for (k, c) in rest.iter().enumerate() {
            let mut ends = false;
            for &byte in c.encode_utf8(&mut [0; 4]).as_bytes() {
                let Some(edge) = state.and_then(|s| self.vocabulary.edge(s, byte)) else { return longest };
                (state, ends) = (edge.target, edge.last);
            }
            if ends {
                longest = k + 1;
            }
        }
        longest
    }

    /// The fingerprint of the word, if it can be made of pieces.
    fn pieces(&self) -> Option<Fingerprint<N>> {
        let mut fingerprint = Fingerprint::EMPTY;
        let mut rest = self.word.as_slice();
        let mut continuation = false;
        while !rest.is_empty() {
            let piece = rest.split_off(..self.longest(rest, continuation))?;
            if piece.is_empty() {
                return None;
            }
            if continuation {
                fingerprint.add::<F>(F::hash(piece));
            } else {
                fingerprint.add_trigrams::<F>(piece);
            }
            continuation = true;
        }
        Some(fingerprint)
    }
}

impl<F: Family, const N: usize, const L: usize> Tokenizer<N> for WordPiece<'_, F, N, L> {
    fn push(&mut self, c: char) {
        self.too_long |= self.word.push(c).is_err();
    }

    fn finish(&mut self) -> Fingerprint<N> {
        let found = if self.too_long { None } else { self.pieces() };
        self.word.clear();
        self.too_long = false;
        found.unwrap_or_else(|| {
            let mut unknown = Fingerprint::EMPTY;
            unknown.add_trigrams::<F>(&['[', 'U', 'N', 'K', ']']);
            unknown
        })
    }
}
