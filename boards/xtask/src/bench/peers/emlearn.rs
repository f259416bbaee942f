//! emlearn, from PyPI: a Python package that writes C, float throughout, compiled by the board's C compiler.

use super::{Answer, Case, Network, Peer, floats, manifest, write};
use crate::board::Board;
use crate::error::{Context, Error, Result};
use crate::workspace;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The peer.
pub const PEER: Peer = Peer { name: "emlearn 0.23.2", description: "C, float, -O2", network };

/// A C compiler for a core.
struct Compiler {
    /// What the names of its programs begin with.
    prefix: &'static str,
    /// Debian packages.
    apt: &'static str,
    /// Options that name the core.
    core: &'static str,
    /// Its C library, as the linker names it.
    library: &'static str,
}

impl Compiler {
    /// The one for a board; none where it is not known.
    fn of(board: &Board) -> Option<Self> {
        let arm = |core| Self {
            prefix: "arm-none-eabi-",
            apt: "gcc-arm-none-eabi libnewlib-arm-none-eabi",
            core,
            library: "-lc_nano",
        };
        let riscv = |core| Self {
            prefix: "riscv64-unknown-elf-",
            apt: "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
            core,
            library: "-lc",
        };
        let avr = |core| Self { prefix: "avr-", apt: "gcc-avr avr-libc", core, library: "-lc" };
        match board.core.as_str() {
            "cortex-m0" => Some(arm("-mcpu=cortex-m0 -mthumb")),
            "cortex-m0plus" => Some(arm("-mcpu=cortex-m0plus -mthumb")),
            "cortex-m4f" => Some(arm("-mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard")),
            "cortex-m33" => Some(arm("-mcpu=cortex-m33 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard")),
            "cortex-m55" => Some(arm("-mcpu=cortex-m55 -mthumb -mfloat-abi=hard")),
            "rv32imc" => {
                Some(riscv("-march=rv32imc -mabi=ilp32 -misa-spec=2.2 --specs=picolibc.specs -T relocatable.ld"))
            }
            "rv32ec" => {
                Some(riscv("-march=rv32ec -mabi=ilp32e -misa-spec=2.2 --specs=picolibc.specs -T relocatable.ld"))
            }
            // The processor decides on instructions and on the C library.
            "avr" if board.name == "arduino-uno" => Some(avr("-mmcu=atmega328p")),
            _ => None,
        }
    }

    fn program(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// What has to be installed before, each with what to type.
pub fn missing(boards: &[Board]) -> Vec<String> {
    let runs =
        |program: &str, option: &str| Command::new(program).arg(option).output().is_ok_and(|o| o.status.success());
    let mut missing = Vec::new();
    if !runs("python3", "--version") {
        missing.push("python3: sudo apt-get install python3 python3-venv".into());
    }
    for compiler in boards.iter().filter_map(Compiler::of) {
        let program = compiler.program("gcc");
        if !runs(&program, "--version") {
            missing.push(format!("{program}: sudo apt-get install {}", compiler.apt));
        }
    }
    missing.dedup();
    missing
}

fn network(case: &Case) -> Result<Network> {
    let unknown = || Error::new(format!("no C compiler is known to xtask for {}", case.board.name));
    let compiler = Compiler::of(case.board).ok_or_else(unknown)?;
    let kind = if case.reference.classifies() { "classifier" } else { "regressor" };
    let header = case.folder.join("network.h");
    let script = workspace::boards().join("xtask/bench/peers/emlearn_convert.py");
    // emlearn compiles the network for the host too, in the folder that it is called in.
    let mut convert = Command::new(python()?);
    convert.arg(script).arg(case.model.file()).arg(kind).arg(&header).current_dir(case.folder);
    let printed = String::from_utf8_lossy(&succeed(&mut convert, "emlearn")?.stdout).into_owned();
    let include = printed.lines().next().unwrap_or_default();

    let (input, output) = (case.reference.inputs.first().map_or(0, Vec::len), case.reference.outputs());
    let (call, output_type) = match case.reference.classifies() {
        true => (format!("*(int32_t *)output = network_predict(input, {input});"), "[i32; 1]".to_owned()),
        false => (format!("network_regress(input, {input}, output, {output});"), format!("[f32; {output}]")),
    };
    let source = format!(
        "#include <stdbool.h>\n#include <stddef.h>\n#include \"network.h\"\n\
         void peer_infer(const float *input, void *output) {{ {call} }}\n"
    );
    let library = format!(
        "#![no_std]
use core::ffi::c_void;
use tinymlp::{{Arena, Info, Model}};

unsafe extern \"C\" {{
    fn peer_infer(input: *const f32, output: *mut c_void);
}}

pub struct Peer;

impl Model for Peer {{
    type Input = [f32; {input}];
    type Output = {output_type};
    type Scratch = Arena<0>;
    const INFO: Info = Info {{ name: \"emlearn\", sha256: \"\", macs: 0, constant_bytes: 0, scratch_bytes: 0 }};
    fn infer(input: &Self::Input, _: &mut Self::Scratch, output: &mut Self::Output) {{
        // SAFETY: the function reads the input and writes the output, whose sizes are those that it was generated with.
        unsafe {{ peer_infer(input.as_ptr(), output.as_mut_ptr().cast()) }}
    }}
}}
"
    );
    let build = "fn main() {
    println!(\"cargo::rustc-link-search=native={}\", env!(\"CARGO_MANIFEST_DIR\"));
    println!(\"cargo::rustc-link-lib=static=peer\");
    println!(\"cargo::rerun-if-changed=libpeer.a\");
}
";
    write(
        case.folder,
        &[
            ("Cargo.toml", manifest("")),
            ("build.rs", build.into()),
            ("src/lib.rs", library),
            ("network.c", source),
            // Instead of picolibc's script, which lays out a program.
            ("relocatable.ld", "SECTIONS { }\n".into()),
        ],
    )?;
    compile(&compiler, case.folder, include)?;
    Ok(Network {
        inputs: case.reference.inputs.concat().iter().flat_map(|x| x.to_le_bytes()).collect(),
        input_bytes: size_of::<f32>() * input,
        output_bytes: size_of::<f32>() * if case.reference.classifies() { 1 } else { output },
        answer: match case.reference.classifies() {
            true => |bytes| Answer::Class(bytes.first_chunk().map_or(-1, |&b| i32::from_le_bytes(b))),
            false => |bytes| Answer::Values(floats(bytes)),
        },
        expected: None,
    })
}

/// One object with everything in it that the C compiler's libraries would add, as an archive: the firmware is linked
/// without them.
fn compile(compiler: &Compiler, folder: &Path, include: &str) -> Result<()> {
    let mut gcc = Command::new(compiler.program("gcc"));
    gcc.args(compiler.core.split(' '))
        .args(["-O2", "-std=gnu11", "-ffunction-sections", "-fdata-sections", "-nostdlib", "-r", "-I", include])
        .args(["network.c", "-Wl,-u,peer_infer", "-lm", compiler.library, "-lgcc", "-o", "network.o"])
        .current_dir(folder);
    succeed(&mut gcc, &compiler.program("gcc"))?;
    let mut ar = Command::new(compiler.program("ar"));
    ar.args(["rcs", "libpeer.a", "network.o"]).current_dir(folder);
    succeed(&mut ar, &compiler.program("ar")).map(|_| ())
}

/// The Python that has emlearn: an environment under `target/`, made where it is not there or not as pinned.
fn python() -> Result<PathBuf> {
    let environment = workspace::target().join("bench/python");
    let python = environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let requirements = workspace::boards().join("xtask/bench/peers/requirements.txt");
    let pinned = fs::read(&requirements).context(|| format!("cannot read {}", requirements.display()))?;
    let stamp = environment.join("requirements.txt");
    if fs::read(&stamp).is_ok_and(|installed| installed == pinned) && python.is_file() {
        return Ok(python);
    }
    eprintln!("Installing emlearn into {}", environment.display());
    succeed(
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment),
        "python3 -m venv (sudo apt-get install python3-venv)",
    )?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    succeed(&mut pip, "pip install")?;
    fs::write(&stamp, pinned).context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

fn succeed(command: &mut Command, what: &str) -> Result<Output> {
    let output = command.output().context(|| format!("cannot run {what}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let messages = String::from_utf8_lossy(&output.stderr);
    // Compilers say first what is wrong, linkers before collect2 does, Python last.
    let says = |line: &&str| line.contains("error") && !line.starts_with("collect2");
    let linker = |line: &&str| line.contains("/ld: ");
    let cause = messages.lines().find(says).or(messages.lines().find(linker)).or(messages.lines().last());
    let cause = cause.unwrap_or_default();
    Err(Error::new(format!("{what} failed: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_pinned() {
        let requirements = include_str!("../../../bench/peers/requirements.txt");
        assert!(requirements.lines().all(|line| line.contains("==")));
        assert!(requirements.contains(&PEER.name.replace(' ', "==")));
    }
}
