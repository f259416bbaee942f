//! What is typed at the assistant, what it answers, and what the network gets to read.

use embedded_io::{ErrorKind, ErrorType, Read, Write};
use proptest::prelude::*;
use std::collections::VecDeque;
use tinymlp::text::{Summary, Uncased, Words};
use tinymlp_demos::nlp::line::LENGTH;
use tinymlp_demos::nlp::{Assistant, Encoder, Event, LINES, Network, confidence};

/// A port with a script, of which some bytes are lost, and what was written to it.
#[derive(Default)]
struct Port {
    script: VecDeque<Option<u8>>,
    written: Vec<u8>,
}

impl ErrorType for Port {
    type Error = ErrorKind;
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        match self.script.pop_front() {
            None => Ok(0),
            Some(byte) => {
                buffer[0] = byte.ok_or(ErrorKind::InvalidData)?;
                Ok(1)
            }
        }
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// A network of few positions that tags words by their capital letter, and remembers the texts that it was run on.
#[derive(Default)]
struct Reader {
    text: Vec<u8>,
    read: Vec<String>,
    slots: Vec<[i8; 4]>,
    intent: [i8; 2],
}

const POSITIONS: usize = 6;

struct Pushed<'a>(&'a mut Reader);

impl Encoder for Pushed<'_> {
    fn push(&mut self, byte: u8) {
        self.0.text.push(byte);
    }

    fn finish(self) -> Summary {
        let mut words = Words::<Uncased, false>::new();
        let mut found = 0;
        let ends = |part| u32::from(part == tinymlp::text::Part::End);
        self.0.text.iter().for_each(|&byte| words.push(byte, |part| found += ends(part)));
        words.finish(|part| found += ends(part));
        let read = found.min(POSITIONS as u32);
        Summary { words: read, cut: found - read, invalid: words.invalid() }
    }
}

impl Network for Reader {
    type Encoder<'a> = Pushed<'a>;

    fn encoder(&mut self) -> Pushed<'_> {
        self.text.clear();
        Pushed(self)
    }

    fn infer(&mut self) {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        self.slots = text
            .split_whitespace()
            .take(POSITIONS)
            .map(|word| {
                let tag = match word.chars().next() {
                    Some('A') => 0,
                    Some('I') => 1,
                    Some('J') => 2,
                    _ => 3,
                };
                std::array::from_fn(|k| if k == tag { 1 } else { 0 })
            })
            .collect();
        self.intent = if text.contains("please") { [0, 40] } else { [0, 0] };
        self.read.push(text);
    }

    fn intent(&self) -> &[i8] {
        &self.intent
    }

    fn step(&self) -> u32 {
        confidence::step(0.1)
    }

    fn intent_name(&self, intent: usize) -> &str {
        ["ask", "order"][intent]
    }

    fn tag_name(&self, tag: usize) -> &str {
        ["B-a", "I-a", "I-b", "O"][tag]
    }

    fn slots(&self, position: usize) -> Option<&[i8]> {
        self.slots.get(position).map(|tags| &tags[..])
    }
}

/// What is on the screen after a script, and what the network has read.
fn talk(script: impl IntoIterator<Item = Option<u8>>) -> (String, Vec<String>, Vec<Event>) {
    let mut port = Port { script: script.into_iter().collect(), written: Vec::new() };
    let (mut assistant, mut reader, mut events) = (Assistant::new(), Reader::default(), Vec::new());
    while !port.script.is_empty() {
        events.push(assistant.turn(&mut port, &mut reader).unwrap());
    }
    (String::from_utf8_lossy(&port.written).into_owned(), reader.read, events)
}

fn typed(text: &[u8]) -> (String, Vec<String>, Vec<Event>) {
    talk(text.iter().copied().map(Some))
}

/// Answers to a program.
fn answers(text: &[u8]) -> (Vec<String>, Vec<String>) {
    let (written, read, _) = typed(&[&[LINES], text].concat());
    let lines = written.strip_prefix("> \x1e").unwrap();
    (lines.split_terminator('\n').map(str::to_owned).collect(), read)
}

#[test]
fn a_person_sees_prompt_echo_and_answer() {
    let (screen, read, events) = typed("please Am Im x Iz\r".as_bytes());
    assert_eq!(screen, "> please Am Im x Iz\r\nintent order (98 %)\r\n  a: Am Im\r\n  a: Iz\r\n");
    assert_eq!(read, ["please Am Im x Iz"]);
    assert_eq!(events, [Event::Answered]);
}

#[test]
fn a_program_gets_one_line_for_every_line() {
    let (lines, read) = answers(b"please Am\nx\n\n  \nJa Jb Ia Aa\n");
    let expected = [
        "intent order (98 %)\ta: Am",
        "intent ask (50 %)",
        "no words",
        "no words",
        "intent ask (50 %)\tb: Ja Jb\ta: Ia\ta: Aa",
    ];
    assert_eq!(lines, expected);
    assert_eq!(read.len(), 5);
}

#[test]
fn lines_end_by_any_convention() {
    for end in ["\r", "\n", "\r\n"] {
        let (_, read, _) = typed(format!("a b{end}c{end}{end}d{end}").as_bytes());
        assert_eq!(read, ["a b", "c", "", "d"], "{end:?}");
    }
}

#[test]
fn lines_are_edited() {
    for (script, text, screen) in [
        ("ab\x7fc", "ac", "ab\x08 \x08c"),
        ("ab\x08c", "ac", "ab\x08 \x08c"),
        // A character of two bytes is one step, one of two columns erases both.
        ("é\x7fx", "x", "é\x08 \x08x"),
        ("楽\x7fx", "x", "楽\x08 \x08\x08 \x08x"),
        ("a\u{301}\x7fb", "ab", "a\u{301}b"),
        ("one two  \x17x", "one x", "one two  \x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08x"),
        ("ab\x15x", "x", "ab\x08 \x08\x08 \x08x"),
        ("\x7fx", "x", "\x07x"),
        ("a\tb", "a b", "a b"),
        // Arrows, delete, F1, Alt-x; other control characters.
        ("a\x1b[A\x1b[1;5C\x1b[3~\x1bOP\x1bxb", "ab", "ab"),
        ("a\x01\x00\x0cb", "ab", "ab"),
    ] {
        let (written, read, _) = typed(format!("{script}\r").as_bytes());
        assert_eq!(read, [text], "{script:?}");
        assert!(written.starts_with(&format!("> {screen}\r\n")), "{script:?}: {written:?}");
    }
}

#[test]
fn lines_are_given_up_and_sessions_end() {
    let (screen, read, events) = typed(b"abc\x03d\x04e\r\x04");
    assert_eq!(read, ["de"]);
    assert_eq!(events, [Event::Abandoned, Event::Answered, Event::Ended]);
    assert_eq!(screen, "> abc^C\r\n> de\r\nintent ask (50 %)\r\n> \r\n\x04");
}

#[test]
fn sentence_marks_are_spaces() {
    let (screen, read, _) = typed(b"What's Al., \"Ib\"?\r");
    assert_eq!(read, ["What s Al    Ib  "]);
    assert!(screen.ends_with("\r\n  a: Al Ib\r\n"), "{screen:?}");
}

#[test]
fn what_goes_wrong_is_said() {
    let (lines, _) = answers(b"1 2 3 4 5 Am 7 8\n\xff\xc3 A\xe9\n");
    assert_eq!(lines[0], "intent ask (50 %)\ta: Am\twords left out: 2");
    assert_eq!(lines[1], "intent ask (50 %)\ta: A\u{fffd}\tparts that are not UTF-8: 3");
    let script = b"ab".iter().copied().map(Some).chain([None, Some(b'c'), Some(b'\r')]);
    let (screen, read, _) = talk(script);
    assert_eq!(read, ["abc"]);
    assert!(screen.ends_with("  bytes lost on the line: 1\r\n"), "{screen:?}");
}

#[test]
fn a_line_may_be_longer_than_what_is_held() {
    // One word of 10 KB, and the word behind it.
    let long = [b"A".repeat(10_000), b" Ib\n".to_vec()].concat();
    let (lines, read) = answers(&long);
    assert_eq!(read[0].len(), 10_003);
    assert_eq!(lines, [format!("intent ask (50 %)\ta: {}… …", "A".repeat(LENGTH))]);
    // A character is cut: its part is not shown.
    let cut = format!("A{}é\n", "x".repeat(LENGTH - 2));
    assert!(answers(cut.as_bytes()).0[0].ends_with(&format!("{}…", "x".repeat(LENGTH - 2))));
    // Nothing can be taken back then.
    let (screen, read, _) = typed(&[b"x".repeat(LENGTH + 1), b"\x7f\x17\x15\r".to_vec()].concat());
    assert_eq!(read[0].len(), LENGTH + 1);
    assert!(screen.contains("x\x07\x07\x07\r\n"));
    // Of what just fits, everything can.
    let (_, read, _) = typed(&[b"x".repeat(LENGTH), b"\x7f\ry\r".to_vec()].concat());
    assert_eq!([read[0].len(), read[1].len()], [LENGTH - 1, 1]);
}

/// A terminal that knows what the assistant uses: the columns of its last line.
fn on_screen(written: &str) -> String {
    let mut screen = Vec::new();
    let mut column = 0;
    for c in written.chars() {
        match c {
            '\x08' => column -= 1,
            '\x07' => {}
            _ => {
                screen.truncate(column);
                screen.push(c);
                column += 1;
            }
        }
    }
    screen.into_iter().collect::<String>().trim_end().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_typed_has_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = bytes;
        // Lines, and a last one.
        bytes.extend(b"\r\rplease Am\r");
        let (screen, read, events) = typed(&bytes);
        prop_assert_eq!(events.last(), Some(&Event::Answered));
        prop_assert_eq!(read.last().map(String::as_str), Some("please Am"));
        prop_assert!(screen.contains("intent order (98 %)"));
    }

    #[test]
    fn a_program_gets_as_many_answers_as_it_asks(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let bytes: Vec<u8> = bytes.into_iter().filter(|&byte| byte != b'\r' && byte != LINES).chain([b'\n']).collect();
        let count = bytes.iter().filter(|&&byte| byte == b'\n').count();
        prop_assert_eq!(answers(&bytes).0.len(), count);
    }

    #[test]
    fn the_network_reads_what_the_screen_shows(keys in "[a-c é\x7f\x17]{0,40}") {
        let (screen, read, _) = typed(format!("{keys}\r").as_bytes());
        let shown = on_screen(screen.strip_prefix("> ").unwrap().split("\r\n").next().unwrap());
        prop_assert_eq!(shown.as_str(), read[0].trim_end());
    }

    #[test]
    fn confidence_is_a_softmax(logits in prop::collection::vec(any::<i8>(), 1..12), scale in 0.001f32..2.0) {
        let largest = f64::from(*logits.iter().max().unwrap());
        let powers = logits.iter().map(|&logit| ((f64::from(logit) - largest) * f64::from(scale)).exp());
        let exact = 100.0 / powers.sum::<f64>();
        let found = confidence::percent(&logits, confidence::step(scale));
        prop_assert!((f64::from(found) - exact).abs() < 0.6, "{} {}", found, exact);
    }
}
