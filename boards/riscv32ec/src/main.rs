//! Runs a generated network on an RV32EC core, without a multiplier, in QEMU's `virt` machine.

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);
