//! Runs a generated network on the BBC micro:bit v1 (nRF51822, Cortex-M0).

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);
