//! The paper's data sets, read from `shared/data/tabular` beside the checkout.

use crate::error::{Context, Error, Result};
use crate::workspace;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A data set with the network that the paper has for it.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// Its file's, and what `--set` calls it.
    pub name: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    /// Inputs, hidden units, classes.
    pub topology: [usize; 3],
    /// Accuracy of the design that the paper's authors released.
    pub released: Option<f64>,
    /// Whether the split is theirs, row for row.
    pub authors_split: bool,
}

const fn set(name: &'static str, title: &'static str, topology: [usize; 3]) -> Set {
    Set { name, title, topology, released: None, authors_split: false }
}

const fn released(set: Set, accuracy: f64) -> Set {
    Set { released: Some(accuracy), ..set }
}

const fn authors_split(set: Set) -> Set {
    Set { authors_split: true, ..set }
}

/// All of them.
pub const ALL: &[Set] = &[
    // The paper has ten inputs: its first is the number of the sample.
    released(set("breast_cancer_wisconsin", "breast cancer", [9, 3, 2]), 0.946),
    released(set("cardiotocography", "cardiotocography", [21, 3, 3]), 0.862),
    authors_split(released(set("pendigits", "pendigits", [16, 5, 10]), 0.891)),
    authors_split(released(set("redwine", "red wine", [11, 2, 6]), 0.567)),
    authors_split(released(set("whitewine", "white wine", [11, 4, 7]), 0.527)),
    set("seeds", "seeds", [7, 3, 3]),
    set("vertebral3c", "vertebral", [6, 3, 3]),
    set("balance_scale", "balance", [4, 3, 3]),
    authors_split(set("arrhythmia", "arrhythmia", [274, 5, 13])),
];

/// Those of these names, or all of them for no names.
pub fn named(names: &[String]) -> Result<Vec<Set>> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|set| set.name != **name)) {
        let known = ALL.iter().map(|set| set.name).collect::<Vec<_>>().join(", ");
        return Err(Error::new(format!("there is no set '{unknown}'. Known: {known}")));
    }
    Ok(ALL.iter().copied().filter(|set| names.is_empty() || names.iter().any(|name| name == set.name)).collect())
}

/// Rows of one part of a set.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Row after row.
    pub features: Vec<f32>,
    /// By row.
    pub labels: Vec<f32>,
}

/// The rows of a set.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// For training and every choice.
    pub training: Part,
    /// To be read once, at the end.
    pub test: Part,
}

impl Set {
    /// Its file.
    pub fn file(&self) -> PathBuf {
        let root = workspace::root();
        root.parent().unwrap_or(&root).join("shared/data/tabular").join(format!("{}.csv.gz", self.name))
    }

    /// `16-5-10`
    pub fn shape(&self) -> String {
        self.topology.map(|n| n.to_string()).join("-")
    }

    /// Reads the file.
    pub fn rows(&self) -> Result<Rows> {
        let path = self.file();
        let file = File::open(&path).context(|| {
            format!("the data sets are no part of this repository and do not lie beside it: {}", path.display())
        })?;
        let mut text = String::new();
        GzDecoder::new(file).read_to_string(&mut text).context(|| format!("cannot read {}", path.display()))?;
        parse(&text, self.topology[0], &path)
    }
}

/// Columns with other names than `split42`, `split` and `label` are features.
fn parse(text: &str, features: usize, path: &Path) -> Result<Rows> {
    let wrong = |line: usize, what: &str| Error::new(format!("{}, line {}: {what}", path.display(), line + 1));
    let mut lines = text.lines().enumerate();
    let (_, head) = lines.next().ok_or_else(|| wrong(0, "there is no header"))?;
    let names: Vec<&str> = head.split(',').collect();
    if names.iter().filter(|name| !["split42", "split", "label"].contains(name)).count() != features {
        return Err(wrong(0, &format!("there are not {features} columns of features")));
    }
    let mut rows = Rows::default();
    for (k, line) in lines {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() != names.len() {
            return Err(wrong(k, "it has not a cell a column"));
        }
        let cell = |name: &str| names.iter().position(|n| *n == name).map_or("", |at| cells[at]);
        let part = match cell("split42") {
            "train" => &mut rows.training,
            "test" => &mut rows.test,
            _ => return Err(wrong(k, "split42 is neither train nor test")),
        };
        for (name, cell) in names.iter().zip(&cells) {
            let number = || cell.parse::<f32>().ok().filter(|x| x.is_finite());
            match *name {
                "split42" | "split" => {}
                "label" => part.labels.push(number().ok_or_else(|| wrong(k, "its label is no number"))?),
                _ => part.features.push(number().ok_or_else(|| wrong(k, "a feature is no number"))?),
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_where_the_split_says() {
        let rows = |text: &str| parse(text, 2, Path::new("x.csv"));
        let found = rows("a,split42,b,split,label\n1,train,2,test,0\n3,test,-4.5,train,1\n").unwrap();
        assert_eq!((found.training.features, found.training.labels), (vec![1.0, 2.0], vec![0.0]));
        assert_eq!((found.test.features, found.test.labels), (vec![3.0, -4.5], vec![1.0]));
        for (text, what) in [
            ("a,split42,label\n", "2 columns"),
            ("a,b,split42,label\n1,2,train\n", "line 2"),
            ("a,b,split42,label\n1,2,none,0\n", "neither"),
            ("a,b,split42,label\n1,?,train,0\n", "no number"),
        ] {
            let message = rows(text).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
    }
}
