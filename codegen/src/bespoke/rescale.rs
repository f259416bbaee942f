//! The rounding of a sum with factors as short as the sum allows.
//!
//! [`tinymlp::requantize`] multiplies to 64 bits. Of a sum within known limits, whose result is limited too, no more is
//! needed than that every result begins at the same sum: for some shorter factors there is a constant with which it does.

/// `floor((sum * factor + constant) / 2^shift)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// Above 0.
    pub factor: i32,
    /// Half of the divisor, more or less.
    pub constant: i32,
    /// At most 30.
    pub shift: u32,
}

/// What equals `requantize(sum, multiplier, scale)`, limited to `min..=max`, for all sums of `least..=most`, with everything in
/// 32 bits; the one with the shortest factor. None, if there is none.
pub fn rescale((multiplier, scale): (i32, u32), (least, most): (i64, i64), (min, max): (i32, i32)) -> Option<Rescale> {
    let m = i64::from(multiplier) << scale;
    if m <= 0 || m >= 1 << 40 || least < -(1 << 24) || most > 1 << 24 {
        return None;
    }
    // By result above the least, the first sum that gives it.
    let firsts: Vec<(i64, i64)> = (min + 1..=max)
        .map(|v| {
            let numerator = (i128::from(v) << 32) - (1 << 31);
            (v.into(), numerator.div_euclid(m.into()) as i64 + i64::from(numerator.rem_euclid(m.into()) > 0))
        })
        .collect();
    // The constants with which the results begin where they do.
    let constants = |factor: i64, shift: u32| {
        let (mut low, mut high) = (i64::MIN, i64::MAX);
        for &(v, first) in &firsts {
            if first <= most {
                low = low.max((v << shift) - first.max(least) * factor);
            }
            if first > least {
                high = high.min((v << shift) - 1 - (first - 1).min(most) * factor);
            }
        }
        (low <= high).then_some((low.max(-(1 << 30)), high.min(1 << 30))).filter(|(low, high)| low <= high)
    };
    (0..=30).find_map(|shift| {
        let near = (i128::from(m) << shift >> 32) as i64;
        ((near - 1).max(1)..=near + 2).find_map(|factor| {
            let (low, high) = constants(factor, shift)?;
            let constant = roundest(low, high);
            let reach = least.abs().max(most.abs()) * factor + constant.abs();
            let found = Rescale { factor: factor as i32, constant: constant as i32, shift };
            (reach <= i64::from(i32::MAX)).then_some(found)
        })
    })
}

/// The number of these limits that is divisible by the largest power of two.
fn roundest(low: i64, high: i64) -> i64 {
    if low <= 0 && high >= 0 {
        return 0;
    }
    let multiple = |bits: u32| high >> bits << bits;
    let bits = (0..31).rev().find(|&bits| multiple(bits) >= low).unwrap_or(0);
    multiple(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_equals_requantize_for_every_sum(
            multiplier in 1..1 << 30i32, scale in 0u32..3, least in -20_000..1i64, most in 0..20_000i64,
            min in -128..1i32, width in 1..256i32,
        ) {
            let max = min + width;
            if let Some(r) = rescale((multiplier, scale), (least, most), (min, max)) {
                for sum in least as i32..=most as i32 {
                    let exact = tinymlp::requantize(sum, multiplier, scale).clamp(min, max);
                    prop_assert_eq!(((sum * r.factor + r.constant) >> r.shift).clamp(min, max), exact, "{} {:?}", sum, r);
                }
            }
        }
    }

    /// Multipliers of 16 significant bits, as plans have them, are their own factors where the sums have no more.
    #[test]
    fn usual_layers_have_one() {
        let r = rescale((0x7a3b << 12, 0), (-9_000, 9_000), (0, 255)).unwrap();
        assert!(r.factor <= 0x7a3b, "{r:?}");
        assert_eq!(rescale((0x7a3b << 12, 0), (-900_000, 900_000), (0, 255)), None);
    }
}
