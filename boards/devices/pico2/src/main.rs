//! Runs a network on the Raspberry Pi Pico 2 (RP2350, Cortex-M33 at 150 MHz), and checks it there: golden vectors are compared with the host's
//! results, and one inference is measured.
//!
//! Logs go through the debug probe (defmt over RTT). The LED is on where all is right. A panic logs
//! its message and stops the processor; the network has none, a hardware abstraction may.

#![no_std]
#![no_main]

use defmt_rtt as _;
use hal::block::ImageDef;
use hal::gpio::PinState;
use panic_probe as _;
use rp235x_hal as hal;
use tinymlp::{Model, Scratch};
use tinymlp_device::{Time, cycles, report};

/// The generated network, with golden vectors.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

/// Tells the boot ROM that this is a program, and which.
#[unsafe(link_section = ".start_block")]
#[used]
static IMAGE: ImageDef = ImageDef::secure_exe();

/// Frequency of the crystal.
const CRYSTAL_HZ: u32 = 12_000_000;

#[hal::entry]
fn main() -> ! {
    static mut SCRATCH: network::Scratch = network::Scratch::NEW;
    let mut core = defmt::unwrap!(cortex_m::Peripherals::take());
    let chip = defmt::unwrap!(hal::pac::Peripherals::take());
    let mut resets = chip.RESETS;
    let mut watchdog = hal::Watchdog::new(chip.WATCHDOG);
    let clocks = hal::clocks::init_clocks_and_plls(
        CRYSTAL_HZ,
        chip.XOSC,
        chip.CLOCKS,
        chip.PLL_SYS,
        chip.PLL_USB,
        &mut resets,
        &mut watchdog,
    );
    defmt::assert!(clocks.is_ok(), "the crystal does not start");
    let sio = hal::Sio::new(chip.SIO);
    let pins = hal::gpio::Pins::new(chip.IO_BANK0, chip.PADS_BANK0, sio.gpio_bank0, &mut resets);

    // The first golden vector stands for what a sensor would give.
    let mut output = network::GOLDEN_OUTPUTS[0];
    let cycles = cycles::measure(&mut core.SYST, || network::infer(&network::GOLDEN_INPUTS[0], SCRATCH, &mut output));
    let result = network::self_test(SCRATCH);
    let vectors = network::GOLDEN_INPUTS.len();
    let passed = report(&network::Network::INFO, vectors, result, Time::Cycles(cycles));
    let level = if passed { PinState::High } else { PinState::Low };
    let _led = pins.gpio25.into_push_pull_output_in_state(level);

    loop {
        cortex_m::asm::wfi();
    }
}
