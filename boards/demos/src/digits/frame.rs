//! The frames: how they are written, and how they are found in what a line delivers.
//!
//! | bytes | request | reply |
//! | --- | --- | --- |
//! | 1 | [`START`] | [`START`] |
//! | 1 | length of the payload: [`PIXELS`] | length of the payload: 3 or 1 |
//! | length | grays of 0 to [`WHITE`], row after row | 0, the digit and its margin; or the code of a [`Fault`] |
//! | 2 | CRC of length and payload, high byte first | likewise |
//!
//! Whatever is no frame is answered with a fault, once, and the receiver looks for the next start, also within what it has
//! received already: a frame right after a broken one is not lost.

use super::Answer;
use heapless::Vec;

/// First byte of a frame; no gray is so large.
pub const START: u8 = 0x7e;
/// Pixels of an image.
pub const PIXELS: usize = 64;
/// The largest gray.
pub const WHITE: u8 = 16;
/// Bytes of a frame beside its payload.
const AROUND: usize = 4;
/// Bytes of a request.
pub const REQUEST: usize = PIXELS + AROUND;
/// Bytes of the longest reply.
pub const REPLY: usize = 3 + AROUND;

/// Why something that has arrived is not answered by a digit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Bytes that belong to no frame. Said once for all that follow each other.
    NoStart = 1,
    /// A length other than [`PIXELS`].
    Length = 2,
    /// The CRC is not that of the frame.
    Checksum = 3,
    /// The line fell silent within a frame.
    Silence = 4,
    /// A gray beyond [`WHITE`].
    Pixel = 5,
    /// A byte arrived broken: parity, a missing stop bit, or too late to be taken.
    Line = 6,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::NoStart, Self::Length, Self::Checksum, Self::Silence, Self::Pixel, Self::Line];

    /// The byte that stands for it.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The fault of a code.
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.code() == code)
    }

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::NoStart => "bytes that belong to no frame",
            Fault::Length => "a length other than 64",
            Fault::Checksum => "a wrong checksum",
            Fault::Silence => "a frame that ended early",
            Fault::Pixel => "a gray beyond 16",
            Fault::Line => "a byte that arrived broken",
        }
    }
}

/// CRC-16/IBM-3740: polynomial 0x1021, from 0xffff, nothing reflected.
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    })
}

/// A frame with this payload, whose capacity is enough.
fn frame<const N: usize>(payload: &[u8]) -> Vec<u8, N> {
    let mut frame = Vec::new();
    let body = core::iter::once(payload.len() as u8).chain(payload.iter().copied());
    frame.extend(core::iter::once(START).chain(body));
    let crc = crc(frame.get(1..).unwrap_or_default());
    frame.extend(crc.to_be_bytes());
    frame
}

/// The request for an image.
pub fn request(pixels: &[u8; PIXELS]) -> Vec<u8, REQUEST> {
    frame(pixels)
}

/// The reply with an answer or a fault.
pub fn reply(answer: Result<Answer, Fault>) -> Vec<u8, REPLY> {
    match answer {
        Ok(Answer { digit, margin }) => frame(&[0, digit, margin]),
        Err(fault) => frame(&[fault.code()]),
    }
}

/// Takes the first reply off what a device has sent; none where it is not complete, and bytes that are no reply are skipped.
pub fn take_reply(bytes: &mut &[u8]) -> Option<Result<Answer, Fault>> {
    loop {
        let at = bytes.iter().position(|&byte| byte == START)?;
        let rest = bytes.get(at..)?;
        let length = usize::from(*rest.get(1)?);
        let found = match rest.get(1..length + AROUND) {
            None if length <= REPLY => return None,
            Some([body @ .., high, low]) if crc(body) == u16::from_be_bytes([*high, *low]) => match *body {
                [3, 0, digit, margin] => Some(Ok(Answer { digit, margin })),
                [1, code] => Fault::of(code).map(Err),
                _ => None,
            },
            _ => None,
        };
        *bytes = rest.get(if found.is_some() { length + AROUND } else { 1 }..)?;
        if found.is_some() {
            return found;
        }
    }
}

/// Finds requests in a stream of bytes. It holds one frame and never more.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// Begins with a start, where it is not empty.
    frame: Vec<u8, REQUEST>,
    /// Bytes without a start have been refused already.
    in_noise: bool,
}

impl Receiver {
    /// A receiver that has seen nothing.
    pub const fn new() -> Self {
        Self { frame: Vec::new(), in_noise: false }
    }

    /// Takes a byte; gives the image that it completes, or the fault that it shows.
    pub fn push(&mut self, byte: u8) -> Option<Result<[u8; PIXELS], Fault>> {
        if self.frame.is_empty() && byte != START {
            let known = core::mem::replace(&mut self.in_noise, true);
            return (!known).then_some(Err(Fault::NoStart));
        }
        // There is room: a full frame does not stay.
        let _ = self.frame.push(byte);
        let mut fault = None;
        loop {
            let found = match self.frame.as_slice() {
                [_, length, ..] if usize::from(*length) != PIXELS => Fault::Length,
                [_, body @ .., high, low] if body.len() == PIXELS + 1 => {
                    if let [_, pixels @ ..] = body
                        && let Ok(pixels) = pixels.try_into()
                        && crc(body) == u16::from_be_bytes([*high, *low])
                    {
                        self.restart();
                        return Some(Ok(pixels));
                    }
                    Fault::Checksum
                }
                _ => return fault,
            };
            // The rest of the broken frame may hold the start of the next one. It was refused once, as a whole.
            fault = fault.or(Some(Err(found)));
            self.in_noise = true;
            self.drop_start();
        }
    }

    /// No byte has come for a while: gives up the frame that had begun.
    pub fn silence(&mut self) -> Option<Fault> {
        let begun = !self.frame.is_empty();
        self.restart();
        begun.then_some(Fault::Silence)
    }

    /// A byte has come that is unreadable: gives up the frame.
    pub fn broken(&mut self) -> Fault {
        self.frame.clear();
        self.in_noise = true;
        Fault::Line
    }

    fn restart(&mut self) {
        self.frame.clear();
        self.in_noise = false;
    }

    /// Leaves what begins with the next start.
    fn drop_start(&mut self) {
        let next = self.frame.iter().skip(1).position(|&byte| byte == START);
        let from = next.map_or(self.frame.len(), |at| at + 1);
        self.frame.rotate_left(from);
        self.frame.truncate(self.frame.len() - from);
    }
}
