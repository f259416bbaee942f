//! What a call of a kernel costs.
//!
//! Kernels in assembly count their instructions in `Kernel::cost`, exactly but for branches that depend on more than the
//! data shows. Emulated boards confirm them: in constant time, mnist of the benchmark takes 48,255 instructions on
//! Cortex-M4 (predicted 48,258), 175,173 on Cortex-M0 (175,178), 167,440 on RV32IMC (167,440) and 8,613 on Cortex-M55
//! (8,615), digits 18,349 on RV32EC (18,350). A test of xtask compares all models of the benchmark.

/// What a call of a kernel takes, without the instructions of its caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// Instructions.
    pub instructions: Instructions,
    /// The functions it calls.
    pub code: Vec<Function>,
    /// Bytes of constants beside the arrays, which say how large a layer is.
    pub head: usize,
    /// Bytes of code that become part of the caller's.
    pub inlined: usize,
    /// Bytes of stack.
    pub stack: usize,
    /// Whether the time is the same whatever the data.
    pub fixed: bool,
    /// Whether it is an estimate of what the compiler makes, not a count.
    pub estimated: bool,
}

/// A function that all layers share whose kernels name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name with what its code depends on.
    pub name: String,
    /// Bytes of code.
    pub bytes: usize,
}

/// A number of instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Instructions {
    /// In the mean over the calibration data.
    pub mean: f64,
    /// For the worst input: none of its elements zero, every branch the dearest.
    pub max: f64,
}

/// What the calibration data shows of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// Which elements of the operand are not zero (equal to the zero point), row by row, in the order in which they lie.
    pub nonzero: &'a [Vec<bool>],
    /// Share of the results that are the smallest of their type.
    pub lowest: f64,
    /// Share of the results that are the largest.
    pub highest: f64,
}

impl Instructions {
    /// As many whatever the data.
    pub fn fixed(count: usize) -> Self {
        Self { mean: count as f64, max: count as f64 }
    }

    /// For so many rows.
    #[must_use]
    pub fn times(self, rows: usize) -> Self {
        Self { mean: self.mean * rows as f64, max: self.max * rows as f64 }
    }
}

impl Seen<'_> {
    /// Elements of a row of `inputs` that are not zero, in the mean. Without data none is.
    pub fn elements(&self, inputs: usize) -> f64 {
        self.groups(inputs, 1)
    }

    /// Groups of `size` elements of a row of `inputs` that are not all zero, in the mean.
    pub fn groups(&self, inputs: usize, size: usize) -> f64 {
        self.mean(inputs.div_ceil(size), |row| row.chunks(size).filter(|group| group.contains(&true)).count())
    }

    /// Groups of `size` in a list of those that are not zero, in the mean. The list of a row of zeros has one of them.
    pub fn listed(&self, inputs: usize, size: usize) -> f64 {
        self.mean(inputs.div_ceil(size), |row| row.iter().filter(|&&nonzero| nonzero).count().max(1).div_ceil(size))
    }

    /// The mean of a count over the rows; `all` without data.
    pub fn mean(&self, all: usize, count: impl Fn(&[bool]) -> usize) -> f64 {
        if self.nonzero.is_empty() {
            return all as f64;
        }
        self.nonzero.iter().map(|row| count(row)).sum::<usize>() as f64 / self.nonzero.len() as f64
    }
}
