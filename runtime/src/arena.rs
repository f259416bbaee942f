//! The memory between layers: one block of bytes in which the code generator has placed every
//! activation by its lifetime, and typed windows into it whose bounds are checked at compile time.

use crate::Activation;
use core::mem::size_of;

/// The memory a model needs between its layers: `N` bytes, its size exactly as the generator reports it.
///
/// It needs no initialization and keeps nothing between two inferences: one may serve several models
/// that do not run at the same time, if it is as large as the largest of them needs.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub struct Arena<const N: usize>([u8; N]);

/// A scratch memory that can be created in a `static`.
pub trait Scratch {
    /// An unused one.
    const NEW: Self;
}

impl<const N: usize> Scratch for Arena<N> {
    const NEW: Self = Self::new();
}

impl<const N: usize> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything in an [`Arena`] but the window at `AT..AT + LEN`.
#[derive(Debug)]
pub struct Rest<'a, const AT: usize, const LEN: usize, const N: usize> {
    below: &'a mut [u8],
    above: &'a mut [u8],
}

/// An arena that is a window of another: `N` bytes.
#[derive(Debug)]
pub struct Part<'a, const N: usize>(&'a mut [u8; N]);

impl<'a, const N: usize> Part<'a, N> {
    /// The arena of these words.
    #[inline(always)]
    pub fn of<const W: usize>(words: &'a mut [i32; W]) -> Self {
        Self(bytemuck::must_cast_mut(words))
    }
}

impl<const N: usize> Arena<N> {
    /// An arena of zeros.
    pub const fn new() -> Self {
        const { assert!(N.is_multiple_of(4), "an arena's size is a multiple of 4 bytes") };
        Self([0; N])
    }
}

/// The windows of an arena, whose bytes begin at a multiple of 4.
macro_rules! windows {
    ($arena:ty) => {
        impl<const N: usize> $arena {
            /// The activation of type `T` that starts at byte `AT`.
            #[inline(always)]
            pub fn read<const AT: usize, T: Activation>(&self) -> &T {
                const { assert!(AT + size_of::<T>() <= N && AT.is_multiple_of(align_of::<T>())) };
                bytemuck::from_bytes(&self.0[AT..AT + size_of::<T>()])
            }

            /// The activation of type `T` that starts at byte `AT`, to be changed in place.
            #[inline(always)]
            pub fn update<const AT: usize, T: Activation>(&mut self) -> &mut T {
                const { assert!(AT + size_of::<T>() <= N && AT.is_multiple_of(align_of::<T>())) };
                bytemuck::from_bytes_mut(&mut self.0[AT..AT + size_of::<T>()])
            }

            /// The `LEN` bytes from `AT` for writing a `T` (`LEN` is its size), and the rest of the arena.
            #[inline(always)]
            pub fn write<const AT: usize, const LEN: usize, T: Activation>(
                &mut self,
            ) -> (&mut T, Rest<'_, AT, LEN, N>) {
                const {
                    assert!(AT + LEN <= N && LEN == size_of::<T>() && AT.is_multiple_of(align_of::<T>()));
                };
                let (below, others) = self.0.split_at_mut(AT);
                let (window, above) = others.split_at_mut(LEN);
                (bytemuck::from_bytes_mut(window), Rest { below, above })
            }
        }
    };
}
windows!(Arena<N>);
windows!(Part<'_, N>);

/// Everything in an [`Arena`] but two windows.
#[derive(Debug)]
pub struct RestOfTwo<'a, const A: usize, const A_LEN: usize, const B: usize, const B_LEN: usize, const N: usize> {
    below: &'a [u8],
    between: &'a [u8],
    above: &'a [u8],
}

impl<'a, const AT: usize, const LEN: usize, const N: usize> Rest<'a, AT, LEN, N> {
    /// Another window for writing, and what is left.
    #[inline(always)]
    pub fn write<const TO: usize, const TO_LEN: usize, T: Activation>(
        self,
    ) -> (&'a mut T, RestOfTwo<'a, AT, LEN, TO, TO_LEN, N>) {
        const {
            assert!(TO + TO_LEN <= AT || TO >= AT + LEN, "an output overlaps what is still in use");
            assert!(TO + TO_LEN <= N && TO_LEN == size_of::<T>() && TO.is_multiple_of(align_of::<T>()));
        };
        let Self { below, above } = self;
        if TO < AT {
            let (below, others) = below.split_at_mut(TO);
            let (window, between) = others.split_at_mut(TO_LEN);
            (bytemuck::from_bytes_mut(window), RestOfTwo { below, between, above })
        } else {
            let (between, others) = above.split_at_mut(TO - AT - LEN);
            let (window, above) = others.split_at_mut(TO_LEN);
            (bytemuck::from_bytes_mut(window), RestOfTwo { below, between, above })
        }
    }
    /// The activation of type `T` that starts at byte `FROM` of the arena. Does not compile where it overlaps
    /// the window that is being written.
    #[inline(always)]
    pub fn read<const FROM: usize, T: Activation>(&self) -> &T {
        const {
            assert!(FROM + size_of::<T>() <= AT || FROM >= AT + LEN, "an input overlaps the output");
            assert!(FROM + size_of::<T>() <= N && FROM.is_multiple_of(align_of::<T>()));
        };
        let bytes = if FROM < AT {
            &self.below[FROM..FROM + size_of::<T>()]
        } else {
            &self.above[FROM - AT - LEN..FROM - AT - LEN + size_of::<T>()]
        };
        bytemuck::from_bytes(bytes)
    }

    /// [`read`](Self::read) for writing, while the window is still in use.
    #[inline(always)]
    pub fn update<const FROM: usize, T: Activation>(&mut self) -> &mut T {
        const {
            assert!(FROM + size_of::<T>() <= AT || FROM >= AT + LEN, "an output overlaps what is still in use");
            assert!(FROM + size_of::<T>() <= N && FROM.is_multiple_of(align_of::<T>()));
        };
        let bytes = if FROM < AT {
            &mut self.below[FROM..FROM + size_of::<T>()]
        } else {
            &mut self.above[FROM - AT - LEN..FROM - AT - LEN + size_of::<T>()]
        };
        bytemuck::from_bytes_mut(bytes)
    }
}

impl<const A: usize, const A_LEN: usize, const B: usize, const B_LEN: usize, const N: usize>
    RestOfTwo<'_, A, A_LEN, B, B_LEN, N>
{
    /// The activation of type `T` that starts at byte `FROM` of the arena. Does not compile where it overlaps
    /// a window that is being written.
    #[inline(always)]
    pub fn read<const FROM: usize, T: Activation>(&self) -> &T {
        const {
            assert!(FROM + size_of::<T>() <= A || FROM >= A + A_LEN, "an input overlaps what is in use");
            assert!(FROM + size_of::<T>() <= B || FROM >= B + B_LEN, "an input overlaps the output");
            assert!(FROM + size_of::<T>() <= N && FROM.is_multiple_of(align_of::<T>()));
        };
        let (first, second) = const { if A < B { (A + A_LEN, B + B_LEN) } else { (B + B_LEN, A + A_LEN) } };
        let bytes = if FROM >= second {
            &self.above[FROM - second..FROM - second + size_of::<T>()]
        } else if FROM >= first {
            &self.between[FROM - first..FROM - first + size_of::<T>()]
        } else {
            &self.below[FROM..FROM + size_of::<T>()]
        };
        bytemuck::from_bytes(bytes)
    }
}

/// The same activation under another shape or nesting; sizes and alignments are compared at compile time.
#[inline(always)]
pub fn cast<A: Activation, B: Activation>(activation: &A) -> &B {
    bytemuck::must_cast_ref(activation)
}

/// [`cast`] for writing.
#[inline(always)]
pub fn cast_mut<A: Activation, B: Activation>(activation: &mut A) -> &mut B {
    bytemuck::must_cast_mut(activation)
}

/// Bytes (of a byte string or an included file) as constants of type `T`, at compile time.
pub const fn bytes<const N: usize, T: Activation>(bytes: &[u8; N]) -> T {
    bytemuck::must_cast(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_disjoint_and_typed() {
        let mut arena = Arena::<16>::new();
        *arena.update::<4, [i8; 4]>() = [1, 2, 3, 4];
        *arena.update::<12, [i16; 2]>() = [5, 6];
        let (y, mut rest) = arena.write::<8, 4, [[i8; 2]; 2]>();
        *y = [[7, 8], [9, 10]];
        assert_eq!(rest.read::<4, [i8; 4]>(), &[1, 2, 3, 4]);
        assert_eq!(rest.read::<12, [i16; 2]>(), &[5, 6]);
        rest.update::<0, [i8; 4]>()[3] = 11;
        rest.update::<12, [i16; 2]>()[1] = y[1][1].into();
        assert_eq!(arena.read::<0, [i8; 4]>(), &[0, 0, 0, 11]);
        assert_eq!(arena.read::<12, [i16; 2]>(), &[5, 10]);
        assert_eq!(cast::<_, [[i8; 4]; 1]>(arena.read::<8, [i8; 4]>()), &[[7, 8, 9, 10]]);
        assert_eq!(size_of::<Arena<16>>(), 16);
    }

    #[test]
    fn two_windows_and_the_rest() {
        let mut arena = Arena::<20>::new();
        *arena.update::<0, [i8; 20]>() = core::array::from_fn(|k| k as i8);
        for swapped in [false, true] {
            // The two windows in either order.
            let (first, second, low, middle, high) = if swapped {
                let (first, rest) = arena.write::<12, 4, [i32; 1]>();
                let (second, rest) = rest.write::<4, 4, [i8; 4]>();
                (first, second, *rest.read::<0, [i8; 4]>(), *rest.read::<8, [i8; 4]>(), *rest.read::<16, [i8; 4]>())
            } else {
                let (second, rest) = arena.write::<4, 4, [i8; 4]>();
                let (first, rest) = rest.write::<12, 4, [i32; 1]>();
                (first, second, *rest.read::<0, [i8; 4]>(), *rest.read::<8, [i8; 4]>(), *rest.read::<16, [i8; 4]>())
            };
            assert_eq!((*first, *second), ([i32::from_le_bytes([12, 13, 14, 15])], [4, 5, 6, 7]));
            assert_eq!((low, middle, high), ([0, 1, 2, 3], [8, 9, 10, 11], [16, 17, 18, 19]));
        }
        let mut part = Part::<4>::of(arena.update::<12, [i32; 1]>());
        *part.update::<0, [i8; 4]>() = [1; 4];
        let (y, rest) = part.write::<2, 2, [i16; 1]>();
        *y = [i16::from_le_bytes(*bytemuck::must_cast_ref(rest.read::<0, [i8; 2]>()))];
        assert_eq!(arena.read::<8, [i8; 12]>(), &[8, 9, 10, 11, 1, 1, 1, 1, 16, 17, 18, 19]);
    }

    #[test]
    fn constants_from_bytes() {
        const W: [[i8; 2]; 2] = bytes(b"\x01\xff\x80\x7f");
        assert_eq!(W, [[1, -1], [-128, 127]]);
    }
}
