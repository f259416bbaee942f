//! An assistant on a serial line: sentences come in, intents and slots go out.
//!
//! It begins as a person at a terminal expects it: a prompt, an echo, and a line that can be edited (backspace, Ctrl-W for
//! a word, Ctrl-U for all of it, Ctrl-C to give it up, Ctrl-D on an empty one to end). After the byte [`LINES`] it talks to
//! a program: no prompt, no echo, no editing, and one line of answer, its parts separated by tabs, for every line.
//!
//! Words go to the network's encoder byte by byte, as they arrive. The first [`LENGTH`](line::LENGTH) bytes of a line are
//! held as well: to show the words of slots, and to encode again what is left after something was taken back. A line may be
//! longer; what lies beyond cannot be taken back, and is shown as an ellipsis.
//!
//! Sentence marks are spaces, as the sentences that the networks were trained on have none.

pub mod confidence;
pub mod line;
mod network;

pub use network::{Encoder, Network};

use embedded_io::{Read, Write};
use line::{Line, Word};
use tinymlp::text::Summary;

/// Asks for answers of one line each, without prompt and echo, until the board is reset: the record separator, Ctrl-^. It
/// comes back, so that the program knows where answers begin.
pub const LINES: u8 = 0x1e;
/// What is written before a line is read.
pub const PROMPT: &str = "> ";

/// Gives a line up: Ctrl-C.
pub const CANCEL: u8 = 0x03;
/// Ends a session, on an empty line: Ctrl-D.
pub const END: u8 = 0x04;
const BELL: u8 = 0x07;
const BACKSPACE: u8 = 0x08;
const TAB: u8 = b'\t';
const ERASE_WORD: u8 = 0x17;
const ERASE_LINE: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// What a line has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was answered.
    Answered,
    /// It was given up.
    Abandoned,
    /// Nothing more will come: Ctrl-D on an empty line, which comes back as [`END`], or the port has ended.
    Ended,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Terminal,
    Program,
}

/// Where in a key's sequence of bytes the last one was: arrows and the like begin with an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequence {
    Outside,
    /// Behind the escape.
    Begun,
    /// Behind `ESC [` or `ESC O`, up to a letter or `~`.
    Parameters,
}

/// What a byte asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Text(u8),
    Enter,
    Erase,
    EraseWord,
    EraseLine,
    Cancel,
    End,
    Lines,
    Nothing,
}

/// Answers the lines of one port.
#[derive(Debug)]
pub struct Assistant {
    peer: Peer,
    sequence: Sequence,
    /// The last byte was a carriage return: a line feed belongs to it.
    returned: bool,
    line: Line,
}

impl Default for Assistant {
    fn default() -> Self {
        Self::new()
    }
}

impl Assistant {
    /// An assistant that expects a person.
    pub const fn new() -> Self {
        Self { peer: Peer::Terminal, sequence: Sequence::Outside, returned: false, line: Line::new() }
    }

    /// Reads a line and answers it. An error of reading is a byte that was lost on the line, which the answer reports.
    ///
    /// # Errors
    /// Something that cannot be written.
    pub fn turn<P: Read + Write, N: Network>(&mut self, port: &mut P, network: &mut N) -> Result<Event, P::Error> {
        self.line.clear();
        self.say(port, PROMPT)?;
        let mut lost = 0u32;
        let summary = 'line: loop {
            // Takes the line from its beginning, but nothing before there is something to add: keys that erase are fast.
            let mut encoder = network.encoder();
            let mut taken = 0;
            let mut catch_up = |encoder: &mut N::Encoder<'_>, line: &Line| {
                line.bytes().iter().skip(taken).for_each(|&byte| encoder.push(line::heard(byte)));
                taken = line.bytes().len();
            };
            loop {
                let mut byte = [0];
                match port.read(&mut byte) {
                    Ok(0) => return Ok(Event::Ended),
                    Ok(_) => {}
                    Err(_) => {
                        lost = lost.saturating_add(1);
                        continue;
                    }
                }
                match self.key(byte[0]) {
                    Key::Nothing => {}
                    Key::Lines => {
                        self.peer = Peer::Program;
                        port.write_all(&[LINES])?;
                        port.flush()?;
                    }
                    Key::Text(byte) => {
                        let held = self.line.push(byte);
                        catch_up(&mut encoder, &self.line);
                        if !held {
                            encoder.push(line::heard(byte));
                        }
                        if self.peer == Peer::Terminal {
                            port.write_all(&[byte])?;
                            port.flush()?;
                        }
                    }
                    Key::Enter => {
                        catch_up(&mut encoder, &self.line);
                        self.say(port, "\r\n")?;
                        break 'line encoder.finish();
                    }
                    Key::Erase | Key::EraseWord | Key::EraseLine
                        if self.line.bytes().is_empty() || self.line.is_longer() =>
                    {
                        port.write_all(&[BELL])?;
                        port.flush()?;
                    }
                    key @ (Key::Erase | Key::EraseWord | Key::EraseLine) => {
                        self.erase(port, key)?;
                        continue 'line;
                    }
                    Key::Cancel => {
                        self.say(port, "^C\r\n")?;
                        return Ok(Event::Abandoned);
                    }
                    Key::End if self.line.bytes().is_empty() => {
                        self.say(port, "\r\n\x04")?;
                        return Ok(Event::Ended);
                    }
                    Key::End => {}
                }
            }
        };
        network.infer();
        self.answer(port, network, summary, lost)?;
        Ok(Event::Answered)
    }

    /// Writes what only a terminal wants.
    fn say<P: Write>(&self, port: &mut P, text: &str) -> Result<(), P::Error> {
        match self.peer {
            Peer::Program => Ok(()),
            Peer::Terminal => {
                port.write_all(text.as_bytes())?;
                port.flush()
            }
        }
    }

    fn key(&mut self, byte: u8) -> Key {
        let returned = core::mem::replace(&mut self.returned, byte == b'\r');
        match byte {
            b'\n' if returned => return Key::Nothing,
            b'\r' | b'\n' => {
                self.sequence = Sequence::Outside;
                return Key::Enter;
            }
            LINES => return Key::Lines,
            // The front end knows what to make of anything.
            _ if self.peer == Peer::Program => return Key::Text(byte),
            _ => {}
        }
        match (self.sequence, byte) {
            (Sequence::Begun, b'[' | b'O') => self.sequence = Sequence::Parameters,
            (Sequence::Parameters, 0x20..=0x3f) => {}
            (Sequence::Begun | Sequence::Parameters, 0x20..=0x7e) => self.sequence = Sequence::Outside,
            (_, ESCAPE) => self.sequence = Sequence::Begun,
            _ => {
                self.sequence = Sequence::Outside;
                return match byte {
                    BACKSPACE | DELETE => Key::Erase,
                    ERASE_WORD => Key::EraseWord,
                    ERASE_LINE => Key::EraseLine,
                    CANCEL => Key::Cancel,
                    END => Key::End,
                    // As wide on the screen as in the line.
                    TAB => Key::Text(b' '),
                    0..0x20 => Key::Nothing,
                    _ => Key::Text(byte),
                };
            }
        }
        Key::Nothing
    }

    /// Takes back a character, a word with the spaces behind it, or everything, also on the screen.
    fn erase<P: Write>(&mut self, port: &mut P, key: Key) -> Result<(), P::Error> {
        let mut in_word = false;
        while let Some(&last) = self.line.bytes().last() {
            if key == Key::EraseWord && in_word && last == b' ' {
                break;
            }
            in_word = last != b' ';
            for _ in 0..self.line.erase() {
                port.write_all(b"\x08 \x08")?;
            }
            if key == Key::Erase {
                break;
            }
        }
        port.flush()
    }

    fn answer<P: Write, N: Network>(
        &self,
        port: &mut P,
        network: &N,
        summary: Summary,
        lost: u32,
    ) -> Result<(), P::Error> {
        let (separator, end): (&[u8], &[u8]) = match self.peer {
            Peer::Terminal => (b"\r\n  ", b"\r\n"),
            Peer::Program => (b"\t", b"\n"),
        };
        if summary.words == 0 {
            port.write_all(b"no words")?;
        } else {
            let logits = network.intent();
            port.write_all(b"intent ")?;
            port.write_all(network.intent_name(best(logits)).as_bytes())?;
            port.write_all(b" (")?;
            number(port, confidence::percent(logits, network.step()))?;
            port.write_all(b" %)")?;
            self.slots(port, network, summary.words as usize, separator)?;
        }
        for (what, count) in [
            ("words left out: ", summary.cut),
            ("parts that are not UTF-8: ", summary.invalid),
            ("bytes lost on the line: ", lost),
        ] {
            if count != 0 {
                port.write_all(separator)?;
                port.write_all(what.as_bytes())?;
                number(port, count)?;
            }
        }
        port.write_all(end)?;
        port.flush()
    }

    /// Slots by their tags: `B-` begins one; `I-` goes on with one of its kind right before it, and begins one where there
    /// is none; `O` and any other tag ends one.
    fn slots<P: Write, N: Network>(
        &self,
        port: &mut P,
        network: &N,
        count: usize,
        separator: &[u8],
    ) -> Result<(), P::Error> {
        let mut words = self.line.words();
        let mut open = None;
        for position in 0..count {
            let word = words.next();
            let Some(tags) = network.slots(position) else { return Ok(()) };
            let (begins, kind) = match network.tag_name(best(tags)).split_at_checked(2) {
                Some(("B-", kind)) => (true, Some(kind)),
                Some(("I-", kind)) => (false, Some(kind)),
                _ => (true, None),
            };
            match kind {
                Some(kind) if begins || open != Some(kind) => {
                    port.write_all(separator)?;
                    port.write_all(kind.as_bytes())?;
                    port.write_all(b": ")?;
                }
                Some(_) => port.write_all(b" ")?,
                None => {}
            }
            if kind.is_some() {
                show(port, word)?;
            }
            open = kind;
        }
        Ok(())
    }
}

/// The index of the largest, the first of several.
fn best(row: &[i8]) -> usize {
    let mut best = (0, i8::MIN);
    for (k, &value) in row.iter().enumerate() {
        if value > best.1 {
            best = (k, value);
        }
    }
    best.0
}

/// Writes a word as it was typed, without control characters; what is not held is an ellipsis.
fn show<P: Write>(port: &mut P, word: Option<Word<'_>>) -> Result<(), P::Error> {
    let (bytes, is_whole) = word.map_or((&[][..], false), |word| (word.bytes, word.is_whole));
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars().filter(|&c| line::is_shown(c)) {
            port.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
        }
        if !chunk.invalid().is_empty() && is_whole {
            port.write_all("\u{fffd}".as_bytes())?;
        }
    }
    if is_whole { Ok(()) } else { port.write_all("…".as_bytes()) }
}

/// Writes a number in decimal.
fn number<P: Write>(port: &mut P, number: u32) -> Result<(), P::Error> {
    let mut power = 1_000_000_000;
    while power > 1 && power > number {
        power /= 10;
    }
    while power > 0 {
        port.write_all(&[b'0' + (number / power % 10) as u8])?;
        power /= 10;
    }
    Ok(())
}
