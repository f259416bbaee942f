//! Programs without loops and branches.

/// A number of a program: the place of the operation that makes it.
pub type Var = usize;

/// One operation on integers of 32 bits, or of 16 where every number of the program fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// An input as it is.
    Load(usize),
    /// An input whose integers are all negative, plus 256: its byte without sign.
    LoadByte(usize),
    /// A constant.
    Constant(i32),
    /// The bits of a number that a mask has.
    And(Var, i32),
    /// A number times a power of two.
    ShiftLeft(Var, u32),
    /// A number over a power of two, rounded down.
    ShiftRight(Var, u32),
    /// The sum of two numbers.
    Add(Var, Var),
    /// The first less the second.
    Sub(Var, Var),
    /// A number and a constant.
    AddConstant(Var, i32),
    /// See [`tinymlp::requantize`]: of a number, by a multiplier and a shift.
    Requantize(Var, i32, u32),
    /// The larger of a number and a constant.
    Max(Var, i32),
    /// The smaller of a number and a constant.
    Min(Var, i32),
    /// Makes the number the output of this place.
    Store(usize, Var),
    /// Makes this index the output, if the number is larger than those before it.
    Compare(usize, Var),
}

impl Op {
    /// The numbers it reads.
    pub fn reads(&self) -> impl Iterator<Item = Var> {
        let (a, b) = match *self {
            Op::Load(_) | Op::LoadByte(_) | Op::Constant(_) => (None, None),
            Op::Add(a, b) | Op::Sub(a, b) => (Some(a), Some(b)),
            Op::And(a, _)
            | Op::ShiftLeft(a, _)
            | Op::ShiftRight(a, _)
            | Op::AddConstant(a, _)
            | Op::Requantize(a, ..)
            | Op::Max(a, _)
            | Op::Min(a, _)
            | Op::Store(_, a)
            | Op::Compare(_, a) => (Some(a), None),
        };
        a.into_iter().chain(b)
    }
}

/// Operations in their order; number `k` is what operation `k` makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Elements of the input, int8.
    pub inputs: usize,
    /// Elements of the output: int8, or one index.
    pub outputs: usize,
    /// Whether the output is the index of the largest sum.
    pub index: bool,
    /// Among equals, the last.
    pub last: bool,
    /// The operations.
    pub ops: Vec<Op>,
    /// By operation, the least and the largest that its number can be.
    pub limits: Vec<(i64, i64)>,
}

impl Program {
    /// Runs it once: the int8 outputs, or the index.
    pub fn run(&self, x: &[i8]) -> Vec<i32> {
        let mut numbers: Vec<i32> = Vec::with_capacity(self.ops.len());
        let mut y = vec![0; self.outputs];
        let mut best = None;
        for op in &self.ops {
            let number = match *op {
                Op::Load(i) => x[i].into(),
                Op::LoadByte(i) => (x[i] as u8).into(),
                Op::Constant(c) => c,
                Op::And(a, mask) => numbers[a] & mask,
                Op::ShiftLeft(a, n) => numbers[a] << n,
                Op::ShiftRight(a, n) => numbers[a] >> n,
                Op::Add(a, b) => numbers[a].wrapping_add(numbers[b]),
                Op::Sub(a, b) => numbers[a].wrapping_sub(numbers[b]),
                Op::AddConstant(a, c) => numbers[a].wrapping_add(c),
                Op::Requantize(a, multiplier, shift) => tinymlp::requantize(numbers[a], multiplier, shift),
                Op::Max(a, c) => numbers[a].max(c),
                Op::Min(a, c) => numbers[a].min(c),
                Op::Store(o, a) => {
                    y[o] = (numbers[a] as i8).into();
                    0
                }
                Op::Compare(o, a) => {
                    let sum = numbers[a];
                    if best.is_none_or(|best| sum > best || self.last && sum == best) {
                        (best, y[0]) = (Some(sum), o as i32);
                    }
                    0
                }
            };
            numbers.push(number);
        }
        y
    }

    /// Whether 16 bits hold every number.
    pub fn is_narrow(&self) -> bool {
        let fits = |&(low, high): &(i64, i64)| low >= i64::from(i16::MIN) && high <= i64::from(i16::MAX);
        self.limits.iter().all(fits) && !self.ops.iter().any(|op| matches!(op, Op::Requantize(..)))
    }
}
