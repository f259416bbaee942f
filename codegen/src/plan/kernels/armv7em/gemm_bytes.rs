//! Fully connected layer from int8 to int8 in the fewest bytes.

use super::gemm::Sizes;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::armv7em::{block_start, dynamic};

/// See [`tinymlp::arch::armv7em::GemmBytes`].
#[derive(Clone, Debug)]
pub struct GemmBytes {
    sizes: Sizes,
    zero_point: i32,
    shift: u32,
    stream: Vec<u32>,
}

/// The inputs of every block of four, those that an earlier block has left out.
pub(super) fn blocks(inputs: usize) -> impl Iterator<Item = [Option<usize>; 4]> {
    (0..inputs.div_ceil(4)).map(move |block| {
        let start = block_start(inputs, block);
        let done = if block == 0 { 0 } else { block_start(inputs, block - 1) + 4 };
        [0, 1, 2, 3].map(|k| Some(start + k).filter(|&k| k >= done))
    })
}

impl GemmBytes {
    /// The layer `from`, if it has four inputs, and its multipliers 16 bits behind one shift of at least 8.
    pub fn new(from: &kernels::Gemm) -> Option<Self> {
        let sizes = Sizes::of(from);
        let used = from.multiplier.iter().fold(0, |bits, m| bits | m);
        let shift = (32 - used.leading_zeros()).saturating_sub(16).max(8);
        if sizes.inputs < 4 || used < 0 || used & ((1 << shift) - 1) != 0 {
            return None;
        }
        let weight = |o: usize, i: Option<usize>| match i {
            Some(i) if o < sizes.outputs => i32::from(from.weight[o * sizes.inputs + i]),
            _ => 0,
        };
        let constant = |o: usize, of: &[i32]| of.get(o).copied().unwrap_or(0);
        let mut stream = Vec::new();
        for o in (0..sizes.outputs).step_by(2) {
            let [one, other] = [constant(o, &from.bias), constant(o + 1, &from.bias)];
            stream.extend([one as u32, one.wrapping_add(other.wrapping_mul(256)) as u32]);
            let lane = |i| (weight(o, i) + 256 * weight(o + 1, i)) as u32 & 0xffff;
            for [a, b, c, d] in blocks(sizes.inputs) {
                stream.extend([lane(a) | lane(c) << 16, lane(b) | lane(d) << 16]);
            }
            let [one, other] = [o, o + 1].map(|o| (constant(o, &from.multiplier) >> shift) as u32);
            stream.push(one | other << 16);
        }
        Some(Self { sizes, zero_point: from.limits.zero_point, shift, stream })
    }
}

impl Kernel for GemmBytes {
    fn op(&self) -> &'static str {
        "GemmBytes"
    }

    fn module(&self) -> &'static str {
        "arch::armv7em"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::I8(x), Buffer::I8(y)) = (x[0], y) else { unreachable!("the layer takes int8 to int8") };
        let rows = x.chunks_exact(self.sizes.inputs).zip(y.chunks_exact_mut(self.sizes.outputs));
        rows.for_each(|(x, y)| dynamic::gemm_bytes(&self.stream, x, [self.zero_point, self.shift as i32], y));
    }

    fn cost(&self, _: &Seen) -> Option<Cost> {
        let Sizes { rows, inputs, outputs } = self.sizes;
        // Counted from the assembly: two outputs at a time, four inputs.
        let pair = 23 + 12 * inputs.div_ceil(4) - 1;
        let row = 10 + outputs.div_ceil(2) * pair - if outputs % 2 == 1 { 4 } else { 0 };
        Some(Cost {
            instructions: Instructions::fixed(row).times(rows),
            code: vec![Function { name: "armv7em::gemm_bytes".into(), bytes: 128 }],
            head: 20,
            stack: 40,
            fixed: true,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let Sizes { inputs, outputs, .. } = self.sizes;
        Constant {
            ty: format!("GemmBytes<{inputs}, {outputs}, {}>", self.stream.len()),
            fields: Fields::New(vec![
                ("zero_point", Field::Integer(self.zero_point.into())),
                ("shift", Field::Integer(self.shift.into())),
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
