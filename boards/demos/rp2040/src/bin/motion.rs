//! Tells standing, walking, running and racket strokes apart on the Raspberry Pi Pico, by an accelerometer (LIS3DH or
//! LSM303AGR, SA0 high) at I2C block 0: SDA at GP4, SCL at GP5, with pull-ups as modules have them. Decisions go to the log,
//! and as lines of text to UART0 (GP0, 115,200 baud).
//!
//! The sensor collects samples by itself. The processor wakes when a decision is due, takes them, and sleeps again.

#![no_std]
#![no_main]

use board::hal;
use board::hal::fugit::{HertzU32, MicrosDurationU32};
use board::hal::gpio::{FunctionI2C, PullUp};
use core::fmt::Write;
use tinymlp::Scratch;
use tinymlp_demos::motion::features::Features;
use tinymlp_demos::motion::lis3dh::{Error, Waiting};
use tinymlp_demos::motion::{Decision, HOP, RATE_HZ, Watch};

/// The generated network.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

/// Speed of the bus.
const BUS: HertzU32 = HertzU32::kHz(400);
/// From one look at the sensor to the next: when a decision is due.
const PERIOD: MicrosDurationU32 = MicrosDurationU32::micros(HOP as u32 * 1_000_000 / RATE_HZ);

#[hal::entry]
fn main() -> ! {
    static mut SCRATCH: network::Scratch = network::Scratch::NEW;
    let mut board = board::start();
    let bus = hal::I2C::i2c0(
        board.i2c,
        board.pins.gpio4.reconfigure::<FunctionI2C, PullUp>(),
        board.pins.gpio5.reconfigure::<FunctionI2C, PullUp>(),
        BUS,
        &mut board.resets,
        &board.system_clock,
    );
    let mut watch = Watch::new(bus, |features: &Features| {
        let mut scores = [0; 4];
        network::infer(&network::quantize(&features.map(|feature| feature as f32)), SCRATCH, &mut scores);
        scores
    });
    let mut next = board.clock.now();
    loop {
        match watch.look(|decision| say(&decision, &mut board.serial)) {
            Ok(Waiting { overrun: false, .. }) => {}
            Ok(_) => defmt::warn!("samples were lost"),
            Err(Error::Bus(_)) => defmt::error!("the sensor does not answer"),
            Err(Error::OtherPart(part)) => defmt::error!("another part is at the sensor's address: {=u8:#x}", part),
        }
        next += PERIOD;
        board.clock.sleep_until(next);
    }
}

fn say(decision: &Decision, serial: &mut board::Serial) {
    defmt::info!("{=str}: scores {}", decision.activity.name(), decision.scores);
    // Sending cannot fail.
    let _ = write!(serial, "{decision}\r\n");
}
