//! Frames over a line that delivers what a line may deliver.

use embedded_io::{ErrorKind, ErrorType, Read, Write};
use proptest::prelude::*;
use std::collections::VecDeque;
use tinymlp_demos::digits::frame::{self, Fault, PIXELS, REQUEST, Receiver, START};
use tinymlp_demos::digits::{Answer, Event, Levels, Scores, Server};

/// What a line does next.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Byte(u8),
    Silence,
    Broken,
}

/// A line with a script, and what was written to it.
#[derive(Default)]
struct Line {
    script: VecDeque<Arrival>,
    written: Vec<u8>,
}

impl ErrorType for Line {
    type Error = ErrorKind;
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        match self.script.pop_front() {
            None => Ok(0),
            Some(Arrival::Byte(byte)) => {
                buffer[0] = byte;
                Ok(1)
            }
            Some(Arrival::Silence) => Err(ErrorKind::TimedOut),
            Some(Arrival::Broken) => Err(ErrorKind::InvalidData),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// A network that tells images apart: the place and the size of the sum of some pixels, at levels that are the grays.
fn network(input: &[i8; PIXELS], scores: &mut Scores) {
    let sum = (0..).zip(input).fold(7i32, |sum, (i, &pixel)| sum.wrapping_mul(31).wrapping_add(i * i32::from(pixel)));
    *scores = std::array::from_fn(|class| (sum >> class) as i8);
}

const LEVELS: Levels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// All replies to a script.
fn replies(script: impl IntoIterator<Item = Arrival>) -> Vec<Result<Answer, Fault>> {
    let mut line = Line { script: script.into_iter().collect(), written: Vec::new() };
    let mut server = Server::new(LEVELS, network);
    let mut events = Vec::new();
    loop {
        match server.turn(&mut line).unwrap() {
            Event::Nothing => {}
            Event::Answered(answer) => events.push(Ok(answer)),
            Event::Refused(fault) => events.push(Err(fault)),
            Event::Ended => break,
        }
    }
    let mut written = line.written.as_slice();
    let replies: Vec<_> = std::iter::from_fn(|| frame::take_reply(&mut written)).collect();
    assert!(written.is_empty());
    assert_eq!(replies, events);
    replies
}

fn bytes(bytes: &[u8]) -> Vec<Arrival> {
    bytes.iter().copied().map(Arrival::Byte).collect()
}

fn image(seed: u8) -> [u8; PIXELS] {
    std::array::from_fn(|i| (i as u8).wrapping_mul(7).wrapping_add(seed) % 17)
}

fn good(seed: u8) -> Vec<u8> {
    frame::request(&image(seed)).to_vec()
}

fn answer(seed: u8) -> Answer {
    Server::new(LEVELS, network).answer(&image(seed)).unwrap()
}

#[test]
fn the_crc_is_the_catalogued_one() {
    // The check value of CRC-16/IBM-3740 in the catalogue of parametrised CRC algorithms.
    assert_eq!(frame::crc(b"123456789"), 0x29b1);
}

#[test]
fn an_answer_is_the_best_class_and_how_much_better_it_is() {
    let answer = |scores: Scores| {
        let network = |input: &[i8; PIXELS], found: &mut Scores| {
            assert_eq!(input[..2], [-7, 9]);
            *found = scores;
        };
        let mut levels = [-7; 17];
        levels[16] = 9;
        let pixels = std::array::from_fn(|i| if i == 1 { 16 } else { 0 });
        Server::new(levels, network).answer(&pixels).unwrap()
    };
    assert_eq!(answer([-128, 127, -128, 3, 2, 1, 0, -1, -2, -3]), Answer { digit: 1, margin: 124 });
    assert_eq!(answer([9, 1, 2, 3, 4, 5, 6, 7, 9, 8]), Answer { digit: 0, margin: 0 });
    assert_eq!(answer([-128, -128, -128, -128, -128, -128, -128, -128, -128, 127]).margin, 255);
    assert_eq!(answer([-128; 10]), Answer { digit: 0, margin: 0 });
}

#[test]
fn every_broken_frame_is_refused_and_the_next_one_answered() {
    let mut flipped = good(1);
    flipped[9] ^= 1;
    let mut too_long = vec![START, 65];
    too_long.extend([3; 67]);
    let mut white = [0; PIXELS];
    white[5] = 17;
    let cases = [
        (flipped, Fault::Checksum),
        (vec![START, 0, 0xff, 0xff], Fault::Length),
        (too_long, Fault::Length),
        (b"garbage".to_vec(), Fault::NoStart),
        (frame::request(&white).to_vec(), Fault::Pixel),
    ];
    for (broken, fault) in cases {
        let script = [broken, good(2)].concat();
        assert_eq!(replies(bytes(&script)), [Err(fault), Ok(answer(2))], "{fault:?}");
    }
    let cut = [bytes(&good(1)[..40]), vec![Arrival::Silence], bytes(&good(2))].concat();
    assert_eq!(replies(cut), [Err(Fault::Silence), Ok(answer(2))]);
    let unreadable = [bytes(&good(1)[..40]), vec![Arrival::Broken], bytes(&good(2))].concat();
    assert_eq!(replies(unreadable), [Err(Fault::Line), Ok(answer(2))]);
    // Silence between frames is nothing to complain of.
    assert_eq!(replies([bytes(&good(1)), vec![Arrival::Silence], bytes(&good(2))].concat()).len(), 2);
}

#[test]
fn a_frame_within_a_broken_one_is_found() {
    // The first lost its last bytes, so that the next one's are taken for its own.
    let script = [good(1)[..60].to_vec(), good(2), good(3)].concat();
    assert_eq!(replies(bytes(&script)), [Err(Fault::Checksum), Ok(answer(2)), Ok(answer(3))]);
}

#[test]
fn faults_have_codes_of_their_own() {
    for fault in Fault::ALL {
        assert_eq!(Fault::of(fault.code()), Some(fault));
    }
    assert_eq!(Fault::of(0), None);
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let byte = prop_oneof![4 => any::<u8>(), 2 => Just(START), 2 => Just(PIXELS as u8), 2 => 0..17u8];
    let piece = prop_oneof![
        3 => prop::collection::vec(byte, 0..100).prop_map(|b| bytes(&b)),
        2 => any::<u8>().prop_map(|seed| bytes(&good(seed))),
        2 => (any::<u8>(), 0..REQUEST, 1..=255u8).prop_map(|(seed, at, change)| {
            let mut frame = good(seed);
            frame[at] ^= change;
            bytes(&frame)
        }),
        1 => Just(vec![Arrival::Silence]),
        1 => Just(vec![Arrival::Broken]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_arrives_a_frame_after_silence_is_answered(noise in arrivals()) {
        let count = noise.len();
        let script = [noise, vec![Arrival::Silence], bytes(&good(9))].concat();
        let replies = replies(script);
        prop_assert_eq!(replies.last(), Some(&Ok(answer(9))));
        // Never more than a reply a byte.
        prop_assert!(replies.len() <= count + 2);
    }

    #[test]
    fn whatever_arrives_a_frame_is_answered_at_the_latest_when_the_one_before_it_is_over(noise in arrivals()) {
        let mut receiver = Receiver::new();
        for arrival in noise {
            match arrival {
                Arrival::Byte(byte) => drop(receiver.push(byte)),
                Arrival::Silence => drop(receiver.silence()),
                Arrival::Broken => drop(receiver.broken()),
            }
        }
        // What is held may hide one frame; what follows that does not.
        let images = [good(1), good(2), good(3)].concat().into_iter().filter_map(|byte| receiver.push(byte)?.ok());
        let found: Vec<_> = images.collect();
        prop_assert!(found.ends_with(&[image(2), image(3)]), "{} images", found.len());
    }
}
