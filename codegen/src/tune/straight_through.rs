//! Straight-through estimators (Bengio et al. 2013, arXiv 1308.3432): functions with steps, whose gradient is taken to be
//! one, or zero where a result is saturated and would only leave the range further.

use crate::quantize::format::Format;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Tensor};

/// A step function of one number, and where the gradient goes through it.
struct Steps<F> {
    forward: F,
    /// Results outside these limits are saturated.
    low: f32,
    high: f32,
    /// Whether a saturated operand still takes gradients that lead back into the range.
    returns: bool,
}

impl<F: Fn(f32) -> f32 + Send + Sync> CustomOp1 for Steps<F> {
    fn name(&self) -> &'static str {
        "steps"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = elements(storage, layout)?.iter().map(|&x| (self.forward)(x)).collect();
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gate = Gate { low: self.low, high: self.high, returns: self.returns };
        Ok(Some(x.contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, &gate)?))
    }
}

/// The gradient where it is not stopped.
struct Gate {
    low: f32,
    high: f32,
    returns: bool,
}

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout, g: &CpuStorage, g_at: &Layout) -> Result<(CpuStorage, Shape)> {
        // A step goes against the gradient.
        let through = |x: f32, g: f32| {
            let inside = x >= self.low && x <= self.high;
            inside || (self.returns && (if x > self.high { g > 0.0 } else { g < 0.0 }))
        };
        let pairs = elements(x, x_at)?.iter().zip(elements(g, g_at)?);
        let gated = pairs.map(|(&x, &g)| if through(x, g) { g } else { 0.0 }).collect();
        Ok((CpuStorage::F32(gated), x_at.shape().clone()))
    }
}

fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (layout.contiguous_offsets(), storage) {
        (Some((start, end)), CpuStorage::F32(all)) => Ok(&all[start..end]),
        _ => Err(Error::Msg("a step function takes contiguous single-precision numbers".into())),
    }
}

/// Weights in units of their scale, rounded to a format's.
pub(super) fn weights(x: &Tensor, format: Format) -> Result<Tensor> {
    let high = f32::from(format.largest()) + 0.5;
    let low = if format == Format::Int4 { -8.5 } else { -high };
    let forward = move |x: f32| f32::from(format.round(x.into()));
    x.contiguous()?.apply_op1(Steps { forward, low, high, returns: true })
}

/// The nearest integer (half up) between `low` and `high`.
pub(super) fn round(x: &Tensor, low: f32, high: f32) -> Result<Tensor> {
    let forward = move |x: f32| (x + 0.5).floor().clamp(low, high);
    x.contiguous()?.apply_op1(Steps { forward, low: low - 0.5, high: high + 0.5, returns: false })
}

/// The truncated ReLU: the next lower integer between 0 and `high`.
pub(super) fn truncate(x: &Tensor, high: f32) -> Result<Tensor> {
    let forward = move |x: f32| x.floor().clamp(0.0, high);
    x.contiguous()?.apply_op1(Steps { forward, low: 0.0, high: high + 1.0, returns: false })
}

/// One bit, 0 or 1, of numbers that are integers of at least 0; without a gradient.
pub(super) fn bit(x: &Tensor, bit: u32) -> Result<Tensor> {
    let forward = move |x: f32| (x as u32 >> bit & 1) as f32;
    x.contiguous()?.apply_op1_no_bwd(&Steps { forward, low: 0.0, high: 0.0, returns: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Results, and the gradient of `sum(y * g)`.
    fn both(x: &[f32], g: &[f32], f: impl Fn(&Tensor) -> Result<Tensor>) -> (Vec<f32>, Vec<f32>) {
        let x = Var::new(x, &Device::Cpu).unwrap();
        let y = f(&x).unwrap();
        let loss = (&y * Tensor::new(g, &Device::Cpu).unwrap()).unwrap().sum_all().unwrap();
        let gradient = loss.backward().unwrap().get(&x).unwrap().to_vec1().unwrap();
        (y.to_vec1().unwrap(), gradient)
    }

    #[test]
    fn a_truncated_relu_floors_and_stops_gradients_where_it_saturates() {
        let (y, g) = both(&[-0.5, 0.0, 2.9, 15.9, 16.5], &[1.0, 2.0, 3.0, 4.0, 5.0], |x| truncate(x, 15.0));
        assert_eq!((y, g), (vec![0.0, 0.0, 2.0, 15.0, 15.0], vec![0.0, 2.0, 3.0, 4.0, 0.0]));
    }

    #[test]
    fn rounding_goes_half_up_within_its_limits() {
        let (y, g) = both(&[-1.5, -0.5, 0.5, 7.2], &[1.0; 4], |x| round(x, -1.0, 7.0));
        assert_eq!((y, g), (vec![-1.0, 0.0, 1.0, 7.0], vec![1.0; 4]));
        assert_eq!(both(&[8.0, -2.0], &[1.0; 2], |x| round(x, -1.0, 7.0)).1, [0.0, 0.0]);
    }

    #[test]
    fn saturated_weights_can_only_come_back() {
        let (y, g) =
            both(&[100.0, 100.0, -70.0, -70.0, 5.0], &[1.0, -1.0, 1.0, -1.0, 1.0], |x| weights(x, Format::PowerOfTwo));
        assert_eq!(y, [64.0, 64.0, -64.0, -64.0, 4.0]);
        assert_eq!(g, [1.0, 0.0, 0.0, -1.0, 1.0]);
    }
}
