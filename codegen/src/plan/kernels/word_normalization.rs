//! Layer normalization of a text model's rows.

use super::{Buffer, Constant, Field, Fields, Kernel, LayerNormalization};
use crate::plan::Type;
use tinymlp::text::word_normalization;

/// See [`tinymlp::text::WordNormalization`].
#[derive(Clone, Debug)]
pub struct WordNormalization {
    /// What becomes of words' rows.
    pub layer: LayerNormalization,
    /// Number type of the rows.
    pub operand: Type,
    /// The row without a word.
    pub empty: Vec<i32>,
    /// What becomes of that.
    pub result: Vec<i32>,
}

impl Kernel for WordNormalization {
    fn op(&self) -> &'static str {
        "WordNormalization"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let LayerNormalization { epsilon, multiplier, bias, shift, limits, .. } = &self.layer;
        let constants = (epsilon.unsigned_abs(), &multiplier[..], &bias[..], *shift);
        let empty = Buffer::from_integers(self.operand, &self.empty);
        let result = Buffer::from_integers(limits.ty, &self.result);
        match (x[0], &empty, &result, y) {
            (Buffer::I8(x), Buffer::I8(empty), Buffer::I8(result), Buffer::I8(y)) => {
                word_normalization(x, constants, (empty, result), limits.clamp(), y);
            }
            (Buffer::I8(x), Buffer::I8(empty), Buffer::I16(result), Buffer::I16(y)) => {
                word_normalization(x, constants, (empty, result), limits.clamp(), y);
            }
            (Buffer::I16(x), Buffer::I16(empty), Buffer::I8(result), Buffer::I8(y)) => {
                word_normalization(x, constants, (empty, result), limits.clamp(), y);
            }
            (Buffer::I16(x), Buffer::I16(empty), Buffer::I16(result), Buffer::I16(y)) => {
                word_normalization(x, constants, (empty, result), limits.clamp(), y);
            }
            _ => unreachable!("rows of the types that the plan says"),
        }
    }

    fn constant(&self) -> Constant {
        let (x, y, elements) = (self.operand, self.layer.limits.ty, self.empty.len());
        let Constant { fields, .. } = self.layer.constant();
        let known = [
            ("empty", Field::row(x.name(), x.bytes(), self.empty.clone())),
            ("result", Field::row(y.name(), y.bytes(), self.result.clone())),
        ];
        let fields = match fields {
            Fields::Named(fields) => Fields::Named(fields.into_iter().chain(known).collect()),
            other => other,
        };
        Constant { ty: format!("WordNormalization<{}, {}, {elements}>", x.name(), y.name()), fields }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        self.layer.views()
    }

    fn module(&self) -> &'static str {
        "text"
    }
}
