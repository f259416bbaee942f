//! Canonical signed digits (Reitwiesner 1960): no two neighbours are non-zero, which are the fewest.

/// The places of the digits 1 and of the digits -1 of a magnitude.
pub fn signed_digits(magnitude: u8) -> (u32, u32) {
    // Of three times a number less the number, halved, where no carry passes.
    let magnitude = u32::from(magnitude);
    let half = magnitude >> 1;
    let three_halves = magnitude + half;
    let differ = half ^ three_halves;
    (three_halves & differ, half & differ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_add_up_and_no_two_stand_side_by_side() {
        for magnitude in 0..=u8::MAX {
            let (ones, others) = signed_digits(magnitude);
            assert_eq!(i64::from(ones) - i64::from(others), i64::from(magnitude));
            let digits = ones | others;
            assert_eq!((ones & others, digits & digits << 1), (0, 0), "{magnitude}");
        }
    }
}
