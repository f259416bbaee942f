//! Rust names from the names in model files, which may be anything.

use std::collections::HashSet;

const LONGEST: usize = 32;

const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "union",
];

/// Lower-case words of a name, joined by `_`: `"/fc1/Gemm"` gives `fc1_gemm`.
pub(super) fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut previous = ' ';
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && previous.is_ascii_lowercase() {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        previous = c;
    }
    let trimmed = out.trim_end_matches('_');
    let short: String = trimmed.chars().take(LONGEST).collect();
    let short = short.trim_end_matches('_').to_owned();
    if short.is_empty() {
        "x".into()
    } else if short.starts_with(|c: char| c.is_ascii_digit()) {
        format!("n{short}")
    } else {
        short
    }
}

/// Name of the generated module.
pub(super) fn module(name: &str) -> String {
    let name = snake(name);
    if KEYWORDS.contains(&name.as_str()) { format!("{name}_model") } else { name }
}

/// `digits_small` as `DigitsSmall`. `Input`, `Output` and the like are taken.
pub(super) fn type_name(module: &str) -> String {
    let words = module.split('_').filter(|w| !w.is_empty());
    let name: String = words.map(|w| w[..1].to_ascii_uppercase() + &w[1..]).collect();
    let taken = [
        "Input",
        "Output",
        "Scratch",
        "Model",
        "Info",
        "Clamp",
        "Arena",
        "Quantization",
        "Real",
        "Encoder",
        "Tokenizer",
    ];
    if taken.contains(&name.as_str()) { format!("{name}Net") } else { name }
}

/// Distinct field names.
pub(super) fn fields<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    names
        .map(|name| {
            let name = snake(name);
            let name = if KEYWORDS.contains(&name.as_str()) { format!("{name}_") } else { name };
            unique(&name, &mut taken)
        })
        .collect()
}

/// The names, with numbers behind those that were there before.
pub(super) fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = HashSet::new();
    names.map(|name| unique(&name, &mut taken)).collect()
}

/// Distinct names of constants.
#[derive(Debug)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// Besides what the module defines itself, its type among it: `X` of a model `x`.
    pub(super) fn new(type_name: &str) -> Self {
        Names(["INPUT", "OUTPUT", "INFO", "POSITIONS", type_name].map(String::from).into())
    }

    /// A name like `FC1_GEMM`.
    pub(super) fn constant(&mut self, name: &str) -> String {
        let base = snake(name).to_uppercase();
        // Prefixes of the constants that describe inputs and outputs.
        let base = if base.starts_with("INPUT") || base.starts_with("OUTPUT") { format!("L_{base}") } else { base };
        unique(&base, &mut self.0)
    }
}

fn unique(base: &str, taken: &mut HashSet<String>) -> String {
    let mut name = base.to_owned();
    let mut n = 2;
    while !taken.insert(name.clone()) {
        name = format!("{base}_{n}");
        n += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_an_identifier() {
        assert_eq!(snake("/fc1/Gemm"), "fc1_gemm");
        assert_eq!(snake("StatefulPartitionedCall/my-Model:0"), "stateful_partitioned_call_my_mod");
        assert_eq!(snake("9lives"), "n9lives");
        assert_eq!(snake("日本"), "x");
        assert_eq!(fields(["type", "a b", "a-b"].into_iter()), ["type_", "a_b", "a_b_2"]);
        assert_eq!(type_name("digits_small"), "DigitsSmall");
        assert_eq!(type_name("input"), "InputNet");
        assert_eq!(Names::new("X").constant("output"), "L_OUTPUT");
        assert_eq!(Names::new("X").constant("x"), "X_2");
    }
}
