//! Compiles the network: quantizes it with representative inputs and writes it as `digits.rs` to `OUT_DIR`. Cargo runs
//! this again when one of the two files changes.

use tinymlp_codegen::{Builder, Io, Result};

fn main() -> Result<()> {
    Builder::new("../models/digits/model.onnx")
        .calibration("../models/digits/calibration.npy")
        .name("digits")
        .io(Io::F32)
        .generate()
}
