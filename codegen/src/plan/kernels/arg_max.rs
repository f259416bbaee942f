//! Index of the largest element.

use super::{Buffer, Constant, Field, Fields, Kernel, activation};
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::ArgMax`].
#[derive(Clone, Debug)]
pub struct ArgMax {
    /// Outer, searched and inner extent.
    pub extents: [usize; 3],
    /// Among equals, the last.
    pub last: bool,
}

impl Kernel for ArgMax {
    fn op(&self) -> &'static str {
        "ArgMax"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let [_, axis, inner] = self.extents;
        let Buffer::U16(y) = y else { unreachable!("an index is a u16") };
        match x[0] {
            Buffer::I32(x) => dynamic::arg_max(x, axis, inner, self.last, y),
            x => activation!(x, x => dynamic::arg_max(x, axis, inner, self.last, y)),
        }
    }

    fn constant(&self) -> Constant {
        Constant { ty: "ArgMax".into(), fields: Fields::Named(vec![("last", Field::Bool(self.last))]) }
    }

    fn arg_max(&self) -> Option<&ArgMax> {
        Some(self)
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let [outer, axis, inner] = self.extents;
        vec![vec![outer, axis, inner], vec![outer, inner]]
    }
}
