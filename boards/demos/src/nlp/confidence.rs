//! The softmax of quantized logits, in integers.

/// One, in the fixed-point numbers here.
const ONE: u32 = 1 << 16;

/// What a step of logits of this scale is as an exponent of two, in units of 2^-16. To be evaluated by the compiler.
pub const fn step(scale: f32) -> u32 {
    (scale * core::f32::consts::LOG2_E * ONE as f32 + 0.5) as u32
}

/// The share of the largest logit in the softmax of all, in percent; within 1 of the exact share.
pub fn percent(logits: &[i8], step: u32) -> u32 {
    let largest = logits.iter().copied().max().unwrap_or_default();
    let powers = logits.iter().map(|&logit| power(step.saturating_mul(largest.abs_diff(logit).into())));
    let sum = powers.fold(0, u32::saturating_add).max(ONE);
    (100 * ONE + sum / 2) / sum
}

/// `2^-x`, within 0.0003. With `f` the fraction of `x`: `1 - f / 2 - f (1 - f) (C0 - C1 f)`, fitted by least squares, is 1
/// and 1/2 at the ends.
fn power(x: u32) -> u32 {
    const C0: u32 = 12557;
    const C1: u32 = 2593;
    let f = x % ONE;
    let below = (((f * (ONE - f)) >> 16) * (C0 - ((C1 * f) >> 16))) >> 16;
    (ONE - f / 2 - below).checked_shr(x / ONE).unwrap_or(0)
}
