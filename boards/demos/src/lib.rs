//! What the demos share, whatever the board: drivers and protocols over the traits of `embedded-hal` and `embedded-io`,
//! features in integers, and the networks.
//!
//! Firmware adds the peripherals, and the interrupts that it sleeps between. Nothing here allocates or waits in a loop.

#![no_std]

pub mod digits;
