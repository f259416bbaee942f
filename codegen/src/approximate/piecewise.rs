//! Functions of one number in straight segments whose slopes are sums of two signed powers of two.

use std::ops::Range;

/// What a function has to be approximated with: see [`tinymlp::kernels::Piecewise`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// In the order of the inputs.
    pub segments: Vec<Segment>,
    /// Binary places of offsets and slopes.
    pub shift: u32,
    /// Largest difference from the function's rounded result, over all inputs, in steps of the output.
    pub error: i32,
}

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its smallest input.
    pub from: i32,
    /// Added to slope times input, in units of `2^-shift`.
    pub offset: i32,
    /// The terms of the slope, in these units: the exponent plus one, with the term's sign; 0 for none.
    pub slope: [i8; 2],
}

/// A function of integers, by its rounded results.
#[derive(Clone, Copy, Debug)]
pub struct Function<'a> {
    /// The first input; the others follow it. -128 and 256 results, or -32768 and 65,536.
    pub first: i32,
    /// The results in that order.
    pub results: &'a [i32],
    /// Smallest and largest result that the output takes: what is beyond saturates.
    pub limits: (i32, i32),
}

impl Function<'_> {
    /// The approximation of at most so many segments with the smallest error.
    pub fn with_segments(&self, count: usize) -> Segments {
        let slopes = self.slopes();
        let enough = |error: i32| self.split(error, &slopes, count).is_some();
        let most = (self.limits.1 - self.limits.0).max(0);
        self.refined(least(most, enough), &slopes)
    }

    /// The approximation of the fewest segments whose error is at most `error`.
    pub fn within(&self, error: i32) -> Segments {
        self.refined(error, &self.slopes())
    }

    /// Binary places: as many as keep sums in 32 bits, with slopes up to 48 for int8 and 6 for int16.
    fn shift(&self) -> u32 {
        if self.results.len() <= 256 { 8 } else { 12 }
    }

    /// Slopes by their terms, those of fewer terms first.
    fn slopes(&self) -> Vec<([i8; 2], i64)> {
        // An exponent of 13 is a slope of 2^5 with 8 binary places, of 2^1 with 12: the products of int8 and int16 inputs
        // then have 21 and 29 bits.
        let value = |t: i8| i64::from(t.signum()) << (t.unsigned_abs().max(1) - 1);
        let mut found: Vec<([i8; 2], i64)> = vec![([0, 0], 0)];
        let terms = || (1..=14i8).flat_map(|t| [t, -t]);
        let pairs = terms().flat_map(|a| terms().map(move |b| [a, b]));
        for slope in terms().map(|a| [a, 0]).chain(pairs.filter(|[a, b]| a.abs() > b.abs())) {
            let sum = value(slope[0]) + value(slope[1]);
            if found.iter().all(|(_, known)| *known != sum) {
                found.push((slope, sum));
            }
        }
        found
    }

    /// The offsets with which a slope meets an error at some input: from, up to. Saturation meets the function's own limits
    /// whatever is beyond.
    fn offsets(&self, k: usize, slope: i64, error: i32) -> (i64, i64) {
        let product = slope * (i64::from(self.first) + k as i64);
        let one = 1i64 << self.shift();
        let (low, high) = (self.results[k] - error, self.results[k] + error);
        let least = if low <= self.limits.0 { i64::MIN } else { i64::from(low) * one - product };
        let most = if high >= self.limits.1 { i64::MAX } else { i64::from(high + 1) * one - 1 - product };
        (least, most)
    }

    /// The longest segment from input `start` on that meets an error: its end, slope and offset. No other cut leaves fewer
    /// segments, as a part of a segment that meets the error meets it too.
    fn longest(&self, inputs: Range<usize>, error: i32, slopes: &[([i8; 2], i64)]) -> (usize, [i8; 2], i64) {
        let mut best = (inputs.start, [0; 2], 0);
        for &(terms, slope) in slopes {
            let (mut least, mut most) = (i64::MIN, i64::MAX);
            let mut end = inputs.start;
            for k in inputs.clone() {
                let (low, high) = self.offsets(k, slope, error);
                if least.max(low) > most.min(high) {
                    break;
                }
                (least, most, end) = (least.max(low), most.min(high), k + 1);
            }
            if end > best.0 {
                let offset = match (least, most) {
                    (i64::MIN, i64::MAX) => 0,
                    (i64::MIN, most) => most,
                    (least, i64::MAX) => least,
                    (least, most) => least.midpoint(most),
                };
                best = (end, terms, offset);
            }
        }
        best
    }

    /// The inputs of the fewest segments that meet an error, if they are no more than `count`.
    fn split(&self, error: i32, slopes: &[([i8; 2], i64)], count: usize) -> Option<Vec<Range<usize>>> {
        let (mut start, mut found) = (0, Vec::new());
        while start < self.results.len() {
            if found.len() == count {
                return None;
            }
            let end = self.longest(start..self.results.len(), error, slopes).0;
            if end == start {
                return None;
            }
            found.push(start..end);
            start = end;
        }
        Some(found)
    }

    /// The fewest segments that meet an error, each with the smallest error that it can have.
    fn refined(&self, error: i32, slopes: &[([i8; 2], i64)]) -> Segments {
        let parts = self.split(error.max(0), slopes, usize::MAX).unwrap_or_default();
        let mut worst = 0;
        let segments = parts.into_iter().map(|inputs| {
            let meets = |error: i32| self.longest(inputs.clone(), error, slopes).0 == inputs.end;
            let error = least(error, meets);
            worst = worst.max(error);
            let (_, slope, offset) = self.longest(inputs.clone(), error, slopes);
            Segment { from: self.first + inputs.start as i32, offset: offset as i32, slope }
        });
        let segments = segments.collect();
        Segments { segments, shift: self.shift(), error: worst }
    }
}

/// The least number from 0 to `most` for which something holds that holds for all larger ones, and for `most`.
fn least(most: i32, holds: impl Fn(i32) -> bool) -> i32 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::kernels::{Buffer, Kernel, Limits, Piecewise};
    use crate::plan::{Quant, Type};
    use crate::quantize::config::ActivationConfig;

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn silu(x: f64) -> f64 {
        x * sigmoid(x)
    }

    /// The tanh form, whose difference to the exact one is below 0.0005.
    fn gelu(x: f64) -> f64 {
        0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh())
    }

    type Named = (&'static str, fn(f64) -> f64);

    const FUNCTIONS: [Named; 4] = [("sigmoid", sigmoid), ("tanh", f64::tanh), ("gelu", gelu), ("silu", silu)];

    /// Inputs over -reach to reach, and an output that holds the function's results over them.
    fn numbers(f: fn(f64) -> f64, reach: f64, ty: Type) -> (Quant, Quant) {
        let (low, high) = ty.limits();
        let x = Quant::new(ty, reach / f64::from(high), 0);
        let values = (low..=high).map(|q| f(x.real(q)));
        let (least, most) = values.fold((0f64, 0f64), |(l, h), v| (l.min(v), h.max(v)));
        let scale = (most - least) / f64::from(high - low);
        (x, Quant::new(ty, scale, (f64::from(low) - least / scale).round() as i32))
    }

    /// The segments of a function, its rounded results, and what the runtime computes of all inputs.
    fn approximate(
        f: fn(f64) -> f64,
        (x, y): (Quant, Quant),
        config: ActivationConfig,
    ) -> (Segments, Vec<i32>, Vec<i32>) {
        let ((first, last), limits) = (x.limits(), y.limits());
        let results: Vec<i32> = (first..=last).map(|q| y.quantize(f(x.real(q)))).collect();
        let function = Function { first, results: &results, limits };
        let segments = match config.segments {
            Some(count) => function.with_segments(count),
            None => function.within(config.max_error.unwrap_or(0) as i32),
        };
        let inputs: Vec<i32> = (first..=last).collect();
        let limits = Limits { ty: y.ty, zero_point: 0, min: limits.0, max: limits.1 };
        let kernel = Piecewise { len: inputs.len(), ty: x.ty, segments: segments.clone(), limits };
        let mut found = Buffer::new(y.ty, inputs.len());
        kernel.run(&[&Buffer::from_integers(x.ty, &inputs)], &mut found);
        (segments, results, found.integers())
    }

    fn difference(a: &[i32], b: &[i32]) -> i32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).max().unwrap_or(0)
    }

    const fn segments(count: usize) -> ActivationConfig {
        ActivationConfig { segments: Some(count), max_error: None }
    }

    const fn max_error(steps: u32) -> ActivationConfig {
        ActivationConfig { segments: None, max_error: Some(steps) }
    }

    #[test]
    fn the_stated_error_is_the_largest_of_all_inputs() {
        for (name, f) in FUNCTIONS {
            for reach in [1.0, 8.0, 20.0] {
                let (x, y) = numbers(f, reach, Type::I8);
                for config in [1, 2, 4, 7].map(segments).into_iter().chain([0, 1, 2, 5].map(max_error)) {
                    let (made, results, found) = approximate(f, (x, y), config);
                    let what = format!("{name} to {reach}, {config:?}");
                    assert_eq!(difference(&results, &found), made.error, "{what}");
                    assert!(made.segments.len() <= config.segments.unwrap_or(256), "{what}");
                    assert!(made.error <= config.max_error.unwrap_or(255) as i32, "{what}");
                    // Of the real function: half a step more.
                    for (q, &found) in (-128..=127).zip(&found) {
                        let off = (f(x.real(q)) - y.real(found)).abs() / y.scale;
                        assert!(off <= f64::from(made.error) + 0.5 + 1e-9, "{what}: {off} at {q}");
                    }
                }
            }
        }
    }

    #[test]
    fn int16_is_within_what_it_states() {
        for (name, f) in FUNCTIONS {
            let numbers = numbers(f, 8.0, Type::I16);
            for config in [segments(8), max_error(256)] {
                let (made, results, found) = approximate(f, numbers, config);
                assert_eq!(difference(&results, &found), made.error, "{name}");
                assert!(made.error <= config.max_error.unwrap_or(u32::MAX >> 1) as i32, "{name}: {}", made.error);
                assert!(made.segments.len() <= config.segments.unwrap_or(256), "{name}");
            }
        }
    }

    /// PLAN, Amin et al. 1997: seven segments over the whole line.
    fn plan(x: f64) -> f64 {
        let y = match x.abs() {
            a if a >= 5.0 => 1.0,
            a if a >= 2.375 => a / 32.0 + 0.84375,
            a if a >= 1.0 => a / 8.0 + 0.625,
            a => a / 4.0 + 0.5,
        };
        if x < 0.0 { 1.0 - y } else { y }
    }

    #[test]
    fn no_worse_than_plan_with_its_number_of_segments() {
        let numbers = numbers(sigmoid, 10.0, Type::I16);
        let (made, _, found) = approximate(sigmoid, numbers, segments(7));
        let inputs = || (-32768..=32767).map(|q| numbers.0.real(q));
        let worst = |g: &mut dyn Iterator<Item = (f64, f64)>| g.fold(0f64, |m, (x, y)| m.max((sigmoid(x) - y).abs()));
        let theirs = worst(&mut inputs().map(|x| (x, plan(x))));
        let ours = worst(&mut inputs().zip(found.iter().map(|&q| numbers.1.real(q))));
        assert!((theirs - 0.0189).abs() < 0.0001, "PLAN's published error is .0189, this is {theirs}");
        assert!(ours <= theirs, "{ours} with {} segments, PLAN has {theirs}", made.segments.len());
    }

    #[test]
    fn no_fewer_segments_meet_an_error() {
        // Against dynamic programming over all cuts, which does not rely on a segment's parts being as good as it.
        let numbers = numbers(silu, 4.0, Type::I8);
        for error in [2, 8] {
            let (made, results, _) = approximate(silu, numbers, max_error(error));
            let function = Function { first: -128, results: &results, limits: numbers.1.limits() };
            let slopes = function.slopes();
            let mut fewest = vec![0usize; 257];
            for end in 1..=256 {
                let whole = |start: &usize| function.longest(*start..end, error as i32, &slopes).0 == end;
                fewest[end] = (0..end).filter(whole).map(|start| fewest[start] + 1).min().unwrap_or(usize::MAX);
            }
            assert_eq!(made.segments.len(), fewest[256], "error {error}");
        }
    }

    #[test]
    fn hard_functions_are_exact() {
        // Slopes of one shift: the clamps and hard sigmoids of the literature are cases of it.
        let hard = |x: f64| (x / 4.0 + 0.5).clamp(0.0, 1.0);
        let (x, y) = (Quant::new(Type::I8, 1.0 / 16.0, 0), Quant::new(Type::I8, 1.0 / 256.0, -128));
        let (made, results, found) = approximate(hard, (x, y), max_error(0));
        assert_eq!((made.segments.len(), made.error), (1, 0));
        assert_eq!(results, found);
    }
}
