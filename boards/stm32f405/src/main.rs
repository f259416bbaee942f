//! Runs a generated network on an STM32F405 as the Netduino Plus 2 has it (Cortex-M4F), emulated.

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);
