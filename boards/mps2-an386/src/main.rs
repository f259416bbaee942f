//! Runs a generated network on the Arm MPS2 with FPGA image AN386 (Cortex-M4F).

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);
