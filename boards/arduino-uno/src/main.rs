//! Runs a generated network on the Arduino Uno (ATmega328P).

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);
