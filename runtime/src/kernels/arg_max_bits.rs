//! Index of an element that is nearly the largest, by comparators of a few bits.

use crate::Elementary;

/// `ArgMax` by a tree of `C` comparators of two operands, for each of `OUTER x INNER` places of `C + 1` elements.
///
/// Element `k` stands in slot `k`, as `v = max(x + offset, 0)`. The comparators take their turns. Each compares some bits
/// of the values in two slots: `v[left] & bits >= v[right] & bits` lets the left operand win, ties included. The winner,
/// its full value and its index, stands in the slot `left` from then on. The winner of the last comparator is the result.
///
/// That is the approximate argmax of "Bespoke Approximation of Multiplication-Accumulation and Activation Targeting Printed
/// Multilayer Perceptrons" (ICCAD 2023), where an `offset` of 0 is the ReLU of its output layer. An offset of a power of
/// two that no element is further below zero than inverts the sign bit and keeps the others.
///
/// Error: a comparator passes on a value at most `v_max & !bits` below the larger one. The code generator states by how
/// much the element found can be below the largest.
#[derive(Clone, Copy, Debug)]
pub struct ArgMaxBits<const C: usize> {
    /// Added to every element. The code generator proves that no sum leaves an `i32`.
    pub offset: i32,
    /// By comparator: the slot of the operand that wins ties, and of the winner.
    pub left: [u16; C],
    /// By comparator: the slot of the other operand.
    pub right: [u16; C],
    /// By comparator: the bits that it compares.
    pub bits: [u32; C],
}

impl<const C: usize> ArgMaxBits<C> {
    /// Computes all indices.
    #[inline(always)]
    pub fn run<X: Elementary + Into<i32>, const INNER: usize, const AXIS: usize, const OUTER: usize>(
        &self,
        x: &[[[X; INNER]; AXIS]; OUTER],
        y: &mut [[u16; INNER]; OUTER],
    ) {
        const { assert!(AXIS == C + 1 && C as u16 as usize == C, "a comparator less than elements, an index is 16 bits") };
        let comparators = (&self.left[..], &self.right[..], &self.bits[..]);
        let slots = &mut [0; AXIS];
        arg_max_bits(x.as_flattened().as_flattened(), INNER, self.offset, comparators, slots, y.as_flattened_mut());
    }
}

/// [`ArgMaxBits`] over slices; `comparators` are left, right and bits, and `slots` is scratch memory of as many elements as
/// are compared.
pub fn arg_max_bits<X: Elementary + Into<i32>>(
    mut x: &[X],
    inner: usize,
    offset: i32,
    comparators: (&[u16], &[u16], &[u32]),
    slots: &mut [u16],
    mut y: &mut [u16],
) {
    let inner = inner.max(1);
    let block = slots.len().max(1).wrapping_mul(inner);
    let (left, right, bits) = comparators;
    while let (Some(x), Some(y)) = (x.split_off(..block), y.split_off_mut(..inner)) {
        for (i, y) in y.iter_mut().enumerate() {
            let value = |index: u16| {
                let element = x.get(usize::from(index).wrapping_mul(inner).wrapping_add(i));
                element.map_or(0, |&x| x.into().wrapping_add(offset).max(0) as u32)
            };
            (0..).zip(&mut *slots).for_each(|(k, slot)| *slot = k);
            let mut winner = 0;
            for ((&left, &right), &bits) in left.iter().zip(right).zip(bits) {
                let (left, right) = (usize::from(left), usize::from(right));
                let (Some(&a), Some(&b)) = (slots.get(left), slots.get(right)) else { continue };
                winner = if value(a) & bits >= value(b) & bits { a } else { b };
                if let Some(slot) = slots.get_mut(left) {
                    *slot = winner;
                }
            }
            *y = winner;
        }
    }
}
