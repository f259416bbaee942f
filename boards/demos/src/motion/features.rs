//! What is left of a window: how much, how fast and how often it moves along each axis, and how much in all. Gravity, and
//! with it how the sensor is worn, goes with the mean.

use super::{Sample, WINDOW};

/// Mean absolute deviation, mean absolute change and crossings of the mean, of each axis; and the root of the mean square of
/// all deviations. In thousandths of gravity, where they are no counts.
pub type Features = [i32; 10];

/// Divides by the length of a window, downwards.
const SHIFT: u32 = WINDOW.ilog2();
const _: () = assert!(WINDOW == 1 << SHIFT);

/// The features of a window, oldest sample first.
pub fn features(window: &[Sample; WINDOW]) -> Features {
    let mut features = [0; 10];
    let mut energy = 0;
    for axis in 0..3 {
        let values = window.map(|sample| i32::from(sample[axis]));
        let mean = values.iter().sum::<i32>() >> SHIFT;
        let deviations = values.map(|value| value - mean);
        let pairs = || deviations.iter().zip(&deviations[1..]);
        features[axis] = deviations.iter().map(|d| d.abs()).sum::<i32>() >> SHIFT;
        features[3 + axis] = pairs().map(|(a, b)| (b - a).abs()).sum::<i32>() >> SHIFT;
        features[6 + axis] = pairs().filter(|&(&a, &b)| (a >= 0) != (b >= 0)).count() as i32;
        energy += deviations.iter().map(|&d| i64::from(d) * i64::from(d)).sum::<i64>();
    }
    // Below 3 * 2^34, as a deviation is below 2^17.
    features[9] = (energy >> SHIFT).isqrt() as i32;
    features
}
