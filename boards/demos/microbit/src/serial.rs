//! The serial line of the micro:bit's USB port, which this board's firmware shares: a module of each.

#[path = "../../nordic_line.rs"]
mod line;

use crate::pac::{CLOCK, GPIO, UART0};
use hal::clocks::Clocks;
use hal::gpio::{Level, p0};
pub use line::{Port, Waiting, arrived};
use nrf51_hal as hal;

/// Starts the line on its pins.
pub fn start(clock: CLOCK, pins: GPIO, uart: UART0, waiting: &'static mut Waiting) -> Port {
    // The crystal: the internal oscillator is off by up to 6 %, too much for a serial line.
    Clocks::new(clock).enable_ext_hfosc();
    let pins = p0::Parts::new(pins);
    let sends = pins.p0_24.into_push_pull_output(Level::High).degrade();
    let receives = pins.p0_25.into_floating_input().degrade();
    // SAFETY: pins that are set up for it.
    uart.pseltxd.write(|w| unsafe { w.bits(sends.pin().into()) });
    // SAFETY: likewise.
    uart.pselrxd.write(|w| unsafe { w.bits(receives.pin().into()) });
    Port::start(uart, waiting)
}
