//! The integer program: what the emitter prints, the host simulation executes and the report describes.
//!
//! A plan is a list of steps, each one call of one kernel of the runtime with its constants. Quantization writes
//! it, [`memory`] gives every value its place, and everything behind it reads nothing else.

pub mod cost;
pub mod kernels;
pub mod layout;
pub mod memory;
pub mod simulate;
pub mod tile;

use crate::graph::{Labels, TensorId};
use crate::target::Target;
use crate::text::TextModel;
use kernels::Kernel;
use layout::Layout;
use std::sync::Arc;

/// Index of a value in [`Plan::values`].
pub type ValueId = usize;

/// The number type of a quantized tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 8-bit activations.
    I8,
    /// 16-bit activations.
    I16,
    /// Class indices.
    U16,
    /// Sums that nothing rounded, for kernels that compare them.
    I32,
}

impl Type {
    /// Its name in Rust.
    pub fn name(self) -> &'static str {
        match self {
            Type::I8 => "i8",
            Type::I16 => "i16",
            Type::U16 => "u16",
            Type::I32 => "i32",
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Type::I8 => 1,
            Type::I16 | Type::U16 => 2,
            Type::I32 => 4,
        }
    }

    /// Smallest and largest quantized value.
    pub fn limits(self) -> (i32, i32) {
        match self {
            Type::I8 => (-128, 127),
            Type::I16 => (-32768, 32767),
            Type::U16 => (0, 65535),
            Type::I32 => (i32::MIN, i32::MAX),
        }
    }
}

/// How integers stand for real numbers: `real = scale * (q - zero_point)`. Indices have scale 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quant {
    /// Number type.
    pub ty: Type,
    /// Real size of one step; an `f32` value, as the generated module holds it.
    pub scale: f64,
    /// The integer that stands for zero.
    pub zero_point: i32,
    /// The largest integer: the type's, or less for values of fewer bits.
    pub max: i32,
}

impl Quant {
    /// Over all integers of the type.
    pub fn new(ty: Type, scale: f64, zero_point: i32) -> Self {
        Self { ty, scale, zero_point, max: ty.limits().1 }
    }

    /// Non-negative numbers in `bits` bits of an int8, which is 128 less: 0 to `2^bits - 1` are -128 to `2^bits - 129`.
    pub fn unsigned(bits: u32, scale: f64) -> Self {
        Self { ty: Type::I8, scale, zero_point: -128, max: (1 << bits) - 129 }
    }

    /// Smallest and largest integer.
    pub fn limits(&self) -> (i32, i32) {
        (self.ty.limits().0, self.max)
    }

    /// The real number `q` stands for.
    pub fn real(&self, q: i32) -> f64 {
        self.scale * f64::from(q - self.zero_point)
    }

    /// The nearest integer to a real number (half up), saturated; not-a-number gives zero's.
    pub fn quantize(&self, real: f64) -> i32 {
        let (min, max) = self.limits();
        let q = (real / self.scale + 0.5).floor() + f64::from(self.zero_point);
        if q.is_nan() { self.zero_point } else { q.clamp(f64::from(min), f64::from(max)) as i32 }
    }
}

/// A quantized tensor.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name of the float tensor it stands for.
    pub name: String,
    /// Extents of that tensor.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub quant: Quant,
    /// Where it lives.
    pub place: Place,
    /// The float tensor whose values it approximates.
    pub tensor: TensorId,
    /// How its integers lie in memory.
    pub layout: Layout,
    /// The element of a row that lies at each place, where they do not lie in their order.
    pub order: Option<Arc<[usize]>>,
    /// Its elements, for a constant operand.
    pub constant: Option<Arc<[i32]>>,
}

impl Value {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no element; no plan holds such.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of the last axis: what a fully connected layer reads.
    pub fn features(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Its size in memory.
    pub fn bytes(&self) -> usize {
        match self.layout {
            Layout::Plain => self.len() * self.quant.ty.bytes(),
            layout => 4 * layout.words(self.features()) * (self.len() / self.features().max(1)),
        }
    }

    /// Name in Rust of what its array is made of.
    pub fn element(&self) -> &'static str {
        if self.layout == Layout::Plain { self.quant.ty.name() } else { "i32" }
    }

    /// Bytes of one of those.
    pub fn align(&self) -> usize {
        if self.layout == Layout::Plain { self.quant.ty.bytes() } else { 4 }
    }
}

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the caller's input.
    Input(usize),
    /// In the caller's output.
    Output(usize),
    /// In the scratch arena, from this byte on.
    Arena(usize),
    /// In the module's constants.
    Constant,
}

/// One kernel call.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name of the layer in the model.
    pub name: String,
    /// The ONNX operators it stands for.
    pub origin: String,
    /// Kernel and constants.
    pub kernel: Arc<dyn Kernel>,
    /// What it reads.
    pub inputs: Vec<ValueId>,
    /// What it writes.
    pub output: ValueId,
    /// The largest magnitude that any accumulator of the step can reach, proved from its constants and the types
    /// and limits of its inputs.
    pub bound: Option<i64>,
    /// Largest error of an interpolated table or of straight segments against the rounded function, over all inputs, in
    /// steps of the output.
    pub table_error: Option<i32>,
    /// Whether the output takes the place of the first input.
    pub in_place: bool,
    /// What it needs of the arena while it runs.
    pub scratch: Option<ValueId>,
}

/// An input of the program.
#[derive(Clone, Debug)]
pub struct Input {
    /// Name in the model.
    pub name: String,
    /// The value.
    pub value: ValueId,
    /// Extents, without a batch axis.
    pub shape: Vec<usize>,
    /// Offset and factor per feature where each has a scale of its own: `q = (x - offset) * factor / scale`.
    pub features: Option<Features>,
}

/// Quantization with a scale per feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Subtracted from each feature.
    pub offset: Vec<f64>,
    /// Real size of one step of each feature.
    pub scale: Vec<f64>,
}

/// A result of the program.
#[derive(Clone, Debug)]
pub struct Output {
    /// Name in the model.
    pub name: String,
    /// The value.
    pub value: ValueId,
    /// Extents, without a batch axis.
    pub shape: Vec<usize>,
    /// What an index stands for.
    pub labels: Option<Labels>,
}

/// An integer program.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the model.
    pub name: String,
    /// SHA-256 of the model file, followed by its files of weights, in hexadecimal.
    pub sha256: String,
    /// One line on the quantization, for the header of the module.
    pub quantization: String,
    /// Whose kernels it calls.
    pub target: Target,
    /// How text becomes the buckets that the one input is, and their rows the operand of the second step.
    pub text: Option<Arc<TextModel>>,
    /// All values.
    pub values: Vec<Value>,
    /// The calls, in order.
    pub steps: Vec<Step>,
    /// What the caller gives.
    pub inputs: Vec<Input>,
    /// What the caller gets.
    pub outputs: Vec<Output>,
    /// Bytes of the scratch arena.
    pub arena_bytes: usize,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Plan {
    /// Multiply-accumulate operations of one inference.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|s| s.kernel.macs()).sum()
    }

    /// Bytes of constants in flash.
    pub fn constant_bytes(&self) -> usize {
        let operands = self.values.iter().filter(|v| v.constant.is_some()).map(Value::bytes);
        self.steps.iter().map(|s| s.kernel.constant_bytes()).chain(operands).sum()
    }

    /// Types of a step's operands, and of its result.
    pub fn types(&self, step: &Step) -> (Vec<Type>, Type) {
        let ty = |&v: &ValueId| self.values[v].quant.ty;
        (step.inputs.iter().map(ty).collect(), ty(&step.output))
    }
}
