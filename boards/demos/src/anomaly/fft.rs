//! The spectrum of real samples, in integers of 32 bits.

use super::mel::LENGTH;

/// The transform is over pairs of samples as complex numbers.
const POINTS: usize = LENGTH / 2;
/// Fraction bits of the twiddle factors.
const FRACTION: u32 = 30;

/// A complex number.
pub type Complex = [i32; 2];

/// `cos(2 pi k / LENGTH)` and `-sin(2 pi k / LENGTH)`.
static TWIDDLES: [Complex; POINTS] = {
    let mut all = [[0; 2]; POINTS];
    let mut k = 0;
    while k < POINTS {
        let [cos, sin] = cos_sin(k);
        all[k] = [fixed(cos), fixed(-sin)];
        k += 1;
    }
    all
};

const fn fixed(x: f64) -> i32 {
    (x * (1 << FRACTION) as f64 + if x < 0.0 { -0.5 } else { 0.5 }) as i32
}

/// Cosine and sine of `2 pi k / LENGTH`, by their series: the angle is below pi.
const fn cos_sin(k: usize) -> [f64; 2] {
    let angle = 2.0 * core::f64::consts::PI * k as f64 / LENGTH as f64;
    let (mut cos, mut sin) = (0.0, 0.0);
    let (mut term, mut n) = (1.0, 0);
    while n < 40 {
        let sign = if n % 4 < 2 { 1.0 } else { -1.0 };
        if n % 2 == 0 {
            cos += sign * term;
        } else {
            sin += sign * term;
        }
        n += 1;
        term *= angle / n as f64;
    }
    [cos, sin]
}

fn multiply(a: Complex, b: Complex) -> Complex {
    let [[ar, ai], [br, bi]] = [a.map(i64::from), b.map(i64::from)];
    let half = 1 << (FRACTION - 1);
    [((ar * br - ai * bi + half) >> FRACTION) as i32, ((ar * bi + ai * br + half) >> FRACTION) as i32]
}

fn add([ar, ai]: Complex, [br, bi]: Complex) -> Complex {
    [ar.wrapping_add(br), ai.wrapping_add(bi)]
}

fn subtract([ar, ai]: Complex, [br, bi]: Complex) -> Complex {
    [ar.wrapping_sub(br), ai.wrapping_sub(bi)]
}

/// `cos(2 pi k / LENGTH)` for any `k` up to [`LENGTH`], times 2^30.
pub fn cosine(k: usize) -> i32 {
    let k = k.min(LENGTH - k);
    TWIDDLES.get(k).map_or(-(1 << FRACTION), |twiddle| twiddle[0])
}

/// Transforms samples that lie in `data` as pairs, each below 2^21 in size and half of that in the mean; hands the bins
/// from 0 to `LENGTH / 2` on, in no order that matters, which are below 2^31.
pub fn transform(data: &mut [Complex; POINTS], mut bin: impl FnMut(usize, Complex)) {
    reverse(data);
    let mut half = 1;
    while half < POINTS {
        let step = LENGTH / (2 * half);
        for group in data.chunks_exact_mut(2 * half) {
            let (low, high) = group.split_at_mut(half);
            for ((a, b), twiddle) in low.iter_mut().zip(high).zip(TWIDDLES.iter().step_by(step)) {
                let turned = multiply(*b, *twiddle);
                (*a, *b) = (add(*a, turned), subtract(*a, turned));
            }
        }
        half *= 2;
    }
    // Even and odd samples come apart by symmetry: X = (Z + Z*) / 2 - i W^k (Z - Z*) / 2, with Z* mirrored and conjugate.
    for (k, (&z, &twiddle)) in data.iter().zip(&TWIDDLES).enumerate() {
        let [r, i] = data[(POINTS - k) % POINTS];
        let mirrored = [r, i.wrapping_neg()];
        let [even, odd] = [add(z, mirrored), subtract(z, mirrored)].map(|[r, i]| [r >> 1, i >> 1]);
        let [r, i] = multiply(odd, twiddle);
        bin(k, add(even, [i, r.wrapping_neg()]));
        if k == 0 {
            bin(POINTS, subtract(even, [i, r.wrapping_neg()]));
        }
    }
}

/// Into the order that the transform wants: the bits of every place backwards.
fn reverse(data: &mut [Complex; POINTS]) {
    const BITS: u32 = POINTS.ilog2();
    for from in 0..POINTS {
        let to = from.reverse_bits() >> (usize::BITS - BITS);
        if from < to {
            data.swap(from, to);
        }
    }
}
