//! Frames of a sound as the benchmark's training script makes them with librosa: a Hann window of 1,024 samples, every 512;
//! the power of the spectrum; 128 mel bands (Slaney's, each of area 1, from 0 to 8,000 Hz at 16,000 samples a second); ten
//! times the logarithm. The mean of a frame's samples is taken away first, since a converter's is not 0.

use super::fft::{Complex, cosine, transform};

/// Samples of a frame.
pub const LENGTH: usize = 1024;
/// Samples from one frame to the next.
pub const HOP: usize = 512;
/// Samples a second.
pub const RATE_HZ: u32 = 16_000;
/// Bands of a frame.
pub const BANDS: usize = 128;
/// A frame, in 1/256 decibel.
pub type Frame = [i16; BANDS];

/// Bins of the spectrum, of which the last has no weight.
const BINS: usize = LENGTH / 2;
/// What silence is: below the steps of a converter.
const FLOOR: i16 = -120 * 256;

/// A bin lies on the falling side of one band and on the rising side of the next.
#[derive(Clone, Copy)]
struct Bin {
    /// The band on whose rising side it lies, of 129.
    rising_band: u8,
    /// Weights, times 2^20.
    rising: u16,
    falling: u16,
}

/// Edges are even on the scale of mels: 200/3 Hz each below 1,000 Hz, logarithmic above.
static BIN: [Bin; BINS] = {
    const LINEAR: f64 = 200.0 / 3.0;
    // The logarithm of 6.4, 27 mels above 1,000 Hz.
    const STEP: f64 = 1.856_297_990_365_626_4 / 27.0;
    const LN_8: f64 = 3.0 * core::f64::consts::LN_2;
    let mut edges = [0.0; BANDS + 2];
    let mut edge = 0;
    while edge < BANDS + 2 {
        let mel = (15.0 + LN_8 / STEP) * edge as f64 / (BANDS + 1) as f64;
        edges[edge] = if mel < 15.0 { LINEAR * mel } else { 1000.0 * exp((mel - 15.0) * STEP) };
        edge += 1;
    }
    let mut all = [Bin { rising_band: 0, rising: 0, falling: 0 }; BINS];
    let (mut bin, mut band) = (0, 0);
    while bin < BINS {
        let frequency = bin as f64 * RATE_HZ as f64 / LENGTH as f64;
        while edges[band + 1] <= frequency {
            band += 1;
        }
        let share = (frequency - edges[band]) / (edges[band + 1] - edges[band]);
        let rising = if band < BANDS { weight(share, edges[band + 2] - edges[band]) } else { 0 };
        let falling = if band > 0 { weight(1.0 - share, edges[band + 1] - edges[band - 1]) } else { 0 };
        all[bin] = Bin { rising_band: band as u8, rising, falling };
        bin += 1;
    }
    all
};
/// Of the weights.
const WEIGHT_BITS: u32 = 20;

/// The weight at a share of the height of a triangle of area 1.
const fn weight(share: f64, base: f64) -> u16 {
    (share * 2.0 / base * (1 << WEIGHT_BITS) as f64 + 0.5) as u16
}

const fn exp(x: f64) -> f64 {
    let (mut sum, mut term, mut n) = (0.0, 1.0, 0);
    while n < 40 {
        sum += term;
        n += 1;
        term *= x / n as f64;
    }
    sum
}

/// `log2(1 + i / 64)`, times 2^16.
static LOG2: [u32; 65] = {
    let mut all = [0; 65];
    let mut i = 0;
    while i < 65 {
        // Twice the series of the inverse hyperbolic tangent.
        let x = i as f64 / (128 + i) as f64;
        let (mut sum, mut power, mut n) = (0.0, x, 1);
        while n < 40 {
            sum += power / n as f64;
            power *= x * x;
            n += 2;
        }
        all[i] = (2.0 * sum / core::f64::consts::LN_2 * 65536.0 + 0.5) as u32;
        i += 1;
    }
    all
};

/// The base-2 logarithm of a number that is not 0, times 2^16.
fn log2(x: u64) -> u32 {
    let whole = x.max(1).ilog2();
    // The 22 bits behind the first one.
    let fraction = ((x << (63 - whole)) >> 41) as u32 & 0x3f_ffff;
    let (segment, within) = ((fraction >> 16) as usize, fraction & 0xffff);
    let [low, high] = [segment, segment + 1].map(|at| LOG2.get(at).copied().unwrap_or_default());
    (whole << 16) + low + (((high - low) * within) >> 16)
}

/// Fraction bits that samples get before the transform.
const FRACTION: u32 = 5;
/// The power of a bin is brought below 2^40, so that no band overflows: a band has at most 32 bins.
const POWER_BITS: u32 = 40;

/// Computes frames, in memory of its own.
#[derive(Clone, Debug)]
pub struct Spectrum {
    data: [Complex; BINS],
    power: [u64; BINS],
}

impl Spectrum {
    /// Memory.
    pub const fn new() -> Self {
        Self { data: [[0; 2]; BINS], power: [0; BINS] }
    }

    /// The frame of these samples.
    pub fn frame(&mut self, samples: &[i16; LENGTH]) -> Frame {
        let sum = samples.iter().map(|&sample| i32::from(sample)).sum::<i32>();
        let mean = sum >> (LENGTH.ilog2() - FRACTION);
        for (n, (to, from)) in self.data.iter_mut().zip(samples.as_chunks::<2>().0).enumerate() {
            *to = core::array::from_fn(|i| {
                // (1 - cos) / 2, times 2^31: at most one.
                let hann = (1 << 30) - i64::from(cosine(2 * n + i));
                ((i64::from((i32::from(from[i]) << FRACTION) - mean) * hann) >> 31) as i32
            });
        }
        let power = &mut self.power;
        transform(&mut self.data, |bin, x| {
            if let Some(power) = power.get_mut(bin) {
                *power = x.map(|part| u64::from(part.unsigned_abs()).pow(2)).iter().sum();
            }
        });
        let most = self.power.iter().max().map_or(0, |&most| u64::BITS - most.leading_zeros());
        let shift = most.saturating_sub(POWER_BITS);
        // One more than there are, for what lies above the last.
        let mut bands = [0u64; BANDS + 1];
        for (bin, &power) in BIN.iter().zip(&self.power) {
            let power = power >> shift;
            let rising = usize::from(bin.rising_band);
            if let Some(band) = bands.get_mut(rising) {
                *band += power * u64::from(bin.rising);
            }
            if let Some(band) = bands.get_mut(rising.wrapping_sub(1)) {
                *band += power * u64::from(bin.falling);
            }
        }
        // A sample of 1 is 2^15, its power 2^30, and each has its fraction bits.
        let unit = 2 * (15 + FRACTION) + WEIGHT_BITS - shift;
        core::array::from_fn(|band| match bands.get(band) {
            None | Some(0) => FLOOR,
            Some(&power) => decibels(log2(power) as i32 - (unit << 16) as i32),
        })
    }
}

impl Default for Spectrum {
    fn default() -> Self {
        Self::new()
    }
}

/// Ten times the decimal logarithm, in 1/256, of a binary one in 1/65536.
fn decibels(log2: i32) -> i16 {
    // 2560 log10(2) 64.
    const FACTOR: i64 = 49_321;
    let value = (i64::from(log2) * FACTOR + (1 << 21)) >> 22;
    value.clamp(FLOOR.into(), i16::MAX.into()) as i16
}
