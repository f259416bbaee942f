//! `cargo xtask setup`: installs what building and emulating the boards needs, and says what it did.

use crate::board::{self, Board, Emulator, Flasher, Library, Tool};
use crate::error::{Error, Result};
use crate::out::outln;
use crate::rp2040js;
use crate::simavr;
use crate::workspace;
use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Something that has to be on the machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// The standard library for a Rust target.
    Target(String),
    /// The source of the standard library, for targets that rustup has none for.
    Source,
    /// A cargo subcommand that comes with the toolchain, and the component that has it.
    Component { command: &'static str, component: &'static str },
    /// A program, with its packages for apt and brew.
    Program { name: String, apt: String, brew: String },
    /// The library of simavr.
    Simavr,
    /// A version of rp2040js. Behind the programs, which install it.
    Rp2040js(String),
}

impl Need {
    fn title(&self) -> String {
        match self {
            Need::Target(target) => format!("Rust target {target}"),
            Need::Source => "rust-src".into(),
            Need::Component { component, .. } => component.to_string(),
            Need::Program { name, .. } => name.clone(),
            Need::Simavr => "simavr's library".into(),
            Need::Rp2040js(version) => format!("rp2040js {version}"),
        }
    }

    fn is_present(&self) -> bool {
        match self {
            Need::Target(target) => has_target(target),
            Need::Source => has_source(),
            Need::Component { command, .. } => {
                let output = workspace::cargo().args([command, "--version"]).output();
                output.is_ok_and(|output| output.status.success())
            }
            Need::Program { name, .. } => find_program(name).is_some(),
            Need::Simavr => simavr::has_library(),
            Need::Rp2040js(version) => rp2040js::is_installed(version),
        }
    }

    /// The commands that install it here, in order; or what to tell the user.
    fn commands(&self) -> Result<Vec<Vec<String>>, String> {
        match self {
            Need::Target(target) => with_rustup(&format!("rustup target add {target}")),
            Need::Source => with_rustup("rustup component add rust-src"),
            Need::Component { component, .. } => with_rustup(&format!("rustup component add {component}")),
            Need::Program { apt, brew, .. } => self.with_package_manager(apt, brew),
            Need::Simavr => self.with_package_manager("libsimavr-dev", "osx-cross/avr/simavr"),
            Need::Rp2040js(version) => {
                let mut command = words("npm install --no-audit --no-fund --prefix");
                command.extend([rp2040js::prefix().display().to_string(), format!("rp2040js@{version}")]);
                Ok(vec![command])
            }
        }
    }

    fn with_package_manager(&self, apt: &str, brew: &str) -> Result<Vec<Vec<String>>, String> {
        if find_program("apt-get").is_some() {
            let install = format!("apt-get install --yes --no-install-recommends {apt}");
            match privilege() {
                Some(prefix) => {
                    let command = |rest: &str| [prefix.clone(), words(rest)].concat();
                    Ok(vec![command("apt-get update"), command(&install)])
                }
                None => Err(format!("sudo apt-get update && sudo {install}")),
            }
        } else if find_program("brew").is_some() {
            Ok(vec![words(&format!("brew install {brew}"))])
        } else {
            Err(self.by_hand())
        }
    }

    /// What to type where neither apt nor brew is there.
    fn by_hand(&self) -> String {
        let Need::Program { name, .. } = self else {
            return "install simavr with its headers (https://github.com/buserror/simavr)".into();
        };
        let known = [("dnf", "sudo dnf install"), ("pacman", "sudo pacman -S"), ("zypper", "sudo zypper install")];
        match known.iter().find(|(manager, _)| find_program(manager).is_some()) {
            Some((_, install)) => format!("{install} {name}"),
            None if cfg!(windows) && name.starts_with("qemu") => {
                "winget install SoftwareFreedomConservancy.QEMU, and add it to PATH".into()
            }
            None if name.starts_with("qemu") => {
                format!("install {name} (https://www.qemu.org/download) so that it is in PATH")
            }
            None => format!("install {name} so that it is in PATH"),
        }
    }
}

/// Installs what is missing for all boards and `cargo xtask test`. An error where something still is.
pub fn run() -> Result<()> {
    let tests = [
        Need::Component { command: "clippy", component: "clippy" },
        Need::Component { command: "fmt", component: "rustfmt" },
    ];
    supply(board::all()?.iter().flat_map(needs).chain(tests).collect())
}

/// Installs what is missing for these boards.
pub fn install(boards: &[Board]) -> Result<()> {
    supply(boards.iter().flat_map(needs).collect())
}

fn supply(needs: BTreeSet<Need>) -> Result<()> {
    let mut missing = 0;
    for need in needs {
        let title = need.title();
        if need.is_present() {
            outln!("present    {title}");
            continue;
        }
        let by_hand = match need.commands() {
            Err(by_hand) => by_hand,
            Ok(commands) => {
                let text = commands.iter().map(|command| command.join(" ")).collect::<Vec<_>>().join(" && ");
                outln!("installing {title}: {text}");
                if commands.iter().all(|command| succeeds(command)) && need.is_present() {
                    outln!("installed  {title}");
                    continue;
                }
                text
            }
        };
        missing += 1;
        outln!("cannot     {title}. Type this yourself:\n           {by_hand}");
    }
    match missing {
        0 => Ok(()),
        n => Err(Error::new(format!("{n} of the things that the boards need could not be installed; see above"))),
    }
}

/// An error that says what is missing to build and emulate this board, and what to type.
pub fn require(board: &Board) -> Result<()> {
    require_needs(board, &needs(board))
}

/// An error that says what is missing to build this board's firmware.
pub fn require_target(board: &Board) -> Result<()> {
    require_needs(board, &build_needs(board))
}

/// Everything that is missing for this board, in words; empty where it can be emulated here.
pub fn missing(board: &Board) -> Vec<String> {
    needs(board).iter().filter(|need| !need.is_present()).map(Need::title).collect()
}

/// Everything that is missing to build firmware for this board, in words.
pub fn missing_to_build(board: &Board) -> Vec<String> {
    build_needs(board).iter().filter(|need| !need.is_present()).map(Need::title).collect()
}

/// Whether a way of flashing is there. Copying needs nothing.
pub fn has_flasher(flasher: Flasher) -> bool {
    flasher == Flasher::Uf2 || find_program(flasher.name()).is_some()
}

fn require_needs(board: &Board, needs: &[Need]) -> Result<()> {
    let Some(need) = needs.iter().find(|need| !need.is_present()) else { return Ok(()) };
    let command = match need.commands() {
        Ok(commands) => commands.iter().map(|command| command.join(" ")).collect::<Vec<_>>().join(" && "),
        Err(by_hand) => by_hand,
    };
    let (title, name) = (need.title(), &board.name);
    Err(Error::new(format!("{title} is missing, which {name} needs. `cargo xtask setup` installs it, or: {command}")))
}

fn build_needs(board: &Board) -> Vec<Need> {
    let library = match board.library {
        Library::Rustup => Need::Target(board.target.clone()),
        Library::Source => Need::Source,
    };
    [library].into_iter().chain(board.linker.as_ref().map(program)).collect()
}

fn needs(board: &Board) -> Vec<Need> {
    let mut needs = build_needs(board);
    match &board.emulator {
        None => {}
        Some(Emulator::Qemu(qemu)) => needs.push(program(&qemu.tool)),
        Some(Emulator::Simavr(_)) => {
            let (name, apt, brew) = ("cc".into(), "gcc libc6-dev".into(), "gcc".into());
            needs.extend([Need::Program { name, apt, brew }, Need::Simavr]);
            // Runs firmware as it is; the library is for the one that is measured.
            let (name, apt, brew) = ("simavr".into(), "simavr".into(), "osx-cross/avr/simavr".into());
            needs.push(Need::Program { name, apt, brew });
        }
        Some(Emulator::Rp2040js(emulator)) => {
            let tool =
                |name: &str, apt: &str| Need::Program { name: name.into(), apt: apt.into(), brew: "node".into() };
            needs.push(tool("node", "nodejs"));
            if !rp2040js::is_installed(&emulator.version) {
                needs.push(tool("npm", "npm"));
            }
            needs.push(Need::Rp2040js(emulator.version.clone()));
        }
    }
    needs
}

fn program(tool: &Tool) -> Need {
    let Tool { program, apt, brew } = tool.clone();
    Need::Program { name: program, apt, brew }
}

fn with_rustup(command: &str) -> Result<Vec<Vec<String>>, String> {
    match find_program("rustup") {
        Some(_) => Ok(vec![words(command)]),
        None => Err(format!("install rustup (https://rustup.rs), then: {command}")),
    }
}

fn has_target(target: &str) -> bool {
    let output = workspace::rustc().args(["--print", "target-libdir", "--target", target]).output();
    let Ok(output) = output else { return false };
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let is_core = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
    folder.read_dir().is_ok_and(|entries| entries.flatten().any(is_core))
}

fn has_source() -> bool {
    let Ok(output) = workspace::rustc().args(["--print", "sysroot"]).output() else { return false };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file()
}

/// A program in the path.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?).map(|folder: PathBuf| folder.join(&file)).find(|path| path.is_file())
}

/// What to put before a command that installs for the whole machine; none without the right to do so.
fn privilege() -> Option<Vec<String>> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if is_root {
        return Some(Vec::new());
    }
    // -n: never asks for a password, for nobody may be there to give it.
    let sudo = words("sudo -n");
    succeeds_quietly(&[sudo.clone(), words("true")].concat()).then_some(sudo)
}

fn words(command: &str) -> Vec<String> {
    command.split(' ').map(str::to_owned).collect()
}

fn command(words: &[String]) -> Option<Command> {
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(Path::new(program));
    // apt must not ask, whatever a package wants to know.
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    Some(command)
}

fn succeeds(words: &[String]) -> bool {
    command(words).and_then(|mut command| command.status().ok()).is_some_and(|status| status.success())
}

fn succeeds_quietly(words: &[String]) -> bool {
    command(words).and_then(|mut command| command.output().ok()).is_some_and(|output| output.status.success())
}
