//! Runs a network on the ST STM32VLDISCOVERY (STM32F100RB, Cortex-M3 at 24 MHz), and checks it there: golden vectors are compared with the host's
//! results, and one inference is measured.
//!
//! Logs go through the debug probe (defmt over RTT). The green LED is on where all is right. A panic logs
//! its message and stops the processor; the network has none, a hardware abstraction may.

#![no_std]
#![no_main]

use defmt_rtt as _;
use hal::prelude::*;
use hal::rcc::Config;
use panic_probe as _;
use stm32f1xx_hal as hal;
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
    let mut flash = chip.FLASH.constrain();
    // A crystal of 8 MHz.
    let mut clocks = chip.RCC.freeze(Config::hse(8.MHz()).sysclk(24.MHz()), &mut flash.acr);
    let mut pins = chip.GPIOC.split(&mut clocks);

    // The first golden vector stands for what a sensor would give.
    let mut output = network::GOLDEN_OUTPUTS[0];
    let cycles = cycles::measure(&mut core.SYST, || network::infer(&network::GOLDEN_INPUTS[0], SCRATCH, &mut output));
    let result = network::self_test(SCRATCH);
    let vectors = network::GOLDEN_INPUTS.len();
    let passed = report(&network::Network::INFO, vectors, result, Time::Cycles(cycles));
    let mut led = pins.pc9.into_push_pull_output(&mut pins.crh);
    if passed {
        led.set_high();
    }

    loop {
        cortex_m::asm::wfi();
    }
}
