//! The serial line of Nordic's chips, by the UART that all of them have: a module of the firmware that includes it, which names
//! the chip's `pac` beside it, sets pins and speed, and has the interrupt.
//!
//! An interrupt moves what arrives into a queue, so that what is typed while a network runs waits. A program that sends a line
//! when the one before it is answered loses nothing of lines that the queue holds; of longer ones what is lost is reported, and an
//! emulator waits.

use crate::pac::UART0;
use core::cell::RefCell;
use critical_section::Mutex;
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use heapless::spsc::{Consumer, Producer, Queue};

/// Bytes that wait, less one.
const WAITING: usize = 256;
/// Bytes that the hardware holds: an interrupt takes no more, whatever goes on on the line.
const FIFO: usize = 6;

/// A byte, or one that arrived broken.
pub type Received = Result<u8, ErrorKind>;

/// What waits.
pub type Waiting = Queue<Received, WAITING>;

/// Where the interrupt puts what arrives.
static ARRIVED: Mutex<RefCell<Option<Producer<'static, Received>>>> = Mutex::new(RefCell::new(None));

/// The interrupt of the UART.
pub fn arrived() {
    // SAFETY: the interrupt alone reads the receiver's registers, once they are set up.
    let uart = unsafe { &*UART0::ptr() };
    critical_section::with(|section| {
        let mut queue = ARRIVED.borrow(section).borrow_mut();
        let Some(queue) = queue.as_mut() else { return };
        if uart.events_error.read().bits() != 0 && queue.ready() {
            uart.events_error.reset();
            let source = uart.errorsrc.read().bits();
            // SAFETY: ones clear what they stand for.
            uart.errorsrc.write(|w| unsafe { w.bits(source) });
            let _ = queue.enqueue(Err(ErrorKind::InvalidData));
        }
        for _ in 0..FIFO {
            if !queue.ready() {
                // What comes waits in the hardware until a byte is taken; beyond that it is lost, which is an error then.
                uart.intenclr.write(|w| w.rxdrdy().clear().error().clear());
                return;
            }
            if uart.events_rxdrdy.read().bits() == 0 {
                return;
            }
            uart.events_rxdrdy.reset();
            let _ = queue.enqueue(Ok(uart.rxd.read().rxd().bits()));
        }
    });
}

/// The serial line. Reading sleeps until there is something.
pub struct Port {
    uart: UART0,
    queue: Consumer<'static, Received>,
}

impl Port {
    /// Starts a UART that has its pins: 115,200 baud, 8N1. Not by the hardware abstraction: its driver knows no interrupt, and
    /// waits for a byte that it writes before it starts the transmitter, which an emulator does not send.
    pub fn start(uart: UART0, waiting: &'static mut Waiting) -> Self {
        let (producer, queue) = waiting.split();
        critical_section::with(|section| ARRIVED.borrow(section).replace(Some(producer)));
        uart.baudrate.write(|w| w.baudrate().baud115200());
        uart.enable.write(|w| w.enable().enabled());
        // SAFETY: ones start what they stand for.
        uart.tasks_starttx.write(|w| unsafe { w.bits(1) });
        // SAFETY: likewise.
        uart.tasks_startrx.write(|w| unsafe { w.bits(1) });
        uart.intenset.write(|w| w.rxdrdy().set().error().set());
        Self { uart, queue }
    }

    /// What has arrived first.
    pub fn take(&mut self) -> Option<Received> {
        let received = self.queue.dequeue()?;
        // There is room again.
        self.uart.intenset.write(|w| w.rxdrdy().set().error().set());
        Some(received)
    }

    /// Sleeps until an interrupt, unless something has arrived, or the other thing that ends the sleep has happened.
    pub fn sleep_unless(&self, happened: impl FnOnce() -> bool) {
        // An interrupt that comes after the look ends the sleep as well, and is served behind it.
        critical_section::with(|_| {
            if !self.queue.ready() && !happened() {
                cortex_m::asm::wfi();
            }
        });
    }
}

impl ErrorType for Port {
    type Error = ErrorKind;
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        loop {
            if let Some(received) = self.take() {
                *first = received?;
                return Ok(1);
            }
            self.sleep_unless(|| false);
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
