//! Random networks: the program gives what the portable kernels do.

use super::{End, Layer, Network, Style, lower};
use proptest::prelude::*;
use tinymlp::Clamp;
use tinymlp::kernels::dynamic;

#[derive(Clone, Debug)]
struct Random {
    inputs: usize,
    weight: Vec<i8>,
    masks: Option<Vec<u8>>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: u32,
    zero_point: i32,
    max: i32,
}

fn weight() -> impl Strategy<Value = i8> {
    let power = (0u32..7, any::<bool>()).prop_map(|(e, minus)| if minus { -(1 << e) } else { 1 << e });
    prop_oneof![Just(0), power, -127..=127i8]
}

fn layer(inputs: usize, outputs: usize) -> impl Strategy<Value = Random> {
    let mask = prop_oneof![Just(0u8), Just(255), any::<u8>()];
    let bias = prop_oneof![-300..300i32, -100_000..100_000i32, Just(-(1 << 30)), Just(1 << 30)];
    let power = (17u32..31).prop_map(|k| 1 << k);
    let multiplier = prop_oneof![power.clone(), power, 0..1 << 26i32];
    (
        prop::collection::vec(weight(), inputs * outputs),
        prop::option::of(prop::collection::vec(mask, inputs * outputs)),
        prop::collection::vec(bias, outputs),
        prop::collection::vec(multiplier, outputs),
        prop_oneof![Just(-128), Just(0), -100..100i32],
        prop_oneof![Just(127), Just(-113)],
        0u32..=1,
    )
        .prop_map(move |(weight, masks, bias, multiplier, zero_point, max, shift)| Random {
            inputs,
            weight,
            masks,
            // The shift must not lose bits.
            bias: bias.iter().map(|b| b >> shift).collect(),
            multiplier,
            shift,
            zero_point: if max < 0 { -128 } else { zero_point },
            max,
        })
}

/// Layers, the largest input, the search for the largest and whether it is of sums, rows.
type Case = (Vec<Random>, i32, Option<(bool, bool)>, Vec<Vec<i8>>);

fn networks() -> impl Strategy<Value = Case> {
    (1usize..12, 1usize..6, 1usize..6, any::<bool>(), prop_oneof![Just(127), Just(-113), Just(-100)]).prop_flat_map(
        |(a, b, c, deep, max)| {
            let layers = if deep { vec![layer(a, b).boxed(), layer(b, c).boxed()] } else { vec![layer(a, c).boxed()] };
            let x = prop_oneof![Just(-128i8), Just(max as i8), -128..=max as i8];
            let rows = prop::collection::vec(prop::collection::vec(x, a), 8);
            (layers, Just(max), any::<Option<(bool, bool)>>(), rows)
        },
    )
}

/// What the runtime's kernels make of a row.
fn portable(layers: &[Random], arg_max: Option<(bool, bool)>, row: &[i8]) -> Vec<i32> {
    let mut x = row.to_vec();
    for (k, l) in layers.iter().enumerate() {
        let (weight, bias) = (&l.weight[..], &l.bias[..]);
        if let (true, Some((last, true))) = (k + 1 == layers.len(), arg_max) {
            let (mut sums, mut index) = (vec![0; bias.len()], [0]);
            match &l.masks {
                Some(masks) => dynamic::gemm_masked_sums(&x, l.inputs, (weight, masks, bias), &mut sums),
                None => dynamic::gemm_sums(&x, l.inputs, weight, bias, &mut sums),
            }
            dynamic::arg_max(&sums, bias.len(), 1, last, &mut index);
            return vec![index[0].into()];
        }
        let mut y = vec![0i8; bias.len()];
        let clamp = Clamp { zero_point: l.zero_point as i8, min: -128, max: l.max as i8 };
        match &l.masks {
            Some(masks) => {
                let scale = (&l.multiplier[..], l.shift);
                dynamic::gemm_masked(&x, l.inputs, (weight, masks, bias), scale, clamp, &mut y);
            }
            None => dynamic::gemm(&x, l.inputs, (weight, bias, &l.multiplier, l.shift), clamp, &mut y),
        }
        x = y;
    }
    if let Some((last, false)) = arg_max {
        let mut index = [0];
        dynamic::arg_max(&x, x.len(), 1, last, &mut index);
        return vec![index[0].into()];
    }
    x.iter().map(|&q| q.into()).collect()
}

proptest! {
    #[test]
    fn programs_give_what_the_kernels_do((mut layers, max, arg_max, rows) in networks()) {
        // Masks are of operands whose zero point is -128.
        for k in 1..layers.len() {
            if layers[k - 1].zero_point != -128 {
                layers[k].masks = None;
            }
        }
        let count = layers.len();
        let end = |k: usize, l| {
            let Random { multiplier, shift, zero_point, max, .. }: &Random = l;
            let sums = k + 1 == count && arg_max.is_some_and(|(_, sums)| sums);
            let (shift, zero_point, min, max) = (*shift, *zero_point, -128, *max);
            if sums { End::Sums } else { End::Requantize { multiplier, shift, zero_point, min, max } }
        };
        let layer = |(k, l)| {
            let Random { inputs, weight, masks, bias, .. }: &Random = l;
            Layer { inputs: *inputs, weight, masks: masks.as_deref(), bias, end: end(k, l) }
        };
        let network = Network { layers: layers.iter().enumerate().map(layer).collect(), limits: (-128, max), arg_max: arg_max.map(|(last, _)| last) };
        for style in Style::all() {
            let program = lower(&network, style);
            for row in &rows {
                let found = portable(&layers, arg_max, row);
                prop_assert_eq!(&program.run(row), &found, "{:#?}", program.ops);
                if program.is_narrow() {
                    prop_assert_eq!(&program.evaluate(row, |n| (n as i16).into()), &found, "{:#?}", program.ops);
                }
            }
        }
    }
}

/// Two classes of the same sum: the first, or the last.
#[test]
fn ties_are_decided() {
    for (last, index) in [(false, 0), (true, 2)] {
        let layer = Layer { inputs: 1, weight: &[4, 0, 4], masks: None, bias: &[1, 0, 1], end: End::Sums };
        let network = Network { layers: vec![layer], limits: (-128, 127), arg_max: Some(last) };
        for style in Style::all() {
            assert_eq!(lower(&network, style).run(&[9]), [index]);
        }
    }
}
