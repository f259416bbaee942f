//! The number types an activation can have.

use bytemuck::Pod;

mod sealed {
    pub trait Sealed {}
    impl Sealed for i8 {}
    impl Sealed for i16 {}
    impl Sealed for u16 {}
    impl Sealed for i32 {}
}

/// What a buffer may hold: quantized activations (`i8`, `i16`), class indices (`u16`), sums (`i32`).
pub trait Elementary: Pod + Ord + sealed::Sealed {
    /// The smallest value.
    const LEAST: Self;
}
impl Elementary for i8 {
    const LEAST: Self = i8::MIN;
}
impl Elementary for i16 {
    const LEAST: Self = i16::MIN;
}
impl Elementary for u16 {
    const LEAST: Self = u16::MIN;
}
impl Elementary for i32 {
    const LEAST: Self = i32::MIN;
}

/// A quantized activation: `i8` or `i16`.
pub trait Element: Elementary + Into<i32> + Default {
    /// The smallest value.
    const MIN: i32;
    /// The largest value.
    const MAX: i32;
    /// The low bits of `value`. Equal to `value` when it lies in `MIN..=MAX`.
    fn truncate(value: i32) -> Self;
}

impl Element for i8 {
    const MIN: i32 = i8::MIN as i32;
    const MAX: i32 = i8::MAX as i32;
    #[inline(always)]
    fn truncate(value: i32) -> Self {
        value as i8
    }
}

impl Element for i16 {
    const MIN: i32 = i16::MIN as i32;
    const MAX: i32 = i16::MAX as i32;
    #[inline(always)]
    fn truncate(value: i32) -> Self {
        value as i16
    }
}

/// A whole activation tensor: any nesting of arrays of an [`Elementary`] type, or of words of packed ones.
pub trait Activation: Pod {}
impl Activation for i8 {}
impl Activation for i16 {}
impl Activation for u16 {}
impl Activation for i32 {}
impl Activation for u32 {}
impl Activation for u8 {}
impl<T: Activation, const N: usize> Activation for [T; N] {}
