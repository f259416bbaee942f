//! The report as lines of text, for boards whose log is a serial line. No formatting of `core`, which is large.

use crate::{Time, record};
use tinymlp::{Difference, Info};

/// Writes how the self-test went and what an inference takes; gives whether all outputs were the host's.
///
/// The last line has `PASS` or `FAIL` in it: `cargo xtask flash` waits for it.
pub fn report(
    send: &mut impl FnMut(u8),
    info: &Info,
    vectors: usize,
    result: Result<(), Difference>,
    time: Option<Time>,
) -> bool {
    text(send, info.name);
    text(send, ": ");
    number(send, info.constant_bytes);
    text(send, " bytes of constants, ");
    number(send, info.scratch_bytes);
    text(send, " of scratch\r\n");
    if let Some(time) = time {
        let (count, unit) = match time {
            Time::Cycles(count) => (count, " cycles\r\n"),
            Time::Microseconds(count) => (count, " us\r\n"),
        };
        text(send, "one inference: ");
        number(send, count);
        text(send, unit);
    }
    match result {
        Ok(()) => {
            text(send, "self-test of ");
            number(send, vectors as u32);
            text(send, " golden vectors: PASS\r\n");
        }
        Err(Difference { vector, element, expected, found }) => {
            text(send, "self-test: FAIL: vector ");
            number(send, vector as u32);
            text(send, ", element ");
            number(send, element as u32);
            text(send, ": the host has ");
            signed(send, expected);
            text(send, ", this device ");
            signed(send, found);
            text(send, "\r\n");
        }
    }
    record(result.is_ok());
    result.is_ok()
}

/// Writes text.
pub fn text(send: &mut impl FnMut(u8), text: &str) {
    text.bytes().for_each(send);
}

/// Writes a number in decimal.
pub fn number(send: &mut impl FnMut(u8), value: u32) {
    let mut digits = [0; 10];
    let (mut rest, mut count) = (value, 0);
    for digit in &mut digits {
        *digit = b'0'.wrapping_add((rest % 10) as u8);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    digits.iter().take(count).rev().for_each(|&digit| send(digit));
}

fn signed(send: &mut impl FnMut(u8), value: i32) {
    if value < 0 {
        send(b'-');
    }
    number(send, value.unsigned_abs());
}
