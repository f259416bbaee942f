//! Words of a text, as its bytes arrive.

use super::{Class, Decoder, Normalize, class};
use core::marker::PhantomData;

/// What [`Words`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A character of the current word, normalised.
    Character(char),
    /// The end of the word. There was a character before.
    End,
}

/// Splits text into words: at white space and, with `PUNCTUATION`, around every character of [`Class::Alone`], which is a
/// word of its own (BERT's basic tokenizer). Without, what lies between spaces is a word: for text that comes as tokens.
#[derive(Clone, Debug)]
pub struct Words<Z, const PUNCTUATION: bool> {
    decoder: Decoder,
    state: State<Z, PUNCTUATION>,
}

#[derive(Clone, Debug)]
struct State<Z, const PUNCTUATION: bool> {
    inside: bool,
    invalid: u32,
    normalize: PhantomData<Z>,
}

impl<Z: Normalize, const PUNCTUATION: bool> Default for Words<Z, PUNCTUATION> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Z: Normalize, const PUNCTUATION: bool> Words<Z, PUNCTUATION> {
    /// At the beginning of a text.
    pub const fn new() -> Self {
        Self { decoder: Decoder::new(), state: State { inside: false, invalid: 0, normalize: PhantomData } }
    }

    /// Takes a byte of UTF-8; gives what it completes.
    pub fn push(&mut self, byte: u8, mut give: impl FnMut(Part)) {
        let Self { decoder, state } = self;
        decoder.push(byte, |c| state.character(c, &mut give));
    }

    /// Ends the text, and a word that has not ended.
    pub fn finish(&mut self, mut give: impl FnMut(Part)) {
        let Self { decoder, state } = self;
        decoder.finish(|c| state.character(c, &mut give));
        state.end(&mut give);
    }

    /// Parts of the text that were no UTF-8, up to here.
    pub fn invalid(&self) -> u32 {
        self.state.invalid
    }
}

impl<Z: Normalize, const PUNCTUATION: bool> State<Z, PUNCTUATION> {
    fn character(&mut self, c: char, give: &mut impl FnMut(Part)) {
        // One that was sent as such counts too: something upstream could not read it.
        if c == char::REPLACEMENT_CHARACTER {
            self.invalid = self.invalid.saturating_add(1);
        }
        match class(c) {
            Class::Ignored => {}
            Class::Space => self.end(give),
            Class::Alone if PUNCTUATION => {
                self.end(give);
                self.letter(c, give);
                self.end(give);
            }
            Class::Alone | Class::Letter => self.letter(c, give),
        }
    }

    fn letter(&mut self, c: char, give: &mut impl FnMut(Part)) {
        if let Some(c) = Z::normalize(c) {
            self.inside = true;
            give(Part::Character(c));
        }
    }

    fn end(&mut self, give: &mut impl FnMut(Part)) {
        if core::mem::take(&mut self.inside) {
            give(Part::End);
        }
    }
}
