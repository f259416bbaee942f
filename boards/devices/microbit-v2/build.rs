//! Compiles the network into the firmware, and tells the linker of the chip.

use tinymlp_codegen::{Builder, Result};

fn main() -> Result<()> {
    // Where memory.x is.
    println!("cargo::rustc-link-search={}", env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    Builder::new("../../../tests/models/digits/model.onnx")
        .calibration("../../../tests/models/digits/calibration.npy")
        .name("network")
        .golden(8)
        .generate()
}
