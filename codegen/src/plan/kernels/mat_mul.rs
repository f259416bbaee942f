//! Product of two computed matrices.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use tinymlp::kernels::{self, dynamic};

/// See [`tinymlp::kernels::MatMul`].
#[derive(Clone, Debug)]
pub struct MatMul {
    /// `batch`, `m`, `k`, `n` of `batch` products of `m x k` and `k x n`.
    pub extents: [usize; 4],
    /// Of the operands.
    pub zero_point: [i32; 2],
    /// Factor.
    pub multiplier: i32,
    /// See [`tinymlp::requantize`].
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for MatMul {
    fn op(&self) -> &'static str {
        "MatMul"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let MatMul { extents: [_, m, k, n], zero_point, multiplier, shift, limits } = *self;
        activation!(x[0], a => activation!(x[1], b => activation!(y, y => {
            let layer = kernels::MatMul { zero_point, multiplier, shift, output: limits.clamp() };
            for ((a, b), y) in a.chunks_exact(m * k).zip(b.chunks_exact(k * n)).zip(y.chunks_exact_mut(m * n)) {
                dynamic::mat_mul(a, b, k, n, layer, y);
            }
        })));
    }

    fn constant(&self) -> Constant {
        Constant {
            ty: format!("MatMul<{}>", self.limits.ty.name()),
            fields: Fields::Named(vec![
                ("zero_point", Field::row("i32", 4, self.zero_point.to_vec())),
                ("multiplier", Field::Integer(self.multiplier.into())),
                ("shift", Field::Integer(self.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let [batch, m, k, n] = self.extents;
        vec![vec![batch, m, k], vec![batch, k, n], vec![batch, m, n]]
    }

    fn macs(&self) -> u64 {
        self.extents.iter().product::<usize>() as u64
    }
}
