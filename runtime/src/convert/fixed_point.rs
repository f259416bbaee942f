//! Inputs and outputs in the fixed-point types of the `fixed` crate, without floating point.

use crate::{Element, requantize};
use fixed::traits::Fixed;

/// `q = saturate(requantize(bits - offset, multiplier, shift) + zero_point)`, bits a fixed-point number's integer.
#[derive(Clone, Copy, Debug)]
pub struct FromFixed {
    /// Subtracted from the bits first (saturating).
    pub offset: i32,
    /// `round(2^(32 - shift) / (scale * 2^fraction bits))`.
    pub multiplier: i32,
    /// See [`requantize`].
    pub shift: u32,
    /// Zero point of the tensor.
    pub zero_point: i32,
}

/// `bits = requantize(q - zero_point, multiplier, shift)`, saturated to the fixed-point type.
#[derive(Clone, Copy, Debug)]
pub struct ToFixed {
    /// Zero point of the tensor.
    pub zero_point: i32,
    /// `round(scale * 2^fraction bits * 2^(32 - shift))`.
    pub multiplier: i32,
    /// See [`requantize`].
    pub shift: u32,
}

/// Quantizes a tensor of fixed-point numbers of at most 32 bits; feature `i` by `from[i % n]`. Values out of range saturate.
pub fn from_fixed<F, T: Element>(values: &[F], from: &[FromFixed], q: &mut [T])
where
    F: Fixed,
    F::Bits: Into<i32>,
{
    let n = from.len().max(1);
    for (values, q) in values.chunks_exact(n).zip(q.chunks_exact_mut(n)) {
        for ((v, from), q) in values.iter().zip(from).zip(q) {
            let bits: i32 = v.to_bits().into();
            let bits = bits.saturating_sub(from.offset);
            // Saturates where the shift would overflow: such a value is out of the tensor's range.
            let limit = i32::MAX.wrapping_shr(from.shift);
            let bits = bits.min(limit).max(-limit);
            let step = requantize(bits, from.multiplier, from.shift).wrapping_add(from.zero_point);
            *q = T::truncate(step.max(T::MIN).min(T::MAX));
        }
    }
}

/// The real values of a tensor, saturated to `F`.
pub fn to_fixed<F, T: Element>(q: &[T], to: ToFixed, values: &mut [F])
where
    F: Fixed,
    F::Bits: TryFrom<i32>,
{
    for (&q, v) in q.iter().zip(values) {
        let bits = requantize(q.into().wrapping_sub(to.zero_point), to.multiplier, to.shift);
        let limit = if bits < 0 { F::MIN } else { F::MAX };
        *v = F::Bits::try_from(bits).map_or(limit, F::from_bits);
    }
}
