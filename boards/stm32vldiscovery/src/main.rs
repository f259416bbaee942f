//! Runs a generated network on the STM32VLDISCOVERY (STM32F100RB, Cortex-M3), emulated.

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);
