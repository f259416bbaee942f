//! What the demos on the Raspberry Pi Pico share: clocks, pins, the serial line, and waiting for a time.
//!
//! The processor sleeps (`wfe`) whenever there is nothing to do. An interrupt sets the event that `wfe` waits for, so one
//! that comes between a look at its queue and the instruction is not slept through.
//!
//! A panic logs its message by defmt and stops the processor: the networks and what is in `tinymlp-demos` have none, the
//! hardware abstraction may. Without a debug probe nothing tells of it, and the watchdog is off, so that a probe finds the
//! state as it was; a product would start it.

#![no_std]

use core::cell::RefCell;
use cortex_m::peripheral::NVIC;
use critical_section::Mutex;
use defmt_rtt as _;
use hal::Clock;
use hal::clocks::SystemClock;
use hal::fugit::HertzU32;
use hal::gpio::bank0::{Gpio0, Gpio1};
use hal::gpio::{FunctionUart, Pin, Pins, PullNone, PullUp};
use hal::pac::{self, interrupt};
use hal::timer::{Alarm, Alarm0, Instant};
use hal::uart::{DataBits, StopBits, UartConfig, UartPeripheral};
use panic_probe as _;
pub use rp2040_hal as hal;

/// The second stage of the boot loader, which makes the flash executable.
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_GENERIC_03H;

/// Frequency of the crystal.
const CRYSTAL_HZ: u32 = 12_000_000;
/// Speed of the serial line.
const BAUD: HertzU32 = HertzU32::Hz(115_200);

/// GP0 sends, GP1 receives.
pub type SerialPins = (Pin<Gpio0, FunctionUart, PullNone>, Pin<Gpio1, FunctionUart, PullUp>);
/// The serial line.
pub type Serial = UartPeripheral<hal::uart::Enabled, pac::UART0, SerialPins>;

/// What has been set up.
pub struct Board {
    /// UART0, 115,200 baud.
    pub serial: Serial,
    /// Wakes the processor at a time.
    pub clock: WakeUp,
    /// The clock of the peripherals.
    pub system_clock: SystemClock,
    /// For peripherals that a demo sets up itself.
    pub resets: pac::RESETS,
    /// I2C block 0.
    pub i2c: pac::I2C0,
    /// The converter.
    pub adc: pac::ADC,
    /// All pins but those of the serial line.
    pub pins: OtherPins,
}

/// The pins that demos use.
pub struct OtherPins {
    /// SDA of I2C block 0.
    pub gpio4: Pin<hal::gpio::bank0::Gpio4, hal::gpio::FunctionNull, hal::gpio::PullDown>,
    /// SCL of I2C block 0.
    pub gpio5: Pin<hal::gpio::bank0::Gpio5, hal::gpio::FunctionNull, hal::gpio::PullDown>,
    /// Input 0 of the converter.
    pub gpio26: Pin<hal::gpio::bank0::Gpio26, hal::gpio::FunctionNull, hal::gpio::PullDown>,
}

/// Starts the clocks from the crystal: 125 MHz for the processor. To be called once.
pub fn start() -> Board {
    let chip = defmt::unwrap!(pac::Peripherals::take());
    let mut resets = chip.RESETS;
    let mut watchdog = hal::Watchdog::new(chip.WATCHDOG);
    let clocks = hal::clocks::init_clocks_and_plls(
        CRYSTAL_HZ,
        chip.XOSC,
        chip.CLOCKS,
        chip.PLL_SYS,
        chip.PLL_USB,
        &mut resets,
        &mut watchdog,
    );
    let Ok(clocks) = clocks else { defmt::panic!("the crystal does not start") };
    let mut timer = hal::Timer::new(chip.TIMER, &mut resets, &clocks);
    let mut alarm = defmt::unwrap!(timer.alarm_0());
    alarm.enable_interrupt();
    critical_section::with(|section| ALARM.borrow(section).replace(Some(alarm)));
    // SAFETY: the handler is below, and what it uses is in place.
    unsafe { NVIC::unmask(pac::Interrupt::TIMER_IRQ_0) };
    let sio = hal::Sio::new(chip.SIO);
    let pins = Pins::new(chip.IO_BANK0, chip.PADS_BANK0, sio.gpio_bank0, &mut resets);
    let serial_pins = (pins.gpio0.reconfigure(), pins.gpio1.reconfigure());
    let format = UartConfig::new(BAUD, DataBits::Eight, None, StopBits::One);
    let serial = UartPeripheral::new(chip.UART0, serial_pins, &mut resets);
    let Ok(serial) = serial.enable(format, clocks.peripheral_clock.freq()) else {
        defmt::panic!("the clock is too slow for the serial line")
    };
    Board {
        serial,
        clock: WakeUp { timer },
        system_clock: clocks.system_clock,
        resets,
        i2c: chip.I2C0,
        adc: chip.ADC,
        pins: OtherPins { gpio4: pins.gpio4, gpio5: pins.gpio5, gpio26: pins.gpio26 },
    }
}

/// What the alarm's interrupt has to clear.
static ALARM: Mutex<RefCell<Option<Alarm0>>> = Mutex::new(RefCell::new(None));

#[interrupt]
fn TIMER_IRQ_0() {
    critical_section::with(|section| {
        if let Some(alarm) = ALARM.borrow(section).borrow_mut().as_mut() {
            alarm.clear_interrupt();
        }
    });
}

/// The timer, with an alarm that wakes the processor.
pub struct WakeUp {
    timer: hal::Timer,
}

impl WakeUp {
    /// The time.
    pub fn now(&self) -> Instant {
        self.timer.get_counter()
    }

    /// Wakes the processor at this time. One call at a time is in effect.
    pub fn at(&mut self, at: Instant) {
        critical_section::with(|section| {
            if let Some(alarm) = ALARM.borrow(section).borrow_mut().as_mut() {
                defmt::unwrap!(alarm.schedule_at(at).ok(), "a time beyond the timer");
            }
        });
    }

    /// Sleeps until this time.
    pub fn sleep_until(&mut self, at: Instant) {
        while self.now() < at {
            // Anew each time: what woke it may have been the alarm, a little early.
            self.at(at);
            cortex_m::asm::wfe();
        }
    }
}
