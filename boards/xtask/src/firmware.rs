//! Builds a board's firmware around a generated module.

use crate::board::{Board, Demo};
use crate::error::{Context, Error, Result};
use crate::workspace;
use clap::ValueEnum;
use serde::Serialize;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the compiler optimizes for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ValueEnum)]
pub enum Opt {
    /// Speed (`opt-level = 3`).
    #[default]
    #[value(name = "3")]
    #[serde(rename = "3")]
    Speed,
    /// Size (`opt-level = "s"`).
    #[value(name = "s")]
    #[serde(rename = "s")]
    Size,
    /// Size before everything (`opt-level = "z"`).
    #[value(name = "z")]
    #[serde(rename = "z")]
    Smallest,
}

impl Opt {
    /// The value of `opt-level`.
    pub fn level(self) -> &'static str {
        match self {
            Opt::Speed => "3",
            Opt::Size => "s",
            Opt::Smallest => "z",
        }
    }
}

/// What goes into a firmware.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// The model.
    Model,
    /// Of a text model, what turns text into the network's rows, and nothing behind it.
    FrontEnd,
    /// Its inputs and outputs, and nothing that computes: what is left is the firmware's own cost.
    Empty,
}

/// A generated module: its file and the name of the type in it that implements `tinymlp::Model`.
#[derive(Clone, Debug)]
pub struct Module {
    /// The Rust file.
    pub path: PathBuf,
    /// The type.
    pub type_name: String,
    /// Bytes of an input row, if it is a text model: two for the length of a text, and the text.
    pub text_bytes: Option<usize>,
}

/// A text model whose input is a row of bytes, from its module `generated`: `TYPE` with `BYTES` of input.
const TEXT_MODEL: &str = "
/// The model on texts in rows of one length.
pub struct Text;

impl tinymlp::Model for Text {
    type Input = [u8; BYTES];
    type Output = generated::Output;
    type Scratch = generated::Scratch;
    const INFO: tinymlp::Info = generated::TYPE::INFO;

    fn infer(input: &Self::Input, scratch: &mut Self::Scratch, output: &mut Self::Output) {
        let [low, high, text @ ..] = input;
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let mut encoder = generated::encoder(scratch);
        encoder.push(text.get(..length).unwrap_or(text));
        encoder.finish();
        NETWORK
    }
}
";

/// Builds the firmware in release mode and puts the ELF file into `folder`, which is the run's own.
pub fn build(board: &Board, module: &Module, content: Content, opt: Opt, folder: &Path) -> Result<PathBuf> {
    let (text, model) = match module.text_bytes {
        Some(_) if board.target.starts_with("avr") => {
            return Err(Error::too_big(format!(
                "text models do not fit {}: their tables lie in RAM there",
                board.name
            )));
        }
        None => (String::new(), format!("generated::{}", module.type_name)),
        Some(bytes) => {
            let network = match content {
                Content::FrontEnd => "let _ = output;",
                Content::Model | Content::Empty => "generated::infer(scratch, output);",
            };
            let text = TEXT_MODEL.replace("TYPE", &module.type_name).replace("BYTES", &bytes.to_string());
            (text.replace("NETWORK", network), "Text".to_owned())
        }
    };
    let (name, model) = match content {
        Content::Model => ("model", model),
        Content::FrontEnd => ("front-end", model),
        Content::Empty => ("empty", format!("tinymlp_harness::Empty<{model}>")),
    };
    // `mod` by path, not `include!`: a generated file may begin with inner documentation.
    let wrapper = folder.join(format!("{name}.rs"));
    let path = fs::canonicalize(&module.path).context(|| format!("cannot read {}", module.path.display()))?;
    let text = format!("#[path = {path:?}]\n#[allow(dead_code)]\nmod generated;\n{text}pub type Model = {model};\n");
    fs::write(&wrapper, text).context(|| format!("cannot write {}", wrapper.display()))?;

    let package = board.measured()?;
    let (target, _lock) = shared_target()?;
    let mut cargo = cargo(board, &package, &target);
    cargo.env("TINYMLP_MODULE", &wrapper).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", opt.level());
    if module.text_bytes.is_some() {
        cargo.args(["--features", "text"]);
    }
    let binary = package.file_name().unwrap_or_default().to_string_lossy();
    let built = compile(board, &binary, &target, cargo)?;
    let elf = folder.join(format!("{name}.elf"));
    fs::copy(&built, &elf).context(|| format!("cannot copy {}", built.display()))?;
    Ok(elf)
}

/// Builds the firmware that is flashed, a package of its own in `package`; gives its ELF file.
pub fn build_device(board: &Board, package: &Path) -> Result<PathBuf> {
    let (target, _lock) = shared_target()?;
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    let built = compile(board, &name, &target, cargo(board, package, &target))?;
    keep(&built, &board.name)
}

/// Builds the firmware of a demo; gives its ELF file. Its build script finds in the environment what is no part of the
/// repository.
pub fn build_demo(board: &Board, demo: Demo, environment: &[(&str, PathBuf)]) -> Result<PathBuf> {
    let package = board.demo(demo)?;
    let (target, _lock) = shared_target()?;
    let name = format!("{}-{}", board.name, demo.name());
    let mut cargo = cargo(board, &package, &target);
    cargo.args(["--bin", &name, "--features", demo.name()]).envs(environment.iter().map(|(key, file)| (key, file)));
    let built = compile(board, &name, &target, cargo)?;
    keep(&built, &name)
}

/// Copies what is to be flashed out of the folder that all firmware shares.
fn keep(built: &Path, name: &str) -> Result<PathBuf> {
    let folder = workspace::target().join("flash");
    fs::create_dir_all(&folder).context(|| format!("cannot create {}", folder.display()))?;
    let elf = folder.join(format!("{name}.elf"));
    fs::copy(built, &elf).context(|| format!("cannot copy {}", built.display()))?;
    Ok(elf)
}

/// The target folder of all firmware, which is one so that dependencies compile once, and a lock that keeps another process
/// from replacing a file before it is copied.
fn shared_target() -> Result<(PathBuf, File)> {
    let target = workspace::target().join("firmware");
    fs::create_dir_all(&target).context(|| format!("cannot create {}", target.display()))?;
    let path = target.join("xtask.lock");
    let lock = File::create(&path).context(|| format!("cannot create {}", path.display()))?;
    lock.lock().context(|| format!("cannot lock {}", path.display()))?;
    Ok((target, lock))
}

fn cargo(board: &Board, package: &Path, target: &Path) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--quiet", "--target", &board.cargo_target(), "--target-dir"]).arg(target);
    cargo.current_dir(package).envs(board.environment());
    cargo
}

/// Runs cargo; gives the binary of that name.
fn compile(board: &Board, binary: &str, target: &Path, mut cargo: Command) -> Result<PathBuf> {
    let output = cargo.output().context(|| "cannot run cargo".into())?;
    if !output.status.success() {
        return Err(explain(board, &String::from_utf8_lossy(&output.stderr)));
    }
    let suffix = if board.target.starts_with("avr") { ".elf" } else { "" };
    Ok(target.join(&board.target).join("release").join(format!("{binary}{suffix}")))
}

/// The linker's way of saying that something is too big, in the user's words; anything else as it is.
fn explain(board: &Board, messages: &str) -> Error {
    // LLD: "section '.rodata' will not fit in region 'FLASH': overflowed by 12345 bytes";
    // GNU: "region `FLASH' overflowed by 12345 bytes", and sometimes only "section `.bss' will not fit in region `RAM'".
    let overflow = |region: &str| {
        let markers = [format!("region '{region}': overflowed by "), format!("region `{region}' overflowed by ")];
        let rests = markers.iter().flat_map(|marker| messages.split(marker).skip(1));
        rests.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).max()
    };
    for (region, name, memory) in [("FLASH", "flash", board.flash), ("RAM", "RAM", board.ram)] {
        let excess = match overflow(region) {
            Some(bytes) => format!("{bytes} bytes more than"),
            None if messages.contains(&format!("will not fit in region `{region}'")) => "more than".into(),
            None => continue,
        };
        return Error::too_big(format!(
            "the model does not fit {}: it needs {excess} the {} bytes of {name} that the board has",
            board.name, memory.bytes
        ));
    }
    Error::new(format!("the firmware for {} does not build:\n{messages}", board.name))
}
