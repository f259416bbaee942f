//! Generated parts of Markdown files, between two comments: `<!-- name:begin -->` and `<!-- name:end -->`.

use crate::error::{Context, Error, Result};
use std::fs;
use std::path::Path;

/// Writes the lines between a file's markers anew.
pub fn update(path: &Path, name: &str, lines: &str) -> Result<()> {
    let text = fs::read_to_string(path).context(|| format!("cannot read {}", path.display()))?;
    let text = between(&text, name, lines).map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
    fs::write(path, text).context(|| format!("cannot write {}", path.display()))
}

fn between(text: &str, name: &str, lines: &str) -> Result<String> {
    let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {name}:{which} -->"));
    let missing = || Error::new(format!("the lines {begin} and {end} are missing"));
    let (before, rest) = text.split_once(&format!("{begin}\n")).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&format!("{end}\n")).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n{lines}{end}\n{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n";
        assert_eq!(between(text, "x", "new\n").unwrap(), text.replace("old", "new"));
        assert!(between("a\n", "x", "new\n").unwrap_err().to_string().contains("x:begin"));
    }

    #[test]
    fn files_have_the_markers_that_commands_look_for() {
        let page = "codegen/docs/approximation.md";
        let of_readme = ["bench", "costs", "text"].map(|name| ("README.md", name));
        for (file, name) in of_readme.into_iter().chain([(page, "costs"), (page, "approximate")]) {
            let text = fs::read_to_string(workspace::root().join(file)).unwrap();
            between(&text, name, "").unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
}
