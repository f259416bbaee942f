//! Canonical signed digits (Reitwiesner 1960): no two neighbours are non-zero, which are the fewest.

/// The places of the digits 1 and of the digits -1 of a magnitude below 2^31.
pub fn signed_digits(magnitude: u32) -> (u32, u32) {
    // Of three times a number less the number, halved, where no carry passes.
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
        for magnitude in (0..=0x1ff).chain([0x5555_5555, 0x7fff_ffff]) {
            let (ones, others) = signed_digits(magnitude);
            assert_eq!(i64::from(ones) - i64::from(others), i64::from(magnitude));
            let digits = ones | others;
            assert_eq!((ones & others, digits & digits << 1), (0, 0), "{magnitude}");
        }
    }
}
