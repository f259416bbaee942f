//! Where things are: the checkout, its target folder, and folders for one run.

use crate::error::{Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

/// The checkout.
pub fn root() -> PathBuf {
    boards().parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The folder of the firmware packages.
pub fn boards() -> PathBuf {
    // xtask runs from the checkout it was compiled in: that is what the cargo alias does.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The folder of the firmware that is flashed, a package a board.
pub fn devices() -> PathBuf {
    boards().join("devices")
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        // A relative one is relative to the folder that cargo was called in.
        Some(folder) => env::current_dir().unwrap_or_default().join(folder),
        None => root().join("target"),
    }
}

/// The cargo that runs this program, or the one in the path.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
}

/// `rustc -vV` on one line: instruction counts depend on the compiler.
pub fn rustc_version() -> Result<String> {
    let output = rustc().arg("-vV").output().context(|| "cannot run rustc -vV".into())?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>().join("; "))
}

/// The compiler that cargo uses.
pub fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()))
}

/// A new folder for one run. It disappears with the value unless it is kept.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    keep: bool,
}

impl RunFolder {
    /// Creates one whose name starts with `name`.
    pub fn new(name: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = target().join("emulate").join(format!("{name}-{}-{number}", process::id()));
        // An earlier process may have had the same number and been killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, keep: false })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder for a look at what went wrong.
    pub fn keep(&mut self) -> &Path {
        self.keep = true;
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.keep {
            // A folder that cannot be removed is no reason to fail: it lies under target/.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
