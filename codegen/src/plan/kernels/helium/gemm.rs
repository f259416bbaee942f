//! Fully connected layer over vectors of int8.

use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel, Limits};
use tinymlp::arch::helium::{CHUNK, dynamic, last};

/// See [`tinymlp::arch::helium::Gemm`].
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    shift: u32,
    limits: Limits,
    stream: Vec<u32>,
}

impl Gemm {
    /// Instructions of one row, its call from a generated module included. They are what an emulator counts, not cycles: a vector instruction of a Cortex-M55
    /// takes two, of which it shares one with its neighbour where a load stands beside a multiplication.
    pub fn instructions(inputs: usize, outputs: usize, shift: u32) -> u64 {
        let (fours, last, vectors) = (outputs / 4, outputs % 4, inputs.div_ceil(CHUNK));
        let scaled = usize::from(shift > 0);
        let four = 13 + scaled + 10 * vectors;
        let rest = match last {
            0 => 0,
            _ => 12 + scaled + last + usize::from(last > 1) + (2 + 2 * last) * vectors,
        };
        (16 + fours * four + rest) as u64
    }

    /// The layer `from`, which has inputs.
    pub fn new(from: &kernels::Gemm) -> Self {
        let &kernels::Gemm { rows, inputs, outputs, shift, limits, .. } = from;
        let mut stream = Vec::new();
        for first in (0..outputs).step_by(4) {
            let group = first..(first + 4).min(outputs);
            stream.extend(from.bias[group.clone()].iter().map(|&b| b as u32));
            for k in (0..inputs).step_by(CHUNK) {
                for o in group.clone() {
                    let weight = |k: usize| if k < inputs { from.weight[o * inputs + k] as u8 } else { 0 };
                    let words = (k..k + CHUNK).step_by(4);
                    stream.extend(words.map(|k| u32::from_le_bytes([k, k + 1, k + 2, k + 3].map(weight))));
                }
            }
            stream.extend(from.multiplier[group].iter().map(|&m| m as u32));
        }
        Self { rows, inputs, outputs, shift, limits, stream }
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
        let (Buffer::I8(x), Buffer::I8(y)) = (x[0], y) else { unreachable!("the layer takes int8 to int8") };
        for (x, y) in x.chunks_exact(self.inputs).zip(y.chunks_exact_mut(self.outputs)) {
            dynamic::gemm(&self.stream, x, self.shift, self.limits.clamp(), y);
        }
    }

    fn constant(&self) -> Constant {
        let Self { inputs, outputs, shift, .. } = *self;
        let (n, last) = (self.stream.len(), last(outputs));
        Constant {
            ty: format!("Gemm<{inputs}, {outputs}, {n}, {last}, {shift}>"),
            fields: Fields::New(vec![
                ("output", Field::Limits(self.limits)),
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
    use crate::plan::Type;
    use proptest::prelude::*;

    /// Few or many, and around the sizes of vectors and groups.
    fn size() -> impl Strategy<Value = usize> {
        prop_oneof![1usize..40, (1usize..20, 0usize..3).prop_map(|(n, d)| 16 * n + d - 1), 1usize..=1000]
    }

    /// Numbers within limits, and often the limits themselves.
    fn numbers(len: usize, min: i32, max: i32) -> impl Strategy<Value = Vec<i32>> {
        prop::collection::vec(prop_oneof![1 => Just(min), 1 => Just(max), 6 => min..=max], len)
    }

    fn bytes(len: usize) -> impl Strategy<Value = Vec<i8>> {
        numbers(len, -128, 127).prop_map(|v| v.into_iter().map(|x| x as i8).collect())
    }

    /// A layer and its operand.
    fn layers() -> impl Strategy<Value = (kernels::Gemm, Vec<i8>)> {
        // A layer of many inputs has few outputs.
        let sizes = (1usize..4, size(), size())
            .prop_map(|(rows, inputs, outputs)| (rows, inputs, if inputs > 100 { outputs % 41 + 1 } else { outputs }));
        sizes.prop_flat_map(|(rows, inputs, outputs)| {
            let bias = prop_oneof![numbers(outputs, i32::MIN, i32::MAX), numbers(outputs, -20_000, 20_000)];
            let multiplier = prop_oneof![numbers(outputs, 0, i32::MAX), numbers(outputs, 0, 20_000_000)];
            let shift = prop_oneof![3 => Just(0u32), 1 => 0u32..=30];
            let limits = prop_oneof![Just((-128, 127)), (-128i32..=127, -128i32..=127)];
            let numbers = (bytes(inputs * outputs), bias, multiplier, shift, -128i32..=127, limits);
            (numbers, bytes(rows * inputs)).prop_map(
                move |((weight, bias, multiplier, shift, zero_point, (a, b)), x)| {
                    let limits = Limits { ty: Type::I8, zero_point, min: a.min(b), max: a.max(b) };
                    (kernels::Gemm { rows, inputs, outputs, weight, bias, multiplier, shift, limits }, x)
                },
            )
        })
    }

    proptest! {
        #[test]
        fn equals_the_portable_layer((layer, x) in layers()) {
            let x = Buffer::I8(x);
            let [mut expected, mut y] = [(); 2].map(|()| Buffer::new(Type::I8, layer.rows * layer.outputs));
            layer.run(&[&x], &mut expected);
            let packed = Gemm::new(&layer);
            prop_assert_eq!(packed.stream.len(), tinymlp::arch::helium::stream_len(layer.inputs, layer.outputs));
            packed.run(&[&x], &mut y);
            prop_assert_eq!(y, expected);
        }
    }

    /// What the emulated mps3-an547 counts for digits, mnist and wdbc of the benchmark.
    #[test]
    fn instructions_of_models() {
        let count = |sizes: &[usize]| sizes.windows(2).map(|s| Gemm::instructions(s[0], s[1], 0)).sum::<u64>();
        assert_eq!(count(&[64, 32, 10]), 549);
        assert_eq!(count(&[784, 64, 32, 10]), 8613);
        assert_eq!(count(&[30, 10, 2]), 146);
    }
}
