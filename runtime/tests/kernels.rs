//! Every kernel against its formula, computed another way: over wide integers where the arithmetic is exact, in `f64`
//! where the documentation states an error bound.

use proptest::prelude::*;
use tinymlp::kernels::{
    Add, Affine, ArgMax, ArgMaxBits, Columns, Concat, Div, Gemm, GemmColumns, Interpolate, LayerNormalization,
    LogSoftmax, Lookup, MatMul, Mul, PRelu, Piecewise, ReduceMax, ReduceSum, Rows, Softmax, SoftmaxColumns, Strided,
};
use tinymlp::{Clamp, Element};

fn all<T: Element>(zero_point: i32) -> Clamp<T> {
    Clamp { zero_point: T::truncate(zero_point), min: T::truncate(T::MIN), max: T::truncate(T::MAX) }
}

/// `floor(value / 2^shift)`, saturated to int8.
fn shifted(value: i128, shift: u32) -> i8 {
    value.div_euclid(1 << shift).clamp(-128, 127) as i8
}

/// `requantize` and the zero point, saturated to int8.
fn requantized(acc: i128, multiplier: i32, zero_point: i8) -> i8 {
    let scaled = (acc * multiplier as i128 + (1 << 31)).div_euclid(1 << 32);
    (scaled + zero_point as i128).clamp(-128, 127) as i8
}

/// The kept bits of a value that is not negative, the highest first: as they are wired to the comparator.
fn wires(value: i64, bits: u32) -> Vec<bool> {
    (0..32).rev().filter(|k| bits >> k & 1 == 1).map(|k| value >> k & 1 == 1).collect()
}

/// Factors and terms of a normalization as its integers.
fn normalization(
    factor: &[f64; 24],
    term: &[f64; 24],
    scale: f64,
    zero_point: i32,
    shift: u32,
) -> ([i32; 24], [i32; 24]) {
    let one = f64::from(1 << shift);
    let multiplier = factor.map(|f| (f / scale * 4096.0 * one).round() as i32);
    let bias = term.map(|t| ((t / scale + f64::from(zero_point)) * one).round() as i32 + (1 << (shift - 1)));
    (multiplier, bias)
}

/// A row with mean 0 and variance 1, scaled and moved; a row of equal elements has mean 0 alone.
fn normalized(row: &[f64; 24], factor: &[f64; 24], term: &[f64; 24], epsilon: f64) -> [f64; 24] {
    let mean = row.iter().sum::<f64>() / 24.0;
    let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 24.0;
    let root = (variance + epsilon).sqrt();
    std::array::from_fn(|i| term[i] + if root == 0.0 { 0.0 } else { (row[i] - mean) / root * factor[i] })
}

proptest! {
    #[test]
    fn add(a: [i8; 9], b: [i8; 9], m in [-2_000_000..2_000_000i32, -2_000_000..2_000_000i32], offset in -900_000_000..900_000_000i32, shift in 1u32..28) {
        let mut y = [0i8; 9];
        Add { multiplier: m, offset, shift, output: all(0) }.run(&a, &b, &mut y);
        for i in 0..9 {
            let sum = a[i] as i128 * m[0] as i128 + b[i] as i128 * m[1] as i128 + offset as i128;
            prop_assert_eq!(y[i], shifted(sum, shift));
        }
    }

    /// As a layer over rows between two transpositions.
    #[test]
    fn gemm_columns(x: [[[i8; 7]; 5]; 2], weight: [[i8; 5]; 3], bias in [-9000i32..9000, -9000i32..9000, -9i32..9], multiplier in [0..i32::MAX, 0..9_000_000i32, 0..9_000_000i32], zero_point: i8) {
        let output = all::<i8>(zero_point.into());
        let mut y = [[[0i8; 7]; 3]; 2];
        GemmColumns { weight, bias, multiplier, shift: 1, output }.run(&x, &mut y);
        let layer = Gemm { weight, bias, multiplier, shift: 1, output };
        for b in 0..2 {
            for c in 0..7 {
                let column = [std::array::from_fn(|i| x[b][i][c])];
                let mut expected = [[0i8; 3]];
                layer.run(&column, &mut expected);
                prop_assert_eq!(y[b].map(|row| row[c]), expected[0]);
            }
        }
    }

    /// Tiles of columns are rows of two operands, of which the second may be where the result goes.
    #[test]
    fn columns(a: [[i8; 6]; 5], b: [[i16; 6]; 3]) {
        fn two<const T: usize>(a: &[[i8; 5]; T], b: &[[i16; 3]; T], y: &mut [[i16; 3]; T]) {
            for ((a, b), y) in a.iter().zip(b).zip(y) {
                *y = std::array::from_fn(|o| b[o].wrapping_mul(3).wrapping_add(a[o].into()).wrapping_sub(a[o + 2].into()));
            }
        }
        let column = |c: usize, o: usize| b[o][c].wrapping_mul(3).wrapping_add(a[o][c].into()).wrapping_sub(a[o + 2][c].into());
        let expected: [[i16; 6]; 3] = std::array::from_fn(|o| std::array::from_fn(|c| column(c, o)));
        let mut y = [[0; 6]; 3];
        Columns.run_with(&a, &b, &mut y, two::<1>);
        prop_assert_eq!(y, expected);
        Columns.run_with(&a, &b, &mut y, two::<2>);
        prop_assert_eq!(y, expected);
        y = b;
        Columns.run_in_place_with(&a, &mut y, |b, a, y| two::<3>(a, b, y));
        prop_assert_eq!(y, expected);
        let mut z = a;
        Columns.run_in_place(&mut z, |x: &[[i8; 5]; 2], y| y.iter_mut().zip(x).for_each(|(y, x)| *y = x.map(|x| !x)));
        prop_assert_eq!(z, a.map(|row| row.map(|x| !x)));
        let mut sums = [[0; 6]; 1];
        Columns.run(&a, &mut sums, |x: &[[i8; 5]; 3], y| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = [x.iter().map(|&x| i16::from(x)).sum::<i16>()]);
        });
        prop_assert_eq!(sums, [std::array::from_fn(|c| a.iter().map(|row| i16::from(row[c])).sum::<i16>())]);
    }

    /// Tiles of rows, likewise.
    #[test]
    fn rows(a: [[i8; 2]; 6], b: [[i16; 3]; 6]) {
        fn two<const T: usize>(a: &[[i8; 2]; T], b: &[[i16; 3]; T], y: &mut [[i16; 3]; T]) {
            for ((a, b), y) in a.iter().zip(b).zip(y) {
                *y = b.map(|b| b.wrapping_mul(3).wrapping_add(i16::from(a[0]) - i16::from(a[1])));
            }
        }
        let mut expected = [[0; 3]; 6];
        two(&a, &b, &mut expected);
        let mut y = [[0; 3]; 6];
        Rows.run_with(&a, &b, &mut y, two::<1>);
        prop_assert_eq!(y, expected);
        y = b;
        Rows.run_in_place_with(&a, &mut y, |b, a, y| two::<3>(a, b, y));
        prop_assert_eq!(y, expected);
        let mut z = a;
        Rows.run_in_place(&mut z, |x: &[[i8; 2]; 2], y| *y = x.map(|x| x.map(|x| !x)));
        prop_assert_eq!(z, a.map(|x| x.map(|x| !x)));
        let mut w = [[0; 1]; 6];
        Rows.run(&a, &mut w, |x: &[[i8; 2]; 2], y| *y = x.map(|x| [x[1]]));
        prop_assert_eq!(w, a.map(|x| [x[1]]));
    }

    /// As a softmax over rows between two transpositions.
    #[test]
    fn softmax_columns(x: [[[i8; 3]; 5]; 2], scale in 0.01f64..0.5) {
        let fine: [u16; 256] = std::array::from_fn(|d| (65535.0 * (-scale * d as f64).exp()).round() as u16);
        let output = all::<i8>(-128);
        let mut y = [[[0i8; 3]; 5]; 2];
        SoftmaxColumns { fine, coarse: [], levels: 256, output }.run(&x, &mut y);
        for b in 0..2 {
            for c in 0..3 {
                let mut expected = [[0i8; 5]];
                Softmax { fine, coarse: [], levels: 256, output }.run(&[x[b].map(|row| row[c])], &mut expected);
                prop_assert_eq!(y[b].map(|row| row[c]), expected[0]);
            }
        }
    }

    /// Against the real normalization of the integers, within the documented bound.
    #[test]
    fn layer_normalization(
        x: [[i8; 24]; 2], wide: [[i16; 24]; 2], narrow in 0u32..15, factor in prop::array::uniform24(-2.0f64..2.0),
        term in prop::array::uniform24(-1.0f64..1.0), epsilon in 0.0f64..4.0, scale in 0.01f64..0.06, zero_point in -128i32..128,
    ) {
        let shift = 8u32;
        let (multiplier, bias) = normalization(&factor, &term, scale, zero_point, shift);
        let constants = LayerNormalization {
            epsilon: (epsilon * 24.0 * 24.0 * 256.0).round() as u64, multiplier, bias, shift, output: all::<i8>(0),
        };
        let mut y = [[0i8; 24]; 2];
        constants.run(&x.map(|row| row.map(|v| v >> narrow.min(7))), &mut y);
        for r in 0..2 {
            let row = x[r].map(|v| f64::from(v >> narrow.min(7)));
            let exact = normalized(&row, &factor, &term, epsilon);
            for i in 0..24 {
                let expected = exact[i] / scale + f64::from(zero_point);
                let near = (exact[i] / scale).abs() / (512.0 * 23.0);
                let error = (f64::from(y[r][i]) - expected.clamp(-128.0, 127.0)).abs();
                prop_assert!(error <= 0.512 + near, "{expected} is {} of {row:?}", y[r][i]);
            }
        }

        let shift = 3u32;
        let scale = scale / 256.0;
        let (multiplier, bias) = normalization(&factor, &term, scale, 0, shift);
        let constants = LayerNormalization {
            epsilon: (epsilon * 24.0 * 24.0 * 256.0).round() as u64, multiplier, bias, shift, output: all::<i16>(0),
        };
        let mut y = [[0i16; 24]; 2];
        constants.run(&wide.map(|row| row.map(|v| v >> narrow)), &mut y);
        for r in 0..2 {
            let row = wide[r].map(|v| f64::from(v >> narrow));
            let exact = normalized(&row, &factor, &term, epsilon);
            for i in 0..24 {
                let expected = exact[i] / scale;
                let allowed = 0.5 + 2f64.powi(-2) + 2.0 / scale * 2f64.powi(-20) + expected.abs() * 2f64.powi(-22);
                let near = expected.abs() / (512.0 * 23.0);
                let error = (f64::from(y[r][i]) - expected.clamp(-32768.0, 32767.0)).abs();
                prop_assert!(error <= allowed + near, "{expected} is {} of {row:?}", y[r][i]);
            }
        }
    }

    #[test]
    fn mul(a: [i8; 7], b: [i8; 7], za: i8, zb: i8, multiplier in 0..i32::MAX, zero_point: i8) {
        let mut y = [0i8; 7];
        Mul { zero_point: [za.into(), zb.into()], multiplier, shift: 0, output: all(zero_point.into()) }.run(&a, &b, &mut y);
        for i in 0..7 {
            let product = (a[i] as i128 - za as i128) * (b[i] as i128 - zb as i128);
            prop_assert_eq!(y[i], requantized(product, multiplier, zero_point));
        }
    }

    #[test]
    fn div(a: [i8; 7], b: [i8; 7], za: i8, zb: i8, multiplier in 0..4_000_000i32, zero_point: i8) {
        let (shift, zero) = (12, zero_point as i32);
        let offset = (zero << shift) + (1 << (shift - 1));
        let mut y = [0i8; 7];
        Div { zero_point: [za.into(), zb.into()], multiplier, offset, shift, output: all(zero) }.run(&a, &b, &mut y);
        for i in 0..7 {
            let (n, d) = (a[i] as i128 - za as i128, b[i] as i128 - zb as i128);
            let expected = match (n.signum(), d) {
                (1, 0) => 127,
                (-1, 0) => -128,
                (_, 0) => zero_point,
                _ => shifted(n * multiplier as i128 / d + offset as i128, shift),
            };
            prop_assert_eq!(y[i], expected);
        }
    }

    #[test]
    fn affine(x: [[i8; 3]; 4], m in [-900_000..900_000i32, -9..9i32, 0..8_000_000i32], o in [-9_000_000..9_000_000i32, -9..9i32, 0..1i32], shift in 0u32..20) {
        let mut y = [[0i8; 3]; 4];
        Affine { multiplier: m, offset: o, shift, output: all(0) }.run(&x, &mut y);
        for r in 0..4 {
            for c in 0..3 {
                prop_assert_eq!(y[r][c], shifted(x[r][c] as i128 * m[c] as i128 + o[c] as i128, shift));
            }
        }
    }

    #[test]
    fn affine_changes_the_type(x: [[i8; 1]; 5], m in 0..8_000_000i32) {
        let mut y = [[0i16; 1]; 5];
        Affine { multiplier: [m], offset: [512], shift: 10, output: all(0) }.run(&x, &mut y);
        for r in 0..5 {
            let expected = (x[r][0] as i64 * m as i64 + 512).div_euclid(1024).clamp(-32768, 32767);
            prop_assert_eq!(y[r][0] as i64, expected);
        }
    }

    #[test]
    fn p_relu(x: [[i8; 2]; 3], zero_point in -128..128i32, positive in 0..4_000_000i32, negative in [-4_000_000..4_000_000i32, 0..9i32], shift in 1u32..20) {
        let offset = 1 << (shift - 1);
        let mut y = [[0i8; 2]; 3];
        PRelu { zero_point, positive, negative, offset, shift, output: all(0) }.run(&x, &mut y);
        for r in 0..3 {
            for c in 0..2 {
                let v = x[r][c] as i128 - zero_point as i128;
                let m = if v < 0 { negative[c] } else { positive };
                prop_assert_eq!(y[r][c], shifted(v * m as i128 + offset as i128, shift));
            }
        }
    }

    #[test]
    fn mat_mul(a: [[[i8; 3]; 2]; 2], b: [[[i8; 4]; 3]; 2], za: i8, zb: i8, multiplier in 0..90_000_000i32, zero_point: i8) {
        let mut y = [[[0i8; 4]; 2]; 2];
        let zero = [za.into(), zb.into()];
        MatMul { zero_point: zero, multiplier, shift: 0, output: all(zero_point.into()) }.run(&a, &b, &mut y);
        for batch in 0..2 {
            for m in 0..2 {
                for n in 0..4 {
                    let sum = (0..3).map(|k| (a[batch][m][k] as i128 - za as i128) * (b[batch][k][n] as i128 - zb as i128)).sum();
                    prop_assert_eq!(y[batch][m][n], requantized(sum, multiplier, zero_point));
                }
            }
        }
    }

    #[test]
    fn reductions(x: [[[i8; 3]; 5]; 2], offset in -999..999i32, multiplier in 0..i32::MAX, zero_point: i8) {
        let (mut sum, mut max) = ([[0i8; 3]; 2], [[0i8; 3]; 2]);
        ReduceSum { offset, multiplier, shift: 0, output: all(zero_point.into()) }.run(&x, &mut sum);
        ReduceMax.run(&x, &mut max);
        let (mut first, mut last) = ([[0u16; 3]; 2], [[0u16; 3]; 2]);
        ArgMax { last: false }.run(&x, &mut first);
        ArgMax { last: true }.run(&x, &mut last);
        for o in 0..2 {
            for i in 0..3 {
                let column: Vec<i8> = (0..5).map(|a| x[o][a][i]).collect();
                let total = column.iter().map(|&v| v as i128).sum::<i128>() + offset as i128;
                let largest = *column.iter().max().unwrap();
                prop_assert_eq!(sum[o][i], requantized(total, multiplier, zero_point));
                prop_assert_eq!(max[o][i], largest);
                prop_assert_eq!(first[o][i] as usize, column.iter().position(|&v| v == largest).unwrap());
                prop_assert_eq!(last[o][i] as usize, column.iter().rposition(|&v| v == largest).unwrap());
            }
        }
    }

    #[test]
    fn concat_fills_its_block_only(x: [[i8; 2]; 3], multiplier in 0..8_000_000i32, offset in -9_000_000..9_000_000i32) {
        let mut y = [[55i8; 6]; 3];
        Concat::<i8, 3> { multiplier, offset, shift: 16, output: all(0) }.run(&x, &mut y);
        for r in 0..3 {
            for i in 0..6 {
                let expected = if (3..5).contains(&i) { shifted(x[r][i - 3] as i128 * multiplier as i128 + offset as i128, 16) } else { 55 };
                prop_assert_eq!(y[r][i], expected);
            }
        }
    }

    #[test]
    fn strided_views(x: [i16; 24]) {
        // [2, 3, 4] with its axes reversed, and every second element backwards.
        const REVERSED: Strided<24, 1, 4, 3, 2> = Strided::new(0, [0, 1, 4, 12]);
        const BACKWARDS: Strided<24, 1, 1, 1, 12> = Strided::new(23, [0, 0, 0, -2]);
        let (mut y, mut z) = ([[[[0; 2]; 3]; 4]; 1], [[[[0; 12]; 1]; 1]; 1]);
        REVERSED.run(&x, &mut y);
        BACKWARDS.run(&x, &mut z);
        for a in 0..2 {
            for b in 0..3 {
                for c in 0..4 {
                    prop_assert_eq!(y[0][c][b][a], x[a * 12 + b * 4 + c]);
                }
            }
        }
        for k in 0..12 {
            prop_assert_eq!(z[0][0][0][k], x[23 - 2 * k]);
        }
    }

    #[test]
    fn interpolation_stays_between_its_nodes(x: [i16; 16], slope in 1..60i32) {
        let table: [i16; 513] = std::array::from_fn(|k| ((k as i32 - 256) * slope) as i16);
        let mut y = [0i16; 16];
        Interpolate { table }.run(&x, &mut y);
        for i in 0..16 {
            // A straight line through the nodes: exact to half a step.
            let exact = x[i] as f64 / 128.0 * slope as f64;
            prop_assert!((y[i] as f64 - exact).abs() <= 0.5, "{} {exact}", y[i]);
        }
    }

    #[test]
    fn softmax_error_bound(x: [i8; 10], scale in 0.001f64..1.0) {
        let fine: [u16; 256] = std::array::from_fn(|d| (65535.0 * (-scale * d as f64).exp()).round() as u16);
        let mut y = [[0i8; 10]];
        Softmax { fine, coarse: [], levels: 256, output: all(-128) }.run(&[x], &mut y);
        let max = *x.iter().max().unwrap() as f64;
        let e: Vec<f64> = x.iter().map(|&v| ((v as f64 - max) * scale).exp()).collect();
        let sum: f64 = e.iter().sum();
        for i in 0..10 {
            let exact = (e[i] / sum * 256.0).min(255.0);
            prop_assert!((y[0][i] as f64 + 128.0 - exact).abs() <= 0.51, "{} {exact}", y[0][i]);
        }
    }

    #[test]
    fn softmax_int16_error_bound(x: [i16; 6], scale in 0.00002f64..0.01) {
        let fine: [u16; 256] = std::array::from_fn(|d| (65535.0 * (-scale * d as f64).exp()).round() as u16);
        let coarse: [u16; 256] = std::array::from_fn(|d| (65535.0 * (-scale * 256.0 * d as f64).exp()).round() as u16);
        let mut y = [[0i16; 6]];
        Softmax { fine, coarse, levels: 32768, output: all(0) }.run(&[x], &mut y);
        let max = *x.iter().max().unwrap() as f64;
        let e: Vec<f64> = x.iter().map(|&v| ((v as f64 - max) * scale).exp()).collect();
        let sum: f64 = e.iter().sum();
        for i in 0..6 {
            let exact = (e[i] / sum * 32768.0).min(32767.0);
            // Two roundings of 1/65535 in each exponential: at most 1.5 units of 1/32768 in the quotient.
            prop_assert!((y[0][i] as f64 - exact).abs() <= 2.0, "{} {exact}", y[0][i]);
        }
    }

    #[test]
    fn log_softmax_error_bound(x: [i8; 10], scale in 0.01f64..0.5) {
        let fine: [u16; 256] = std::array::from_fn(|d| (65535.0 * (-scale * d as f64).exp()).round() as u16);
        let out_scale = scale * 255.0 / 250.0;
        let one = 2f64.powi(20);
        let m = [(scale / out_scale * one).round() as i32, (std::f64::consts::LN_2 / 4096.0 / out_scale * one).round() as i32];
        let mut y = [[0i8; 10]];
        LogSoftmax { fine, coarse: [], multiplier: m, offset: (127 << 20) + (1 << 19), shift: 20, output: all(127) }.run(&[x], &mut y);
        let max = *x.iter().max().unwrap() as f64;
        let sum: f64 = x.iter().map(|&v| ((v as f64 - max) * scale).exp()).sum();
        for i in 0..10 {
            let exact = (((x[i] as f64 - max) * scale - sum.ln()) / out_scale).max(-255.0);
            let allowed = 0.51 + (0.0005 + 10.0 / 131_072.0) / out_scale;
            prop_assert!((y[0][i] as f64 - 127.0 - exact).abs() <= allowed, "{} {exact}", y[0][i]);
        }
    }

    /// Against a model in which operands carry their value and index through the tree.
    #[test]
    fn piecewise(
        x: [i16; 9], mut from: [i16; 3], offset in [-9_000_000..9_000_000i32, 0..9i32, -9..9_000_000i32],
        slope: [[i8; 2]; 3], shift in 0u32..13, low: i8, high: i8,
    ) {
        from.sort_unstable();
        from[0] = i16::MIN;
        let slope = slope.map(|terms| terms.map(|t| t % 13));
        let output = Clamp { zero_point: 0, min: low.min(high), max: low.max(high) };
        let mut y = [0i8; 9];
        Piecewise { from, offset, slope, shift, output }.run(&x, &mut y);
        for (x, y) in x.into_iter().zip(y) {
            let s = from.iter().filter(|&&from| from <= x).count() - 1;
            let power = |t: i8| (t.signum() as i128) * ((1i128 << t.unsigned_abs()) / 2);
            let sum = offset[s] as i128 + (power(slope[s][0]) + power(slope[s][1])) * x as i128;
            let expected = sum.div_euclid(1 << shift).clamp(output.min.into(), output.max.into());
            prop_assert_eq!(y as i128, expected);
        }
    }

    #[test]
    fn arg_max_bits_finds_what_wired_comparators_find(
        x: [[[i16; 2]; 6]; 3], offset in 0i32..60_000, bits: [u32; 5],
        picks in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>()), 5),
    ) {
        let mut left_over: Vec<u16> = (0..6).collect();
        let (mut left, mut right) = ([0u16; 5], [0u16; 5]);
        for (k, (a, b)) in picks.iter().enumerate() {
            right[k] = left_over.remove(b.index(left_over.len()));
            left[k] = *a.get(&left_over);
        }
        let mut y = [[99; 2]; 3];
        ArgMaxBits { offset, left, right, bits }.run(&x, &mut y);
        for (x, y) in x.iter().zip(y) {
            for (i, y) in y.into_iter().enumerate() {
                let value = |x: i16| if (x as i64) < -(offset as i64) { 0 } else { x as i64 + offset as i64 };
                let mut operands: Vec<(i64, u16)> = (0..6).map(|k| (value(x[k as usize][i]), k)).collect();
                for k in 0..5 {
                    let (a, b) = (operands[left[k] as usize], operands[right[k] as usize]);
                    // `Vec<bool>` compares from its first element on, the highest bit.
                    let right_wins = wires(b.0, bits[k]) > wires(a.0, bits[k]);
                    operands[left[k] as usize] = if right_wins { b } else { a };
                }
                prop_assert_eq!(y, operands[left[4] as usize].1);
            }
        }
    }

    #[test]
    fn arg_max_bits_of_all_bits_is_arg_max(x: [[[i32; 1]; 4]; 5]) {
        let x = x.map(|x| x.map(|x| [x[0] >> 2]));
        let layer = ArgMaxBits { offset: 1 << 29, left: [0, 2, 0], right: [1, 3, 2], bits: [u32::MAX; 3] };
        let mut y = [[99; 1]; 5];
        layer.run(&x, &mut y);
        for (x, y) in x.iter().zip(y) {
            let largest = x.iter().max().unwrap_or(&x[0]);
            prop_assert_eq!(Some(usize::from(y[0])), x.iter().position(|x| x == largest));
        }
    }
}

#[test]
fn lookup_covers_all_256_inputs() {
    let table: [i8; 256] = std::array::from_fn(|bits| (bits as u8 as i8).wrapping_mul(3));
    let x: [i8; 256] = std::array::from_fn(|i| (i as i32 - 128) as i8);
    let mut y = [0i8; 256];
    let layer = Lookup { table };
    layer.run(&x, &mut y);
    let mut z = x;
    layer.run_in_place(&mut z);
    for i in 0..256 {
        assert_eq!((y[i], z[i]), (x[i].wrapping_mul(3), x[i].wrapping_mul(3)));
    }
}

#[test]
fn arg_max_bits_of_one_element() {
    let mut y = [[99; 1]; 2];
    ArgMaxBits { offset: 0, left: [], right: [], bits: [] }.run(&[[[3i8]], [[-3]]], &mut y);
    assert_eq!(y, [[0], [0]]);
}
