//! The front end beside one in floats, and what is made of its frames.

use std::f64::consts::PI;
use tinymlp_demos::anomaly::mel::{BANDS, HOP, LENGTH, RATE_HZ, Spectrum};
use tinymlp_demos::anomaly::{Detector, INPUT, Judge, LEARNING, Listener, Scale, Verdict};

/// Decibels from the loudest band down in which frames are exact.
const RANGE: f64 = 70.0;

/// Numbers from -1 to 1 that are the same every time.
fn noise(seed: u32) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    }
}

fn hz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * (6.4f64.ln() / 27.0 * (mel - 15.0)).exp() }
}

/// The frame by its definition: librosa's `melspectrogram(sr=16000, n_fft=1024, n_mels=128, power=2)` without centring, in
/// decibels.
fn by_definition(samples: &[i16; LENGTH]) -> Vec<f64> {
    let mean = samples.iter().map(|&s| f64::from(s)).sum::<f64>() / LENGTH as f64;
    let windowed: Vec<f64> = (samples.iter().enumerate())
        .map(|(n, &s)| (f64::from(s) - mean) / 32768.0 * (0.5 - 0.5 * (2.0 * PI * n as f64 / LENGTH as f64).cos()))
        .collect();
    let power: Vec<f64> = (0..=LENGTH / 2)
        .map(|k| {
            let part = |f: fn(f64) -> f64| -> f64 {
                windowed
                    .iter()
                    .enumerate()
                    .map(|(n, x)| x * f(2.0 * PI * ((n * k) % LENGTH) as f64 / LENGTH as f64))
                    .sum()
            };
            part(f64::cos).powi(2) + part(f64::sin).powi(2)
        })
        .collect();
    let top = 15.0 + 8f64.ln() / (6.4f64.ln() / 27.0);
    let edge = |i: usize| hz(top * i as f64 / (BANDS + 1) as f64);
    (0..BANDS)
        .map(|band| {
            let [low, middle, high] = [0, 1, 2].map(|i| edge(band + i));
            let weight =
                |f: f64| ((f - low) / (middle - low)).min((high - f) / (high - middle)).max(0.0) * 2.0 / (high - low);
            let bins = power.iter().enumerate();
            let sum: f64 = bins.map(|(k, p)| p * weight(k as f64 * f64::from(RATE_HZ) / LENGTH as f64)).sum();
            10.0 * (sum + f64::MIN_POSITIVE).log10()
        })
        .collect()
}

#[test]
fn frames_are_those_of_the_definition() {
    let mut random = noise(1);
    type Sound = Box<dyn FnMut(usize) -> f64>;
    let sounds: [(&str, Sound); 4] = [
        ("loud noise", Box::new(move |_| 32767.0 * random())),
        ("a tone off the bins, on a constant", Box::new(|n| 8000.0 * (n as f64 * 0.3).sin() + 5000.0)),
        ("the whole range", Box::new(|n| if n % 50 < 25 { 32767.0 } else { -32768.0 })),
        (
            "quiet noise",
            Box::new({
                let mut random = noise(2);
                move |_| 60.0 * random()
            }),
        ),
    ];
    for (name, mut sound) in sounds {
        let samples = std::array::from_fn(|n| sound(n).round() as i16);
        let found = Spectrum::new().frame(&samples);
        let expected = by_definition(&samples);
        let loudest = expected.iter().copied().fold(f64::MIN, f64::max);
        for (band, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(found) / 256.0 - expected).abs();
            // Bands far below the loudest drown in its rounding, but stay down there.
            let right =
                if expected > loudest - RANGE { error < 0.05 } else { f64::from(found) / 256.0 < loudest - RANGE };
            assert!(right || expected < -119.0, "{name}, band {band}: {found}, {expected}");
        }
    }
}

#[test]
fn silence_is_the_floor() {
    assert_eq!(Spectrum::new().frame(&[77; LENGTH]), [-120 * 256; BANDS]);
}

#[test]
fn numbers_are_quantized_to_the_nearest() {
    let scale = Scale::new(0.35, -20);
    for value in (i16::MIN..=i16::MAX).step_by(7) {
        let exact = f64::from(value) / 256.0 / f64::from(0.35f32) - 20.0;
        let found = f64::from(scale.quantize(value));
        assert!((found - exact.clamp(-128.0, 127.0)).abs() < 0.501, "{value}: {found}, {exact}");
    }
}

#[test]
fn a_score_is_the_mean_square_of_the_error() {
    // An input of 1 dB everywhere, and an output that is 3 dB off in every fourth number: 9 / 4 square decibels.
    let (input, output) = (Scale::new(0.25, -3), Scale::new(0.5, 10));
    let network = |x: &[i8; INPUT], y: &mut [i8; INPUT]| {
        assert_eq!(*x, [1; INPUT]);
        *y = std::array::from_fn(|i| if i % 4 == 0 { 12 + 6 } else { 12 });
    };
    let mut detector = Detector::new(input, output, network);
    let heard: Vec<_> = (0..6).map(|_| detector.push(&[256; BANDS])).collect();
    assert!(heard[..4].iter().all(Option::is_none));
    assert_eq!(heard[4].unwrap().score, 9 * 256 / 4);
    assert_eq!(heard[5], heard[4]);
}

#[test]
fn what_is_normal_is_learned_from_the_first_windows_alone() {
    let mut judge = Judge::new();
    let mut random = noise(3);
    let mut normal = || (1000.0 + 50.0 * random()) as u32;
    for _ in 0..LEARNING {
        assert_eq!(judge.threshold(), None);
        assert_eq!(judge.judge(normal()).verdict, Verdict::Learning);
    }
    let threshold = judge.threshold().unwrap();
    assert!((1000..1300).contains(&threshold), "{threshold}");
    assert!((0..1000).all(|_| judge.judge(normal()).verdict == Verdict::Normal));
    // Not a single window, but some in a row.
    assert_eq!(judge.judge(1200).verdict, Verdict::Normal);
    assert!((0..40).any(|_| judge.judge(1500).verdict == Verdict::Anomaly));
    assert!((0..80).map(|_| judge.judge(normal()).verdict).last() == Some(Verdict::Normal));
    assert_eq!(judge.threshold(), Some(threshold));
}

#[test]
fn extreme_scores_overflow_nothing() {
    let mut judge = Judge::new();
    for _ in 0..2 * LEARNING {
        judge.judge(u32::MAX);
    }
    assert!(judge.threshold().is_some());
}

#[test]
fn frames_overlap_by_half() {
    let detector =
        Detector::new(Scale::new(0.5, 0), Scale::new(0.5, 0), |x: &[i8; INPUT], y: &mut [i8; INPUT]| *y = *x);
    let mut listener = Listener::new(detector);
    let mut random = noise(4);
    let heard: Vec<usize> = (1..8 * HOP)
        .filter(|_| listener.push((1000.0 * random()) as i16).is_some_and(|heard| heard.score == 0))
        .collect();
    assert_eq!(heard, [6, 7].map(|hops| hops * HOP));
}
