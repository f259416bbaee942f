//! Digits over a serial line: images come in frames, answers go back in frames.

pub mod frame;

use embedded_io::{Error, ErrorKind, Read, Write};
use frame::{Fault, PIXELS, Receiver, WHITE};

/// The quantized value of every gray, from 0 to [`WHITE`].
pub type Levels = [i8; WHITE as usize + 1];

/// What the network says of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// 0 to 9.
    pub digit: u8,
    /// How far the next best score is below, in steps of the output.
    pub margin: u8,
}

/// What a byte, or the lack of one, has led to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The frame goes on.
    Nothing,
    /// An image was answered.
    Answered(Answer),
    /// Something was refused.
    Refused(Fault),
    /// The line has ended.
    Ended,
}

/// Scores of the digits.
pub type Scores = [i8; 10];

/// Answers the frames of one line.
#[derive(Debug)]
pub struct Server<N> {
    receiver: Receiver,
    levels: Levels,
    network: N,
}

impl<N: FnMut(&[i8; PIXELS], &mut Scores)> Server<N> {
    /// A server with a network of [`PIXELS`] inputs, and the levels of these.
    pub const fn new(levels: Levels, network: N) -> Self {
        Self { receiver: Receiver::new(), levels, network }
    }

    /// Reads one byte and answers what it completes.
    ///
    /// The port says by [`ErrorKind::TimedOut`] that no byte has come for a while: a frame that has begun is given up then.
    /// Any other error of reading is a byte that arrived broken, and makes the frame a broken one.
    ///
    /// # Errors
    /// An answer that cannot be written.
    pub fn turn<P: Read + Write>(&mut self, port: &mut P) -> Result<Event, P::Error> {
        let mut byte = [0];
        let received = match port.read(&mut byte) {
            Ok(0) => return Ok(Event::Ended),
            Ok(_) => self.receiver.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::TimedOut => self.receiver.silence().map(Err),
            Err(_) => Some(Err(self.receiver.broken())),
        };
        let event = match received {
            None => return Ok(Event::Nothing),
            Some(Ok(pixels)) => self.answer(&pixels),
            Some(Err(fault)) => Err(fault),
        };
        port.write_all(&frame::reply(event))?;
        port.flush()?;
        Ok(event.map_or_else(Event::Refused, Event::Answered))
    }

    /// The digit in an image of grays from 0 to [`WHITE`].
    ///
    /// # Errors
    /// A gray that is more.
    pub fn answer(&mut self, pixels: &[u8; PIXELS]) -> Result<Answer, Fault> {
        let mut input = [0; PIXELS];
        for (input, &pixel) in input.iter_mut().zip(pixels) {
            *input = *self.levels.get(usize::from(pixel)).ok_or(Fault::Pixel)?;
        }
        let mut scores = [0; 10];
        (self.network)(&input, &mut scores);
        let (mut digit, mut best, mut second) = (0, i8::MIN, i8::MIN);
        for (class, &score) in (0..).zip(&scores) {
            if score > best {
                (digit, best, second) = (class, score, best);
            } else {
                second = second.max(score);
            }
        }
        Ok(Answer { digit, margin: best.abs_diff(second) })
    }
}
