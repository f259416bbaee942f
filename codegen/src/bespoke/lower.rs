//! From fully connected layers to a program.
//!
//! A neuron is a sum of the binary digits of its weights. The digits are canonical signed ones (Reitwiesner 1960): no two
//! neighbours are non-zero, which are the fewest. Summands of one exponent are added before they are shifted. Two summands
//! that stand together in several neurons are added once, the pair that saves most first (Potkonjak, Srivastava and
//! Chandrakasan 1996, after Hartley).
//!
//! Sums are divided by powers of two as early as that changes no result: `floor((2^k s + b) / 2^n)` is
//! `floor((s + floor(b / 2^k)) / 2^(n - k))`. Of sums that are only compared, any number that all of them have in common may
//! be taken away, and what the division leaves of their biases decides ties.

use super::ir::{Op, Program, Var};
use super::rescale::{Rescale, rescale};
use crate::approximate::digits::signed_digits;
use std::collections::{BTreeMap, BTreeSet};

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

/// Choices that give the same results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Of an index.
    pub search: Search,
    /// Of results that are no shifted sums.
    pub scaling: Scaling,
}

/// How sums are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// By [`tinymlp::requantize`].
    Requantize,
    /// By a multiplication to 32 bits, where that is enough. Shifts instead are none: the compiler makes them a multiplication,
    /// even where that is a call.
    Multiply,
}

impl Style {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let scalings = [Scaling::Requantize, Scaling::Multiply];
        let searches = [Search::Compare, Search::Keys];
        scalings.into_iter().flat_map(move |scaling| searches.map(|search| Style { search, scaling }))
    }
}

/// How the largest sum is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// One comparison after the other, each with the index beside it.
    Compare,
    /// Indices are the lowest bits of the sums, if those have room.
    Keys,
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

/// What a sum is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Atom {
    /// The bits of an operand that a mask has; all of them for -1.
    Operand(usize, i32),
    /// A pair by its place among the shared ones.
    Pair(usize),
}

/// An atom times a power of two, added or subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    atom: Atom,
    exponent: u32,
    minus: bool,
}

/// `first + 2^shift second`, or `first - 2^shift second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    first: Atom,
    second: Atom,
    shift: u32,
    minus: bool,
}

/// A sum: by atom the factor, and a constant.
#[derive(Clone, Debug, Default)]
struct Sum {
    factors: BTreeMap<Atom, i32>,
    bias: i32,
}

/// A number that may be the largest.
struct Found {
    output: usize,
    value: Var,
    /// What decides where numbers are equal.
    rest: i32,
}

struct Builder {
    program: Program,
    /// Whether the sign bit of every input is set.
    bytes: bool,
    input: (i64, i64),
    /// Of the layer.
    known: BTreeMap<Atom, Var>,
    pairs: Vec<Pair>,
}

/// Squares of the numbers of summands of a layer's outputs, up to which pairs are looked for.
const MOST_PAIRS: usize = 1 << 20;

/// The program of a network.
pub fn lower(network: &Network, style: Style) -> Program {
    let Style { search, scaling } = style;
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
    let mut b = Builder { program, bytes, input, known: BTreeMap::new(), pairs: Vec::new() };
    let mut x: Vec<Operand> = (0..b.program.inputs).map(|i| Operand { number: Number::Input(i), offset }).collect();
    for (k, layer) in network.layers.iter().enumerate() {
        let arg_max = network.arg_max.filter(|_| k + 1 == network.layers.len());
        b.known.clear();
        b.pairs.clear();
        let sums: Vec<Sum> = (0..layer.bias.len()).map(|o| b.sum(layer, o, &x)).collect();
        let y = match layer.end {
            End::Sums => {
                let last = arg_max == Some(true);
                let (outputs, sums): (Vec<usize>, Vec<Sum>) = b.possible(sums, last, &x).into_iter().unzip();
                let (sums, rests) = compared(sums);
                let terms = b.shared(&sums);
                let values: Vec<Var> =
                    terms.iter().zip(&sums).map(|(terms, sum)| b.added(terms, sum.bias, &x)).collect();
                let found = outputs.into_iter().zip(values).zip(rests);
                b.largest(found.map(|((output, value), rest)| Found { output, value, rest }).collect(), last, search);
                Vec::new()
            }
            End::Requantize { zero_point, .. } => {
                let y = b.requantized(layer, sums, &x, scaling);
                if let Some(last) = arg_max {
                    let found = y.into_iter().enumerate();
                    b.largest(found.map(|(output, value)| Found { output, value, rest: 0 }).collect(), last, search);
                    Vec::new()
                } else {
                    y.into_iter().map(|v| Operand { number: Number::Made(v), offset: -zero_point }).collect()
                }
            }
        };
        x = y;
    }
    for (o, operand) in x.iter().enumerate() {
        if let Number::Made(v) = operand.number {
            let v = b.plus(v, -operand.offset);
            b.push(Op::Store(o, v));
        }
    }
    b.program.without_unread()
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
                // Twice what operands can be: they and the bias are taken with an offset.
                let reach = weights.map(|&w| 512 * i64::from(w).abs()).sum::<i64>() + i64::from(self.bias[o]).abs();
                let fits = reach + i64::from(half) <= i64::from(i32::MAX);
                if half > 0 && m.count_ones() == 1 && fits { (half, Some(32 - bits)) } else { (0, None) }
            }
        }
    }
}

impl Sum {
    /// The digits of the factors.
    fn terms(&self) -> Vec<Term> {
        let mut terms = Vec::new();
        for (&atom, &factor) in &self.factors {
            let (same, other) = signed_digits(factor.unsigned_abs());
            for exponent in (0..32).filter(|exponent| (same | other) >> exponent & 1 == 1) {
                terms.push(Term { atom, exponent, minus: (other >> exponent & 1 == 1) != (factor < 0) });
            }
        }
        terms
    }

    /// The power of two that all factors have in common; none, if there is no factor.
    fn exponent(&self) -> Option<u32> {
        self.factors.values().map(|factor| factor.trailing_zeros()).min()
    }

    /// Over a power of two that all factors have in common, rounded down; what is left of the bias.
    fn divide(&mut self, exponent: u32) -> i32 {
        self.factors.values_mut().for_each(|factor| *factor >>= exponent);
        let bias = self.bias;
        self.bias = bias >> exponent;
        bias - (self.bias << exponent)
    }

    /// Whether it and what is left of it without some of its factors are far from the ends of 32 bits.
    fn has_room(&self) -> bool {
        let reach = self.factors.values().map(|&factor| 256 * i64::from(factor).abs()).sum::<i64>();
        reach + i64::from(self.bias).abs() < 1 << 28
    }
}

/// Sums that are in the same order, for an atom's multiple that is taken from all of them leaves that as it is, and so does a
/// division. What the division leaves of their biases comes first where quotients are equal.
fn compared(mut sums: Vec<Sum>) -> (Vec<Sum>, Vec<i32>) {
    if !sums.iter().all(Sum::has_room) {
        let rests = vec![0; sums.len()];
        return (sums, rests);
    }
    let digits = |factor: i32| {
        let (same, other) = signed_digits(factor.unsigned_abs());
        (same | other).count_ones()
    };
    let atoms: BTreeSet<Atom> = sums.iter().flat_map(|sum| sum.factors.keys().copied()).collect();
    for atom in atoms {
        let factors: Vec<i32> = sums.iter().map(|sum| sum.factors.get(&atom).copied().unwrap_or(0)).collect();
        let price = |less: i32| factors.iter().map(|factor| digits(factor - less)).sum::<u32>();
        let less = std::iter::once(0).chain(factors.iter().copied()).min_by_key(|&less| price(less)).unwrap_or(0);
        for (sum, factor) in sums.iter_mut().zip(&factors) {
            match factor - less {
                0 => sum.factors.remove(&atom),
                factor => sum.factors.insert(atom, factor),
            };
        }
    }
    let exponent = sums.iter().filter_map(Sum::exponent).min().unwrap_or(0);
    let rests = sums.iter_mut().map(|sum| sum.divide(exponent)).collect();
    // One of the biases becomes 0, that with which the others take the fewest bytes.
    let bytes = |c: i32| if c == 0 { 0 } else { 1 + c.unsigned_abs().ilog2() / 8 };
    let price = |less: i32| sums.iter().map(|sum| bytes(sum.bias - less)).sum::<u32>();
    let less = sums.iter().map(|sum| sum.bias).min_by_key(|&less| price(less)).unwrap_or(0);
    sums.iter_mut().for_each(|sum| sum.bias -= less);
    (sums, rests)
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
            Op::Multiply(a, c) => (of(a).0 * i64::from(c), of(a).1 * i64::from(c)),
            Op::Requantize(..) => (-(1 << 31), (1 << 31) - 1),
            Op::Max(a, c) => (of(a).0.max(c.into()), of(a).1.max(c.into())),
            Op::Min(a, c) => (of(a).0.min(c.into()), of(a).1.min(c.into())),
            Op::Larger(a, b) => (of(a).0.max(of(b).0), of(a).1.max(of(b).1)),
            Op::Not(a) => (!of(a).1, !of(a).0),
            Op::Store(..) | Op::Compare(..) | Op::Index(_) => (0, 0),
        };
        // Sums that wrap on the way are any number.
        let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
        let limits = if limits.0 < low || limits.1 > high { (low, high) } else { limits };
        let op = match op {
            Op::Store(..) | Op::Compare(..) | Op::Index(_) => op,
            _ if limits.0 == limits.1 => Op::Constant(limits.0 as i32),
            _ => op,
        };
        self.program.ops.push(op);
        self.program.limits.push(limits);
        self.program.ops.len() - 1
    }

    /// A number and a constant.
    fn plus(&mut self, a: Var, c: i32) -> Var {
        if c == 0 { a } else { self.push(Op::AddConstant(a, c)) }
    }

    /// A number times a power of two.
    fn shifted(&mut self, a: Var, n: u32) -> Var {
        if n == 0 { a } else { self.push(Op::ShiftLeft(a, n)) }
    }

    /// A number shifted right and limited, as far as that changes it.
    fn clamped(&mut self, mut a: Var, right: u32, min: i32, max: i32) -> Var {
        if right > 0 {
            a = self.push(Op::ShiftRight(a, right));
        }
        if self.program.limits[a].0 < i64::from(min) {
            a = self.push(Op::Max(a, min));
        }
        if self.program.limits[a].1 > i64::from(max) {
            a = self.push(Op::Min(a, max));
        }
        a
    }

    /// The bits of an operand's number that a mask has, and how much more that is than what the layer means.
    fn masked(&self, x: &Operand, mask: Option<u8>) -> (i32, i32) {
        let Some(mask) = mask else { return (-1, x.offset) };
        let mask = i32::from(mask);
        // What is masked is the integer plus 128. A number with a sign is that less 128, which its upper bits are; one
        // that is 128 more has the bit 128 beside it.
        let (mask, live, more) = match (x.offset, x.number) {
            (128, Number::Made(v)) => (mask, self.program.limits[v].1, 0),
            (256, _) => (mask & 0x7f, self.input.1 - 128, 0),
            _ if mask & 0x80 == 0 => (mask, -1, 0),
            _ => (mask | !0x7f, -1, -128),
        };
        let live = if live < 0 { -1 } else { (live as u32 + 1).next_power_of_two() as i32 - 1 };
        if live & !mask == 0 { (-1, if x.offset == 256 { 128 } else { more }) } else { (mask, more) }
    }

    /// The sum of output `o`, its bias with what it is rounded by.
    fn sum(&self, layer: &Layer, o: usize, x: &[Operand]) -> Sum {
        let row = o * layer.inputs..(o + 1) * layer.inputs;
        let mut sum = Sum { bias: layer.bias[o].wrapping_add(layer.rounding(o).0), ..Sum::default() };
        for (i, &weight) in layer.weight[row.clone()].iter().enumerate() {
            let mask = layer.masks.map(|masks| masks[row.start + i]);
            if weight == 0 || mask == Some(0) {
                continue;
            }
            let weight = i32::from(weight);
            let (mask, mut more) = self.masked(&x[i], mask);
            match x[i].number {
                Number::Made(v) if self.program.limits[v].0 == self.program.limits[v].1 => {
                    more = more.wrapping_sub(self.program.limits[v].0 as i32 & mask);
                }
                _ => {
                    sum.factors.insert(Atom::Operand(i, mask), weight);
                }
            }
            sum.bias = sum.bias.wrapping_sub(weight.wrapping_mul(more));
        }
        sum
    }

    /// The results of a layer without their zero point.
    fn requantized(&mut self, layer: &Layer, mut sums: Vec<Sum>, x: &[Operand], scaling: Scaling) -> Vec<Var> {
        let End::Requantize { multiplier, shift, zero_point, min, max } = layer.end else { return Vec::new() };
        // The bits that are still to be shifted.
        let right: Vec<Option<u32>> = sums
            .iter_mut()
            .enumerate()
            .map(|(o, sum)| {
                let right = layer.rounding(o).1?;
                let early = sum.exponent().unwrap_or(0).min(right);
                sum.divide(early);
                Some(right - early)
            })
            .collect();
        let terms = self.shared(&sums);
        let mut y = Vec::with_capacity(sums.len());
        for (o, (terms, sum)) in terms.iter().zip(&sums).enumerate() {
            let sum = self.added(terms, sum.bias, x);
            let (min, max) = (min - zero_point, max - zero_point);
            let short = match scaling {
                Scaling::Requantize => None,
                _ => rescale((multiplier[o], shift), self.program.limits[sum], (min, max)),
            };
            let (number, right) = match (right[o], short) {
                (Some(right), _) => (sum, right),
                (None, Some(Rescale { factor, constant, shift })) => {
                    let product = self.times(sum, factor);
                    (self.plus(product, constant), shift)
                }
                (None, None) => (self.push(Op::Requantize(sum, multiplier[o], shift)), 0),
            };
            y.push(self.clamped(number, right, min, max));
        }
        y
    }

    /// A number times a factor above 0.
    fn times(&mut self, v: Var, factor: i32) -> Var {
        if factor.count_ones() == 1 {
            return self.shifted(v, factor.trailing_zeros());
        }
        self.push(Op::Multiply(v, factor))
    }

    /// The terms of sums, pairs that several of them have in common made one.
    fn shared(&mut self, sums: &[Sum]) -> Vec<Vec<Term>> {
        let mut all: Vec<Vec<Term>> = sums.iter().map(Sum::terms).collect();
        if all.iter().map(|terms| terms.len() * terms.len()).sum::<usize>() > MOST_PAIRS {
            return all;
        }
        loop {
            let mut counts: BTreeMap<Pair, usize> = BTreeMap::new();
            for terms in &all {
                for (k, a) in terms.iter().enumerate() {
                    terms[k + 1..].iter().for_each(|b| *counts.entry(Pair::of(a, b)).or_default() += 1);
                }
            }
            // A pair of two exponents takes a shift of its own.
            let saved = |(pair, count): &(&Pair, &usize)| count.saturating_sub(if pair.shift == 0 { 1 } else { 2 });
            let best = counts.iter().rev().max_by_key(saved).filter(|best| saved(best) > 0);
            let Some((&pair, _)) = best else { return all };
            let atom = Atom::Pair(self.pairs.len());
            self.pairs.push(pair);
            for terms in &mut all {
                while let Some((a, b)) = pair.find(terms) {
                    let (first, last) = (a.min(b), a.max(b));
                    let term = Term { atom, ..terms[a] };
                    terms.remove(last);
                    terms[first] = term;
                }
            }
        }
    }

    /// The number of an atom.
    fn atom(&mut self, atom: Atom, x: &[Operand]) -> Var {
        if let Some(&v) = self.known.get(&atom) {
            return v;
        }
        let v = match atom {
            Atom::Operand(i, -1) => match x[i].number {
                Number::Made(v) => v,
                Number::Input(i) => self.push(if self.bytes { Op::LoadByte(i) } else { Op::Load(i) }),
            },
            Atom::Operand(i, mask) => {
                let whole = self.atom(Atom::Operand(i, -1), x);
                self.push(Op::And(whole, mask))
            }
            Atom::Pair(k) => {
                let Pair { first, second, shift, minus } = self.pairs[k];
                let (first, second) = (self.atom(first, x), self.atom(second, x));
                let second = self.shifted(second, shift);
                self.push(if minus { Op::Sub(first, second) } else { Op::Add(first, second) })
            }
        };
        self.known.insert(atom, v);
        v
    }

    /// The sum of terms and a bias. Groups of one exponent are shifted once; one of which nothing is added is subtracted as
    /// a whole.
    fn added(&mut self, terms: &[Term], bias: i32, x: &[Operand]) -> Var {
        let mut groups: BTreeMap<u32, Vec<Term>> = BTreeMap::new();
        terms.iter().for_each(|term| groups.entry(term.exponent).or_default().push(*term));
        let mut groups: Vec<(bool, u32, Vec<Term>)> = groups
            .into_iter()
            .map(|(exponent, group)| (group.iter().all(|term| term.minus), exponent, group))
            .collect();
        // The sum begins with a group that is added, if there is one.
        groups.sort_by_key(|&(minus, exponent, _)| (minus, std::cmp::Reverse(exponent)));
        let (mut acc, mut bias) = (None, bias);
        for (minus, exponent, mut group) in groups {
            group.sort_by_key(|term| term.minus != minus);
            let mut part: Option<Var> = None;
            for term in group {
                let v = self.atom(term.atom, x);
                part = Some(match part {
                    None => v,
                    Some(part) if term.minus == minus => self.push(Op::Add(part, v)),
                    Some(part) => self.push(Op::Sub(part, v)),
                });
            }
            let Some(part) = part else { continue };
            let part = self.shifted(part, exponent);
            acc = Some(match (acc, minus) {
                (None, false) => part,
                (None, true) => {
                    let c = self.push(Op::Constant(std::mem::take(&mut bias)));
                    self.push(Op::Sub(c, part))
                }
                (Some(acc), false) => self.push(Op::Add(acc, part)),
                (Some(acc), true) => self.push(Op::Sub(acc, part)),
            });
        }
        match acc {
            None => self.push(Op::Constant(bias)),
            Some(acc) => self.plus(acc, bias),
        }
    }

    /// The sums that can be the largest, with their outputs: whatever the operands are, one of the others is larger than the
    /// rest, or equal and first.
    fn possible(&self, sums: Vec<Sum>, last: bool, x: &[Operand]) -> Vec<(usize, Sum)> {
        let limits = |atom: Atom| match atom {
            Atom::Operand(i, -1) => match x[i].number {
                Number::Input(_) => self.input,
                Number::Made(v) => self.program.limits[v],
            },
            // Some of the bits of a byte.
            _ => (-128, 255),
        };
        // The most by which one can be above another.
        let most = |a: &Sum, b: &Sum| {
            let atoms: BTreeSet<Atom> = a.factors.keys().chain(b.factors.keys()).copied().collect();
            let more = |atom: Atom| {
                let factor = |sum: &Sum| i64::from(sum.factors.get(&atom).copied().unwrap_or(0));
                let (factor, (low, high)) = (factor(a) - factor(b), limits(atom));
                (factor * low).max(factor * high)
            };
            i64::from(a.bias) - i64::from(b.bias) + atoms.into_iter().map(more).sum::<i64>()
        };
        if !sums.iter().all(Sum::has_room) {
            return sums.into_iter().enumerate().collect();
        }
        let never = |o: usize| {
            let is_above = |p: usize| {
                let most = most(&sums[o], &sums[p]);
                most < 0 || most == 0 && p != o && (p > o) == last
            };
            (0..sums.len()).any(is_above)
        };
        let kept: Vec<bool> = (0..sums.len()).map(|o| !never(o)).collect();
        sums.into_iter().enumerate().filter(|&(o, _)| kept[o]).collect()
    }

    /// Makes the output with the largest number the result. Of equal numbers those with a larger rest come first.
    fn largest(&mut self, mut found: Vec<Found>, last: bool, search: Search) {
        // From the one that loses every tie to the one that wins.
        let outputs = found.iter().map(|f| f.output).max().unwrap_or(0);
        found.sort_by_key(|f| (f.rest, if last { f.output } else { outputs - f.output }));
        if search == Search::Keys && self.largest_key(&found, outputs, last).is_some() {
            return;
        }
        if !last {
            found.reverse();
        }
        for Found { output, value, .. } in found {
            self.push(Op::Compare(output, value));
        }
    }

    /// The same by outputs in the lowest bits, above them what decides ties otherwise; none, if they have no room.
    fn largest_key(&mut self, found: &[Found], outputs: usize, last: bool) -> Option<()> {
        let mask = ((outputs + 1).next_power_of_two() - 1) as i32;
        let tag = |f: &Found| if last { f.output as i32 } else { mask - f.output as i32 };
        let mut low: Vec<i32> = Vec::with_capacity(found.len());
        for f in found {
            let above = low.last().map_or(0, |&before| {
                let rank = before & !mask;
                if tag(f) < before & mask { rank + mask + 1 } else { rank }
            });
            low.push(above + tag(f));
        }
        let bits = 32 - low.last()?.leading_zeros();
        let room = |f: &Found| {
            let (least, most) = self.program.limits[f.value];
            least << bits >= i64::from(i32::MIN) && (most + 1) << bits <= i64::from(i32::MAX)
        };
        if !found.iter().all(room) {
            return None;
        }
        let mut best: Option<Var> = None;
        for (f, low) in found.iter().zip(low) {
            // The shift before the constant, which then is one.
            let (v, c) = match self.program.ops[f.value] {
                Op::AddConstant(v, c) => (v, (c << bits) + low),
                _ => (f.value, low),
            };
            let key = self.shifted(v, bits);
            let key = self.plus(key, c);
            best = Some(best.map_or(key, |best| self.push(Op::Larger(best, key))));
        }
        let best = best?;
        let best = if last { best } else { self.push(Op::Not(best)) };
        let index = self.push(Op::And(best, mask));
        self.push(Op::Index(index));
        Some(())
    }
}

impl Pair {
    /// The pair that two terms are, the first times a power of two.
    fn of(a: &Term, b: &Term) -> Self {
        let (first, second) = if (a.exponent, a.atom) <= (b.exponent, b.atom) { (a, b) } else { (b, a) };
        Self {
            first: first.atom,
            second: second.atom,
            shift: second.exponent - first.exponent,
            minus: first.minus != second.minus,
        }
    }

    /// Two terms that are it, by their places: the first and the second of the pair.
    fn find(&self, terms: &[Term]) -> Option<(usize, usize)> {
        terms.iter().enumerate().filter(|(_, a)| a.atom == self.first).find_map(|(k, a)| {
            let is_second = |b: &Term| {
                b.atom == self.second && b.exponent == a.exponent + self.shift && (a.minus != b.minus) == self.minus
            };
            let second = terms.iter().enumerate().position(|(j, b)| j != k && is_second(b))?;
            Some((k, second))
        })
    }
}
