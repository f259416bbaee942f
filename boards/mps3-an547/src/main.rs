//! Runs a generated network on the Arm MPS3 with FPGA image AN547 (Cortex-M55).

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);
