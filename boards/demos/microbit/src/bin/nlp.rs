//! An assistant on the BBC micro:bit v1: sentences come by the serial line of its USB port (115,200 baud, 8N1), intents and
//! slots go back there. `cargo xtask demo nlp` talks to it, or any serial terminal; `tinymlp_demos::nlp` says how.
//!
//! A panic stops the processor: the network and what is in `tinymlp-demos` have none, the hardware abstraction may. There is
//! no log, whose buffer would take a kilobyte of the 16.

#![no_std]
#![no_main]

#[path = "../serial.rs"]
mod serial;

use cortex_m::peripheral::NVIC;
use hal::pac::{self, interrupt};
use nrf51_hal as hal;
use panic_probe as _;
use serial::Waiting;
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

#[interrupt]
fn UART0() {
    serial::arrived();
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut WAITING: Waiting = Waiting::new();
    static mut MIXER: Mixer = Mixer::NEW;
    let Some(chip) = pac::Peripherals::take() else { panic!() };
    let mut port = serial::start(chip.CLOCK, chip.GPIO, chip.UART0, WAITING);
    // SAFETY: the handler is above, and what it uses is in place.
    unsafe { NVIC::unmask(pac::Interrupt::UART0) };
    let mut assistant = Assistant::new();
    loop {
        // Of an answer that was not sent, nobody is there to tell.
        let _ = assistant.turn(&mut port, MIXER);
    }
}
