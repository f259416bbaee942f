//! Chooses the inner loops for the target.
//!
//! `cfg(target_feature = "dsp")` cannot be used for this: a stable compiler hides it, so every user of a stable
//! compiler would silently get the portable loops.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let known = ["armv6m", "armv7em", "armv8m", "avr", "riscv32e", "riscv32m"].map(|arch| format!("{arch:?}"));
    println!("cargo::rustc-check-cfg=cfg(tinymlp_arch, values({}))", known.join(", "));
    let target = std::env::var("TARGET").unwrap_or_default();
    let architectures: &[&str] = match target.split('-').next().unwrap_or_default() {
        "thumbv6m" | "thumbv7m" | "thumbv8m.base" => &["armv6m"],
        "thumbv7em" => &["armv7em"],
        // One target for cores with and without extensions: the generated module decides what it calls.
        "thumbv8m.main" => &["armv6m", "armv7em", "armv8m"],
        "avr" => &["avr"],
        // The assembly counts on compressed instructions.
        "riscv32imc" | "riscv32imac" | "riscv32imafc" => &["riscv32m"],
        "riscv32ec" | "rv32ec" => &["riscv32e"],
        _ => &[],
    };
    for arch in architectures {
        println!("cargo::rustc-cfg=tinymlp_arch=\"{arch}\"");
    }
}
