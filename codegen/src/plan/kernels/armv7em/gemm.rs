//! Fully connected layer over pairs of 16-bit activations.

use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use crate::plan::layout::Packing;
use tinymlp::arch::armv7em::{dynamic, fours, pair, words};

/// See [`tinymlp::arch::armv7em::Gemm`] and `GemmPairs`.
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// Added to every result.
    zero_point: i32,
    stream: Vec<u32>,
    /// Results in pairs for the next layer.
    pairs: bool,
    unroll: usize,
    /// Code for this layer's length alone.
    own: bool,
}

impl Gemm {
    /// The layer `from` on an operand packed as `x`.
    pub fn new(from: &kernels::Gemm, x: Packing, pairs: bool, unroll: usize, own: bool) -> Self {
        let lanes = Lanes::new(from, x);
        let Sizes { rows, inputs, outputs } = Sizes::of(from);
        let mut stream = Vec::new();
        let fours_then_pair = (0..fours(outputs)).map(|g| (4 * g, 4));
        for (first, size) in fours_then_pair.chain((pair(outputs) > 0).then_some((4 * fours(outputs), 2))) {
            stream.extend((first..first + size).step_by(2).flat_map(|a| lanes.bias(a)));
            for k in (0..lanes.width).step_by(2) {
                stream.extend((first..first + size).step_by(2).map(|a| lanes.word(a, k)));
            }
            stream.extend((first..first + size).step_by(2).flat_map(|a| lanes.multiplier(a)));
        }
        let zero_point = from.limits.zero_point + if pairs { 128 } else { 0 };
        Self { rows, inputs, outputs, zero_point, stream, pairs, unroll, own }
    }
}

impl Gemm {
    /// Instructions of a row, whatever is in it. Counted from the assembly.
    fn instructions(&self) -> usize {
        let rounds = words(self.inputs) / 4;
        // Code for one length runs through up to eight rounds without a test.
        let (begin, tests) = match (self.own, rounds > 8) {
            (false, _) => (3, rounds.div_ceil(self.unroll)),
            // One fills up to an address that is a multiple of four.
            (true, false) => (3, 0),
            (true, true) => (3, rounds / 8),
        };
        let four = begin + 27 * rounds + 3 * tests + if self.pairs { 19 } else { 22 };
        let store = match (self.pairs, pair(self.outputs)) {
            (true, _) => 4,
            (false, 1) => 4,
            (false, _) => 6,
        };
        let in_loop = !self.own || rounds > 8;
        let pair = match pair(self.outputs) {
            0 => 0,
            _ => 1 + if in_loop { 2 + 16 * rounds } else { 1 + 14 * rounds } + 6 + store,
        };
        let begin = if self.own { 8 } else { 9 };
        // An output that is not stored ends the row.
        let ended = if !self.pairs && self.outputs % 4 == 3 { 8 } else { 0 };
        begin + fours(self.outputs) * four + pair + 5 - ended
    }
}

/// Numbers of rows, inputs and outputs of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows.
    pub rows: usize,
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
}

impl Sizes {
    /// Those of a layer.
    pub fn of(layer: &kernels::Gemm) -> Self {
        Self { rows: layer.rows, inputs: layer.inputs.max(1), outputs: layer.outputs }
    }
}

/// A layer's constants for an operand in lanes, two outputs at a time: those of `a` and of `a + 1`. What is beyond the
/// last output is zero.
pub(super) struct Lanes<'g> {
    from: &'g kernels::Gemm,
    /// Rows of weights in the order of the operand's lanes.
    rows: Vec<Vec<i32>>,
    /// Added to the operand.
    offset: i32,
    /// Lanes of a row.
    pub(super) width: usize,
}

impl<'g> Lanes<'g> {
    pub(super) fn new(from: &'g kernels::Gemm, x: Packing) -> Self {
        let width = words(from.inputs.max(1)) * 2;
        let row = |row: &[i8]| {
            let mut lanes = vec![0; width];
            row.iter().enumerate().for_each(|(k, &w)| lanes[x.position(k)] = w.into());
            lanes
        };
        let rows = from.weight.chunks_exact(from.inputs.max(1)).map(row).collect();
        Self { from, rows, offset: x.offset, width }
    }

    /// `A` and `A + 256 * B`.
    pub(super) fn bias(&self, a: usize) -> [u32; 2] {
        let bias = |o: usize| {
            let sum = |row: &Vec<i32>| row.iter().sum::<i32>();
            self.rows.get(o).map_or(0, |row| self.from.bias[o].wrapping_sub(self.offset.wrapping_mul(sum(row))))
        };
        [bias(a) as u32, bias(a).wrapping_add(bias(a + 1).wrapping_mul(256)) as u32]
    }

    /// The weights of lanes `k` and `k + 1`.
    pub(super) fn word(&self, a: usize, k: usize) -> u32 {
        let weight = |o: usize, k: usize| self.rows.get(o).map_or(0, |row| row[k]);
        let lane = |k: usize| (weight(a, k) + 256 * weight(a + 1, k)) as u32 & 0xffff;
        lane(k) | lane(k + 1) << 16
    }

    /// The second divided by 256.
    pub(super) fn multiplier(&self, a: usize) -> [u32; 2] {
        let multiplier = |o: usize| self.from.multiplier.get(o).map_or(0, |&m| m as u32);
        [multiplier(a), multiplier(a + 1) / 256]
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        if self.pairs { "GemmPairs" } else { "Gemm" }
    }

    fn module(&self) -> &'static str {
        "arch::armv7em"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::Words(x) = x[0] else { unreachable!("the layer takes words") };
        for (r, x) in x.chunks_exact(words(self.inputs)).enumerate() {
            match y {
                Buffer::Words(y) => {
                    let width = words(self.outputs);
                    let y = &mut y[r * width..(r + 1) * width];
                    dynamic::gemm_pairs(&self.stream, x, self.outputs, self.zero_point, y);
                }
                Buffer::I8(y) => {
                    let y = &mut y[r * self.outputs..(r + 1) * self.outputs];
                    dynamic::gemm(&self.stream, x, self.zero_point, y);
                }
                _ => unreachable!("the layer gives words or int8"),
            }
        }
    }

    fn constant(&self) -> Constant {
        let (x, o, n, unroll) = (words(self.inputs), self.outputs, self.stream.len(), self.unroll);
        Constant {
            ty: format!("{}<{x}, {o}, {n}, {unroll}, {}>", self.op(), if self.own { x } else { 0 }),
            fields: Fields::New(vec![
                ("zero_point", Field::Integer(self.zero_point.into())),
                ("stream", Field::row("u32", 4, self.stream.iter().map(|&w| w as i32).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let y = if self.pairs { words(self.outputs) } else { self.outputs };
        vec![vec![self.rows, words(self.inputs)], vec![self.rows, y]]
    }

    fn cost(&self, _: &Seen) -> Option<Cost> {
        let rounds = words(self.inputs) / 4;
        // Counted from the assembly: rounds of four outputs, and of two, and what is around them.
        let (name, bytes) = match self.own {
            false => {
                let far = 2 * usize::from(self.unroll > 1) + 2 * usize::from(self.unroll > 2);
                (self.unroll, 234 + far + 108 * self.unroll)
            }
            true if rounds <= 8 => (rounds, 168 + (108 + 56) * rounds),
            true => (rounds, 176 + 108 * (8 + rounds % 8) + 56 + 8),
        };
        let (kind, store) = if self.pairs { ("gemm_pairs", 0) } else { ("gemm", 12) };
        let name = format!("armv7em::{kind}{}<{name}>", if self.own { "_own" } else { "" });
        let bytes = bytes + store;
        Some(Cost {
            instructions: Instructions::fixed(self.instructions()).times(self.rows),
            code: vec![Function { name, bytes }],
            stack: 64,
            head: 20,
            fixed: true,
            ..Cost::default()
        })
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}
