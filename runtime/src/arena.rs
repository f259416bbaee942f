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

impl<const N: usize> Arena<N> {
    /// An arena of zeros.
    pub const fn new() -> Self {
        const { assert!(N.is_multiple_of(4), "an arena's size is a multiple of 4 bytes") };
        Self([0; N])
    }

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
    pub fn write<const AT: usize, const LEN: usize, T: Activation>(&mut self) -> (&mut T, Rest<'_, AT, LEN, N>) {
        const {
            assert!(AT + LEN <= N && LEN == size_of::<T>() && AT.is_multiple_of(align_of::<T>()));
        };
        let (below, others) = self.0.split_at_mut(AT);
        let (window, above) = others.split_at_mut(LEN);
        (bytemuck::from_bytes_mut(window), Rest { below, above })
    }
}

impl<const AT: usize, const LEN: usize, const N: usize> Rest<'_, AT, LEN, N> {
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
    fn constants_from_bytes() {
        const W: [[i8; 2]; 2] = bytes(b"\x01\xff\x80\x7f");
        assert_eq!(W, [[1, -1], [-128, 127]]);
    }
}
