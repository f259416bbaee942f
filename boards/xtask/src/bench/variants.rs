//! The ways of generating a model that are measured.

use crate::error::{Error, Result};
use crate::firmware::Opt;
use tinymlp_codegen::{Builder, Mode};

/// A way of generating a model and compiling it.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// What tables, the budget and `--variant` call it.
    pub name: &'static str,
    /// The generator's options.
    pub configure: fn(Builder) -> Builder,
    /// The compiler's.
    pub opt: Opt,
}

/// All of them; the first is what a user gets who asks for nothing.
pub const ALL: &[Variant] = &[
    Variant { name: "default", configure: |builder| builder, opt: Opt::Speed },
    Variant { name: "size", configure: |builder| builder.mode(Mode::Size), opt: Opt::Size },
    Variant { name: "speed", configure: |builder| builder.mode(Mode::Speed), opt: Opt::Speed },
    Variant { name: "constant-time", configure: Builder::constant_time, opt: Opt::Speed },
];

/// Those of these names, or all of them for no names.
pub fn named(names: &[String]) -> Result<Vec<Variant>> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|v| v.name != **name)) {
        let known = ALL.iter().map(|v| v.name).collect::<Vec<_>>().join(", ");
        return Err(Error::new(format!("there is no variant '{unknown}'. Known: {known}")));
    }
    Ok(ALL.iter().copied().filter(|v| names.is_empty() || names.iter().any(|name| name == v.name)).collect())
}
