//! Fully connected layer over vectors of int8 or int16, its weights of eight bits or four.

use crate::plan::Type;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Dense, Field, Fields, Kernel, Limits, activation};
use crate::quantize::format::Format;
use tinymlp::arch::helium::{Content, dynamic, lanes, last};

/// See [`tinymlp::arch::helium::Gemm`], `GemmSums`, `GemmPacked` and `GemmPackedSums`.
#[derive(Clone, Debug)]
pub struct Gemm {
    /// Number type of the input.
    x: Type,
    rows: usize,
    inputs: usize,
    outputs: usize,
    shift: u32,
    limits: Limits,
    content: Content,
    stream: Vec<u32>,
}

/// What the first of two outputs that share their weights' bytes is multiplied by until its sum is complete.
const FIRST: i64 = 16;

impl Gemm {
    /// Instructions of one row. They are what an emulator counts, not cycles: a vector instruction of a Cortex-M55
    /// takes two, of which it shares one with its neighbour where a load stands beside a multiplication.
    pub fn instructions(content: Content, inputs: usize, outputs: usize, shift: u32) -> u64 {
        let (fours, last, vectors) = (outputs / 4, outputs % 4, inputs.div_ceil(lanes(content.bytes)));
        // What a group has beside its vectors: scaling, and the sums that have to be shifted.
        let scaled = if content.sums { 0 } else { 5 + usize::from(shift > 0) };
        let packed = if content.packed { 2 } else { 0 };
        let products = |size: usize| match content.packed {
            true => 5 * (size / 2) + 3 * (size % 2),
            false => 2 * size,
        };
        let four = 8 + packed + scaled + (2 + products(4)) * vectors;
        let rest = match last {
            0 => 0,
            _ => {
                let scaled = if content.sums { 0 } else { scaled + 1 };
                6 + packed + scaled + last + usize::from(last > 1) + (2 + products(last)) * vectors
            }
        };
        (8 + packed + fours * four + rest) as u64
    }

    /// The layer `from`, which has inputs, of this type; none where it has masks.
    pub fn new(from: Dense, x: Type) -> Option<Self> {
        Self::with(from, Content { bytes: x.bytes(), packed: false, sums: from.sums }, x)
    }

    /// The same with weights of four bits; none where one needs more, or an operand is no int8.
    pub fn packed(from: Dense, x: Type) -> Option<Self> {
        // The proof that what is shifted at the end still has 32 bits.
        let fits = |o: usize| {
            let (low, high) = from.layer.sums(o, x.limits());
            FIRST * low >= i64::from(i32::MIN) && FIRST * high <= i64::from(i32::MAX)
        };
        let packs = x == Type::I8 && from.layer.weight.iter().all(|&w| Format::Int4.holds(w));
        let packs = packs && (0..from.layer.outputs).step_by(2).all(fits);
        packs.then(|| Self::with(from, Content { bytes: 1, packed: true, sums: from.sums }, x)).flatten()
    }

    fn with(from: Dense, content: Content, x: Type) -> Option<Self> {
        let Dense { layer, masks: None, sums } = from else { return None };
        let lanes = lanes(content.bytes);
        let &kernels::Gemm { rows, inputs, outputs, shift, limits, .. } = layer;
        let mut stream = Vec::new();
        for first in (0..outputs).step_by(4) {
            let group = first..(first + 4).min(outputs);
            let bias = |o: usize| match content.packed && o.is_multiple_of(2) {
                true => layer.bias[o].wrapping_mul(FIRST as i32),
                false => layer.bias[o],
            };
            stream.extend(group.clone().map(|o| bias(o) as u32));
            for k in (0..inputs).step_by(lanes) {
                for o in group.clone().step_by(if content.packed { 2 } else { 1 }) {
                    let of = |o: usize, k: usize| {
                        if k < inputs && group.contains(&o) { layer.weight[o * inputs + k] as u8 } else { 0 }
                    };
                    let weight = |k: usize| match content.packed {
                        true => of(o, k) & 15 | of(o + 1, k) << 4,
                        false => of(o, k),
                    };
                    let words = (k..k + lanes).step_by(4);
                    stream.extend(words.map(|k| u32::from_le_bytes([k, k + 1, k + 2, k + 3].map(weight))));
                }
            }
            stream.extend(group.filter(|_| !sums).map(|o| layer.multiplier[o] as u32));
        }
        let shift = if sums { 0 } else { shift };
        Some(Self { x, rows, inputs, outputs, shift, limits, content, stream })
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        match (self.content.packed, self.content.sums) {
            (false, false) => "Gemm",
            (false, true) => "GemmSums",
            (true, false) => "GemmPacked",
            (true, true) => "GemmPackedSums",
        }
    }

    fn module(&self) -> &'static str {
        "arch::helium"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (stream, packed) = (&self.stream, self.content.packed);
        activation!(x[0], x => {
            for (row, x) in x.chunks_exact(self.inputs).enumerate() {
                let at = row * self.outputs..(row + 1) * self.outputs;
                match &mut *y {
                    Buffer::I32(y) => dynamic::gemm_sums(stream, x, packed, &mut y[at]),
                    y => activation!(y, y => {
                        dynamic::gemm(stream, x, packed, self.shift, self.limits.clamp(), &mut y[at]);
                    }),
                }
            }
        });
    }

    fn cost(&self, _: &Seen) -> Option<Cost> {
        let row = Self::instructions(self.content, self.inputs, self.outputs, self.shift) as usize;
        let (last, scaled) = (last(self.outputs), usize::from(self.shift > 0));
        let (x, y) = (self.x.name(), if self.content.sums { "i32" } else { self.limits.ty.name() });
        let Content { packed, sums, .. } = self.content;
        // Of vectors: a load and a product, or a load and two shifts and products.
        let of = |size: usize| if packed { 20 * (size / 2) + 12 * (size % 2) } else { 8 * size };
        let shifts = if packed { 4 } else { 0 };
        let results = if sums { 0 } else { 20 + 4 * scaled };
        let rest = match last {
            0 => 0,
            _ => {
                let results = if sums { 0 } else { results + 4 };
                30 + results + shifts + 4 * last + of(last) + if last > 1 { 4 } else { 0 }
            }
        };
        let frame = if packed { 8 } else { 0 };
        Some(Cost {
            instructions: Instructions::fixed(row).times(self.rows),
            code: vec![Function {
                name: format!("helium::gemm<{x}, {y}, {last}, {}, {packed}>", self.shift),
                bytes: 60 + results + shifts + frame + of(4) + rest,
            }],
            head: 20,
            stack: 32 + if packed { 16 } else { 0 },
            fixed: true,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let Self { inputs, outputs, shift, .. } = *self;
        let (op, n, last) = (self.op(), self.stream.len(), last(outputs));
        let (x, y) = (self.x.name(), self.limits.ty.name());
        let ty = match op {
            "Gemm" => format!("{op}<{x}, {y}, {inputs}, {outputs}, {n}, {last}, {shift}>"),
            "GemmSums" => format!("{op}<{x}, {inputs}, {outputs}, {n}, {last}>"),
            "GemmPacked" => format!("{op}<{y}, {inputs}, {outputs}, {n}, {last}, {shift}>"),
            _ => format!("{op}<{inputs}, {outputs}, {n}, {last}>"),
        };
        let Limits { zero_point, min, max, .. } = self.limits;
        let limits = [("zero_point", zero_point), ("min", min), ("max", max)];
        let limits = limits.into_iter().filter(|_| !self.content.sums);
        let mut fields: Vec<_> = limits.map(|(name, limit)| (name, Field::Integer(limit.into()))).collect();
        fields.push(("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())));
        Constant { ty, fields: Fields::New(fields) }
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

    /// What a kernel for the sums of a layer gives.
    fn sums_of(kernel: &dyn Kernel, of: &kernels::GemmSums, x: &Buffer) -> Buffer {
        let mut y = Buffer::new(Type::I32, of.layer.rows * of.layer.outputs);
        kernel.run(&[x], &mut y);
        y
    }

    proptest! {
        #[test]
        fn equals_the_portable_layer((layer, x_ty, x) in layers()) {
            let [mut expected, mut y] = [(); 2].map(|()| Buffer::new(layer.limits.ty, layer.rows * layer.outputs));
            layer.run(&[&x], &mut expected);
            let kernel = Gemm::new(layer.dense().unwrap(), x_ty).unwrap();
            prop_assert_eq!(kernel.stream.len(), kernel.content.stream_len(layer.inputs, layer.outputs));
            kernel.run(&[&x], &mut y);
            prop_assert_eq!(y, expected);
            let sums = kernels::GemmSums { layer };
            prop_assert_eq!(sums_of(&Gemm::new(sums.dense().unwrap(), x_ty).unwrap(), &sums, &x), sums_of(&sums, &sums, &x));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn weights_of_four_bits_give_the_same((layer, _, x) in layers(), wide: bool) {
            let mut layer = layer;
            layer.weight.iter_mut().for_each(|w| *w >>= 4);
            let x = Buffer::from_integers(Type::I8, &x.integers());
            // Sums that fit, up to the last that do, and others.
            if !wide {
                for o in 0..layer.outputs {
                    layer.bias[o] = 0;
                    let (low, high) = layer.sums(o, Type::I8.limits());
                    layer.bias[o] = if o % 4 == 0 { -(1 << 27) - low as i32 } else { (1 << 27) - 1 - high as i32 };
                }
            }
            let Some(kernel) = Gemm::packed(layer.dense().unwrap(), Type::I8) else {
                prop_assert!(wide);
                return Ok(());
            };
            let [mut expected, mut y] = [(); 2].map(|()| Buffer::new(layer.limits.ty, layer.rows * layer.outputs));
            layer.run(&[&x], &mut expected);
            prop_assert_eq!(kernel.stream.len(), kernel.content.stream_len(layer.inputs, layer.outputs));
            kernel.run(&[&x], &mut y);
            prop_assert_eq!(y, expected);
            let sums = kernels::GemmSums { layer };
            let packed = Gemm::packed(sums.dense().unwrap(), Type::I8).unwrap();
            prop_assert_eq!(sums_of(&packed, &sums, &x), sums_of(&sums, &sums, &x));
        }
    }

    /// What the emulated mps3-an547 counts for digits, mnist and wdbc of the benchmark: eight for a call.
    #[test]
    fn instructions_of_models() {
        let content = Content { bytes: 1, packed: false, sums: false };
        let count =
            |sizes: &[usize]| sizes.windows(2).map(|s| 8 + Gemm::instructions(content, s[0], s[1], 0)).sum::<u64>();
        assert_eq!(count(&[64, 32, 10]), 549);
        assert_eq!(count(&[784, 64, 32, 10]), 8613);
        assert_eq!(count(&[30, 10, 2]), 146);
    }
}
