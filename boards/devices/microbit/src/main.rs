//! Runs a network on the BBC micro:bit v1 (nRF51822, Cortex-M0 at 16 MHz), and checks it there: golden vectors are compared with the host's
//! results, and one inference is measured.
//!
//! Logs go through the debug probe (defmt over RTT). The upper left LED is on where all is right. A panic logs
//! its message and stops the processor; the network has none, a hardware abstraction may.

#![no_std]
#![no_main]

use defmt_rtt as _;
use hal::clocks::Clocks;
use hal::gpio::{Level, p0};
use nrf51_hal as hal;
use panic_probe as _;
use tinymlp::{Model, Scratch};
use tinymlp_device::{Time, report};

/// The generated network, with golden vectors.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut SCRATCH: network::Scratch = network::Scratch::NEW;
    let chip = defmt::unwrap!(hal::pac::Peripherals::take());
    // The crystal: 16 MHz to within 50 ppm, where the internal oscillator is off by up to 6 %.
    Clocks::new(chip.CLOCK).enable_ext_hfosc();
    let pins = p0::Parts::new(chip.GPIO);
    // Counts microseconds; the chip has no dependable SysTick.
    let mut timer = hal::Timer::new(chip.TIMER0);

    // The first golden vector stands for what a sensor would give.
    let mut output = network::GOLDEN_OUTPUTS[0];
    timer.start(u32::MAX);
    network::infer(&network::GOLDEN_INPUTS[0], SCRATCH, &mut output);
    let time = Time::Microseconds(timer.read());
    let result = network::self_test(SCRATCH);
    let passed = report(&network::Network::INFO, network::GOLDEN_INPUTS.len(), result, time);

    // A row is high and a column low where an LED is on.
    let _column = pins.p0_04.into_push_pull_output(Level::Low);
    let _row = pins.p0_13.into_push_pull_output(if passed { Level::High } else { Level::Low });

    loop {
        cortex_m::asm::wfi();
    }
}
