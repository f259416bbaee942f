//! A board's firmware package with one dependency more: the crate of a peer.

use crate::board::Board;
use crate::error::{Context, Error, Result};
use crate::firmware::Module;
use crate::workspace;
use std::fs;
use std::path::Path;

/// The module that a firmware compiles in, which has the peer from its crate.
pub fn module(peer: &Path) -> Result<Module> {
    let path = peer.join("module.rs");
    fs::write(&path, "pub use peer::Peer;\n").context(|| format!("cannot write {}", path.display()))?;
    Ok(Module { path, type_name: "Peer".into(), text_bytes: None })
}

/// The board, with a copy of its package beside the peer's crate.
pub fn with_peer(board: &Board, peer: &Path) -> Result<Board> {
    let original = board.measured()?;
    let package = peer.with_file_name(original.file_name().unwrap_or_default());
    let _ = fs::remove_dir_all(&package);
    copy(&original, &package)?;
    for manifest in ["Cargo.toml", ".cargo/config.toml"] {
        let path = package.join(manifest);
        let text = fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
        let text = relocated(&text, &workspace::boards());
        let text = if manifest == "Cargo.toml" { with_dependency(&text, peer)? } else { text };
        fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
    }
    // Build scripts look for linker scripts in the harness beside the package.
    let harness = peer.with_file_name("harness");
    let _ = fs::remove_dir_all(&harness);
    copy(&workspace::boards().join("harness"), &harness)?;
    Ok(Board { package: Some(package.display().to_string()), ..board.clone() })
}

/// Paths relative to the package's parent become absolute.
fn relocated(text: &str, parent: &Path) -> String {
    text.replace("\"../", &format!("\"{}/", parent.display()))
}

fn with_dependency(manifest: &str, peer: &Path) -> Result<String> {
    let (before, after) = manifest
        .split_once("\n[dependencies]\n")
        .ok_or_else(|| Error::new("the firmware package has no dependencies"))?;
    Ok(format!("{before}\n[dependencies]\npeer = {{ path = {peer:?} }}\n{after}"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).context(|| format!("cannot create {}", to.display()))?;
    let entries = fs::read_dir(from).context(|| format!("cannot read {}", from.display()))?;
    for entry in entries.flatten().filter(|entry| entry.file_name() != "target") {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_can_take_a_peer() {
        for board in crate::board::representative().unwrap() {
            let manifest = board.measured().unwrap().join("Cargo.toml");
            let text = relocated(&fs::read_to_string(manifest).unwrap(), &workspace::boards());
            assert!(!text.contains("\"../"), "{text}");
            let text = with_dependency(&text, Path::new("/peer")).unwrap();
            let manifest: toml::Table = toml::from_str(&text).unwrap();
            let dependency = |name: &str| manifest["dependencies"][name]["path"].as_str().map(Path::new).unwrap();
            assert_eq!(dependency("peer"), Path::new("/peer"));
            assert!(dependency("tinymlp").join("Cargo.toml").is_file());
        }
    }
}
