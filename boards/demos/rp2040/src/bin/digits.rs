//! Recognises digits on the Raspberry Pi Pico: frames come by UART0 (GP0 sends, GP1 receives, 115,200 baud, 8N1), answers go
//! back there. `cargo xtask demo digits` sends images; `tinymlp_demos::digits::frame` describes the frames.
//!
//! An interrupt moves what arrives into a queue of three frames, so that nothing is lost while the network runs.

#![no_std]
#![no_main]

use board::hal::fugit::MicrosDurationU32;
use board::hal::pac::{self, interrupt};
use board::hal::timer::Instant;
use board::hal::uart::{Reader, Writer};
use board::{SerialPins, WakeUp, hal};
use core::cell::RefCell;
use cortex_m::peripheral::NVIC;
use critical_section::Mutex;
use embedded_io::{Error, ErrorKind, ErrorType, Read, Write};
use heapless::spsc::{Consumer, Producer, Queue};
use tinymlp::Scratch;
use tinymlp_demos::digits::{Event, Server};

/// The generated network, and the levels of its input.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
    include!(concat!(env!("OUT_DIR"), "/levels.rs"));
}

/// A frame that has begun and does not go on for so long is given up.
const SILENCE: MicrosDurationU32 = MicrosDurationU32::millis(50);

/// Bytes that the hardware holds: an interrupt takes no more, whatever goes on on the line.
const FIFO: usize = 32;

/// A byte, or one that arrived broken.
type Received = Result<u8, ErrorKind>;

/// What the interrupt reads and where it puts it.
struct Line {
    reader: Reader<pac::UART0, SerialPins>,
    queue: Producer<'static, Received>,
}

static LINE: Mutex<RefCell<Option<Line>>> = Mutex::new(RefCell::new(None));

#[interrupt]
fn UART0_IRQ() {
    critical_section::with(|section| {
        let mut line = LINE.borrow(section).borrow_mut();
        let Some(Line { reader, queue }) = line.as_mut() else { return };
        let mut byte = [0];
        for _ in 0..FIFO {
            let received = match reader.read_raw(&mut byte) {
                Ok(_) => Ok(byte[0]),
                Err(nb::Error::WouldBlock) => return,
                Err(nb::Error::Other(_)) => Err(ErrorKind::InvalidData),
            };
            // Without room it is lost, which the checksum shows.
            let _ = queue.enqueue(received);
        }
    });
}

/// The serial line as the server wants it: reading sleeps until there is something, and times out within a frame.
struct Port {
    queue: Consumer<'static, Received>,
    writer: Writer<pac::UART0, SerialPins>,
    clock: WakeUp,
    /// When a frame that has begun is given up; none between frames, where the processor sleeps as long as it likes.
    deadline: Option<Instant>,
}

impl ErrorType for Port {
    type Error = ErrorKind;
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        loop {
            if let Some(received) = self.queue.dequeue() {
                self.deadline = Some(self.clock.now() + SILENCE);
                *first = received?;
                return Ok(1);
            }
            match self.deadline {
                Some(deadline) if self.clock.now() >= deadline => {
                    self.deadline = None;
                    return Err(ErrorKind::TimedOut);
                }
                // Anew each time: what woke it may have been the alarm, a little early.
                Some(deadline) => self.clock.at(deadline),
                None => {}
            }
            cortex_m::asm::wfe();
        }
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.writer.write(bytes).map_err(|error| error.kind())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.writer.flush().map_err(|error| error.kind())
    }
}

#[hal::entry]
fn main() -> ! {
    static mut QUEUE: Queue<Received, 256> = Queue::new();
    static mut SCRATCH: network::Scratch = network::Scratch::NEW;
    let board = board::start();
    let (producer, consumer) = QUEUE.split();
    let (mut reader, writer) = board.serial.split();
    reader.enable_rx_interrupt();
    critical_section::with(|section| LINE.borrow(section).replace(Some(Line { reader, queue: producer })));
    // SAFETY: the handler is above, and what it uses is in place.
    unsafe { NVIC::unmask(pac::Interrupt::UART0_IRQ) };
    let mut server = Server::new(network::LEVELS, |input, scores| network::infer(input, SCRATCH, scores));
    let mut port = Port { queue: consumer, writer, clock: board.clock, deadline: None };
    defmt::info!("waiting for images at 115200 baud");
    loop {
        match server.turn(&mut port) {
            Ok(Event::Answered(answer)) => defmt::info!("digit {=u8}, margin {=u8}", answer.digit, answer.margin),
            Ok(Event::Refused(fault)) => defmt::warn!("refused: {=str}", fault.name()),
            Ok(Event::Nothing | Event::Ended) => {}
            // Nobody is there to tell.
            Err(_) => defmt::error!("an answer was not sent"),
        }
    }
}
