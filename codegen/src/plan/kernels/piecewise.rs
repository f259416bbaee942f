//! Functions of one number in straight segments.

use super::{Buffer, Constant, Field, Fields, Kernel, Limits, activation};
use crate::approximate::piecewise::Segments;
use crate::plan::Type;
use std::sync::Arc;
use tinymlp::Element;
use tinymlp::kernels::dynamic;

/// See [`tinymlp::kernels::Piecewise`].
#[derive(Clone, Debug)]
pub struct Piecewise {
    /// Elements.
    pub len: usize,
    /// Type of the input.
    pub ty: Type,
    /// The segments.
    pub segments: Segments,
    /// Of the output.
    pub limits: Limits,
}

impl Kernel for Piecewise {
    fn op(&self) -> &'static str {
        "Piecewise"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        fn from<X: Element>(segments: &Segments) -> Vec<X> {
            segments.segments.iter().map(|s| X::truncate(s.from)).collect()
        }
        let offset: Vec<i32> = self.segments.segments.iter().map(|s| s.offset).collect();
        let slope: Vec<[i8; 2]> = self.segments.segments.iter().map(|s| s.slope).collect();
        activation!(x[0], x => activation!(y, y => {
            let segments = (&from(&self.segments)[..], &offset[..], &slope[..]);
            dynamic::piecewise(x, segments, self.segments.shift, self.limits.clamp(), y);
        }));
    }

    fn constant(&self) -> Constant {
        let segments = &self.segments.segments;
        let slope = Field::Array {
            element: "i8",
            width: 1,
            extents: vec![segments.len(), 2],
            values: segments.iter().flat_map(|s| s.slope.map(i32::from)).collect(),
        };
        Constant {
            ty: format!("Piecewise<{}, {}, {}>", self.ty.name(), self.limits.ty.name(), segments.len()),
            fields: Fields::Named(vec![
                ("from", Field::row(self.ty.name(), self.ty.bytes(), segments.iter().map(|s| s.from).collect())),
                ("offset", Field::row("i32", 4, segments.iter().map(|s| s.offset).collect())),
                ("slope", slope),
                ("shift", Field::Integer(self.segments.shift.into())),
                ("output", Field::Limits(self.limits)),
            ]),
        }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.len]; 2]
    }

    fn of_rows(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        let len = self.len.is_multiple_of(count).then(|| self.len / count * tile)?;
        Some(Arc::new(Self { len, ..self.clone() }))
    }

    fn of_columns(&self, count: usize, tile: usize) -> Option<Arc<dyn Kernel>> {
        self.of_rows(count, tile)
    }
}
