//! Runs a network on the Arduino Uno (ATmega328P at 16 MHz), and checks it there: golden vectors are compared with the
//! host's results, and one inference is measured.
//!
//! Reports by serial line, 57,600 baud, 8N1, which the board's USB carries; the LED is on where all is right. A panic
//! says so and stops; the network has none.

#![no_std]
#![no_main]

use avr_device::atmega328p::{Peripherals, USART0};
use tinymlp::{Model, Scratch};
use tinymlp_device::{Time, text};

/// The generated network, with golden vectors.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

/// Clocks of the processor to one of the timer.
const PRESCALER: u32 = 8;

#[avr_device::entry]
fn main() -> ! {
    let Some(chip) = Peripherals::take() else { stop() };
    // 57,600 baud but for 0.8 %: 16 MHz / (8 * (34 + 1)).
    chip.USART0.ucsr0a().write(|w| w.u2x0().set_bit());
    chip.USART0.ubrr0().write(|w| w.set(34));
    chip.USART0.ucsr0b().write(|w| w.txen0().set_bit());
    let mut send = |byte| send(&chip.USART0, byte);

    let mut scratch = network::Scratch::NEW;
    // The first golden vector stands for what a sensor would give.
    let mut output = network::GOLDEN_OUTPUTS[0];
    chip.TC1.tccr1b().write(|w| w.cs1().prescale_8());
    let before = chip.TC1.tcnt1().read().bits();
    network::infer(&network::GOLDEN_INPUTS[0], &mut scratch, &mut output);
    let cycles = u32::from(chip.TC1.tcnt1().read().bits().wrapping_sub(before)).wrapping_mul(PRESCALER);
    let result = network::self_test(&mut scratch);
    let vectors = network::GOLDEN_INPUTS.len();
    let passed = text::report(&mut send, &network::Network::INFO, vectors, result, Some(Time::Cycles(cycles)));

    if passed {
        chip.PORTB.ddrb().modify(|_, w| w.pb5().set_bit());
        chip.PORTB.portb().modify(|_, w| w.pb5().set_bit());
    }
    stop()
}

fn send(line: &USART0, byte: u8) {
    while line.ucsr0a().read().udre0().bit_is_clear() {}
    line.udr0().write(|w| w.set(byte));
}

/// Sleeps for ever: no interrupt is enabled.
fn stop() -> ! {
    loop {
        avr_device::asm::sleep();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: nothing runs beside a panic, so that nobody else has the line.
    let chip = unsafe { Peripherals::steal() };
    text::text(&mut |byte| send(&chip.USART0, byte), "panic: FAIL\r\n");
    stop()
}
