//! What the demos share, whatever the board: drivers and protocols over the traits of `embedded-hal` and `embedded-io`, and
//! features in integers. Networks are functions that a demo is given: generated modules on a device, the simulation on a
//! host.
//!
//! Firmware adds the peripherals, and the interrupts that it sleeps between. Nothing here allocates or waits in a loop.

#![no_std]

pub mod anomaly;
pub mod digits;
pub mod motion;
pub mod nlp;
