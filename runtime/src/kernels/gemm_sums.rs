//! Fully connected layer whose sums are the result: ONNX `Gemm` before an `ArgMax`.

use crate::Element;

/// A fully connected layer over the last axis, `R` rows of `I` features to `R` rows of `O` sums.
///
/// `y[r][o] = bias[o] + sum over i of weight[o][i] * x[r][i]`
///
/// All outputs have one weight scale, so that the sums compare as the real results do, and nothing is rounded. The
/// code generator proves for every layer that no partial sum leaves an `i32`.
#[derive(Clone, Debug)]
pub struct GemmSums<const I: usize, const O: usize> {
    /// One row an output.
    pub weight: [[i8; I]; O],
    /// `round(real bias / (input scale * weight scale)) - input zero point * sum of the row's weights`.
    pub bias: [i32; O],
}

impl<const I: usize, const O: usize> GemmSums<I, O> {
    /// Computes all rows.
    #[inline(always)]
    pub fn run<X: Element, const R: usize>(&self, x: &[[X; I]; R], y: &mut [[i32; O]; R]) {
        gemm_sums(x.as_flattened(), I, self.weight.as_flattened(), &self.bias, y.as_flattened_mut());
    }
}

/// [`GemmSums`] over slices: rows of `inputs` elements, weights of `outputs x inputs`.
#[inline(never)]
pub fn gemm_sums<X: Element>(mut x: &[X], inputs: usize, weight: &[i8], bias: &[i32], mut y: &mut [i32]) {
    while let (Some(x), Some(y)) = (x.split_off(..inputs), y.split_off_mut(..bias.len())) {
        if y.is_empty() {
            return;
        }
        let mut weight = weight;
        for (&bias, y) in bias.iter().zip(y) {
            let row = weight.split_off(..inputs).unwrap_or_default();
            *y = row.iter().zip(x).fold(bias, |acc, (&w, &x)| acc.wrapping_add(i32::from(w).wrapping_mul(x.into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_formula_over_wide_integers(x: [[i8; 5]; 2], weight: [[i8; 5]; 3], bias: [i16; 3]) {
            let mut y = [[0; 3]; 2];
            GemmSums { weight, bias: bias.map(i32::from) }.run(&x, &mut y);
            for r in 0..2 {
                for o in 0..3 {
                    let sum: i64 = (0..5).map(|i| weight[o][i] as i64 * x[r][i] as i64).sum::<i64>() + bias[o] as i64;
                    prop_assert_eq!(y[r][o] as i64, sum);
                }
            }
        }
    }
}
