//! Fully connected layer over vectors of int8 or int16.

use crate::plan::Type;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use tinymlp::arch::helium::{dynamic, lanes, last};

/// See [`tinymlp::arch::helium::Gemm`].
#[derive(Clone, Debug)]
pub struct Gemm {
    /// Number type of the input.
    x: Type,
    rows: usize,
    inputs: usize,
    outputs: usize,
    shift: u32,
    limits: Limits,
    stream: Vec<u32>,
}

impl Gemm {
    /// Instructions of one row. They are what an emulator counts, not cycles: a vector instruction of a Cortex-M55
    /// takes two, of which it shares one with its neighbour where a load stands beside a multiplication.
    pub fn instructions(x: Type, inputs: usize, outputs: usize, shift: u32) -> u64 {
        let (fours, last, vectors) = (outputs / 4, outputs % 4, inputs.div_ceil(lanes(x.bytes())));
        let scaled = usize::from(shift > 0);
        let four = 13 + scaled + 10 * vectors;
        let rest = match last {
            0 => 0,
            _ => 12 + scaled + last + usize::from(last > 1) + (2 + 2 * last) * vectors,
        };
        (8 + fours * four + rest) as u64
    }

    /// The layer `from`, which has inputs, of this type.
    pub fn new(from: &kernels::Gemm, x: Type) -> Self {
        let lanes = lanes(x.bytes());
        let &kernels::Gemm { rows, inputs, outputs, shift, limits, .. } = from;
        let mut stream = Vec::new();
        for first in (0..outputs).step_by(4) {
            let group = first..(first + 4).min(outputs);
            stream.extend(from.bias[group.clone()].iter().map(|&b| b as u32));
            for k in (0..inputs).step_by(lanes) {
                for o in group.clone() {
                    let weight = |k: usize| if k < inputs { from.weight[o * inputs + k] as u8 } else { 0 };
                    let words = (k..k + lanes).step_by(4);
                    stream.extend(words.map(|k| u32::from_le_bytes([k, k + 1, k + 2, k + 3].map(weight))));
                }
            }
            stream.extend(from.multiplier[group].iter().map(|&m| m as u32));
        }
        Self { x, rows, inputs, outputs, shift, limits, stream }
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        "Gemm"
    }

    fn module(&self) -> &'static str {
        "arch::helium"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        activation!(x[0], x => activation!(y, y => {
            for (x, y) in x.chunks_exact(self.inputs).zip(y.chunks_exact_mut(self.outputs)) {
                dynamic::gemm(&self.stream, x, self.shift, self.limits.clamp(), y);
            }
        }));
    }

    fn cost(&self, _: &Seen) -> Option<Cost> {
        let row = Self::instructions(self.x, self.inputs, self.outputs, self.shift) as usize;
        let (last, scaled) = (last(self.outputs), usize::from(self.shift > 0));
        let (x, y) = (self.x.name(), self.limits.ty.name());
        let rest = match last {
            0 => 0,
            _ => 54 + 4 * scaled + 12 * last + if last > 1 { 4 } else { 0 },
        };
        Some(Cost {
            instructions: Instructions::fixed(row).times(self.rows),
            code: vec![Function {
                name: format!("helium::gemm<{x}, {y}, {last}, {}>", self.shift),
                bytes: 112 + 4 * scaled + rest,
            }],
            head: 20,
            stack: 32,
            fixed: true,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let Self { inputs, outputs, shift, .. } = *self;
        let (n, last) = (self.stream.len(), last(outputs));
        let (x, y) = (self.x.name(), self.limits.ty.name());
        Constant {
            ty: format!("Gemm<{x}, {y}, {inputs}, {outputs}, {n}, {last}, {shift}>"),
            fields: Fields::New(vec![
                ("zero_point", Field::Integer(self.limits.zero_point.into())),
                ("min", Field::Integer(self.limits.min.into())),
                ("max", Field::Integer(self.limits.max.into())),
                ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.inputs], vec![self.rows, self.outputs]]
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Few or many, and around the sizes of vectors and groups.
    fn size() -> impl Strategy<Value = usize> {
        prop_oneof![1usize..40, (1usize..20, 0usize..3).prop_map(|(n, d)| 16 * n + d - 1), 1usize..=1000]
    }

    /// Numbers within limits, and often the limits themselves.
    fn numbers(len: usize, min: i32, max: i32) -> impl Strategy<Value = Vec<i32>> {
        prop::collection::vec(prop_oneof![1 => Just(min), 1 => Just(max), 6 => min..=max], len)
    }

    fn activations() -> impl Strategy<Value = Type> {
        prop_oneof![2 => Just(Type::I8), 1 => Just(Type::I16)]
    }

    /// A layer, the type of its operand, and the operand.
    fn layers() -> impl Strategy<Value = (kernels::Gemm, Type, Buffer)> {
        // A layer of many inputs has few outputs.
        let sizes = (1usize..4, size(), size())
            .prop_map(|(rows, inputs, outputs)| (rows, inputs, if inputs > 100 { outputs % 41 + 1 } else { outputs }));
        (sizes, activations(), activations()).prop_flat_map(|((rows, inputs, outputs), x_ty, y_ty)| {
            let (low, high) = y_ty.limits();
            let bias = prop_oneof![numbers(outputs, i32::MIN, i32::MAX), numbers(outputs, -20_000, 20_000)];
            let multiplier = prop_oneof![numbers(outputs, 0, i32::MAX), numbers(outputs, 0, 20_000_000)];
            let shift = prop_oneof![3 => Just(0u32), 1 => 0u32..=30];
            let limits = prop_oneof![Just((low, high)), (low..=high, low..=high)];
            let constants = (numbers(inputs * outputs, -128, 127), bias, multiplier, shift, low..=high, limits);
            let x = numbers(rows * inputs, x_ty.limits().0, x_ty.limits().1);
            (constants, x).prop_map(move |((weight, bias, multiplier, shift, zero_point, (a, b)), x)| {
                let limits = Limits { ty: y_ty, zero_point, min: a.min(b), max: a.max(b) };
                let weight = weight.iter().map(|&w| w as i8).collect();
                let layer = kernels::Gemm { rows, inputs, outputs, weight, bias, multiplier, shift, limits };
                (layer, x_ty, Buffer::from_integers(x_ty, &x))
            })
        })
    }

    proptest! {
        #[test]
        fn equals_the_portable_layer((layer, x_ty, x) in layers()) {
            let [mut expected, mut y] = [(); 2].map(|()| Buffer::new(layer.limits.ty, layer.rows * layer.outputs));
            layer.run(&[&x], &mut expected);
            let packed = Gemm::new(&layer, x_ty);
            let len = tinymlp::arch::helium::stream_len(x_ty.bytes(), layer.inputs, layer.outputs);
            prop_assert_eq!(packed.stream.len(), len);
            packed.run(&[&x], &mut y);
            prop_assert_eq!(y, expected);
        }
    }

    /// What the emulated mps3-an547 counts for digits, mnist and wdbc of the benchmark: eight for a call.
    #[test]
    fn instructions_of_models() {
        let count =
            |sizes: &[usize]| sizes.windows(2).map(|s| 8 + Gemm::instructions(Type::I8, s[0], s[1], 0)).sum::<u64>();
        assert_eq!(count(&[64, 32, 10]), 549);
        assert_eq!(count(&[784, 64, 32, 10]), 8613);
        assert_eq!(count(&[30, 10, 2]), 146);
    }
}
