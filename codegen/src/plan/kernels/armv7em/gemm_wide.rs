//! Fully connected layer with whole accumulators and multipliers.

use super::gemm::Sizes;
use super::gemm_bytes::blocks;
use crate::plan::Type;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel, activation};
use tinymlp::arch::armv7em::dynamic;

/// See [`tinymlp::arch::armv7em::GemmWide`].
#[derive(Clone, Debug)]
pub struct GemmWide {
    sizes: Sizes,
    types: [Type; 2],
    relu: bool,
    zero_point: i32,
    stream: Vec<u32>,
}

impl GemmWide {
    /// Whether negative results become zero.
    fn is_relu(layer: &kernels::Gemm) -> bool {
        layer.limits.ty == Type::I16 && (layer.limits.min, layer.limits.max) == (0, Type::I16.limits().1)
    }

    /// Whether it can give the results of a layer.
    pub fn takes(layer: &kernels::Gemm) -> bool {
        let whole = (layer.limits.min, layer.limits.max) == layer.limits.ty.limits();
        (whole || Self::is_relu(layer)) && layer.shift == 0 && layer.inputs >= 4
    }

    /// The layer `from` on operands of a type, if it [`takes`](Self::takes) that.
    pub fn new(from: &kernels::Gemm, x: Type) -> Self {
        let sizes = Sizes::of(from);
        let weight = |o: usize, i: Option<usize>| match i {
            Some(i) if o < sizes.outputs => from.weight[o * sizes.inputs + i] as u8,
            _ => 0,
        };
        let mut stream = Vec::new();
        for first in (0..sizes.outputs).step_by(4) {
            let constants = |of: &[i32]| [0, 1, 2, 3].map(|k| of.get(first + k).map_or(0, |&v| v as u32));
            stream.extend(constants(&from.bias));
            for [a, b, c, d] in blocks(sizes.inputs) {
                // As `sxtb16` takes them for the lanes of the operand.
                let order = if x == Type::I8 { [a, b, c, d] } else { [a, c, b, d] };
                stream.extend((first..first + 4).map(|o| u32::from_le_bytes(order.map(|i| weight(o, i)))));
            }
            stream.extend(constants(&from.multiplier));
        }
        Self {
            sizes,
            types: [x, from.limits.ty],
            relu: Self::is_relu(from),
            zero_point: from.limits.zero_point,
            stream,
        }
    }
}

impl Kernel for GemmWide {
    fn op(&self) -> &'static str {
        "GemmWide"
    }

    fn module(&self) -> &'static str {
        "arch::armv7em"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        activation!(x[0], x => activation!(y, y => {
            let rows = x.chunks_exact(self.sizes.inputs).zip(y.chunks_exact_mut(self.sizes.outputs));
            rows.for_each(|(x, y)| dynamic::gemm_wide(&self.stream, x, self.zero_point, self.relu, y));
        }));
    }

    fn cost(&self, _: &Seen) -> Option<Cost> {
        let Sizes { rows, inputs, outputs } = self.sizes;
        // Counted from the assembly: four outputs at a time, four inputs, which the first block of loads apart.
        let (load, block) = if self.types[0] == Type::I8 { (1, 22) } else { (2, 21) };
        let fours = outputs.div_ceil(4);
        let four = 5 + block * inputs.div_ceil(4) + 8 + 2;
        let [x, y] = self.types.map(Type::name);
        Some(Cost {
            instructions: Instructions::fixed(6 + fours * four + 4 * outputs).times(rows),
            code: vec![Function {
                name: format!("armv7em::gemm_wide<{x}, {y}, {}>", self.relu),
                bytes: 200 + 4 * load,
            }],
            head: 16,
            stack: 56,
            fixed: true,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let (Sizes { inputs, outputs, .. }, [x, y]) = (self.sizes, self.types.map(Type::name));
        Constant {
            ty: format!("GemmWide<{x}, {y}, {inputs}, {outputs}, {}, {}>", self.stream.len(), self.relu),
            fields: Fields::New(vec![
                ("zero_point", Field::Integer(self.zero_point.into())),
                ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let Sizes { rows, inputs, outputs } = self.sizes;
        vec![vec![rows, inputs], vec![rows, outputs]]
    }

    fn macs(&self) -> u64 {
        let Sizes { rows, inputs, outputs } = self.sizes;
        (rows * inputs * outputs) as u64
    }
}
