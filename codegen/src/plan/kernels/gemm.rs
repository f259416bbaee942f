//! Fully connected layer.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use std::sync::Arc;
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::Gemm`].
#[derive(Clone, Debug)]
pub struct Gemm {
    /// Rows of `inputs` elements.
    pub rows: usize,
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
    /// `outputs x inputs`.
    pub weight: Vec<i8>,
    /// By output.
    pub bias: Vec<i32>,
    /// By output.
    pub multiplier: Vec<i32>,
    /// Of all outputs.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

/// A fully connected layer of any kind.
#[derive(Clone, Copy, Debug)]
pub struct Dense<'a> {
    /// Its numbers. With masks, the biases do not contain the operand's zero point.
    pub layer: &'a Gemm,
    /// `outputs x inputs`: the bits that count of the operand, whose zero point is -128; all, if none.
    pub masks: Option<&'a [u8]>,
    /// Whether its sums are the result. Then it has no multipliers.
    pub sums: bool,
}

impl Dense<'_> {
    /// The least and the largest sum of output `o`, bias included, for operands within these limits.
    pub fn sums(&self, o: usize, limits: (i32, i32)) -> (i64, i64) {
        let Some(masks) = self.masks else { return self.layer.sums(o, limits) };
        let row = o * self.layer.inputs..(o + 1) * self.layer.inputs;
        // Masked operands begin at 0, whatever the mask; no more than their own bits are left of them.
        let highest = (limits.1 + 128) as u8;
        let bits = u8::MAX.checked_shr(highest.leading_zeros()).unwrap_or(0);
        let masks = masks[row.clone()].iter().map(|&mask| i64::from((mask & bits).min(highest)));
        let bias = i64::from(self.layer.bias[o]);
        let terms = self.layer.weight[row].iter().zip(masks).map(|(&w, most)| i64::from(w) * most);
        terms.fold((bias, bias), |(low, high), term| (low + term.min(0), high + term.max(0)))
    }
}

impl Gemm {
    /// By how many bits sums are shifted right, where all multipliers are the same power of two.
    pub fn common_shift(&self) -> Option<u32> {
        let first = *self.multiplier.first()?;
        let power = first > 0 && first.count_ones() == 1 && self.multiplier.iter().all(|&m| m == first);
        (32 - first.trailing_zeros()).checked_sub(self.shift).filter(|_| power)
    }

    /// The weights as a constant.
    pub(super) fn weights(&self) -> Field {
        Field::Array {
            element: "i8",
            width: 1,
            extents: vec![self.outputs, self.inputs],
            values: self.weight.iter().map(|&w| w.into()).collect(),
        }
    }

    /// The same layer for operands and results whose element `x[k]` or `y[k]` lies at `k`.
    pub fn sorted(&self, x: Option<&[usize]>, y: Option<&[usize]>) -> Gemm {
        let mut layer = self.clone();
        for o in 0..self.outputs {
            let from = y.map_or(o, |y| y[o]);
            layer.bias[o] = self.bias[from];
            // None where the sums are the result.
            if let Some(&multiplier) = self.multiplier.get(from) {
                layer.multiplier[o] = multiplier;
            }
            for i in 0..self.inputs {
                layer.weight[o * self.inputs + i] = self.weight[from * self.inputs + x.map_or(i, |x| x[i])];
            }
        }
        layer
    }

    /// The least and the largest sum of output `o`, bias included, for operands within these limits.
    pub fn sums(&self, o: usize, (min, max): (i32, i32)) -> (i64, i64) {
        let (min, max) = (i64::from(min), i64::from(max));
        let row = self.weight[o * self.inputs..(o + 1) * self.inputs].iter().map(|&w| i64::from(w));
        let bias = i64::from(self.bias[o]);
        row.fold((bias, bias), |(low, high), w| (low + (w * min).min(w * max), high + (w * min).max(w * max)))
    }
}

impl Kernel for Gemm {
    fn op(&self) -> &'static str {
        "Gemm"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let constants = (&self.weight[..], &self.bias[..], &self.multiplier[..], self.shift);
        activation!(x[0], x => activation!(y, y => dynamic::gemm(x, self.inputs, constants, self.limits.clamp(), y)));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("Gemm<{}, {}, {}>", self.limits.ty.name(), self.inputs, self.outputs),
            fields: Fields::Named(vec![
                ("weight", self.weights()),
                ("bias", Field::row("i32", 4, self.bias.clone())),
                ("multiplier", Field::row("i32", 4, self.multiplier.clone())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.inputs], vec![self.rows, self.outputs]]
    }

    fn gemm(&self) -> Option<&Gemm> {
        Some(self)
    }

    fn macs(&self) -> u64 {
        (self.rows * self.inputs * self.outputs) as u64
    }

    fn of_rows(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        (self.rows == count).then(|| Arc::new(Self { rows: tile, ..self.clone() }) as Arc<dyn Kernel>)
    }
}
