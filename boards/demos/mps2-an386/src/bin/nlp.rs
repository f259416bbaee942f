//! An assistant on the Arm MPS2 with image AN386: sentences come by UART0 (115,200 baud, 8N1), intents and slots go back
//! there. `cargo xtask demo nlp --board mps2-an386` talks to it in an emulator; `tinymlp_demos::nlp` says how.
//!
//! The receiver holds one byte. An emulator waits until it is taken; a board would lose what is typed while the network runs.

#![no_std]
#![no_main]

use core::convert::Infallible;
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorType, Read, Write};
use tinymlp_demos::nlp::Assistant;
use tinymlp_demos::text_network;

/// The generated network.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

text_network!(
    /// The network with its memory.
    Mixer,
    network
);

/// Frequency of the board's clock.
const CLOCK_HZ: u32 = 25_000_000;
const BAUD: u32 = 115_200;

/// Registers of the CMSDK's UART: "Arm Cortex-M System Design Kit Technical Reference Manual", 4.3.
#[repr(C)]
struct Registers {
    data: u32,
    state: u32,
    control: u32,
    interrupt: u32,
    divider: u32,
}

const UART: *mut Registers = core::ptr::without_provenance_mut(0x4000_4000);
const SENDING: u32 = 1 << 0;
const RECEIVED: u32 = 1 << 1;
const ENABLE: u32 = 1 << 0 | 1 << 1;
const RECEIVE_INTERRUPT: u32 = 1 << 3;
const CLEAR_RECEIVED: u32 = 1 << 1;

/// The interrupt of a received byte. It is never taken: it ends a sleep.
#[derive(Clone, Copy)]
struct Receive;

// SAFETY: AN386 has it at 0.
unsafe impl cortex_m::interrupt::InterruptNumber for Receive {
    fn number(self) -> u16 {
        0
    }
}

/// UART0. There is one.
struct Port(());

impl Port {
    /// Sets it up; interrupts are off from then on.
    fn new() -> Self {
        cortex_m::interrupt::disable();
        // SAFETY: the registers of the UART, which this type alone uses; the interrupt only ends a sleep.
        unsafe {
            (&raw mut (*UART).divider).write_volatile(CLOCK_HZ / BAUD);
            (&raw mut (*UART).control).write_volatile(ENABLE | RECEIVE_INTERRUPT);
            NVIC::unmask(Receive);
        }
        Self(())
    }

    fn is(&self, state: u32) -> bool {
        // SAFETY: as above.
        unsafe { (&raw const (*UART).state).read_volatile() & state != 0 }
    }
}

impl ErrorType for Port {
    type Error = Infallible;
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        while !self.is(RECEIVED) {
            cortex_m::asm::wfi();
        }
        // SAFETY: as above.
        unsafe {
            (&raw mut (*UART).interrupt).write_volatile(CLEAR_RECEIVED);
            *first = (&raw const (*UART).data).read_volatile() as u8;
        }
        NVIC::unpend(Receive);
        Ok(1)
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            while self.is(SENDING) {}
            // SAFETY: as above.
            unsafe { (&raw mut (*UART).data).write_volatile(byte.into()) };
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut MIXER: Mixer = Mixer::NEW;
    let mut port = Port::new();
    let mut assistant = Assistant::new();
    loop {
        let Ok(_) = assistant.turn(&mut port, MIXER);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}
