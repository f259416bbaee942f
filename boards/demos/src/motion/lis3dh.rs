//! The accelerometer of ST's LIS3DH, which the LSM303AGR of the micro:bit has too (registers and values by their
//! datasheets). The sensor measures by itself into its FIFO, so that the processor sleeps for seconds.

use super::Sample;
use embedded_hal::i2c::I2c;

/// The address, where SA0 is high; that of the LSM303AGR.
pub const ADDRESS: u8 = 0x19;

const WHO_AM_I: u8 = 0x0f;
const PART: u8 = 0x33;
const CTRL_REG1: u8 = 0x20;
const CTRL_REG4: u8 = 0x23;
const CTRL_REG5: u8 = 0x24;
const OUT_X_L: u8 = 0x28;
const FIFO_CTRL_REG: u8 = 0x2e;
const FIFO_SRC_REG: u8 = 0x2f;
/// In the address of a register: each byte goes to, or comes from, the next one.
const INCREMENT: u8 = 0x80;

/// 10 Hz, all axes.
const RATE_10_HZ: u8 = 0x20 | 0x07;
/// No sample changes while it is read; from -4 to 4 g; all the bits there are.
const WHOLE_4_G_FINE: u8 = 0x80 | 0x10 | 0x08;
/// The FIFO is in use.
const FIFO: u8 = 0x40;
/// New samples push out old ones.
const STREAM: u8 = 0x80;
/// Samples were pushed out.
const OVERRUN: u8 = 0x40;
const LEVEL: u8 = 0x1f;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error<E> {
    /// The bus.
    Bus(E),
    /// Another part answers at the address, with this number.
    OtherPart(u8),
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Bus(error)
    }
}

/// What the FIFO holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// Samples, at least.
    pub samples: u8,
    /// Some were lost before them.
    pub overrun: bool,
}

/// The sensor on its bus.
#[derive(Debug)]
pub struct Lis3dh<I> {
    bus: I,
}

impl<I: I2c> Lis3dh<I> {
    /// A sensor that may not be there. Nothing is sent yet.
    pub const fn new(bus: I) -> Self {
        Self { bus }
    }

    /// Starts measuring: 10 samples a second, from -4 to 4 g, into the FIFO. To be called again after an error.
    ///
    /// # Errors
    /// A bus that does not work, or another part.
    pub fn start(&mut self) -> Result<(), Error<I::Error>> {
        match self.read(WHO_AM_I)? {
            PART => {}
            other => return Err(Error::OtherPart(other)),
        }
        // An empty FIFO comes from leaving the stream, as after a restart of the processor alone.
        for (register, value) in [
            (FIFO_CTRL_REG, 0),
            (CTRL_REG4, WHOLE_4_G_FINE),
            (CTRL_REG5, FIFO),
            (FIFO_CTRL_REG, STREAM),
            (CTRL_REG1, RATE_10_HZ),
        ] {
            self.bus.write(ADDRESS, &[register, value])?;
        }
        Ok(())
    }

    /// How many samples wait.
    ///
    /// # Errors
    /// A bus that does not work.
    pub fn waiting(&mut self) -> Result<Waiting, Error<I::Error>> {
        let source = self.read(FIFO_SRC_REG)?;
        Ok(Waiting { samples: source & LEVEL, overrun: source & OVERRUN != 0 })
    }

    /// Takes the oldest sample.
    ///
    /// # Errors
    /// A bus that does not work.
    pub fn sample(&mut self) -> Result<Sample, Error<I::Error>> {
        let mut bytes = [0; 6];
        self.bus.write_read(ADDRESS, &[OUT_X_L | INCREMENT], &mut bytes)?;
        let [a, b, c, d, e, f] = bytes;
        Ok([[a, b], [c, d], [e, f]].map(|bytes| milli_g(i16::from_le_bytes(bytes))))
    }

    fn read(&mut self, register: u8) -> Result<u8, Error<I::Error>> {
        let mut value = [0];
        self.bus.write_read(ADDRESS, &[register], &mut value)?;
        Ok(value[0])
    }
}

/// Twelve bits, in the upper part of a register, with 2 mg a step at this range.
pub const fn milli_g(register: i16) -> i16 {
    (register >> 4) * 2
}
