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
    let script = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("riscv32") => "riscv.x",
        // cortex-m-rt's.
        _ => "link.x",
    };
    println!("cargo::rustc-link-arg-bins=-T{script}");
    // Without it the linker pads segments to pages, and small flash origins do not work.
    println!("cargo::rustc-link-arg-bins=--nmagic");
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
