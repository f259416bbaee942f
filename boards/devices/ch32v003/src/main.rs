//! Runs a network on the WCH CH32V003 (RV32EC without a multiplier, 48 MHz), and checks it there: golden vectors are
//! compared with the host's results.
//!
//! Reports by serial line, 115,200 baud, 8N1, on PD5. There is no hardware abstraction crate for the chip that is more than
//! a name, so clocks and pins are set by its register definitions. A panic says so and stops; the network has none.

#![no_std]
#![no_main]

use ch32v0::ch32v003::{Peripherals, USART1};
use tinymlp::{Model, Scratch};
use tinymlp_device::text;

/// The generated network, with golden vectors.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

/// Function of a pin: the peripheral drives it both ways.
const ALTERNATE_PUSH_PULL: u8 = 0b10;
/// An output of up to 30 MHz.
const FAST: u8 = 0b11;
/// What drives the core: twice the internal oscillator of 24 MHz.
const PLL: u8 = 0b10;

#[qingke_rt::entry]
fn main() -> ! {
    let Some(chip) = Peripherals::take() else { stop() };
    // SAFETY: of all writes of bits here: they are what the chip's manual names.
    unsafe {
        // A flash as slow as this one needs a wait state above 24 MHz.
        chip.FLASH.actlr().modify(|_, w| w.latency().set_bit());
        chip.RCC.ctlr().modify(|_, w| w.pllon().set_bit());
        while chip.RCC.ctlr().read().pllrdy().bit_is_clear() {}
        chip.RCC.cfgr0().modify(|_, w| w.hpre().bits(0).sw().bits(PLL));
        while chip.RCC.cfgr0().read().sws().bits() != PLL {}
        chip.RCC.apb2pcenr().modify(|_, w| w.iopden().set_bit().usart1en().set_bit());
        chip.GPIOD.cfglr().modify(|_, w| w.mode5().bits(FAST).cnf5().bits(ALTERNATE_PUSH_PULL));
        // 115,200 baud but for 0.1 %: 48 MHz / 417.
        chip.USART1.brr().write(|w| w.bits(417));
    }
    chip.USART1.ctlr1().write(|w| w.ue().set_bit().te().set_bit());
    let mut send = |byte| send(&chip.USART1, byte);

    let mut scratch = network::Scratch::NEW;
    let result = network::self_test(&mut scratch);
    text::report(&mut send, &network::Network::INFO, network::GOLDEN_INPUTS.len(), result, None);
    stop()
}

fn send(line: &USART1, byte: u8) {
    while line.statr().read().txe().bit_is_clear() {}
    // SAFETY: any byte can be sent.
    line.datar().write(|w| unsafe { w.bits(byte.into()) });
}

/// Waits for ever: no interrupt is enabled.
fn stop() -> ! {
    loop {
        qingke::riscv::asm::wfi();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: nothing runs beside a panic, so that nobody else has the line.
    let chip = unsafe { Peripherals::steal() };
    text::text(&mut |byte| send(&chip.USART1, byte), "panic: FAIL\r\n");
    stop()
}
