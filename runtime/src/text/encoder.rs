//! Text to the rows of a network's input.

use super::{Normalize, Part, Projection, Tokenizer, Window, Words};
use crate::Element;

/// What became of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Summary {
    /// Words that the network sees. Of 0 words it sees nothing, and answers all the same.
    pub words: u32,
    /// Words left out because the network has no position for them.
    pub cut: u32,
    /// Parts that are no UTF-8, each taken as one unknown character.
    pub invalid: u32,
}

/// Writes the rows of a network's input, one a word, while the text arrives.
///
/// Words that are left out are as if they were not there, also for the window of the last word. Rows after the last word
/// are those of a window without words.
#[derive(Debug)]
pub struct Encoder<
    'a,
    Z,
    T,
    Y,
    const PUNCTUATION: bool,
    const N: usize,
    const SPAN: usize,
    const FEATURES: usize,
    const O: usize,
> {
    words: Words<Z, PUNCTUATION>,
    rows: Rows<'a, T, Y, N, SPAN, FEATURES, O>,
}

/// What the parts of words go to.
#[derive(Debug)]
struct Rows<'a, T, Y, const N: usize, const SPAN: usize, const FEATURES: usize, const O: usize> {
    tokenizer: T,
    window: Window<N, SPAN>,
    projection: &'a Projection<Y, FEATURES, O>,
    /// Rows that are not written yet.
    rows: &'a mut [[Y; O]],
    /// Words that still have a position.
    free: usize,
    summary: Summary,
}

impl<'a, Z, T, Y, const PUNCTUATION: bool, const N: usize, const SPAN: usize, const FEATURES: usize, const O: usize>
    Encoder<'a, Z, T, Y, PUNCTUATION, N, SPAN, FEATURES, O>
where
    Z: Normalize,
    T: Tokenizer<N>,
    Y: Element,
{
    /// At the beginning of a text.
    pub fn new<const S: usize>(
        projection: &'a Projection<Y, FEATURES, O>,
        tokenizer: T,
        rows: &'a mut [[Y; O]; S],
    ) -> Self {
        let summary = Summary::default();
        Self {
            words: Words::new(),
            rows: Rows { tokenizer, window: Window::new(), projection, rows, free: S, summary },
        }
    }

    /// Takes more of the text, in pieces of any size.
    pub fn push(&mut self, text: &[u8]) {
        for &byte in text {
            self.words.push(byte, |part| self.rows.part(part));
        }
    }

    /// Ends the text: writes the rows that are left.
    pub fn finish(mut self) -> Summary {
        self.words.finish(|part| self.rows.part(part));
        let Self { words, mut rows } = self;
        rows.finish();
        Summary { invalid: words.invalid(), ..rows.summary }
    }
}

impl<T: Tokenizer<N>, Y: Element, const N: usize, const SPAN: usize, const FEATURES: usize, const O: usize>
    Rows<'_, T, Y, N, SPAN, FEATURES, O>
{
    fn part(&mut self, part: Part) {
        if self.free == 0 {
            if part == Part::End {
                self.summary.cut = self.summary.cut.saturating_add(1);
            }
            return;
        }
        match part {
            Part::Character(c) => self.tokenizer.push(c),
            Part::End => {
                let fingerprint = self.tokenizer.finish();
                self.free -= 1;
                self.summary.words += 1;
                self.window.push(Some(fingerprint.buckets((FEATURES / SPAN) as u16)));
                self.row();
            }
        }
    }

    /// Writes the row of the window's word, if there is one.
    fn row(&mut self) {
        if self.window.has_word()
            && let Some(row) = self.rows.split_off_first_mut()
        {
            self.projection.run(&self.window, row);
        }
    }

    fn finish(&mut self) {
        for _ in 0..SPAN / 2 {
            self.window.push(None);
            self.row();
        }
        core::mem::take(&mut self.rows).fill(self.projection.empty);
    }
}
