//! Movement of data: ONNX `Transpose`, `Slice`, `Split`, `Gather` of a range, and broadcasting.

use crate::Elementary;

/// A view of `N` elements as `A x B x C x D`, by a start and a stride an axis; `run` copies it out.
#[derive(Clone, Copy, Debug)]
pub struct Strided<const N: usize, const A: usize, const B: usize, const C: usize, const D: usize> {
    start: usize,
    stride: [isize; 4],
}

impl<const N: usize, const A: usize, const B: usize, const C: usize, const D: usize> Strided<N, A, B, C, D> {
    /// A view whose element `[a][b][c][d]` is `x[start + a * stride[0] + .. + d * stride[3]]`. Zero repeats,
    /// a negative stride runs backwards.
    ///
    /// # Panics
    /// Where the view leaves `0..N`: as a constant, that does not compile.
    pub const fn new(start: usize, stride: [isize; 4]) -> Self {
        let extent = [A, B, C, D];
        let (mut low, mut high) = (start as isize, start as isize);
        let mut axis = 0;
        while axis < 4 {
            assert!(extent[axis] > 0, "an axis is empty");
            let reach = (extent[axis] as isize - 1) * stride[axis];
            if reach < 0 {
                low += reach;
            } else {
                high += reach;
            }
            axis += 1;
        }
        assert!(low >= 0 && high < N as isize, "the view leaves the tensor");
        Self { start, stride }
    }

    /// Copies the view.
    #[inline(always)]
    pub fn run<T: Elementary>(&self, x: &[T; N], y: &mut [[[[T; D]; C]; B]; A]) {
        let y = y.as_flattened_mut().as_flattened_mut().as_flattened_mut();
        strided(x, self.start, self.stride, [A, B, C, D], y);
    }
}

/// [`Strided`] over slices: element `[a][b][c][d]` of `extent` from `x[start + a * stride[0] + ..]`.
pub fn strided<T: Elementary>(x: &[T], start: usize, stride: [isize; 4], extent: [usize; 4], y: &mut [T]) {
    let mut y = y.iter_mut();
    let step = |from: usize, axis: usize| from.wrapping_add_signed(stride[axis]);
    let mut a = start;
    for _ in 0..extent[0] {
        let mut b = a;
        for _ in 0..extent[1] {
            let mut c = b;
            for _ in 0..extent[2] {
                let mut d = c;
                for _ in 0..extent[3] {
                    // Always both: the view was checked when it was made.
                    if let (Some(y), Some(&x)) = (y.next(), x.get(d)) {
                        *y = x;
                    }
                    d = step(d, 3);
                }
                c = step(c, 2);
            }
            b = step(b, 1);
        }
        a = step(a, 0);
    }
}
