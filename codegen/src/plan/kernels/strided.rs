//! Movement of data.

use super::{Buffer, Constant, Field, Fields, Kernel};
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::Strided`].
#[derive(Clone, Debug)]
pub struct Strided {
    /// Elements of the input.
    pub len: usize,
    /// First element.
    pub start: usize,
    /// By axis.
    pub stride: [isize; 4],
    /// Of the output.
    pub extents: [usize; 4],
}

impl Kernel for Strided {
    fn op(&self) -> &'static str {
        "Strided"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Strided { start, stride, extents, .. } = *self;
        match (x[0], y) {
            (Buffer::I8(x), Buffer::I8(y)) => dynamic::strided(x, start, stride, extents, y),
            (Buffer::I16(x), Buffer::I16(y)) => dynamic::strided(x, start, stride, extents, y),
            (Buffer::U16(x), Buffer::U16(y)) => dynamic::strided(x, start, stride, extents, y),
            _ => unreachable!("quantization gives Strided one type"),
        }
    }

    fn constant(&self) -> Constant {
        let [a, b, c, d] = self.extents;
        let stride = self.stride.iter().map(|&s| s as i32).collect();
        Constant {
            ty: format!("Strided<{}, {a}, {b}, {c}, {d}>", self.len),
            fields: Fields::New(vec![
                ("start", Field::Integer(self.start as i64)),
                ("stride", Field::row("isize", 4, stride)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.len], self.extents.to_vec()]
    }
}
