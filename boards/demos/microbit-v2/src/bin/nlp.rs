//! An assistant on the BBC micro:bit v2: sentences come by the serial line of its USB port (115,200 baud, 8N1), intents and
//! slots go back there. `cargo xtask demo nlp` talks to it, or any serial terminal; `tinymlp_demos::nlp` says how.
//!
//! A panic logs its message by defmt and stops the processor: the network and what is in `tinymlp-demos` have none, the
//! hardware abstraction may.

#![no_std]
#![no_main]

#[path = "../../../nordic_line.rs"]
mod line;

use cortex_m::peripheral::NVIC;
use defmt_rtt as _;
use hal::clocks::Clocks;
use hal::gpio::{Level, p0, p1};
use hal::pac::{self, interrupt};
use line::{Port, Waiting};
use nrf52833_hal as hal;
use panic_probe as _;
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
fn UARTE0_UART0() {
    line::arrived();
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut WAITING: Waiting = Waiting::new();
    static mut MIXER: Mixer = Mixer::NEW;
    let chip = defmt::unwrap!(pac::Peripherals::take());
    // The crystal, which keeps the speed of the line.
    Clocks::new(chip.CLOCK).enable_ext_hfosc();
    let sends = p0::Parts::new(chip.P0).p0_06.into_push_pull_output(Level::High).degrade();
    let receives = p1::Parts::new(chip.P1).p1_08.into_floating_input().degrade();
    // SAFETY: pins that are set up for it.
    chip.UART0.psel.txd.write(|w| unsafe { w.bits(sends.psel_bits()) });
    // SAFETY: likewise.
    chip.UART0.psel.rxd.write(|w| unsafe { w.bits(receives.psel_bits()) });
    let mut port = Port::start(chip.UART0, WAITING);
    // SAFETY: the handler is above, and what it uses is in place.
    unsafe { NVIC::unmask(pac::Interrupt::UARTE0_UART0) };
    let mut assistant = Assistant::new();
    loop {
        if assistant.turn(&mut port, MIXER).is_err() {
            // Nobody is there to tell.
            defmt::error!("an answer was not sent");
        }
    }
}
