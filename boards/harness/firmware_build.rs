//! The build script of every firmware package: memory layout, linker script, and which model is compiled in.
//!
//! `TINYMLP_MODULE` names a Rust file that says `pub use .. as Model`; `cargo xtask` sets it. Without it a small
//! built-in network is taken, so that a plain `cargo build` works.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo::rustc-link-search={}", package.display());
    let scripts = package.join("../harness/link");
    println!("cargo::rustc-link-search={}", scripts.display());
    println!("cargo::rerun-if-changed={}", scripts.display());
    // Without --nmagic LLD pads segments to pages, and small flash origins do not work. AVR is linked by way of GCC,
    // whose start-up code would copy the harness's.
    let arguments: &[&str] = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("avr") => &["-Tavr.x", "-nostartfiles"],
        Ok("riscv32") => &["-Triscv.x", "--nmagic"],
        // cortex-m-rt's script.
        _ => &["-Tlink.x", "--nmagic"],
    };
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rerun-if-changed=../harness/firmware_build.rs");

    println!("cargo::rerun-if-env-changed=TINYMLP_MODULE");
    let module = env::var_os("TINYMLP_MODULE").map(PathBuf::from).unwrap_or_else(|| {
        let built_in = package.join("../xtask/fixtures/two_layers.rs");
        let wrapper = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("model.rs");
        let text = format!("#[path = {built_in:?}]\nmod generated;\npub use generated::TwoLayers as Model;\n");
        fs::write(&wrapper, text).expect("OUT_DIR is writable");
        wrapper
    });
    println!("cargo::rustc-env=TINYMLP_MODULE={}", module.display());
}
