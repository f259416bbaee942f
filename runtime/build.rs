//! Chooses the inner loops for the target.
//!
//! `cfg(target_feature = "dsp")` cannot be used for this: a stable compiler hides it, so every user of a stable
//! compiler would silently get the portable loops.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-check-cfg=cfg(tinymlp_arch, values(\"armv6m\", \"armv7em\", \"avr\", \"riscv32e\", \"riscv32m\"))"
    );
    let target = std::env::var("TARGET").unwrap_or_default();
    let arch = match target.split('-').next().unwrap_or_default() {
        "thumbv6m" | "thumbv7m" | "thumbv8m.base" => Some("armv6m"),
        "thumbv7em" => Some("armv7em"),
        "avr" => Some("avr"),
        // The assembly counts on compressed instructions.
        "riscv32imc" | "riscv32imac" | "riscv32imafc" => Some("riscv32m"),
        "riscv32ec" | "rv32ec" => Some("riscv32e"),
        _ => None,
    };
    if let Some(arch) = arch {
        println!("cargo::rustc-cfg=tinymlp_arch=\"{arch}\"");
    }
}
