//! The firmware packages under `boards/devices`, which are the templates of new projects.

/// The files of one template: path in the package, and content.
pub type Template = &'static [(&'static str, &'static str)];

/// The files that every template has, and those that it has besides.
macro_rules! templates {
    ($($device:literal => [$($file:literal),*],)*) => {
        /// The templates by the boards' `device`.
        pub const ALL: &[(&str, Template)] = &[$(
            (
                $device,
                &[
                    ("Cargo.toml", include_str!(concat!("../../../boards/devices/", $device, "/Cargo.toml"))),
                    ("build.rs", include_str!(concat!("../../../boards/devices/", $device, "/build.rs"))),
                    ("src/main.rs", include_str!(concat!("../../../boards/devices/", $device, "/src/main.rs"))),
                    (
                        ".cargo/config.toml",
                        include_str!(concat!("../../../boards/devices/", $device, "/.cargo/config.toml")),
                    ),
                    $(($file, include_str!(concat!("../../../boards/devices/", $device, "/", $file))),)*
                ],
            ),
        )*];
    };
}

templates! {
    "microbit" => ["memory.x"],
    "arduino-uno" => ["memory.x"],
    "rp2040" => ["memory.x"],
    "stm32f405" => ["memory.x"],
    "stm32vldiscovery" => ["memory.x"],
    "stm32f411" => ["memory.x"],
    "microbit-v2" => ["memory.x"],
    "nrf52840-dk" => ["memory.x"],
    "pico2" => ["memory.x"],
    "esp32-c3" => [],
    "ch32v003" => ["memory.x", "riscv32ec-unknown-none-elf.json"],
}
