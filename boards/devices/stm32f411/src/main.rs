//! Runs a network on the WeAct Black Pill (STM32F411CE, Cortex-M4F at 100 MHz), and checks it there: golden vectors are compared with the host's
//! results, and one inference is measured.
//!
//! Logs go through the debug probe (defmt over RTT). The LED is on where all is right. A panic logs
//! its message and stops the processor; the network has none, a hardware abstraction may.

#![no_std]
#![no_main]

use defmt_rtt as _;
use hal::prelude::*;
use hal::rcc::Config;
use panic_probe as _;
use stm32f4xx_hal as hal;
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
    // A crystal of 25 MHz.
    let mut clocks = chip.RCC.freeze(Config::hse(25.MHz()).sysclk(100.MHz()));
    let pins = chip.GPIOC.split(&mut clocks);

    // The first golden vector stands for what a sensor would give.
    let mut output = network::GOLDEN_OUTPUTS[0];
    let cycles = cycles::measure(&mut core.SYST, || network::infer(&network::GOLDEN_INPUTS[0], SCRATCH, &mut output));
    let result = network::self_test(SCRATCH);
    let vectors = network::GOLDEN_INPUTS.len();
    let passed = report(&network::Network::INFO, vectors, result, Time::Cycles(cycles));
    // The LED lies between the supply and the pin.
    let mut led = pins.pc13.into_push_pull_output_in_state(hal::gpio::PinState::High);
    if passed {
        led.set_low();
    }

    loop {
        cortex_m::asm::wfi();
    }
}
