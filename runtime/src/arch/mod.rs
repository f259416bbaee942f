//! Kernels for one architecture each: constants arranged by the code generator as its inner loop reads them, and
//! that loop in assembly. They compute what the portable kernels of [`kernels`](crate::kernels) compute, bit for bit.
//!
//! Every module compiles for every target: where the assembly cannot run, a portable loop reads the same
//! constants. So the host simulates a target with its own constants, and one generated module runs anywhere.
//!
//! This is the only place of the crate with `unsafe`: calls of the assembly, with pointers to arrays whose sizes
//! are in their types.

pub mod armv6m;
pub mod armv7em;
pub mod avr;
pub mod riscv32e;
pub mod riscv32m;
