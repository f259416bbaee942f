//! Any function of one number, from a table computed offline in `f64`.

use crate::Element;

/// A function of an int8 activation: 256 entries, one load an element, exact to half a step of the output.
#[derive(Clone, Debug)]
pub struct Lookup<Y> {
    /// Output by input, in the order 0, 1, .. 127, -128, .. -1 (the input's bits as an index).
    pub table: [Y; 256],
}

impl<Y: Element> Lookup<Y> {
    /// Computes all elements.
    #[inline(always)]
    pub fn run<const N: usize>(&self, x: &[i8; N], y: &mut [Y; N]) {
        lookup(x, &self.table, y);
    }
}

impl Lookup<i8> {
    /// Computes all elements in place.
    #[inline(always)]
    pub fn run_in_place<const N: usize>(&self, x: &mut [i8; N]) {
        for x in x {
            *x = self.table[usize::from(*x as u8)];
        }
    }
}

/// [`Lookup`] over slices of equal length.
pub fn lookup<Y: Element>(x: &[i8], table: &[Y; 256], y: &mut [Y]) {
    for (&x, y) in x.iter().zip(y) {
        *y = table[usize::from(x as u8)];
    }
}

/// A function of an int16 activation: 513 nodes, 128 steps apart, linear in between.
///
/// `y = table[k] + ((table[k + 1] - table[k]) * f + 64 >> 7)`, `k` and `f` the upper 9 and lower 7 bits of
/// `x + 32768`. The code generator evaluates the error at all 65,536 inputs and reports the largest.
#[derive(Clone, Debug)]
pub struct Interpolate<Y> {
    /// Output at the inputs -32768, -32640, .. 32768.
    pub table: [Y; 513],
}

impl<Y: Element> Interpolate<Y> {
    /// Computes all elements.
    #[inline(always)]
    pub fn run<const N: usize>(&self, x: &[i16; N], y: &mut [Y; N]) {
        interpolate(x, &self.table, y);
    }
}

/// [`Interpolate`] over slices of equal length.
pub fn interpolate<Y: Element>(x: &[i16], table: &[Y; 513], y: &mut [Y]) {
    for (&x, y) in x.iter().zip(y) {
        let x = i32::from(x) + 32768;
        let (k, fraction) = ((x >> 7) as usize & 511, x & 127);
        let (low, high): (i32, i32) = (table[k].into(), table[k + 1].into());
        *y = Y::truncate(low + (((high - low) * fraction + 64) >> 7));
    }
}
