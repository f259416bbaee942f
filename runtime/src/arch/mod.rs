//! Kernels for one architecture each: constants arranged by the code generator as its inner loop reads them, and
//! that loop in assembly. They compute what the portable kernels of [`kernels`](crate::kernels) compute, bit for bit.
//!
//! Every module compiles for every target: where the assembly cannot run, a portable loop reads the same
//! constants. So the host simulates a target with its own constants, and one generated module runs anywhere.
//!
//! This is the only place of the crate with `unsafe`: calls of the assembly, with pointers to arrays whose sizes
//! are in their types. What the types do not say, the generator does: where in a stream the next group begins
//! ([`riscv32m`], [`riscv32e`]), and that a list of non-zero inputs comes from the kernel that makes such lists, as its
//! entries are places of weights ([`armv7em::GemmNonzero`], `armv6m::Gemm` with `SKIP` 3). The assembly does not check these:
//! with a stream or a list written by hand it may read or write elsewhere.
//!
//! The target `thumbv8m.main` says nothing of extensions, so it has the assembly of all its cores: a module generated
//! for a core with an extension raises a fault on one without.

/// First line of assembly with instructions of an extension. Armv8-M has one target for cores with and without, whose
/// assembler takes them only where a core is named; it is the one that has all extensions, as the line also holds for
/// the assembly of other crates that happens to be read after it, which must not lose any. What is compiled is not
/// touched by it.
#[cfg(tinymlp_arch = "armv8m")]
macro_rules! extensions {
    () => {
        ".cpu cortex-m85"
    };
}
#[cfg(all(tinymlp_arch = "armv7em", not(tinymlp_arch = "armv8m")))]
macro_rules! extensions {
    () => {
        ""
    };
}

pub mod armv6m;
pub mod armv7em;
pub mod avr;
pub mod helium;
pub mod riscv32e;
pub mod riscv32m;
