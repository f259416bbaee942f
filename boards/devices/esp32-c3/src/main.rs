//! Runs a network on the Espressif ESP32-C3 (RV32IMC at 160 MHz), and checks it there: golden vectors are compared with
//! the host's results, and one inference is measured.
//!
//! Logs go through the chip's own debug probe on its USB pins (defmt over RTT). A panic logs its message and stops; the
//! network has none, a hardware abstraction may.

#![no_std]
#![no_main]

use core::panic::PanicInfo;
use defmt_rtt as _;
use esp_hal::clock::CpuClock;
use esp_hal::time::Instant;
use tinymlp::{Model, Scratch};
use tinymlp_device::{Time, report};

/// The generated network, with golden vectors.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

// What the boot loader reads.
esp_bootloader_esp_idf::esp_app_desc!();

#[esp_hal::main]
fn main() -> ! {
    let _chip = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let mut scratch = network::Scratch::NEW;

    // The first golden vector stands for what a sensor would give.
    let mut output = network::GOLDEN_OUTPUTS[0];
    let start = Instant::now();
    network::infer(&network::GOLDEN_INPUTS[0], &mut scratch, &mut output);
    let time = Time::Microseconds(start.elapsed().as_micros() as u32);
    let result = network::self_test(&mut scratch);
    report(&network::Network::INFO, network::GOLDEN_INPUTS.len(), result, time);

    loop {
        esp_hal::interrupt::wait_for_interrupt();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    loop {
        esp_hal::interrupt::wait_for_interrupt();
    }
}
