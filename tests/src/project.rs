//! Cargo projects that tests write, build and run, without network.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::models::here;

/// A package of one program in a temporary folder.
#[derive(Clone, Debug)]
pub struct Project {
    /// Where it is.
    pub folder: PathBuf,
    target: PathBuf,
    name: String,
}

/// Optimized a little, with all checks on arithmetic, and the runtime as a dependency.
fn manifest(name: &str, features: &str) -> String {
    let runtime = here("../runtime");
    format!(
        r#"[package]
name = "{name}"
version = "0.0.0"
edition = "2024"
publish = false

# Of no workspace, although it may lie in one.
[workspace]

[dependencies]
tinymlp = {{ path = {runtime:?} }}

[features]
default = [{features}]
float = ["tinymlp/float"]
fixed = ["tinymlp/fixed"]
text = ["tinymlp/text"]

[profile.dev]
opt-level = 1
debug = false
incremental = false
overflow-checks = true
debug-assertions = true
"#
    )
}

impl Project {
    /// An empty project `name` in `temporary`, with features (`"float", "fixed"`) of the runtime. All projects of one
    /// `temporary` share what they compile.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn new(temporary: &str, name: &str, features: &str) -> Self {
        let folder = Path::new(temporary).join(name);
        let project = Self { folder, target: Path::new(temporary).join("inner-target"), name: name.into() };
        if project.folder.exists() {
            std::fs::remove_dir_all(&project.folder).expect("the former project is removed");
        }
        project.write("Cargo.toml", manifest(name, features));
        // The versions that the workspace was tested with, which are those at hand without network.
        std::fs::copy(here("../Cargo.lock"), project.folder.join("Cargo.lock")).expect("a lock file");
        // Generated text has rustfmt's own style, whatever the style of the repository around it.
        project.write("rustfmt.toml", "");
        project
    }

    /// Writes a file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Cargo with `arguments`, in the project.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        cargo(&self.folder, &self.target, arguments)
    }

    /// Builds the program and runs it with `arguments`; gives what it printed.
    ///
    /// # Panics
    /// If it does not compile, or fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.cargo(&["build", "--quiet"]));
        let program = self.target.join("debug").join(format!("{}{}", self.name, std::env::consts::EXE_SUFFIX));
        succeed(Command::new(program).args(arguments).current_dir(&self.folder))
    }
}

/// Cargo with `arguments`, in `folder`, with a target folder, without network.
pub fn cargo(folder: &Path, target: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
    command.env_remove("CARGO_BUILD_TARGET");
    // What `cargo test` says of the tests' own package.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command that must succeed; gives what it printed.
///
/// # Panics
/// If it fails, with all it printed.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let printed: String = text(&output).chars().take(8000).collect();
    assert!(output.status.success(), "{}: {}\n{printed}", command.get_program().display(), output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All that a command printed.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
