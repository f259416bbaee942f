//! Tells standing, walking, running and racket strokes apart on the BBC micro:bit v2, by its own accelerometer (LSM303AGR on
//! the internal bus). Decisions go to the log, by defmt.
//!
//! The sensor collects samples by itself. The processor sleeps until the real-time counter says that a decision is due: the
//! only clock that runs then is the slow one, as the fast one is requested by what needs it.
//!
//! A panic logs its message and stops the processor; the network and the demo have none, the hardware abstraction may.

#![no_std]
#![no_main]

use cortex_m::peripheral::NVIC;
use defmt_rtt as _;
use hal::clocks::Clocks;
use hal::gpio::p0;
use hal::pac::{self, interrupt};
use hal::rtc::{Rtc, RtcCompareReg, RtcInterrupt};
use hal::twim::{Frequency, Pins, Twim};
use nrf52833_hal as hal;
use panic_probe as _;
use tinymlp::Scratch;
use tinymlp_demos::motion::features::Features;
use tinymlp_demos::motion::lis3dh::{Error, Waiting};
use tinymlp_demos::motion::{HOP, RATE_HZ, Watch};

/// The generated network.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

/// Of the real-time counter, after its prescaler.
const TICKS_A_SECOND: u32 = 1024;
const PRESCALER: u32 = 32_768 / TICKS_A_SECOND - 1;
/// From one look at the sensor to the next: when a decision is due.
const PERIOD: u32 = HOP as u32 * TICKS_A_SECOND / RATE_HZ;
/// The counter has so many bits.
const MASK: u32 = 0x00ff_ffff;

/// Wakes the processor, which does the rest.
#[interrupt]
fn RTC0() {
    // SAFETY: a plain write that nothing else does but while this interrupt is off.
    let counter = unsafe { &*pac::RTC0::PTR };
    counter.events_compare[0].reset();
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut SCRATCH: network::Scratch = network::Scratch::NEW;
    let chip = defmt::unwrap!(pac::Peripherals::take());
    // The board has no slow crystal. The oscillator in its place is good to 500 ppm, more than the sensor's own clock.
    Clocks::new(chip.CLOCK).set_lfclk_src_rc().start_lfclk();
    let port0 = p0::Parts::new(chip.P0);
    let pins =
        Pins { scl: port0.p0_08.into_floating_input().degrade(), sda: port0.p0_16.into_floating_input().degrade() };
    let bus = Twim::new(chip.TWIM0, pins, Frequency::K400);
    let mut counter = defmt::unwrap!(Rtc::new(chip.RTC0, PRESCALER).ok(), "a prescaler beyond the counter's");
    counter.enable_event(RtcInterrupt::Compare0);
    counter.enable_interrupt(RtcInterrupt::Compare0, None);
    counter.enable_counter();
    // SAFETY: the handler is above, and the counter runs.
    unsafe { NVIC::unmask(pac::Interrupt::RTC0) };

    let mut watch = Watch::new(bus, |features: &Features| {
        let mut scores = [0; 4];
        network::infer(&network::quantize(&features.map(|feature| feature as f32)), SCRATCH, &mut scores);
        scores
    });
    let mut next = counter.get_counter();
    loop {
        let looked = watch.look(|decision| {
            defmt::info!("{=str}: scores {}", decision.activity.name(), decision.scores);
        });
        match looked {
            Ok(Waiting { overrun: false, .. }) => {}
            Ok(_) => defmt::warn!("samples were lost"),
            Err(Error::Bus(_)) => defmt::error!("the sensor does not answer"),
            Err(Error::OtherPart(part)) => defmt::error!("another part is at the sensor's address: {=u8:#x}", part),
        }
        next = next.wrapping_add(PERIOD) & MASK;
        defmt::unwrap!(counter.set_compare(RtcCompareReg::Compare0, next).ok(), "a time beyond the counter's");
        // What comes between the look at the counter and the instruction sets the event that it waits for.
        while next.wrapping_sub(counter.get_counter()) & MASK <= PERIOD && counter.get_counter() != next {
            cortex_m::asm::wfe();
        }
    }
}
