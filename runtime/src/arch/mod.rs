//! Kernels for one architecture each: constants arranged by the code generator as its inner loop reads them, and
//! that loop in assembly. They compute what the portable kernels of [`kernels`](crate::kernels) compute, bit for bit.
//!
//! Every module compiles for every target: where the assembly cannot run, a portable loop reads the same
//! constants. So the host simulates a target with its own constants, and one generated module runs anywhere.
//!
//! This is the only place of the crate with `unsafe`: calls of the assembly, with pointers to arrays whose sizes
//! are in their types. The assembly checks nothing, so whatever moves a pointer is out of the caller's hands:
//!
//! * sizes, and what follows from them, are computed from the types;
//! * where in a stream the next group begins is written by the layer's `new` ([`riscv32m::Gemm`], [`riscv32e::Gemm`]);
//! * a list of non-zero inputs, whose entries are places of weights, is a type of its own ([`armv7em::Listed`],
//!   [`armv6m::Listed`]), which only the kernels that make lists give. It borrows the memory it is in, and the layer
//!   that reads it has to be of the same sizes;
//! * traits that say how long a row is cannot be implemented elsewhere ([`riscv32m::Row`], [`armv6m::Operand`]).
//!
//! All other constants of a stream may be anything: with wrong ones results are wrong.
//!
//! The words of a list are not a list:
//!
//! ```compile_fail,E0308
//! use tinymlp::arch::armv7em::{GemmNonzero, list_words, nonzero_stream_len};
//! static LAYER: GemmNonzero<4, 8, { nonzero_stream_len(4, 8) }, 1> = GemmNonzero::new(0, [0; _]);
//! let words = [[i32::MAX; list_words(8, 1)]];
//! LAYER.run(&words, &mut [[0; 8]]);
//! ```
//!
//! What a kernel makes of inputs is one:
//!
//! ```
//! use tinymlp::arch::armv7em::{GemmNonzero, NonzeroBytes, list_words, nonzero_stream_len};
//! static LAYER: GemmNonzero<4, 8, { nonzero_stream_len(4, 8) }, 1> = GemmNonzero::new(0, [0; _]);
//! let mut words = [[i32::MAX; list_words(8, 1)]];
//! LAYER.run(NonzeroBytes::<1>.run(&[[1; 8]], &mut words), &mut [[0; 8]]);
//! ```
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
