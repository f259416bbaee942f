//! Runs a generated network on the Arm MPS2 with FPGA image AN500 (Cortex-M7), emulated.

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);
