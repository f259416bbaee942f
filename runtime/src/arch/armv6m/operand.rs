//! What a layer reads: bytes behind their sum, or a list.

use super::Listed;

mod sealed {
    pub trait Sealed {}
    impl<const W: usize, const R: usize> Sealed for &[[i32; W]; R] {}
    impl<const N: usize, const W: usize, const R: usize> Sealed for super::Listed<'_, N, W, R> {}
}

/// `R` rows of a layer's inputs, in `W` words each. The assembly trusts them: there are no other implementations.
pub trait Operand<const W: usize, const R: usize>: sealed::Sealed {
    /// Of lists, the number of inputs that they are made of.
    const LIST: Option<usize>;

    /// The rows.
    fn rows(&self) -> &[[i32; W]; R];
}

impl<const W: usize, const R: usize> Operand<W, R> for &[[i32; W]; R] {
    const LIST: Option<usize> = None;

    #[inline(always)]
    fn rows(&self) -> &[[i32; W]; R] {
        self
    }
}

impl<const N: usize, const W: usize, const R: usize> Operand<W, R> for Listed<'_, N, W, R> {
    const LIST: Option<usize> = Some(N);

    #[inline(always)]
    fn rows(&self) -> &[[i32; W]; R] {
        self.0
    }
}
