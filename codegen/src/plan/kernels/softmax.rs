//! Softmax and its logarithm.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use std::sync::Arc;
use tinymlp::kernels::{Exponential, dynamic};

/// Tables of exponentials; see [`Exponential`].
#[derive(Clone, Debug)]
pub struct Exponentials {
    /// At differences 0, 1, ...
    pub fine: Vec<u16>,
    /// At differences 0, 256, ...
    pub coarse: Vec<u16>,
}

impl Exponentials {
    pub(super) fn borrow(&self) -> Exponential<'_> {
        Exponential { fine: &self.fine, coarse: &self.coarse }
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, Field)> {
        let row = |v: &[u16]| Field::row("u16", 2, v.iter().map(|&e| e.into()).collect());
        vec![("fine", row(&self.fine)), ("coarse", row(&self.coarse))]
    }
}

/// See [`tinymlp::kernels::Softmax`].
#[derive(Clone, Debug)]
pub struct Softmax {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub row: usize,
    /// Tables.
    pub exponentials: Exponentials,
    /// Steps in an output of 1.
    pub levels: u32,
    /// Of the output.
    pub limits: Limits,
}

/// See [`tinymlp::kernels::LogSoftmax`].
#[derive(Clone, Debug)]
pub struct LogSoftmax {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub row: usize,
    /// Tables.
    pub exponentials: Exponentials,
    /// Of the input and of the logarithm.
    pub multiplier: [i32; 2],
    /// Zero point and rounding.
    pub offset: i32,
    /// Binary places.
    pub shift: u32,
    /// Of the output.
    pub limits: Limits,
}

pub(super) fn ty(name: &str, limits: &Limits, e: &Exponentials) -> String {
    format!("{name}<{}, {}, {}>", limits.ty.name(), e.fine.len(), e.coarse.len())
}

impl Kernel for Softmax {
    fn op(&self) -> &'static str {
        "Softmax"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let exponential = self.exponentials.borrow();
        activation!(x[0], x => activation!(y, y => {
            dynamic::softmax(x, self.row, exponential, self.levels, self.limits.clamp(), y);
        }));
    }

    fn constant(&self) -> Constant {
        let mut fields = self.exponentials.fields();
        fields.push(("levels", Field::Integer(self.levels.into())));
        fields.push(("output", Field::Limits(self.limits)));
        Constant { ty: ty("Softmax", &self.limits, &self.exponentials), fields: Fields::Named(fields) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.row]; 2]
    }

    fn of_rows(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        (self.rows == count).then(|| Arc::new(Self { rows: tile, ..self.clone() }) as Arc<dyn Kernel>)
    }
}

impl Kernel for LogSoftmax {
    fn op(&self) -> &'static str {
        "LogSoftmax"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let exponential = self.exponentials.borrow();
        let scalars = (self.multiplier, self.offset, self.shift);
        activation!(x[0], x => activation!(y, y => {
            dynamic::log_softmax(x, self.row, exponential, scalars, self.limits.clamp(), y);
        }));
    }

    fn constant(&self) -> Constant {
        let mut fields = self.exponentials.fields();
        fields.push(("multiplier", Field::row("i32", 4, self.multiplier.to_vec())));
        fields.push(("offset", Field::Integer(self.offset.into())));
        fields.push(("shift", Field::Integer(self.shift.into())));
        fields.push(("output", Field::Limits(self.limits)));
        Constant { ty: ty("LogSoftmax", &self.limits, &self.exponentials), fields: Fields::Named(fields) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.rows, self.row]; 2]
    }
}
