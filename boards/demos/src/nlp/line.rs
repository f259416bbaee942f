//! The line that is typed: its bytes, as many as are held, and its words.

use heapless::Vec;
use tinymlp::text::{Class, Part, Uncased, Words, class};

/// Bytes that are held.
pub const LENGTH: usize = 256;
/// Sentence marks.
const MARKS: &[u8] = b".,;!?\"'";

/// What the network hears of a byte: sentence marks are spaces.
pub fn heard(byte: u8) -> u8 {
    if MARKS.contains(&byte) { b' ' } else { byte }
}

/// Whether a character of a word is one to see.
pub fn is_shown(c: char) -> bool {
    let is_mark = u8::try_from(c).is_ok_and(|byte| MARKS.contains(&byte));
    !is_mark && matches!(class(c), Class::Letter | Class::Alone)
}

/// A word of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// With what is not shown around it.
    pub bytes: &'a [u8],
    /// No part of it lies beyond what is held.
    pub is_whole: bool,
}

/// The first bytes of a line.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8, LENGTH>,
    is_longer: bool,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), is_longer: false }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.is_longer = false;
    }

    /// The bytes that are held.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there are bytes beyond.
    pub fn is_longer(&self) -> bool {
        self.is_longer
    }

    /// Adds a byte; false where it lies beyond what is held.
    pub fn push(&mut self, byte: u8) -> bool {
        let held = !self.is_longer && self.bytes.push(byte).is_ok();
        self.is_longer |= !held;
        held
    }

    /// Takes the last character off; gives the columns that it has on a terminal. Of what is no UTF-8, it is a byte.
    pub fn erase(&mut self) -> usize {
        let start = self.bytes.len().saturating_sub(4);
        let last = (start..self.bytes.len()).find_map(|at| {
            let mut characters = core::str::from_utf8(self.bytes.get(at..)?).ok()?.chars();
            let c = characters.next()?;
            characters.next().is_none().then_some(c)
        });
        let kept = self.bytes.len().saturating_sub(last.map_or(1, char::len_utf8));
        self.bytes.truncate(kept);
        last.map_or(1, columns)
    }

    /// The words, as the encoder counts them.
    pub fn words(&self) -> impl Iterator<Item = Word<'_>> {
        let mut words = Words::<Uncased, false>::new();
        let (mut from, mut at) = (0, 0);
        core::iter::from_fn(move || {
            loop {
                let mut has_ended = false;
                let end = |part| has_ended |= part == Part::End;
                let byte = self.bytes.get(at).copied();
                match byte {
                    Some(byte) => words.push(heard(byte), end),
                    None => words.finish(end),
                }
                at += 1;
                if has_ended {
                    let bytes = self.bytes.get(from..at.min(self.bytes.len()))?;
                    from = at;
                    return Some(Word { bytes, is_whole: byte.is_some() || !self.is_longer });
                }
                byte?;
            }
        })
    }
}

/// Columns of a character on most terminals: two for East Asian ones and pictures, none for combining marks.
fn columns(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}
