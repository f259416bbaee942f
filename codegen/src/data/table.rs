//! Comma-, semicolon- or tab-separated numbers, with or without a header line.

use super::{Array, Data};
use crate::error::Problem;

/// Decodes a table. The first line is a header if any of its fields is not a number.
pub(super) fn read(bytes: &[u8]) -> Result<Data, Problem> {
    let first = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let delimiter =
        *[b',', b';', b'\t'].iter().max_by_key(|&&d| first.iter().filter(|&&b| b == d).count()).unwrap_or(&b',');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let (mut values, mut rows, mut columns, mut width) = (Vec::new(), 0, Vec::<String>::new(), 0);
    for record in reader.records() {
        let record = record.map_err(|e| {
            let line = e.position().map_or(String::new(), |p| format!("line {}", p.line()));
            match e.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    Problem::new(line, format!("has {len} fields, the lines before have {expected_len}"))
                }
                _ => Problem::new(line, e.to_string()),
            }
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let numbers: Vec<Option<f32>> = record.iter().map(|field| field.parse().ok()).collect();
        if rows == 0 && columns.is_empty() && numbers.contains(&None) {
            columns = record.iter().map(str::to_owned).collect();
            width = columns.len();
            continue;
        }
        for (k, (number, field)) in numbers.into_iter().zip(record.iter()).enumerate() {
            let name = columns.get(k).map_or_else(|| format!("column {}", k + 1), |c| format!("column '{c}'"));
            values.push(
                number.ok_or_else(|| {
                    Problem::new(format!("line {line}, {name}"), format!("'{field}' is not a number"))
                })?,
            );
        }
        (rows, width) = (rows + 1, record.len());
    }
    if rows == 0 {
        return Err(Problem::new("", "holds no row of numbers"));
    }
    Ok(Data { arrays: vec![Array { name: String::new(), shape: vec![rows, width], values }], columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_optional_and_delimiters_are_found() {
        let with = read(b"a,b\n1,2\n3,4.5\n").unwrap();
        assert_eq!(
            (with.columns.as_slice(), with.arrays[0].values.as_slice()),
            (&["a".to_owned(), "b".into()][..], &[1.0, 2.0, 3.0, 4.5][..])
        );
        let without = read(b"1;2\r\n3;4\r\n").unwrap();
        assert_eq!((without.columns.len(), without.arrays[0].shape.as_slice()), (0, &[2, 2][..]));
    }

    #[test]
    fn errors_name_line_and_column() {
        assert_eq!(read(b"a,b\n1,x\n").unwrap_err().place, "line 2, column 'b'");
        assert_eq!(read(b"1,2\n3\n").unwrap_err().place, "line 2");
        assert!(read(b"a,b\n").is_err() && read(b"").is_err());
    }
}
