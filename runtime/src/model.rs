//! What every generated module has in common.

/// A generated network.
///
/// All sizes are in the types; nothing can fail.
pub trait Model {
    /// The quantized input: an array nested like the input's shape, or a struct of them.
    type Input: 'static;
    /// The quantized output, likewise.
    type Output: 'static;
    /// The memory between the layers.
    type Scratch: crate::Scratch + 'static;
    /// Name, origin and cost.
    const INFO: Info;
    /// Runs the network once.
    fn infer(input: &Self::Input, scratch: &mut Self::Scratch, output: &mut Self::Output);
}

/// What is known of a generated network.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Info {
    /// Name of the model.
    pub name: &'static str,
    /// SHA-256 of the model file (followed by its files of weights, if any), in hexadecimal.
    pub sha256: &'static str,
    /// Multiply-accumulate operations of one inference.
    pub macs: u32,
    /// Bytes of constants.
    pub constant_bytes: u32,
    /// Bytes of scratch memory: `size_of` the model's [`Model::Scratch`].
    pub scratch_bytes: u32,
}

/// How a quantized tensor stands for real numbers: `real = scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantization {
    /// Real size of one step.
    pub scale: f32,
    /// The quantized value that stands for real zero.
    pub zero_point: i32,
}
