//! Listens to a machine with the Raspberry Pi Pico: a microphone with an amplifier around half the supply is at GP26, the
//! converter's input 0. The network has to be that of MLPerf Tiny's `ad01`: `cargo xtask demo anomaly`. What each window
//! shows goes to UART0 (GP0, 115,200 baud) as a line of text, and what has changed to the log.
//!
//! The converter's own divider makes 16,000 samples a second, to the crystal's accuracy. An interrupt queues them while a
//! frame is computed, and the processor sleeps from one sample to the next.

#![no_std]
#![no_main]

use board::hal;
use board::hal::adc::{Adc, AdcFifo, AdcPin};
use board::hal::gpio::{FunctionSioInput, PullNone};
use board::hal::pac::{self, interrupt};
use core::cell::RefCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::NVIC;
use critical_section::Mutex;
use heapless::spsc::{Producer, Queue};
use tinymlp::Scratch;
use tinymlp_demos::anomaly::mel::RATE_HZ;
use tinymlp_demos::anomaly::{Detector, Listener, Scale, Verdict};

/// The generated network.
mod network {
    include!(concat!(env!("OUT_DIR"), "/network.rs"));
}

const INPUT: Scale = Scale::new(network::INPUT.scale, network::INPUT.zero_point);
const OUTPUT: Scale = Scale::new(network::OUTPUT.scale, network::OUTPUT.zero_point);
/// Of the converter.
const CLOCK_HZ: u32 = 48_000_000;
/// Cycles from one conversion to the next, less the one that is always there.
const DIVIDER: u16 = (CLOCK_HZ / RATE_HZ - 1) as u16;

/// What the interrupt reads and where it puts it.
struct Line {
    fifo: AdcFifo<'static, u16>,
    queue: Producer<'static, u16>,
}

static LINE: Mutex<RefCell<Option<Line>>> = Mutex::new(RefCell::new(None));
/// Samples that found no room.
static LOST: AtomicU32 = AtomicU32::new(0);

#[interrupt]
fn ADC_IRQ_FIFO() {
    critical_section::with(|section| {
        let mut line = LINE.borrow(section).borrow_mut();
        let Some(Line { fifo, queue }) = line.as_mut() else { return };
        for _ in 0..fifo.len() {
            // A conversion that failed is in the middle: one click, and not a gap.
            let value = fifo.read().unwrap_or(2048);
            if queue.enqueue(value).is_err() {
                // No atomic read-modify-write on this core, but nothing else writes.
                LOST.store(LOST.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            }
        }
    });
}

#[hal::entry]
fn main() -> ! {
    // A frame takes less than half the time from one to the next, which is 512 samples.
    static mut QUEUE: Queue<u16, 1024> = Queue::new();
    static mut SCRATCH: network::Scratch = network::Scratch::NEW;
    static mut ADC: Option<Adc> = None;
    let mut board = board::start();
    let (producer, mut consumer) = QUEUE.split();
    let pin = AdcPin::new(board.pins.gpio26.reconfigure::<FunctionSioInput, PullNone>());
    let mut pin = defmt::unwrap!(pin.ok(), "a pin without converter");
    let adc = ADC.insert(Adc::new(board.adc, &mut board.resets));
    let fifo = adc.build_fifo().clock_divider(DIVIDER, 0).set_channel(&mut pin).enable_interrupt(1).start();
    critical_section::with(|section| LINE.borrow(section).replace(Some(Line { fifo, queue: producer })));
    // SAFETY: the handler is above, and what it uses is in place.
    unsafe { NVIC::unmask(pac::Interrupt::ADC_IRQ_FIFO) };

    let detector = Detector::new(INPUT, OUTPUT, |input, output| network::infer(input, SCRATCH, output));
    let mut listener = Listener::new(detector);
    let (mut before, mut lost_before) = (Verdict::Learning, 0);
    defmt::info!("learning what is normal: the machine has to run as it should");
    loop {
        let Some(value) = consumer.dequeue() else {
            cortex_m::asm::wfe();
            continue;
        };
        // Twelve bits around the middle, as sixteen.
        let Some(heard) = listener.push((value as i16 - 2048) << 4) else { continue };
        // Sending cannot fail.
        let _ = write!(board.serial, "{} {} {}\r\n", heard.score, heard.level, heard.verdict.name());
        if heard.verdict != before {
            let threshold = listener.threshold().unwrap_or_default();
            defmt::info!("{=str}: level {=u32}, threshold {=u64}", heard.verdict.name(), heard.level, threshold);
            before = heard.verdict;
        }
        let lost = LOST.load(Ordering::Relaxed);
        if lost != lost_before {
            defmt::warn!("{=u32} samples were lost", lost.wrapping_sub(lost_before));
            lost_before = lost;
        }
    }
}
