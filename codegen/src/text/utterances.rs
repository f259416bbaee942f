//! Files of texts with what they mean.

use super::features::read_bytes;
use super::{SLOTS, TextModel, Texts};
use crate::error::{Problem, Problems, Result};
use crate::graph::{Graph, Labels};
use std::path::{Path, PathBuf};

/// A row of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utterance {
    /// What the text means, if the file says it.
    pub label: Option<String>,
    /// Any bytes.
    pub text: Vec<u8>,
    /// What each word is, if the file says it.
    pub tags: Option<Vec<String>>,
}

/// Texts with labels and tags, in the order of a file.
#[derive(Clone, Debug, Default)]
pub struct Utterances {
    /// Where they come from.
    pub file: PathBuf,
    /// The rows; at least one.
    pub rows: Vec<Utterance>,
}

impl Utterances {
    /// Reads a table with tabs between its columns and no header: text alone, or label and text, or label, text and the
    /// words' tags with spaces between them. Files that end in `.gz` are unpacked.
    ///
    /// # Errors
    /// A file that cannot be read, and every row that has another form.
    pub fn load(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let kind = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if ["npy", "npz", "csv"].contains(&kind.as_str()) {
            return Err(Problem::new(place, "is no file of texts, which the model reads")
                .help("give a .tsv or .txt file (.gz is unpacked): label, tab, text, and tab, tags where the model has slots")
                .into());
        }
        Self::parse(&read_bytes(path)?, path)
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut problems = Problems::default();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut rows = Vec::new();
        let mut columns = None;
        for (k, line) in bytes.split(|&b| b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let cells: Vec<&[u8]> = line.split(|&b| b == b'\t').collect();
            let mut wrong = |reason: String, help: &str| {
                problems.push(Problem::new(format!("{}: row {}", path.display(), k + 1), reason).help(help));
            };
            let expected = *columns.get_or_insert(cells.len());
            if cells.len() != expected {
                wrong(
                    format!("has {} columns, the first row {expected}", cells.len()),
                    "all rows have the same columns, with tabs between them",
                );
                continue;
            }
            let known = |cell: &[u8]| String::from_utf8(cell.to_vec()).ok();
            let (label, text, tags) = match cells[..] {
                [text] => (None, text, None),
                [label, text] => (Some(label), text, None),
                [label, text, tags] => (Some(label), text, Some(tags)),
                _ => {
                    if k == 0 {
                        wrong(
                            format!("has {} columns", cells.len()),
                            "columns are text, or label and text, or label, text and tags",
                        );
                    }
                    continue;
                }
            };
            let (label_read, tags_read) = (label.map(known), tags.map(known));
            if label_read == Some(None) || tags_read == Some(None) {
                wrong("its label or its tags are not UTF-8".into(), "save them as UTF-8; only texts may be anything");
                continue;
            }
            let label = label_read.flatten();
            if label.as_ref().is_some_and(String::is_empty) {
                wrong("has no label".into(), "the first column is the label, the second the text");
            }
            let tags = tags_read.flatten().map(|t| t.split(' ').filter(|t| !t.is_empty()).map(str::to_owned).collect());
            rows.push(Utterance { label, text: text.to_vec(), tags });
        }
        problems.finish(Self { file: path.to_owned(), rows })
    }

    /// The texts.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.rows.iter().map(|row| row.text.as_slice())
    }

    /// The first rows only.
    #[must_use]
    pub fn limited(mut self, limit: usize) -> Self {
        self.rows.truncate(limit);
        self
    }

    /// Rows from all over the file, `count` at most.
    #[must_use]
    pub fn sampled(mut self, count: usize) -> Self {
        let all = self.rows.len();
        if all > count {
            self.rows = (0..count).map(|k| std::mem::take(&mut self.rows[k * all / count])).collect();
        }
        self
    }

    /// What the model makes of the texts, where the rows say what they mean.
    ///
    /// # Errors
    /// A file without labels, or without tags where the model gives some, and every row with another number of tags than
    /// the front end finds words.
    pub fn labelled(&self, graph: &Graph, model: &TextModel) -> Result<Texts> {
        let mut problems = Problems::default();
        let place = self.file.display();
        let first = self.rows.first();
        if first.is_none_or(|row| row.label.is_none()) {
            return Err(Problem::new(place.to_string(), "has no labels to compare with")
                .help("columns are label and text, or label, text and tags, with tabs between them")
                .into());
        }
        let slots = graph.outputs.iter().any(|o| o.name == SLOTS);
        if slots && first.is_none_or(|row| row.tags.is_none()) {
            return Err(Problem::new(place.to_string(), "has no column of tags, and the model has slots")
                .help("the third column is a tag a word, with spaces between them")
                .into());
        }
        let found = model.front_end.features(self.texts())?;
        for (k, (row, &words)) in self.rows.iter().zip(&found.words).enumerate() {
            if let Some(tags) = row.tags.as_ref().filter(|tags| slots && tags.len() != words) {
                problems.push(
                    Problem::new(
                        format!("{place}: row {}", k + 1),
                        format!("has {} tags, but the model's front end finds {words} words", tags.len()),
                    )
                    .help("there is a tag a word; words end where the model's \"punctuation\" says"),
                );
            }
        }
        problems.finish(found)
    }
}

/// The index of a label, if the output has it.
pub(super) fn index(labels: Option<&Labels>, label: &str) -> Option<usize> {
    match labels {
        Some(Labels::Strings(all)) => all.iter().position(|l| l == label),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Utterances> {
        Utterances::parse(bytes, Path::new("x.tsv"))
    }

    #[test]
    fn rows_have_a_text_and_perhaps_a_label_and_tags() {
        let found = parse(b"A\tplay it\tO B-x\r\nB\t\xffstop\tO\n").unwrap().rows;
        let tags = |tags: &[&str]| Some(tags.iter().map(|t| (*t).to_owned()).collect());
        let row = |label: &str, text: &[u8], t: &[&str]| Utterance {
            label: Some(label.into()),
            text: text.to_vec(),
            tags: tags(t),
        };
        assert_eq!(found, [row("A", b"play it", &["O", "B-x"]), row("B", b"\xffstop", &["O"])]);
        assert_eq!(parse(b"one\n\nthree").unwrap().rows.len(), 3);
        assert_eq!(
            parse(b"1\n2\n3\n4\n5").unwrap().sampled(2).rows.iter().map(|r| r.text[0]).collect::<Vec<_>>(),
            b"13"
        );
    }

    #[test]
    fn every_row_that_is_wrong_is_named() {
        let problems = parse(b"A\tx\nB\n\ty\nC\tz\n\xff\tz\n").unwrap_err().to_string();
        for part in ["x.tsv: row 2: has 1 columns, the first row 2", "row 3: has no label", "row 5: its label"] {
            assert!(problems.contains(part), "{problems}");
        }
        assert!(!problems.contains("row 4"), "{problems}");
        assert!(parse(b"a\tb\tc\td").unwrap_err().to_string().contains("row 1: has 4 columns"));
    }
}
