//! Runs a network on the BBC micro:bit v2 (nRF52833, Cortex-M4F at 64 MHz), and checks it there: golden vectors are compared with the host's
//! results, and one inference is measured.
//!
//! Logs go through the debug probe (defmt over RTT). The middle LED of the top row is on where all is right. A panic logs
//! its message and stops the processor; the network has none, a hardware abstraction may.

#![no_std]
#![no_main]

use defmt_rtt as _;
use hal::clocks::Clocks;
use hal::gpio::{Level, p0};
use nrf52833_hal as hal;
use panic_probe as _;
use tinymlp::{Model, Scratch};
use tinymlp_device::{Time, cycles, report};

/// The generated network, with golden vectors.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut SCRATCH: network::Scratch = network::Scratch::NEW;
    let mut core = defmt::unwrap!(cortex_m::Peripherals::take());
    let chip = defmt::unwrap!(hal::pac::Peripherals::take());
    // The crystal: 64 MHz to within 40 ppm, where the internal oscillator is off by up to 8 %.
    Clocks::new(chip.CLOCK).enable_ext_hfosc();
    let port0 = p0::Parts::new(chip.P0);

    // The first golden vector stands for what a sensor would give.
    let mut output = network::GOLDEN_OUTPUTS[0];
    let cycles = cycles::measure(&mut core.SYST, || network::infer(&network::GOLDEN_INPUTS[0], SCRATCH, &mut output));
    let result = network::self_test(SCRATCH);
    let vectors = network::GOLDEN_INPUTS.len();
    let passed = report(&network::Network::INFO, vectors, result, Time::Cycles(cycles));
    // A row is high and a column low where an LED is on.
    let _column = port0.p0_31.into_push_pull_output(Level::Low);
    let _row = port0.p0_21.into_push_pull_output(if passed { Level::High } else { Level::Low });

    loop {
        cortex_m::asm::wfi();
    }
}
