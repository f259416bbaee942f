//! An assistant on the BBC micro:bit v1: sentences come by the serial line of its USB port (115,200 baud, 8N1), intents and
//! slots go back there. `cargo xtask demo nlp` talks to it, or any serial terminal; `tinymlp_demos::nlp` says how.
//!
//! An interrupt moves what arrives into a queue, so that what is typed while the network runs waits. A program that sends a
//! line when the one before it is answered loses nothing.
//!
//! A panic logs its message by defmt and stops the processor: the network and what is in `tinymlp-demos` have none, the
//! hardware abstraction may.

#![no_std]
#![no_main]

use core::cell::RefCell;
use cortex_m::peripheral::NVIC;
use critical_section::Mutex;
use defmt_rtt as _;
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use hal::clocks::Clocks;
use hal::gpio::{Level, p0};
use hal::pac::{self, UART0, interrupt};
use heapless::spsc::{Consumer, Producer, Queue};
use nrf51_hal as hal;
use panic_probe as _;
use tinymlp_demos::nlp::{Assistant, Event};
use tinymlp_demos::text_network;

/// The generated network.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

text_network!(
    /// The network with its memory.
    Mixer,
    network
);

/// Bytes that wait, less one.
const WAITING: usize = 256;
/// Bytes that the hardware holds: an interrupt takes no more, whatever goes on on the line.
const FIFO: usize = 6;

/// A byte, or one that arrived broken.
type Received = Result<u8, ErrorKind>;

/// Where the interrupt puts what arrives.
static ARRIVED: Mutex<RefCell<Option<Producer<'static, Received>>>> = Mutex::new(RefCell::new(None));

#[interrupt]
fn UART0() {
    // SAFETY: the handler alone reads the receiver's registers, once they are set up.
    let uart = unsafe { &*UART0::ptr() };
    critical_section::with(|section| {
        let mut queue = ARRIVED.borrow(section).borrow_mut();
        let Some(queue) = queue.as_mut() else { return };
        // Without room it is lost: more has come than a line holds since the last answer was asked for.
        if uart.events_error.read().bits() != 0 {
            uart.events_error.reset();
            let source = uart.errorsrc.read().bits();
            // SAFETY: ones clear what they stand for.
            uart.errorsrc.write(|w| unsafe { w.bits(source) });
            let _ = queue.enqueue(Err(ErrorKind::InvalidData));
        }
        for _ in 0..FIFO {
            if uart.events_rxdrdy.read().bits() == 0 {
                return;
            }
            uart.events_rxdrdy.reset();
            let _ = queue.enqueue(Ok(uart.rxd.read().rxd().bits()));
        }
    });
}

/// The serial line. Reading sleeps until there is something.
struct Port {
    uart: UART0,
    queue: Consumer<'static, Received>,
}

impl Port {
    /// 115,200 baud. Not by the hardware abstraction: its driver knows no interrupt, and waits for a byte that it writes
    /// before it starts the transmitter, which an emulator does not send.
    fn new(uart: UART0, pins: p0::Parts, queue: Consumer<'static, Received>) -> Self {
        let sends = pins.p0_24.into_push_pull_output(Level::High);
        let receives = pins.p0_25.into_floating_input();
        // SAFETY: numbers of pins, which are set up; ones start what they stand for.
        unsafe {
            uart.pseltxd.write(|w| w.bits(sends.degrade().pin().into()));
            uart.pselrxd.write(|w| w.bits(receives.degrade().pin().into()));
            uart.baudrate.write(|w| w.baudrate().baud115200());
            uart.enable.write(|w| w.enable().enabled());
            uart.tasks_starttx.write(|w| w.bits(1));
            uart.tasks_startrx.write(|w| w.bits(1));
        }
        uart.intenset.write(|w| w.rxdrdy().set().error().set());
        Self { uart, queue }
    }
}

impl ErrorType for Port {
    type Error = ErrorKind;
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        loop {
            if let Some(received) = self.queue.dequeue() {
                *first = received?;
                return Ok(1);
            }
            // An interrupt that comes after the look at the queue ends the sleep as well, and is served behind it.
            critical_section::with(|_| {
                if !self.queue.ready() {
                    cortex_m::asm::wfi();
                }
            });
        }
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        for &byte in bytes {
            self.uart.events_txdrdy.reset();
            // SAFETY: any byte may be sent.
            self.uart.txd.write(|w| unsafe { w.bits(byte.into()) });
            while self.uart.events_txdrdy.read().bits() == 0 {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut QUEUE: Queue<Received, WAITING> = Queue::new();
    static mut MIXER: Mixer = Mixer::NEW;
    let chip = defmt::unwrap!(pac::Peripherals::take());
    // The crystal: the internal oscillator is off by up to 6 %, too much for a serial line.
    Clocks::new(chip.CLOCK).enable_ext_hfosc();
    let (producer, consumer) = QUEUE.split();
    critical_section::with(|section| ARRIVED.borrow(section).replace(Some(producer)));
    let mut port = Port::new(chip.UART0, p0::Parts::new(chip.GPIO), consumer);
    // SAFETY: the handler is above, and what it uses is in place.
    unsafe { NVIC::unmask(pac::Interrupt::UART0) };
    let mut assistant = Assistant::new();
    loop {
        match assistant.turn(&mut port, MIXER) {
            Ok(Event::Answered | Event::Abandoned | Event::Ended) => {}
            // Nobody is there to tell.
            Err(_) => defmt::error!("an answer was not sent"),
        }
    }
}
