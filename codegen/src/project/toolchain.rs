//! Whether a board's toolchain is installed, and by which command it would be.

use super::Board;
use crate::error::{Problem, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An error for the first thing that is missing.
pub(super) fn require(board: &Board) -> Result<()> {
    let place = format!("board '{}'", board.name);
    let missing = |what: String, command: String| -> Result<()> {
        Err(Problem::new(place.clone(), format!("needs {what}, which is not installed")).help(command).into())
    };
    match board.library {
        None if !has_core(&board.target) => {
            return missing(format!("the Rust target {}", board.target), format!("rustup target add {}", board.target));
        }
        Some(_) if !has_source() => {
            return missing("the source of Rust's library".into(), "rustup component add rust-src".into());
        }
        _ => {}
    }
    match &board.linker {
        Some(linker) if !is_in_path(&linker.program) => {
            missing(format!("the linker {}", linker.program), format!("sudo apt-get install {}", linker.apt))
        }
        _ => Ok(()),
    }
}

/// The compiler that cargo calls.
fn printed(arguments: &[&str]) -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).args(arguments).output().ok()?;
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn has_core(target: &str) -> bool {
    let entries = printed(&["--print", "target-libdir", "--target", target]).and_then(|folder| folder.read_dir().ok());
    let is_core = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
    entries.is_some_and(|entries| entries.flatten().any(is_core))
}

fn has_source() -> bool {
    let library = Path::new("lib/rustlib/src/rust/library/core/src/lib.rs");
    printed(&["--print", "sysroot"]).is_some_and(|sysroot| sysroot.join(library).is_file())
}

fn is_in_path(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&folders).any(|folder| folder.join(&file).is_file())
}
