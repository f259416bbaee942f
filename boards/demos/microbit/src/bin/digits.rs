//! Recognises digits on the BBC micro:bit v1: frames come by the serial line of its USB port (115,200 baud, 8N1), answers go
//! back there. `cargo xtask demo digits --board microbit` sends images; `tinymlp_demos::digits::frame` describes the frames.
//!
//! A panic stops the processor: the network and what is in `tinymlp-demos` have none, the hardware abstraction may. The serial
//! line is all that tells what goes on: its answers, refusals among them.

#![no_std]
#![no_main]

#[path = "../serial.rs"]
mod serial;

use core::sync::atomic::{AtomicBool, Ordering};
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use hal::pac::{self, interrupt};
use hal::timer::{OneShot, Timer};
use nrf51_hal as hal;
use panic_probe as _;
use serial::Waiting;
use tinymlp::Scratch;
use tinymlp_demos::digits::Server;

/// The generated network, and the levels of its input.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
    include!(concat!(env!("OUT_DIR"), "/levels.rs"));
}

/// A frame that has begun and does not go on for so many microseconds is given up. The chip between USB and this line hands
/// bytes on in bursts.
const SILENCE: u32 = 250_000;

/// The line has been silent for as long.
static SILENT: AtomicBool = AtomicBool::new(false);

#[interrupt]
fn UART0() {
    serial::arrived();
}

#[interrupt]
fn TIMER0() {
    SILENT.store(true, Ordering::Relaxed);
    // It is asked for until the timer starts again.
    NVIC::mask(pac::Interrupt::TIMER0);
}

/// The serial line as the server wants it: reading sleeps until there is something, and times out within a frame.
struct Port {
    line: serial::Port,
    timer: Timer<pac::TIMER0, OneShot>,
}

impl Port {
    /// Measures silence from now on.
    fn expect_more(&mut self) {
        NVIC::mask(pac::Interrupt::TIMER0);
        SILENT.store(false, Ordering::Relaxed);
        self.timer.start(SILENCE);
        NVIC::unpend(pac::Interrupt::TIMER0);
        // SAFETY: the handler is above, and uses nothing but a flag.
        unsafe { NVIC::unmask(pac::Interrupt::TIMER0) };
    }
}

impl ErrorType for Port {
    type Error = ErrorKind;
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        loop {
            if let Some(received) = self.line.take() {
                self.expect_more();
                *first = received?;
                return Ok(1);
            }
            // Once: between frames the processor sleeps as long as it likes.
            if SILENT.load(Ordering::Relaxed) {
                SILENT.store(false, Ordering::Relaxed);
                return Err(ErrorKind::TimedOut);
            }
            self.line.sleep_unless(|| SILENT.load(Ordering::Relaxed));
        }
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.line.write(bytes)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.line.flush()
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut WAITING: Waiting = Waiting::new();
    static mut SCRATCH: network::Scratch = network::Scratch::NEW;
    let Some(chip) = pac::Peripherals::take() else { panic!() };
    let mut timer = Timer::one_shot(chip.TIMER0);
    timer.enable_interrupt();
    let line = serial::start(chip.CLOCK, chip.GPIO, chip.UART0, WAITING);
    let mut port = Port { line, timer };
    // SAFETY: the handler is above, and what it uses is in place.
    unsafe { NVIC::unmask(pac::Interrupt::UART0) };
    let mut server = Server::new(network::LEVELS, |input, scores| network::infer(input, SCRATCH, scores));
    loop {
        // Of an answer that was not sent, nobody is there to tell.
        let _ = server.turn(&mut port);
    }
}
