//! Representative inputs, test inputs and labels from `.npy`, `.npz` and `.csv` files.

mod npy;
#[cfg(any(feature = "search", feature = "tune"))]
pub(crate) mod split;
mod table;

use crate::error::{Error, Problem, Result};
use crate::graph::{Graph, TensorId, show_shape};
use std::path::Path;

pub use npy::{Array, write_npy, write_npy_u16};

/// The arrays of one file, named in an `.npz` or where a `.csv` has a header.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// The arrays; one, unless the file is an `.npz`.
    pub arrays: Vec<Array>,
    /// Column names of a `.csv` with a header.
    pub columns: Vec<String>,
}

/// Reads a file by its extension.
///
/// # Errors
/// What is wrong with the file, with its path.
pub fn load(path: &Path) -> Result<Data> {
    let place = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| Error::from(Problem::new(&place, format!("cannot be read: {e}"))))?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let data = match extension.as_str() {
        "npy" => npy::read_npy(&bytes, "").map(|array| Data { arrays: vec![array], columns: vec![] }),
        "npz" => npy::read_npz(&bytes).map(|arrays| Data { arrays, columns: vec![] }),
        "csv" | "tsv" | "txt" => table::read(&bytes),
        _ => Err(Problem::new("", "has an extension that is none of .npy, .npz, .csv")
            .help("save the array with numpy.save, numpy.savez or numpy.savetxt(.., delimiter=',')")),
    };
    data.map_err(|mut problem| {
        problem.place = if problem.place.is_empty() { place } else { format!("{place}: {}", problem.place) };
        problem.into()
    })
}

/// Rows of inputs for a graph: for every row, one slice for every input of the graph.
#[derive(Clone, Debug)]
pub struct Rows {
    inputs: Vec<(usize, Vec<f32>)>,
    rows: usize,
}

impl Rows {
    /// Takes the arrays of `data` as the inputs of `graph`: the only array as the only input, or by name. Every
    /// row must have as many elements as the input.
    ///
    /// # Errors
    /// Every array that is missing, empty, of the wrong shape, or holds a value that is not finite.
    pub fn new(graph: &Graph, data: &Data, file: &Path) -> Result<Rows> {
        let mut problems = crate::error::Problems::default();
        let place = file.display().to_string();
        let mut inputs = Vec::new();
        let mut rows = None;
        for &id in &graph.inputs {
            let tensor = &graph.tensors[id];
            let by_name = data.arrays.iter().find(|a| a.name == tensor.name);
            let only = if graph.inputs.len() == 1 && data.arrays.len() == 1 { data.arrays.first() } else { None };
            let Some(array) = by_name.or(only) else {
                let names: Vec<_> = graph.inputs.iter().map(|&i| graph.tensors[i].name.as_str()).collect();
                let found: Vec<_> = data.arrays.iter().map(|a| a.name.as_str()).collect();
                problems.push(
                    Problem::new(&place, format!("has no array for the input '{}'; it holds {found:?}", tensor.name))
                        .help(format!(
                            "save one array an input: numpy.savez(file, **{{name: array}}) with the names {names:?}"
                        )),
                );
                continue;
            };
            match rows_of(graph, id, array) {
                Err(problem) => problems.push(Problem { place: format!("{place}: {}", problem.place), ..problem }),
                Ok(n) => {
                    if *rows.get_or_insert(n) != n {
                        let first = rows.unwrap_or(0);
                        problems.push(Problem::new(
                            &place,
                            format!("input '{}' has {n} rows, others have {first}", tensor.name),
                        ));
                    }
                    inputs.push((tensor.len(), array.values.clone()));
                }
            }
        }
        problems.finish(Rows { inputs, rows: rows.unwrap_or(0) })
    }

    /// Rows of one input of `len` values.
    pub(crate) fn of_one_input(len: usize, values: Vec<f32>) -> Rows {
        Rows { rows: values.len() / len.max(1), inputs: vec![(len, values)] }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row. [`Rows::new`] never makes such.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The inputs of one row, in the graph's order.
    pub fn row(&self, row: usize) -> Vec<&[f32]> {
        self.inputs.iter().map(|(n, values)| &values[row * n..(row + 1) * n]).collect()
    }

    /// The rows for which `keep` holds.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(usize) -> bool) -> Rows {
        let kept: Vec<usize> = (0..self.rows).filter(|&row| keep(row)).collect();
        let pick = |(n, values): &(usize, Vec<f32>)| {
            (*n, kept.iter().flat_map(|row| &values[row * n..(row + 1) * n]).copied().collect())
        };
        Rows { inputs: self.inputs.iter().map(pick).collect(), rows: kept.len() }
    }

    /// The rows with each feature's values brought between the two that `ends` finds for it.
    #[cfg(feature = "tune")]
    pub(crate) fn clamped(&self, ends: impl Fn(&[f32]) -> (f32, f32)) -> Rows {
        let mut all = self.clone();
        for (n, values) in &mut all.inputs {
            for k in 0..*n {
                let column: Vec<f32> = values.iter().skip(k).step_by(*n).copied().collect();
                let (low, high) = ends(&column);
                values.iter_mut().skip(k).step_by(*n).for_each(|x| *x = x.clamp(low, high));
            }
        }
        all
    }

    /// The rows, and behind them rows between two of them each: so much of the way from the first to the second.
    #[cfg(feature = "search")]
    pub(crate) fn with_blends(&self, blends: &[(usize, usize, f32)]) -> Rows {
        let mut all = self.clone();
        for (n, values) in &mut all.inputs {
            for &(from, to, share) in blends {
                let blend = |k: usize| values[from * *n + k] + share * (values[to * *n + k] - values[from * *n + k]);
                let row: Vec<f32> = (0..*n).map(blend).collect();
                values.extend(row);
            }
        }
        all.rows += blends.len();
        all
    }

    /// The first `limit` rows only.
    #[must_use]
    pub fn limited(mut self, limit: usize) -> Rows {
        self.rows = self.rows.min(limit);
        self
    }
}

fn rows_of(graph: &Graph, id: TensorId, array: &Array) -> std::result::Result<usize, Problem> {
    let tensor = &graph.tensors[id];
    let wanted = tensor.len();
    let name = if array.name.is_empty() { "the array".to_owned() } else { format!("array '{}'", array.name) };
    let expected = if tensor.batched { &tensor.shape[1..] } else { &tensor.shape[..] };
    if array.values.is_empty() {
        return Err(Problem::new(name, format!("is empty (shape {})", show_shape(&array.shape)))
            .help("give at least one row; a few hundred representative ones make a good calibration"));
    }
    let first = array.shape.first().copied().unwrap_or(1);
    let rows = if array.values.len() == first * wanted {
        first
    } else if array.values.len() == wanted {
        // One row alone may come without the leading axis.
        1
    } else {
        let width = array.values.len().checked_div(first).unwrap_or(0);
        return Err(Problem::new(
            name,
            format!(
                "has shape {}: {first} rows of {width} values, but input '{}' takes {wanted} values a row (shape {})",
                show_shape(&array.shape),
                tensor.name,
                show_shape(expected),
            ),
        )
        .help("the first axis counts the rows; the rest must have as many elements as the model's input"));
    };
    if let Some(bad) = array.values.iter().position(|v| !v.is_finite()) {
        let (row, column) = (bad / wanted.max(1), bad % wanted.max(1));
        return Err(Problem::new(name, format!("row {row}, value {column} is {}", array.values[bad]))
            .help("drop or repair rows with missing values: a range cannot be taken from them"));
    }
    Ok(rows)
}

/// Reads class labels: integers, one a row.
///
/// # Errors
/// A file that does not hold `rows` integers of at least 0 and, where `classes` is known, below it.
pub fn load_labels(path: &Path, rows: usize, classes: Option<usize>) -> Result<Vec<usize>> {
    let data = load(path)?;
    let place = path.display().to_string();
    let Some(array) = data.arrays.first() else {
        return Err(Problem::new(place, "holds no array").into());
    };
    if array.values.len() != rows {
        return Err(Problem::new(place, format!("has {} labels for {rows} rows of inputs", array.values.len()))
            .help("give one label a row, in the same order")
            .into());
    }
    let mut labels = Vec::with_capacity(rows);
    for (row, &v) in array.values.iter().enumerate() {
        if v < 0.0 || v.fract() != 0.0 || !v.is_finite() {
            return Err(Problem::new(place, format!("label {v} of row {row} is not a class index (0, 1, 2 ..)")).into());
        }
        if let Some(n) = classes
            && v as usize >= n
        {
            return Err(Problem::new(
                place,
                format!("label {v} of row {row} is out of range: the model has {n} classes"),
            )
            .help(format!("labels count from 0 to {}", n.saturating_sub(1)))
            .into());
        }
        labels.push(v as usize);
    }
    Ok(labels)
}
