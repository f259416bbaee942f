//! From the values a tensor took to the range its integers should cover.

use super::Statistics;
use std::str::FromStr;

/// How the range of an activation is chosen from its calibration values.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Observer {
    /// From the smallest to the largest value.
    #[default]
    MinMax,
    /// Leaves out this share of the values at each end, in percent of all values kept (99.99 leaves 0.01 % in all).
    Percentile(f64),
    /// The range with the least mean squared error of the quantized values; where the tensor only goes through an
    /// activation function, of that function's results.
    Mse,
}

impl FromStr for Observer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("'{text}' is no observer: min-max, percentile, percentile=99.9 or mse");
        match text {
            "min-max" | "minmax" => Ok(Observer::MinMax),
            "mse" => Ok(Observer::Mse),
            "percentile" => Ok(Observer::Percentile(99.99)),
            _ => {
                let share = text.strip_prefix("percentile=").ok_or_else(unknown)?;
                let share: f64 = share.parse().map_err(|_| unknown())?;
                if (50.0..=100.0).contains(&share) { Ok(Observer::Percentile(share)) } else { Err(unknown()) }
            }
        }
    }
}

/// The real numbers that quantized values should cover; always contains zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Lower end, at most 0.
    pub low: f64,
    /// Upper end, at least 0.
    pub high: f64,
}

impl Range {
    fn with_zero(low: f64, high: f64) -> Range {
        Range { low: low.min(0.0), high: high.max(0.0) }
    }
}

impl Observer {
    /// Chooses the range for a tensor of `levels` steps (256 or 65536). `through` is the function its values go
    /// through next, if that is all that happens to them.
    pub fn range(self, statistics: &Statistics, levels: u32, through: Option<&dyn Fn(f64) -> f64>) -> Range {
        let full = Range::with_zero(statistics.min, statistics.max);
        match self {
            Observer::MinMax => full,
            Observer::Percentile(share) => percentile(statistics, share),
            Observer::Mse => least_squares(statistics, full, levels, through),
        }
    }
}

/// Centres of the histogram's bins that hold values, with their counts.
fn bins(s: &Statistics) -> Vec<(f64, f64)> {
    let width = (s.max - s.min) / s.histogram.len() as f64;
    let centre = |k: usize| s.min + (k as f64 + 0.5) * width;
    s.histogram.iter().enumerate().filter(|(_, n)| **n > 0).map(|(k, &n)| (centre(k), n as f64)).collect()
}

fn percentile(s: &Statistics, share: f64) -> Range {
    let bins = bins(s);
    let total: f64 = bins.iter().map(|b| b.1).sum();
    let left_out = total * (1.0 - share / 100.0) / 2.0;
    let end = |mut bins: Box<dyn Iterator<Item = &(f64, f64)> + '_>, all: f64| {
        let mut passed = 0.0;
        bins.find(|b| {
            passed += b.1;
            passed > left_out
        })
        .map_or(all, |b| b.0)
    };
    if left_out < 1.0 {
        return Range::with_zero(s.min, s.max);
    }
    Range::with_zero(end(Box::new(bins.iter()), s.min), end(Box::new(bins.iter().rev()), s.max))
}

/// Shrinks both ends over a grid, then over a finer one around the best.
fn least_squares(s: &Statistics, full: Range, levels: u32, through: Option<&dyn Fn(f64) -> f64>) -> Range {
    let bins = bins(s);
    let f = |x: f64| through.map_or(x, |f| f(x));
    let reference: Vec<(f64, f64, f64)> = bins.iter().map(|&(x, n)| (x, f(x), n)).collect();
    let error = |range: Range| -> f64 {
        let scale = (range.high - range.low) / f64::from(levels - 1);
        if scale <= 0.0 {
            return f64::INFINITY;
        }
        let zero = (-range.low / scale).round();
        let top = f64::from(levels - 1);
        let each = reference.iter().map(|&(x, y, n)| {
            let q = ((x / scale).round() + zero).clamp(0.0, top);
            let e = f((q - zero) * scale) - y;
            // A step is uniform inside a bin; without this a bin on a step would count as exact.
            e * e * n
        });
        let sum: f64 = each.sum();
        if sum.is_nan() { f64::INFINITY } else { sum }
    };
    let (mut best, mut least) = ((1.0, 1.0), f64::INFINITY);
    for (steps, width) in [(20, 0.95), (10, 0.05), (6, 0.01)] {
        let around = best;
        let side = |centre: f64, end: f64| -> Vec<f64> {
            if end == 0.0 {
                return vec![1.0];
            }
            let from = (centre - width).max(0.02);
            let to = (centre + if steps == 20 { 0.0 } else { width }).min(1.0);
            (0..=steps).map(|k| to + (from - to) * f64::from(k) / f64::from(steps)).collect()
        };
        for &low in &side(around.0, full.low) {
            for &high in &side(around.1, full.high) {
                let e = error(Range { low: full.low * low, high: full.high * high });
                if e < least {
                    (best, least) = ((low, high), e);
                }
            }
        }
    }
    Range { low: full.low * best.0, high: full.high * best.1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(values: &[f64]) -> Statistics {
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut histogram = vec![0; 2048];
        for v in values {
            histogram[(((v - min) / (max - min) * 2048.0) as usize).min(2047)] += 1;
        }
        Statistics { min, max, mean: vec![], square: vec![], histogram }
    }

    #[test]
    fn an_outlier_is_kept_by_min_max_and_cut_by_the_others() {
        let mut values: Vec<f64> = (0..1_000_000).map(|k| f64::from(k % 1000) / 1000.0).collect();
        values.push(10.0);
        let s = statistics(&values);
        assert_eq!(Observer::MinMax.range(&s, 256, None), Range { low: 0.0, high: 10.0 });
        assert!(Observer::Percentile(99.9).range(&s, 256, None).high < 1.5);
        // n (h / 255)^2 / 12 + (10 - h)^2 is least at h = 4.4.
        let mse = Observer::Mse.range(&s, 256, None);
        assert!((3.8..5.0).contains(&mse.high) && mse.low == 0.0, "{mse:?}");
    }

    #[test]
    fn a_saturating_function_needs_no_range_where_it_is_flat() {
        let values: Vec<f64> = (0..20_000).map(|k| f64::from(k - 10_000) / 500.0).collect();
        let s = statistics(&values);
        let range = Observer::Mse.range(&s, 256, Some(&|x: f64| x.tanh()));
        assert!(range.high < 6.0 && range.low > -6.0, "{range:?}");
    }

    #[test]
    fn observers_parse() {
        assert_eq!("percentile=99.5".parse(), Ok(Observer::Percentile(99.5)));
        assert!("percentile=3".parse::<Observer>().is_err() && "entropy".parse::<Observer>().is_err());
    }
}
