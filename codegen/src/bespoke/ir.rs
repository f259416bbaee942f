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
    /// A number times a factor above 0.
    Multiply(Var, i32),
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
    /// The larger of two numbers.
    Larger(Var, Var),
    /// The other bits.
    Not(Var),
    /// Makes the number the output, an index.
    Index(Var),
}

impl Op {
    /// The numbers it reads.
    pub fn reads(&self) -> impl Iterator<Item = Var> {
        let (a, b) = match *self {
            Op::Load(_) | Op::LoadByte(_) | Op::Constant(_) => (None, None),
            Op::Add(a, b) | Op::Sub(a, b) | Op::Larger(a, b) => (Some(a), Some(b)),
            Op::And(a, _)
            | Op::ShiftLeft(a, _)
            | Op::ShiftRight(a, _)
            | Op::AddConstant(a, _)
            | Op::Multiply(a, _)
            | Op::Requantize(a, ..)
            | Op::Max(a, _)
            | Op::Min(a, _)
            | Op::Store(_, a)
            | Op::Compare(_, a)
            | Op::Not(a)
            | Op::Index(a) => (Some(a), None),
        };
        a.into_iter().chain(b)
    }

    /// Whether it makes an output.
    fn writes(&self) -> bool {
        matches!(self, Op::Store(..) | Op::Compare(..) | Op::Index(_))
    }

    /// Whether the low bits of its number follow from the low bits of what it reads.
    fn is_modular(&self) -> bool {
        matches!(
            self,
            Op::And(..)
                | Op::ShiftLeft(..)
                | Op::Add(..)
                | Op::Sub(..)
                | Op::AddConstant(..)
                | Op::Multiply(..)
                | Op::Not(_)
                | Op::Store(..)
                | Op::Index(_)
        )
    }

    /// The same of numbers in other places.
    fn moved(self, to: &[Var]) -> Self {
        match self {
            Op::Load(_) | Op::LoadByte(_) | Op::Constant(_) => self,
            Op::And(a, mask) => Op::And(to[a], mask),
            Op::ShiftLeft(a, n) => Op::ShiftLeft(to[a], n),
            Op::ShiftRight(a, n) => Op::ShiftRight(to[a], n),
            Op::Add(a, b) => Op::Add(to[a], to[b]),
            Op::Sub(a, b) => Op::Sub(to[a], to[b]),
            Op::AddConstant(a, c) => Op::AddConstant(to[a], c),
            Op::Multiply(a, c) => Op::Multiply(to[a], c),
            Op::Requantize(a, multiplier, shift) => Op::Requantize(to[a], multiplier, shift),
            Op::Max(a, c) => Op::Max(to[a], c),
            Op::Min(a, c) => Op::Min(to[a], c),
            Op::Store(o, a) => Op::Store(o, to[a]),
            Op::Compare(o, a) => Op::Compare(o, to[a]),
            Op::Larger(a, b) => Op::Larger(to[a], to[b]),
            Op::Not(a) => Op::Not(to[a]),
            Op::Index(a) => Op::Index(to[a]),
        }
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
        self.evaluate(x, |number| number)
    }

    /// The same with numbers of fewer bits.
    pub(super) fn evaluate(&self, x: &[i8], held: impl Fn(i32) -> i32) -> Vec<i32> {
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
                Op::Multiply(a, c) => numbers[a].wrapping_mul(c),
                Op::Requantize(a, multiplier, shift) => tinymlp::requantize(numbers[a], multiplier, shift),
                Op::Max(a, c) => numbers[a].max(c),
                Op::Min(a, c) => numbers[a].min(c),
                Op::Store(o, a) => {
                    y[o] = (numbers[a] as i8).into();
                    0
                }
                Op::Larger(a, b) => numbers[a].max(numbers[b]),
                Op::Not(a) => !numbers[a],
                Op::Index(a) => {
                    y[0] = numbers[a];
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
            numbers.push(held(number));
        }
        y
    }

    /// The same without the operations whose numbers no output needs.
    #[must_use]
    pub fn without_unread(mut self) -> Self {
        let mut read = vec![false; self.ops.len()];
        for (k, op) in self.ops.iter().enumerate().rev() {
            if read[k] || op.writes() {
                read[k] = true;
                op.reads().for_each(|v| read[v] = true);
            }
        }
        let mut to = vec![0; self.ops.len()];
        let mut ops = Vec::with_capacity(self.ops.len());
        for (k, op) in self.ops.iter().enumerate().filter(|&(k, _)| read[k]) {
            to[k] = ops.len();
            ops.push(op.moved(&to));
        }
        let mut kept = read.iter();
        self.limits.retain(|_| kept.next() == Some(&true));
        self.ops = ops;
        self
    }

    /// Whether it can be computed in 16 bits: they hold every number of which more than the low bits matters.
    pub fn is_narrow(&self) -> bool {
        let fits = |v: Var| {
            let (low, high) = self.limits[v];
            low >= i64::from(i16::MIN) && high <= i64::from(i16::MAX)
        };
        self.ops.iter().all(|op| match *op {
            Op::Requantize(..) => false,
            Op::ShiftLeft(_, n) | Op::ShiftRight(_, n) if n > 15 => false,
            Op::Max(_, c) | Op::Min(_, c) if i16::try_from(c).is_err() => false,
            _ => op.is_modular() || op.reads().all(fits),
        })
    }
}
