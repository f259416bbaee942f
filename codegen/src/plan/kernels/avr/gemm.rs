//! Fully connected layer with three-byte sums.

use super::result::{Case, End, Scales, scales_to_16_bits};
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Field, Fields, Kernel};
use tinymlp::arch::avr::{Form, dynamic, first, group};

/// See [`tinymlp::arch::avr::Gemm`].
#[derive(Clone, Debug)]
pub struct Gemm {
    rows: usize,
    inputs: usize,
    outputs: usize,
    stream: Vec<u8>,
    form: Form,
    /// Most places that a product is shifted by where every output has its own.
    places: u8,
}

impl Gemm {
    /// The layer `from`, if it has results of 16 bits before they are limited, sums of 24 bits, and multipliers of 16
    /// significant bits, of which eight or more zeros follow. `skip` passes inputs of -128 over; `short` leaves out
    /// the multiplication of negative sums where the result is the smallest anyway; `unroll` is how often the loop over
    /// the inputs stands in the code, if none is passed over.
    pub fn new(from: &kernels::Gemm, skip: bool, short: bool, unroll: usize) -> Option<Self> {
        let kernels::Gemm { rows, inputs, outputs, ref weight, ref bias, ref multiplier, shift, limits } = *from;
        let scales = Scales::new(multiplier)?;
        for ((row, &bias), &multiplier) in weight.chunks_exact(inputs).zip(bias).zip(multiplier) {
            let (low, high) = reach(row, bias);
            if low < -(1 << 23) || high >= 1 << 23 || !scales_to_16_bits((low, high), multiplier) {
                return None;
            }
        }
        let first = first(inputs, outputs);
        let form = Form {
            first: first as u8,
            group: group(inputs, outputs) as u8,
            more: outputs > first,
            wide: inputs > 256,
            skip,
            unroll: if skip { 1 } else { unroll as u8 },
            rest: if skip { 0 } else { (inputs.next_multiple_of(unroll.max(1)) - inputs) as u8 },
            short: short && limits.zero_point <= limits.min,
            shift: scales.shift(),
            zero_point: i8::try_from(limits.zero_point).ok()?,
            min: i8::try_from(limits.min).ok()?,
            max: i8::try_from(limits.max).ok()?,
        };
        if shift != 0 || !form.fits(inputs, outputs) {
            return None;
        }
        let mut stream = Vec::with_capacity(form.stream_len(inputs, outputs));
        let (mut begin, mut size) = (0, first);
        while begin < outputs {
            let group = begin..begin + size;
            for o in group.clone() {
                let sum: i32 = weight[o * inputs..][..inputs].iter().map(|&w| i32::from(w)).sum();
                stream.extend(&bias[o].wrapping_sub(sum.wrapping_mul(128)).to_le_bytes()[..3]);
            }
            for i in 0..inputs {
                stream.extend(group.clone().map(|o| weight[o * inputs + i] as u8 ^ 0x80));
            }
            for o in group {
                stream.extend(scales.bytes(multiplier[o], o));
            }
            (begin, size) = (begin + size, form.group.into());
        }
        Some(Self { rows, inputs, outputs, stream, form, places: scales.most() })
    }
}

impl Gemm {
    /// Instructions of a row. Counted from the assembly.
    fn instructions(&self, case: Case) -> f64 {
        let n = |count: usize| count as f64;
        let form = self.form;
        let (first, group, unroll) = (form.first.into(), form.group.into(), usize::from(form.unroll));
        let others = (self.outputs - first) / group;
        let wide = usize::from(form.wide);
        // Rounds of 256 inputs after the first.
        let more = if form.wide { (self.inputs - 1) / 256 } else { 0 };
        let live: usize = if form.more || form.wide { 7 } else { first };
        let saved = 1 + if live > 1 { 2 } else { 0 } + 3 * live.saturating_sub(2);
        let sum = |size: usize, adds: usize, bytes: usize| {
            let load = 2 + usize::from(form.skip);
            let far = unroll * bytes >= 120;
            let pass = if far { 3.0 } else { 2.0 };
            let passes = n(self.inputs.div_ceil(unroll));
            let rounds = n(more) * n(5 + usize::from(unroll > 1)) + n(3 * wide);
            let rest = usize::from(form.rest > 0);
            let products = match form.skip {
                false => n(self.inputs) * n(load + adds + 5 * size) + passes * pass,
                true => {
                    let zeros = n(self.inputs) - case.nonzero;
                    case.nonzero * (n(load + adds + 5 * size) + pass) + zeros * 6.0 + n(1 + more)
                }
            };
            products + rounds + n(rest) - if far { n(1 + more) } else { 0.0 }
        };
        let skip = if form.skip { 2 } else { 0 };
        let first_bytes = 4 + skip + if form.wide { 6 } else { 4 } + 10 * first;
        let group_bytes = 4 + skip + 10 * group;
        let begin = saved + 2 + 5 * usize::from(form.more) + 4 + 2 * wide + 2 + 3 * first;
        let after = 4 + wide + 3 * first + 2 + 3 * usize::from(form.more);
        let before_group = 5 + 6 + 2 * wide + 3 + 6 * group;
        let end = if form.more { 6 + 8 } else { 0 } + 1 + saved + 2;
        n(begin + after + end)
            + sum(first, 2 + wide, first_bytes)
            + self.results(first, case)
            + n(others) * (n(before_group) + sum(group, 0, group_bytes) + 2.0 + self.results(group, case) + 1.0)
    }

    /// Instructions of a row in the mean of what was seen.
    pub fn mean(&self, seen: &Seen) -> f64 {
        let nonzero = seen.elements(self.inputs);
        self.instructions(Case { nonzero, lowest: seen.lowest, highest: seen.highest })
    }

    /// About the cycles of a row, by which kernels are compared: those of results are the same everywhere.
    pub fn cycles(&self, seen: &Seen) -> f64 {
        // Two more for a load of program memory, one for a multiplication.
        let inputs = if self.form.skip { seen.elements(self.inputs) } else { self.inputs as f64 };
        self.mean(seen) + inputs * (3 * self.outputs) as f64
    }

    /// What becomes of sums.
    fn end(&self) -> End {
        let Form { short, shift, min, max, .. } = self.form;
        End { short, shift, places: self.places, min, max }
    }

    /// Instructions that scale and store the results of a group.
    fn results(&self, size: usize, case: Case) -> f64 {
        (1 + 3 * (size - 1)) as f64 + size as f64 * self.end().instructions(case)
    }

    /// Bytes of constants and of code.
    pub fn flash(&self) -> usize {
        self.stream.len() + self.code()
    }

    /// Bytes of code.
    fn code(&self) -> usize {
        let form = self.form;
        let (first, group, unroll) = (form.first.into(), form.group.into(), usize::from(form.unroll));
        let skip = if form.skip { 2 } else { 0 };
        let wide = if form.wide { 1 } else { 0 };
        let live: usize = if form.more || form.wide { 7 } else { first };
        let saved = 1 + if live > 1 { 2 } else { 0 } + 3 * live.saturating_sub(2);
        let first_bytes = 4 + skip + 4 + 2 * wide + 10 * first;
        let group_bytes = 4 + skip + 10 * group;
        let rest = if form.rest > 0 { 2 } else { 0 };
        let tail = |bytes: usize| {
            let skipping = if form.skip { 8 } else { 0 };
            let blocks = wide * (10 + if unroll > 1 { 2 } else { 0 });
            unroll * bytes + if unroll * bytes < 120 { 4 } else { 6 } + skipping + blocks
        };
        let store = |size: usize| 2 + 6 * (size - 1);
        let begin = 4 * saved + 4 + if form.more { 10 } else { 0 } + 8 + 4 * wide + 4 + 6 * first + rest;
        let after = 8 + 2 * wide + 6 * first + 4 + if form.more { 6 } else { 0 } + store(first);
        let others = match form.more {
            true => 12 + 12 + 4 * wide + 6 + 12 * group + rest + tail(group_bytes) + 4 + store(group) + 2 + 16,
            false => 0,
        };
        begin + tail(first_bytes) + after + others + 6 + self.end().code()
    }

    /// Bytes of stack, the return address included.
    fn stack(&self) -> usize {
        let form = self.form;
        let live = if form.more || form.wide { 7 } else { usize::from(form.first) };
        let saved = 1 + if live > 1 { 2 } else { 0 } + 3 * live.saturating_sub(2);
        let frame = if form.more { 8 } else { 0 };
        // A pointer and rounds, or the address to which a result's function returns.
        2 + saved + frame + if form.wide { 3 } else { 2 }
    }
}

/// The smallest and the largest sum of a row for inputs of any value.
fn reach(row: &[i8], bias: i32) -> (i64, i64) {
    let ends = |&w: &i8| (i64::from(w) * -128, i64::from(w) * 127);
    row.iter().map(ends).fold((bias.into(), bias.into()), |(low, high), (a, b)| (low + a.min(b), high + a.max(b)))
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        "Gemm"
    }

    fn module(&self) -> &'static str {
        "arch::avr"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let (Buffer::I8(x), Buffer::I8(y)) = (x[0], y) else { unreachable!("the layer takes int8 to int8") };
        for (x, y) in x.chunks_exact(self.inputs).zip(y.chunks_exact_mut(self.outputs)) {
            dynamic::gemm(&self.stream, x, self.form, y);
        }
    }

    fn constant(&self) -> Constant {
        let (inputs, outputs, n, form) = (self.inputs, self.outputs, self.stream.len(), self.form.pack());
        let stream = Field::row("u8", 1, self.stream.iter().map(|&b| b.into()).collect());
        Constant { ty: format!("Gemm<{inputs}, {outputs}, {n}, {form:#x}>"), fields: Fields::ProgramMemory(stream) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.inputs], vec![self.rows, self.outputs]]
    }

    fn cost(&self, seen: &Seen) -> Option<Cost> {
        let mean = self.mean(seen);
        let lowest = if self.form.short { 0.0 } else { 1.0 };
        let max = self.instructions(Case { nonzero: self.inputs as f64, lowest, highest: 1.0 - lowest });
        let name = format!("avr::gemm<{:#x}>", self.form.pack());
        Some(Cost {
            instructions: Instructions { mean, max }.times(self.rows),
            code: vec![Function { name, bytes: self.code() }],
            stack: self.stack(),
            // Where results are limited, instructions are skipped in the time that they take.
            fixed: !self.form.skip && !self.form.short,
            ..Cost::default()
        })
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Type;
    use crate::plan::kernels::Limits;
    use proptest::prelude::*;

    /// What a test makes a layer from; numbers that a layer of this size cannot have are cut down.
    #[derive(Clone, Debug)]
    struct Raw {
        inputs: usize,
        outputs: usize,
        weight: Vec<i8>,
        bias: Vec<i32>,
        multiplier: Vec<u16>,
        /// Zeros at the end of multipliers, which outputs take turns with.
        places: [u32; 2],
        limits: Limits,
        x: Vec<i8>,
    }

    fn layer(raw: &Raw) -> kernels::Gemm {
        let Raw { inputs, outputs, ref weight, places, limits, .. } = *raw;
        let (mut bias, mut multiplier) = (Vec::new(), Vec::new());
        let places = places.iter().cycle();
        for (((row, &b), &m), &places) in weight.chunks_exact(inputs).zip(&raw.bias).zip(&raw.multiplier).zip(places) {
            // Biases that go to the ends of 24 bits, where the weights leave room.
            let (low, high) = reach(row, 0);
            let (least, most) = (-(1 << 23) - low, (1 << 23) - 1 - high);
            let b = if least > most { 0 } else { i64::from(b).clamp(least, most) };
            let largest = low.abs().max(high.abs()) + b.abs();
            let m = i64::from(m).min((32_000 << (32 - places)) / largest.max(1));
            bias.push(b as i32);
            multiplier.push((m << places) as i32);
        }
        kernels::Gemm { rows: 2, inputs, outputs, weight: weight.clone(), bias, multiplier, shift: 0, limits }
    }

    fn raw() -> impl Strategy<Value = Raw> {
        let inputs = prop_oneof![8 => 1usize..20, 1 => 250usize..260, 1 => 500usize..520];
        let limits = (-128..=127i32, -128..=127i32, -128..=127i32, 0..4);
        let limits = limits.prop_map(|(zero_point, a, b, kind)| {
            let (min, max) = match kind {
                0 => (-128, 127),
                1 => (zero_point, 127),
                2 => (a.min(b), a.max(b)),
                _ => return Limits { ty: Type::I8, zero_point: -128, min: -128, max: 127 },
            };
            Limits { ty: Type::I8, zero_point, min, max }
        });
        // Small weights and inputs, any, and the extremes.
        let weight = prop_oneof![-3..=3i8, -127..=127i8, Just(127), Just(-127)];
        let x = prop_oneof![Just(-128), Just(127), any::<i8>()];
        let bias = prop_oneof![-1000..1000i32, any::<i32>()];
        (inputs, 1usize..24, limits, prop_oneof![(8u32..16).prop_map(|k| [k; 2]), [8u32..16, 8u32..16]]).prop_flat_map(
            move |(inputs, outputs, limits, places)| {
                let numbers = (
                    prop::collection::vec(weight.clone(), inputs * outputs),
                    prop::collection::vec(bias.clone(), outputs),
                    prop::collection::vec(any::<u16>(), outputs),
                    prop::collection::vec(x.clone(), 2 * inputs),
                );
                numbers.prop_map(move |(weight, bias, multiplier, x)| Raw {
                    inputs,
                    outputs,
                    weight,
                    bias,
                    multiplier,
                    places,
                    limits,
                    x,
                })
            },
        )
    }

    proptest! {
        #[test]
        fn equals_the_portable_layer(raw in raw(), skip: bool, short: bool, unroll in prop::sample::select(vec![1, 2, 4])) {
            let layer = layer(&raw);
            let Some(packed) = Gemm::new(&layer, skip, short, unroll) else {
                // Only sums beyond 24 bits are refused.
                let reaches: Vec<_> = raw.weight.chunks_exact(raw.inputs).map(|row| reach(row, 0)).collect();
                prop_assert!(reaches.iter().any(|(low, high)| high - low >= 1 << 24 || -low > 1 << 23 || *high >= 1 << 23));
                return Ok(());
            };
            let x = Buffer::I8(raw.x.clone());
            let [mut expected, mut found] = [(); 2].map(|()| Buffer::I8(vec![0; 2 * raw.outputs]));
            layer.run(&[&x], &mut expected);
            packed.run(&[&x], &mut found);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(Form::unpack(packed.form.pack()), packed.form);
        }
    }

    fn small(weight: i8, bias: i32, multiplier: i32, shift: u32) -> Option<Gemm> {
        let limits = Limits { ty: Type::I8, zero_point: 0, min: -128, max: 127 };
        let [bias, multiplier] = [vec![bias], vec![multiplier]];
        let layer =
            kernels::Gemm { rows: 1, inputs: 1, outputs: 1, weight: vec![weight], bias, multiplier, shift, limits };
        Gemm::new(&layer, false, false, 1)
    }

    #[test]
    fn refuses_what_it_cannot_compute_exactly() {
        let top = (1 << 23) - 1;
        assert!(small(0, top, 256, 0).is_some() && small(0, -top - 1, 256, 0).is_some());
        assert!(small(0, top + 1, 256, 0).is_none() && small(0, -top - 2, 256, 0).is_none(), "a sum of 25 bits");
        assert!(small(1, top - 127, 256, 0).is_some() && small(1, top - 126, 256, 0).is_none(), "with the input");
        assert!(small(1, 0, 0x0100_0100, 0).is_none(), "17 significant bits");
        assert!(small(1, 0, 128, 0).is_none(), "seven zeros");
        assert!(small(1, 0, 256, 1).is_none(), "a shift");
        assert!(small(0, top, 0x00ff_ff00, 0).is_none(), "a result of more than 16 bits");
    }
}
