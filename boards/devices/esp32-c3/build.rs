//! Compiles the network into the firmware, and tells the linker of the chip.

use tinymlp_codegen::{Builder, Result};

fn main() -> Result<()> {
    println!("cargo::rustc-link-arg-bins=-Tlinkall.x");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    Builder::new("../../../tests/models/digits/model.onnx")
        .calibration("../../../tests/models/digits/calibration.npy")
        .name("network")
        .golden(8)
        .generate()
}
