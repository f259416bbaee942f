//! Index of the largest element: ONNX `ArgMax`.

use crate::Elementary;

/// Index of the largest of `AXIS` elements, for each of `OUTER x INNER` places.
#[derive(Clone, Copy, Debug)]
pub struct ArgMax {
    /// Among equals, take the last (ONNX `select_last_index`) instead of the first.
    pub last: bool,
}

impl ArgMax {
    /// Computes all indices.
    #[inline(always)]
    pub fn run<X: Elementary, const INNER: usize, const AXIS: usize, const OUTER: usize>(
        &self,
        x: &[[[X; INNER]; AXIS]; OUTER],
        y: &mut [[u16; INNER]; OUTER],
    ) {
        const { assert!(AXIS > 0 && (AXIS - 1) as u16 as usize == AXIS - 1, "an index is 16 bits") };
        arg_max(x.as_flattened().as_flattened(), AXIS, INNER, self.last, y.as_flattened_mut());
    }
}

/// [`ArgMax`] over slices.
pub fn arg_max<X: Elementary>(mut x: &[X], axis: usize, inner: usize, last: bool, mut y: &mut [u16]) {
    let (axis, inner) = (axis.max(1), inner.max(1));
    let block = axis.wrapping_mul(inner);
    while let (Some(x), Some(y)) = (x.split_off(..block), y.split_off_mut(..inner)) {
        for (i, y) in y.iter_mut().enumerate() {
            let (mut largest, mut index) = (X::LEAST, 0);
            for (k, &x) in x.iter().skip(i).step_by(inner).enumerate() {
                if x > largest || (last && x == largest) {
                    (largest, index) = (x, k as u16);
                }
            }
            *y = index;
        }
    }
}
