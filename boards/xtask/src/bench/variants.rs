//! The ways of generating a model that are measured.

use crate::bench::models::Model;
use crate::error::{Error, Result};
use crate::firmware::Opt;
use tinymlp_codegen::{Builder, Format, Mode};

/// A way of generating a model and compiling it.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// What tables, the budget and `--variant` call it.
    pub name: &'static str,
    /// The generator's options.
    pub configure: fn(Builder) -> Builder,
    /// The compiler's.
    pub opt: Opt,
    /// The models that are generated so; all, if there are none.
    pub models: &'static [&'static str],
}

impl Variant {
    /// Whether a model is generated so.
    pub fn takes(&self, model: &Model) -> bool {
        self.models.is_empty() || self.models.contains(&model.name)
    }
}

/// All of them; the first is what a user gets who asks for nothing.
pub const ALL: &[Variant] = &[
    Variant { name: "default", configure: |builder| builder, opt: Opt::Speed, models: &[] },
    Variant { name: "size", configure: |builder| builder.mode(Mode::Size), opt: Opt::Size, models: &[] },
    Variant { name: "speed", configure: |builder| builder.mode(Mode::Speed), opt: Opt::Speed, models: &[] },
    Variant { name: "constant-time", configure: Builder::constant_time, opt: Opt::Speed, models: &[] },
    // Packed weights, where a core has kernels for them. Of one model, as figures of others would say nothing more.
    Variant {
        name: "int4",
        configure: |builder| builder.weights(Format::Int4).mode(Mode::Size),
        opt: Opt::Size,
        models: &["shipped-digits"],
    },
];

/// Those of these names, or all of them for no names.
pub fn named(names: &[String]) -> Result<Vec<Variant>> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|v| v.name != **name)) {
        let known = ALL.iter().map(|v| v.name).collect::<Vec<_>>().join(", ");
        return Err(Error::new(format!("there is no variant '{unknown}'. Known: {known}")));
    }
    Ok(ALL.iter().copied().filter(|v| names.is_empty() || names.iter().any(|name| name == v.name)).collect())
}
