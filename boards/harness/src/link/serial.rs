//! A serial line: USART0 of an ATmega328P, 2 Mbit/s at 16 MHz.
//!
//! The firmware asks and the host answers. A message is a letter, a length of two bytes, little-endian, and as many
//! bytes:
//!
//! * `R` asks for a row of that length and has no bytes; the answer is 1 and the row, or 0 where there is none, or 2
//!   where the inputs end within it.
//! * `O` and `M` give bytes of outputs and of measurements. There is no answer.
//! * `X` has a code instead of a length, one byte, and ends the run.

use crate::arch;
use crate::protocol::Failure;
use core::ptr;

/// The USART's registers.
const STATUS: *mut u8 = ptr::without_provenance_mut(0xc0);
const CONTROL: *mut u8 = ptr::without_provenance_mut(0xc1);
const DATA: *mut u8 = ptr::without_provenance_mut(0xc6);

const RECEIVED: u8 = 1 << 7;
const CAN_SEND: u8 = 1 << 5;
const DOUBLE_SPEED: u8 = 1 << 1;
const RECEIVE_AND_SEND: u8 = 1 << 4 | 1 << 3;

/// The line.
pub struct Link(());

impl Link {
    /// Sets the line up. Divider and frame, 8N1, are what they are after reset.
    pub fn open() -> Result<Self, Failure> {
        // SAFETY: the registers of the USART, which only this module uses.
        unsafe {
            STATUS.write_volatile(DOUBLE_SPEED);
            CONTROL.write_volatile(RECEIVE_AND_SEND);
        }
        Ok(Self(()))
    }

    /// Reads the next row; false where there is none.
    pub fn read_row(&mut self, row: &mut [u8]) -> Result<bool, Failure> {
        begin(b'R', row);
        match receive() {
            0 => Ok(false),
            1 => {
                row.iter_mut().for_each(|byte| *byte = receive());
                Ok(true)
            }
            _ => Err(Failure::ShortRow),
        }
    }

    /// Writes a row of results.
    pub fn write_output(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        write(b'O', bytes)
    }

    /// Writes measurements.
    pub fn write_metrics(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        write(b'M', bytes)
    }
}

/// Ends the run with a code that says how it went.
pub fn finish(result: Result<(), Failure>) -> ! {
    send(b'X');
    send(match result {
        Ok(()) => 0,
        Err(failure) => failure.code(),
    });
    arch::stop()
}

fn write(letter: u8, bytes: &[u8]) -> Result<(), Failure> {
    begin(letter, bytes);
    bytes.iter().for_each(|&byte| send(byte));
    Ok(())
}

fn begin(letter: u8, bytes: &[u8]) {
    send(letter);
    for byte in (bytes.len() as u16).to_le_bytes() {
        send(byte);
    }
}

#[inline(never)]
fn send(byte: u8) {
    // SAFETY: the registers of the USART, which only this module uses.
    unsafe {
        while STATUS.read_volatile() & CAN_SEND == 0 {}
        DATA.write_volatile(byte);
    }
}

#[inline(never)]
fn receive() -> u8 {
    // SAFETY: the registers of the USART, which only this module uses.
    unsafe {
        while STATUS.read_volatile() & RECEIVED == 0 {}
        DATA.read_volatile()
    }
}
