//! A part of a network for a few rows or columns at a time: what lies between its layers exists for those alone.

use crate::Element;

/// What the caller hands in lies as words do, which kernels of some cores read faster.
#[repr(C, align(4))]
struct Aligned<T>(T);

/// Calls a function for every `T` of `R` rows. `R` is a multiple of `T`.
///
/// What the function computes of a tile's rows is the tile's result: for fully connected layers over the last axis, and
/// everything else that no other row has a part in.
#[derive(Clone, Copy, Debug)]
pub struct Rows;

impl Rows {
    /// Of one operand.
    #[inline(always)]
    pub fn run<X: Element, Y: Element, const I: usize, const O: usize, const T: usize, const R: usize>(
        &self,
        x: &[[X; I]; R],
        y: &mut [[Y; O]; R],
        mut f: impl FnMut(&[[X; I]; T], &mut [[Y; O]; T]),
    ) {
        const { assert!(T > 0 && R.is_multiple_of(T)) };
        for (x, y) in x.as_chunks().0.iter().zip(y.as_chunks_mut().0) {
            f(x, y);
        }
    }

    /// Of two operands.
    #[inline(always)]
    pub fn run_with<
        A: Element,
        B: Element,
        Y: Element,
        const I: usize,
        const J: usize,
        const O: usize,
        const T: usize,
        const R: usize,
    >(
        &self,
        a: &[[A; I]; R],
        b: &[[B; J]; R],
        y: &mut [[Y; O]; R],
        mut f: impl FnMut(&[[A; I]; T], &[[B; J]; T], &mut [[Y; O]; T]),
    ) {
        const { assert!(T > 0 && R.is_multiple_of(T)) };
        for ((a, b), y) in a.as_chunks().0.iter().zip(b.as_chunks().0).zip(y.as_chunks_mut().0) {
            f(a, b, y);
        }
    }

    /// Of what the results take the place of.
    #[inline(always)]
    pub fn run_in_place<Y: Element, const O: usize, const T: usize, const R: usize>(
        &self,
        y: &mut [[Y; O]; R],
        mut f: impl FnMut(&[[Y; O]; T], &mut [[Y; O]; T]),
    ) {
        const { assert!(T > 0 && R.is_multiple_of(T)) };
        for y in y.as_chunks_mut().0 {
            let x = Aligned(*y);
            f(&x.0, y);
        }
    }

    /// Of what the results take the place of, and another operand.
    #[inline(always)]
    pub fn run_in_place_with<B: Element, Y: Element, const J: usize, const O: usize, const T: usize, const R: usize>(
        &self,
        b: &[[B; J]; R],
        y: &mut [[Y; O]; R],
        mut f: impl FnMut(&[[Y; O]; T], &[[B; J]; T], &mut [[Y; O]; T]),
    ) {
        const { assert!(T > 0 && R.is_multiple_of(T)) };
        for (b, y) in b.as_chunks().0.iter().zip(y.as_chunks_mut().0) {
            let a = Aligned(*y);
            f(&a.0, b, y);
        }
    }
}

/// Calls a function for every `T` of `C` columns, which it gets and gives as rows. `C` is a multiple of `T`.
///
/// A fully connected layer over columns ([`GemmColumns`](super::GemmColumns)) is one over the rows of the tile, for which
/// every core has a kernel. Only what comes in and goes out at the ends of a chain of layers is transposed.
#[derive(Clone, Copy, Debug)]
pub struct Columns;

impl Columns {
    /// Of one operand.
    #[inline(always)]
    pub fn run<X: Element, Y: Element, const I: usize, const O: usize, const T: usize, const C: usize>(
        &self,
        x: &[[X; C]; I],
        y: &mut [[Y; C]; O],
        mut f: impl FnMut(&[[X; I]; T], &mut [[Y; O]; T]),
    ) {
        const { assert!(T > 0 && C.is_multiple_of(T)) };
        for at in (0..C).step_by(T) {
            let (mut tile, mut result) = (zeros(), zeros());
            gather(x, at, &mut tile.0);
            f(&tile.0, &mut result.0);
            scatter(&result.0, at, y);
        }
    }

    /// Of two operands.
    #[inline(always)]
    pub fn run_with<
        A: Element,
        B: Element,
        Y: Element,
        const I: usize,
        const J: usize,
        const O: usize,
        const T: usize,
        const C: usize,
    >(
        &self,
        a: &[[A; C]; I],
        b: &[[B; C]; J],
        y: &mut [[Y; C]; O],
        mut f: impl FnMut(&[[A; I]; T], &[[B; J]; T], &mut [[Y; O]; T]),
    ) {
        const { assert!(T > 0 && C.is_multiple_of(T)) };
        for at in (0..C).step_by(T) {
            let (mut first, mut second, mut result) = (zeros(), zeros(), zeros());
            gather(a, at, &mut first.0);
            gather(b, at, &mut second.0);
            f(&first.0, &second.0, &mut result.0);
            scatter(&result.0, at, y);
        }
    }

    /// Of what the results take the place of.
    #[inline(always)]
    pub fn run_in_place<Y: Element, const O: usize, const T: usize, const C: usize>(
        &self,
        y: &mut [[Y; C]; O],
        mut f: impl FnMut(&[[Y; O]; T], &mut [[Y; O]; T]),
    ) {
        const { assert!(T > 0 && C.is_multiple_of(T)) };
        for at in (0..C).step_by(T) {
            let (mut tile, mut result) = (zeros(), zeros());
            gather(y, at, &mut tile.0);
            f(&tile.0, &mut result.0);
            scatter(&result.0, at, y);
        }
    }

    /// Of what the results take the place of, and another operand.
    #[inline(always)]
    pub fn run_in_place_with<B: Element, Y: Element, const J: usize, const O: usize, const T: usize, const C: usize>(
        &self,
        b: &[[B; C]; J],
        y: &mut [[Y; C]; O],
        mut f: impl FnMut(&[[Y; O]; T], &[[B; J]; T], &mut [[Y; O]; T]),
    ) {
        const { assert!(T > 0 && C.is_multiple_of(T)) };
        for at in (0..C).step_by(T) {
            let (mut first, mut second, mut result) = (zeros(), zeros(), zeros());
            gather(y, at, &mut first.0);
            gather(b, at, &mut second.0);
            f(&first.0, &second.0, &mut result.0);
            scatter(&result.0, at, y);
        }
    }
}

#[inline(always)]
fn zeros<X: Element, const I: usize, const T: usize>() -> Aligned<[[X; I]; T]> {
    Aligned([[X::default(); I]; T])
}

/// The columns from `at` on as rows.
#[inline(always)]
fn gather<X: Element, const I: usize, const T: usize, const C: usize>(
    x: &[[X; C]; I],
    at: usize,
    tile: &mut [[X; I]; T],
) {
    for (i, x) in x.iter().enumerate() {
        for (tile, &x) in tile.iter_mut().zip(x.iter().skip(at)) {
            tile[i] = x;
        }
    }
}

/// Rows as the columns from `at` on.
#[inline(always)]
fn scatter<Y: Element, const O: usize, const T: usize, const C: usize>(
    tile: &[[Y; O]; T],
    at: usize,
    y: &mut [[Y; C]; O],
) {
    for (o, y) in y.iter_mut().enumerate() {
        for (tile, y) in tile.iter().zip(y.iter_mut().skip(at)) {
            *y = tile[o];
        }
    }
}
