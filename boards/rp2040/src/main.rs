//! Runs a generated network on the RP2040 (Cortex-M0+, one core of the two).

#![no_std]
#![no_main]

mod model {
    include!(env!("TINYMLP_MODULE"));
}

tinymlp_harness::firmware!(model::Model);

/// The second stage of the boot loader, which makes the flash executable.
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_GENERIC_03H;
