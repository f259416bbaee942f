//! The steps of a plan: per operator its constants, the kernel call that simulates it, and the literal that emits it.
//!
//! One file an operator, under the name of the runtime kernel it calls.

mod add;
mod affine;
mod arg_max;
mod arg_max_bits;
pub mod armv6m;
pub mod armv7em;
pub mod avr;
mod bespoke;
mod concat;
mod div;
mod gemm;
mod gemm_columns;
mod gemm_masked;
mod gemm_packed;
mod gemm_sums;
pub mod helium;
mod layer_normalization;
mod lookup;
mod mat_mul;
mod mul;
mod p_relu;
mod piecewise;
mod projection;
mod reduce;
pub mod riscv32e;
pub mod riscv32m;
mod softmax;
mod softmax_columns;
mod strided;
mod tiles;
mod word_normalization;

pub use add::Add;
pub use affine::Affine;
pub use arg_max::ArgMax;
pub use arg_max_bits::ArgMaxBits;
pub use bespoke::Bespoke;
pub use concat::Concat;
pub use div::Div;
pub use gemm::{Dense, Gemm};
pub use gemm_columns::GemmColumns;
pub use gemm_masked::GemmMasked;
pub use gemm_packed::{GemmPacked, pack, packed_format};
pub use gemm_sums::GemmSums;
pub use layer_normalization::LayerNormalization;
pub use lookup::{Interpolate, Lookup};
pub use mat_mul::MatMul;
pub use mul::Mul;
pub use p_relu::PRelu;
pub use piecewise::Piecewise;
pub use projection::Projection;
pub use reduce::{ReduceMax, ReduceSum};
pub use softmax::{Exponentials, LogSoftmax, Softmax};
pub use softmax_columns::SoftmaxColumns;
pub use strided::Strided;
pub use tiles::{Along, Tiles};
pub use word_normalization::WordNormalization;

use super::Type;
use super::cost::{Cost, Seen};
use std::fmt::Debug;
use std::sync::Arc;
use tinymlp::{Clamp, Element};

/// One operator with its constants.
pub trait Kernel: Debug + Send + Sync {
    /// The runtime kernel's name.
    fn op(&self) -> &'static str;

    /// Executes it with the runtime's own loop. `y` has the right length and type.
    fn run(&self, x: &[&Buffer], y: &mut Buffer);

    /// The constant whose `run` the generated module calls, for outputs of a type.
    fn constant(&self) -> Constant;

    /// The text of [`Fields::Function`], by this name.
    fn function(&self, _name: &str) -> String {
        unreachable!("only kernels that are code have a function")
    }

    /// Extents of the nested arrays that the kernel's `run` takes: its operands', then the result's.
    fn views(&self) -> Vec<Vec<usize>>;

    /// The runtime's module that has the kernel.
    fn module(&self) -> &'static str {
        "kernels"
    }

    /// The layer's numbers, if it is a portable fully connected one, from which a target's own kernel can be made.
    fn gemm(&self) -> Option<&Gemm> {
        None
    }

    /// The layer's numbers, if it is a portable fully connected one of any kind.
    fn dense(&self) -> Option<Dense<'_>> {
        self.gemm().map(|layer| Dense { layer, masks: None, sums: false })
    }

    /// The search, if it is one for the largest element.
    fn arg_max(&self) -> Option<&ArgMax> {
        None
    }

    /// The search, if it is one for an element that is nearly the largest.
    fn arg_max_bits(&self) -> Option<&ArgMaxBits> {
        None
    }

    /// The table, if it is a portable function of int8, of which a target's own kernel can be made.
    fn lookup(&self) -> Option<&Lookup> {
        None
    }

    /// The row of a window without words, if it is the first layer of a text model.
    fn empty_row(&self) -> Option<Vec<i32>> {
        None
    }

    /// The parts, if it is a part of a plan for every tile.
    fn tiles(&self) -> Option<&Tiles> {
        None
    }

    /// The same for a tile of so many of `count` rows of every operand; none where rows depend on each other.
    fn of_rows(&self, _count: usize, _tile: usize) -> Option<Arc<dyn Kernel>> {
        None
    }

    /// The same for a tile of so many of `count` columns, which are the tile's rows; none where columns depend on each
    /// other.
    fn of_columns(&self, _count: usize, _tile: usize) -> Option<Arc<dyn Kernel>> {
        None
    }

    /// Of a choice of the largest element that may err: by how many steps of the operand the chosen one can be below it.
    fn choice_error(&self) -> Option<i64> {
        None
    }

    /// What a call costs, by what the calibration data shows; of kernels in assembly, whose instructions can be counted.
    fn cost(&self, _seen: &Seen) -> Option<Cost> {
        None
    }

    /// Functions that one call of it calls.
    fn calls(&self) -> usize {
        1
    }

    /// Multiply-accumulate operations.
    fn macs(&self) -> u64 {
        0
    }

    /// Bytes of constants in flash.
    fn constant_bytes(&self) -> usize {
        self.constant().bytes()
    }

    /// What it needs of the arena while it runs.
    fn scratch(&self) -> Option<(Type, usize)> {
        None
    }

    /// Whether it has a `run_in_place`.
    fn in_place(&self) -> bool {
        false
    }
}

/// The elements of a value on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// 8-bit activations.
    I8(Vec<i8>),
    /// 16-bit activations.
    I16(Vec<i16>),
    /// Class indices.
    U16(Vec<u16>),
    /// Sums.
    I32(Vec<i32>),
    /// A value packed into words.
    Words(Vec<i32>),
}

impl Buffer {
    /// Number of elements, or of words.
    pub fn len(&self) -> usize {
        match self {
            Buffer::I8(v) => v.len(),
            Buffer::I16(v) => v.len(),
            Buffer::U16(v) => v.len(),
            Buffer::I32(v) | Buffer::Words(v) => v.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` zeros.
    pub fn new(ty: Type, len: usize) -> Self {
        match ty {
            Type::I8 => Buffer::I8(vec![0; len]),
            Type::I16 => Buffer::I16(vec![0; len]),
            Type::U16 => Buffer::U16(vec![0; len]),
            Type::I32 => Buffer::I32(vec![0; len]),
        }
    }

    /// The low bits of integers.
    pub fn from_integers(ty: Type, integers: &[i32]) -> Self {
        match ty {
            Type::I8 => Buffer::I8(integers.iter().map(|&q| q as i8).collect()),
            Type::I16 => Buffer::I16(integers.iter().map(|&q| q as i16).collect()),
            Type::U16 => Buffer::U16(integers.iter().map(|&q| q as u16).collect()),
            Type::I32 => Buffer::I32(integers.to_vec()),
        }
    }

    /// The elements as `i32`.
    pub fn integers(&self) -> Vec<i32> {
        match self {
            Buffer::I8(v) => v.iter().map(|&q| q.into()).collect(),
            Buffer::I16(v) => v.iter().map(|&q| q.into()).collect(),
            Buffer::U16(v) => v.iter().map(|&q| q.into()).collect(),
            Buffer::I32(v) | Buffer::Words(v) => v.clone(),
        }
    }

    /// The elements as little-endian bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Buffer::I8(v) => v.iter().map(|&q| q as u8).collect(),
            Buffer::I16(v) => v.iter().flat_map(|q| q.to_le_bytes()).collect(),
            Buffer::U16(v) => v.iter().flat_map(|q| q.to_le_bytes()).collect(),
            Buffer::I32(v) | Buffer::Words(v) => v.iter().flat_map(|q| q.to_le_bytes()).collect(),
        }
    }
}

/// Runs the body with the elements of an activation, of either type.
macro_rules! activation {
    ($buffer:expr, $x:ident => $body:expr) => {
        match $buffer {
            $crate::plan::kernels::Buffer::I8($x) => $body,
            $crate::plan::kernels::Buffer::I16($x) => $body,
            _ => unreachable!("portable kernels get activations, neither indices, sums nor packed ones"),
        }
    };
}
pub(crate) use activation;

/// Output zero point and limits, of either type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number type of the output.
    pub ty: Type,
    /// The integer that stands for zero.
    pub zero_point: i32,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl Limits {
    /// As the runtime takes it. `Y` is the type of `self.ty`.
    pub fn clamp<Y: Element>(&self) -> Clamp<Y> {
        Clamp { zero_point: Y::truncate(self.zero_point), min: Y::truncate(self.min), max: Y::truncate(self.max) }
    }
}

/// A constant of the generated module.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Its type, `Gemm<i8, 64, 32>`, in the kernel's module.
    pub ty: String,
    /// What it is made of.
    pub fields: Fields,
}

/// What a constant is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Fields {
    /// A struct literal.
    Named(Vec<(&'static str, Field)>),
    /// A call of the type's `new`, evaluated at compile time.
    New(Vec<(&'static str, Field)>),
    /// An array for the type's `new`, to be put into program memory where that is apart from data: only the kernel
    /// reads it.
    ProgramMemory(Field),
    /// Nothing.
    Unit,
    /// Nothing: the kernel is a function of its own, [`Kernel::function`], that the module calls instead.
    Function,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// One integer.
    Integer(i64),
    /// True or false.
    Bool(bool),
    /// Output limits.
    Limits(Limits),
    /// Integers of an element type, nested as the extents say.
    Array {
        /// `i8`, `u8`, `i16`, `u16`, `i32`, `isize`.
        element: &'static str,
        /// Bytes of an element.
        width: usize,
        /// Extents, outermost first.
        extents: Vec<usize>,
        /// Elements.
        values: Vec<i32>,
    },
}

impl Field {
    /// An array of one axis.
    pub fn row(element: &'static str, width: usize, values: Vec<i32>) -> Field {
        Field::Array { element, width, extents: vec![values.len()], values }
    }
}

impl Constant {
    /// Bytes in flash: arrays only, since single numbers become part of the code.
    pub fn bytes(&self) -> usize {
        let bytes = |field: &Field| match field {
            // Strides become part of the code as well.
            Field::Array { element: "isize", .. } => 0,
            Field::Array { width, values, .. } => width * values.len(),
            _ => 0,
        };
        match &self.fields {
            Fields::Named(fields) | Fields::New(fields) => fields.iter().map(|(_, field)| bytes(field)).sum(),
            Fields::ProgramMemory(field) => bytes(field),
            Fields::Unit | Fields::Function => 0,
        }
    }
}
