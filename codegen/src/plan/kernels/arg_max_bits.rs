//! Index of an element that is nearly the largest.

use super::{Buffer, Constant, Field, Fields, Kernel, activation};
use crate::approximate::arg_max::Tree;
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::ArgMaxBits`].
#[derive(Clone, Debug)]
pub struct ArgMaxBits {
    /// Outer, searched and inner extent.
    pub extents: [usize; 3],
    /// The comparators.
    pub tree: Tree,
    /// By how many steps of the operand the element found can be below the largest.
    pub error: i64,
}

impl Kernel for ArgMaxBits {
    fn op(&self) -> &'static str {
        "ArgMaxBits"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let [_, axis, inner] = self.extents;
        let Buffer::U16(y) = y else { unreachable!("an index is a u16") };
        let (left, right, bits) = self.tree.columns();
        let (comparators, offset) = ((&left[..], &right[..], &bits[..]), self.tree.offset);
        let slots = &mut vec![0; axis];
        match x[0] {
            Buffer::I32(x) => dynamic::arg_max_bits(x, inner, offset, comparators, slots, y),
            x => activation!(x, x => dynamic::arg_max_bits(x, inner, offset, comparators, slots, y)),
        }
    }

    fn constant(&self) -> Constant {
        let (left, right, bits) = self.tree.columns();
        let slots = |slots: Vec<u16>| Field::row("u16", 2, slots.into_iter().map(i32::from).collect());
        Constant {
            ty: format!("ArgMaxBits<{}>", self.tree.comparators.len()),
            fields: Fields::Named(vec![
                ("offset", Field::Integer(self.tree.offset.into())),
                ("left", slots(left)),
                ("right", slots(right)),
                ("bits", Field::row("u32", 4, bits.into_iter().map(u32::cast_signed).collect())),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        let [outer, axis, inner] = self.extents;
        vec![vec![outer, axis, inner], vec![outer, inner]]
    }

    fn arg_max_bits(&self) -> Option<&ArgMaxBits> {
        Some(self)
    }

    fn choice_error(&self) -> Option<i64> {
        Some(self.error)
    }
}
