//! From fully connected layers to a program.
//!
//! A neuron is summed by Horner's scheme over the binary digits of its weights: from the highest exponent down, the sum is
//! shifted to the next exponent that occurs, and the inputs whose weights have a digit there are added or subtracted.
//! The digits are canonical signed ones (Reitwiesner 1960): no two neighbours are non-zero, which are the fewest.

use super::ir::{Op, Program, Var};
use crate::approximate::digits::signed_digits;
use std::collections::HashMap;

/// Fully connected layers, each reading the one before.
#[derive(Clone, Debug)]
pub struct Network<'a> {
    /// The layers.
    pub layers: Vec<Layer<'a>>,
    /// Least and largest integer of the inputs.
    pub limits: (i32, i32),
    /// Whether the result is the index of the largest sum, and then whether the last among equals.
    pub arg_max: Option<bool>,
}

/// A fully connected layer of int8, as [`Dense`](crate::plan::kernels::Dense) has it.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Features in.
    pub inputs: usize,
    /// `outputs x inputs`.
    pub weight: &'a [i8],
    /// `outputs x inputs`, if any; then the operand is taken without its zero point, which is -128.
    pub masks: Option<&'a [u8]>,
    /// By output.
    pub bias: &'a [i32],
    /// What becomes of the sums.
    pub end: End<'a>,
}

/// What becomes of sums.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// They are compared. Those of other ends may be, too.
    Sums,
    /// `clamp(requantize(sum) + zero_point, min, max)`.
    Requantize {
        /// By output.
        multiplier: &'a [i32],
        /// Of all.
        shift: u32,
        /// Of the result.
        zero_point: i32,
        /// Of the result.
        min: i32,
        /// Of the result.
        max: i32,
    },
}

/// What a layer reads: numbers that are `offset` more than the integers they stand for.
struct Operand {
    number: Number,
    offset: i32,
}

#[derive(Clone, Copy)]
enum Number {
    Input(usize),
    Made(Var),
}

struct Builder {
    program: Program,
    /// Whether the sign bit of every input is set.
    bytes: bool,
    input: (i64, i64),
    known: HashMap<(usize, i32), Var>,
}

/// The program of a network.
pub fn lower(network: &Network) -> Program {
    let (first, last) = (network.layers.first(), network.layers.last());
    let outputs = if network.arg_max.is_some() { 1 } else { last.map_or(0, |l| l.bias.len()) };
    let program = Program {
        inputs: first.map_or(0, |l| l.inputs),
        outputs,
        index: network.arg_max.is_some(),
        last: network.arg_max == Some(true),
        ops: Vec::new(),
        limits: Vec::new(),
    };
    let bytes = network.limits.1 < 0;
    let offset = if bytes { 256 } else { 0 };
    let input = (i64::from(network.limits.0 + offset), i64::from(network.limits.1 + offset));
    let mut b = Builder { program, bytes, input, known: HashMap::new() };
    let mut x: Vec<Operand> = (0..b.program.inputs).map(|i| Operand { number: Number::Input(i), offset }).collect();
    for (k, layer) in network.layers.iter().enumerate() {
        let is_last = k + 1 == network.layers.len();
        b.known.retain(|&(_, mask), _| mask == i32::MIN);
        let mut y = Vec::with_capacity(layer.bias.len());
        for o in 0..layer.bias.len() {
            let (half, right) = layer.rounding(o);
            let sum = b.neuron(layer, o, half, &x);
            let (zero_point, number) = match (layer.end, right) {
                (End::Sums, _) => {
                    b.push(Op::Compare(o, sum));
                    continue;
                }
                (End::Requantize { zero_point, min, max, .. }, Some(right)) => {
                    (zero_point, b.clamped(sum, Some(right), min - zero_point, max - zero_point))
                }
                (End::Requantize { multiplier, shift, zero_point, min, max }, None) => {
                    let sum = b.push(Op::Requantize(sum, multiplier[o], shift));
                    (zero_point, b.clamped(sum, None, min - zero_point, max - zero_point))
                }
            };
            if is_last && network.arg_max.is_some() {
                b.push(Op::Compare(o, number));
            } else if is_last {
                let number = b.plus(number, zero_point);
                b.push(Op::Store(o, number));
            }
            y.push(Operand { number: Number::Made(number), offset: -zero_point });
        }
        x = y;
    }
    b.program
}

impl Layer<'_> {
    /// What is added to the bias of output `o`, and the bits by which its sum is then shifted right, if it needs no
    /// multiplication.
    fn rounding(&self, o: usize) -> (i32, Option<u32>) {
        match self.end {
            End::Sums => (0, Some(0)),
            End::Requantize { multiplier, shift, .. } => {
                let m = multiplier[o];
                let bits = m.trailing_zeros() + shift;
                let half = if (2..=31).contains(&bits) { 1i32 << (31 - bits) } else { 0 };
                let weights = self.weight[o * self.inputs..][..self.inputs].iter();
                let reach = weights.map(|&w| 255 * i64::from(w).abs()).sum::<i64>() + i64::from(self.bias[o]).abs();
                let fits = reach + i64::from(half) <= i64::from(i32::MAX);
                if half > 0 && m.count_ones() == 1 && fits { (half, Some(32 - bits)) } else { (0, None) }
            }
        }
    }
}

impl Builder {
    fn push(&mut self, op: Op) -> Var {
        let of = |v: Var| self.program.limits[v];
        let limits = match op {
            Op::Load(_) | Op::LoadByte(_) => self.input,
            Op::Constant(c) => (c.into(), c.into()),
            // Of inputs with a sign, the mask keeps the sign.
            Op::And(_, mask) if mask < 0 => (-128, 127),
            Op::And(_, mask) => (0, mask.into()),
            Op::ShiftLeft(a, n) => (of(a).0 << n, of(a).1 << n),
            Op::ShiftRight(a, n) => (of(a).0 >> n, of(a).1 >> n),
            Op::Add(a, b) => (of(a).0 + of(b).0, of(a).1 + of(b).1),
            Op::Sub(a, b) => (of(a).0 - of(b).1, of(a).1 - of(b).0),
            Op::AddConstant(a, c) => (of(a).0 + i64::from(c), of(a).1 + i64::from(c)),
            Op::Requantize(..) => (-(1 << 31), (1 << 31) - 1),
            Op::Max(a, c) => (of(a).0.max(c.into()), of(a).1.max(c.into())),
            Op::Min(a, c) => (of(a).0.min(c.into()), of(a).1.min(c.into())),
            Op::Store(..) | Op::Compare(..) => (0, 0),
        };
        // Sums that wrap on the way are any number.
        let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
        let limits = if limits.0 < low || limits.1 > high { (low, high) } else { limits };
        self.program.ops.push(op);
        self.program.limits.push(limits);
        self.program.ops.len() - 1
    }

    /// A number and a constant.
    fn plus(&mut self, a: Var, c: i32) -> Var {
        if c == 0 { a } else { self.push(Op::AddConstant(a, c)) }
    }

    /// A number shifted right and limited, as far as that changes it.
    fn clamped(&mut self, mut a: Var, right: Option<u32>, min: i32, max: i32) -> Var {
        if let Some(n @ 1..) = right {
            a = self.push(Op::ShiftRight(a, n));
        }
        if self.program.limits[a].0 < i64::from(min) {
            a = self.push(Op::Max(a, min));
        }
        if self.program.limits[a].1 > i64::from(max) {
            a = self.push(Op::Min(a, max));
        }
        a
    }

    /// An operand's number, and how much more it is than what the layer means.
    fn operand(&mut self, x: &Operand, i: usize, mask: Option<u8>) -> (Var, i32) {
        let whole = match x.number {
            Number::Made(v) => v,
            Number::Input(i) => match self.known.get(&(i, i32::MIN)) {
                Some(&v) => v,
                None => {
                    let v = self.push(if self.bytes { Op::LoadByte(i) } else { Op::Load(i) });
                    self.known.insert((i, i32::MIN), v);
                    v
                }
            },
        };
        let Some(mask) = mask else { return (whole, x.offset) };
        let mask = i32::from(mask);
        // What is masked is the integer plus 128. A number with a sign is that less 128, which its upper bits are; one
        // that is 128 more has the bit 128 beside it.
        let (mask, live, more) = match x.offset {
            128 => (mask, self.program.limits[whole].1, 0),
            256 => (mask & 0x7f, self.input.1 - 128, 0),
            _ if mask & 0x80 == 0 => (mask, -1, 0),
            _ => (mask | !0x7f, -1, -128),
        };
        let live = if live < 0 { -1 } else { (live as u32 + 1).next_power_of_two() as i32 - 1 };
        if live & !mask == 0 {
            return (whole, if x.offset == 256 { 128 } else { more });
        }
        let v = match self.known.get(&(i, mask)) {
            Some(&v) => v,
            None => {
                let v = self.push(Op::And(whole, mask));
                self.known.insert((i, mask), v);
                v
            }
        };
        (v, more)
    }

    /// The sum of output `o`, its bias and `half` included.
    fn neuron(&mut self, layer: &Layer, o: usize, half: i32, x: &[Operand]) -> Var {
        let row = o * layer.inputs..(o + 1) * layer.inputs;
        let mut bias = layer.bias[o].wrapping_add(half);
        let mut digits: Vec<Vec<(bool, Var)>> = vec![Vec::new(); 9];
        for (i, &weight) in layer.weight[row.clone()].iter().enumerate() {
            let mask = layer.masks.map(|masks| masks[row.start + i]);
            if weight == 0 || mask == Some(0) {
                continue;
            }
            let (v, more) = self.operand(&x[i], i, mask);
            bias = bias.wrapping_sub(i32::from(weight).wrapping_mul(more));
            let (same, other) = signed_digits(weight.unsigned_abs());
            for (exponent, digits) in digits.iter_mut().enumerate() {
                if (same | other) >> exponent & 1 == 1 {
                    digits.push(((other >> exponent & 1 == 1) != (weight < 0), v));
                }
            }
        }
        let mut acc: Option<Var> = None;
        let mut at = 0;
        for (exponent, group) in digits.iter().enumerate().rev().filter(|(_, group)| !group.is_empty()) {
            if let Some(a) = acc {
                acc = Some(self.push(Op::ShiftLeft(a, (at - exponent) as u32)));
            }
            at = exponent;
            let mut group = group.clone();
            // A sum begins with a number that is added, if there is one.
            group.sort_by_key(|&(negative, _)| negative);
            for (negative, v) in group {
                acc = Some(match (acc, negative) {
                    (Some(a), true) => self.push(Op::Sub(a, v)),
                    (Some(a), false) => self.push(Op::Add(a, v)),
                    (None, false) => v,
                    (None, true) => {
                        // The part of the bias that this exponent can hold.
                        let part = bias >> exponent;
                        bias = bias.wrapping_sub(part << exponent);
                        let c = self.push(Op::Constant(part));
                        self.push(Op::Sub(c, v))
                    }
                });
            }
        }
        match acc {
            None => self.push(Op::Constant(bias)),
            Some(a) => {
                let a = if at > 0 { self.push(Op::ShiftLeft(a, at as u32)) } else { a };
                self.plus(a, bias)
            }
        }
    }
}
