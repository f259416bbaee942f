//! NumPy's `.npy` and `.npz` (the format is specified in `numpy.lib.format`).

use crate::error::Problem;
use std::io::{Cursor, Read};

/// A dense array, as `f32`, in C order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    /// Its name in an `.npz`; empty elsewhere.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements.
    pub values: Vec<f32>,
}

/// Decodes one `.npy` file. Sizes in the header are compared with the data before anything is allocated.
pub(super) fn read_npy(bytes: &[u8], name: &str) -> Result<Array, Problem> {
    let place = if name.is_empty() { String::new() } else { format!("array '{name}'") };
    let bad = |reason: String| Problem::new(place.clone(), reason);
    let (header, data) = split_header(bytes).map_err(|reason| bad(reason.into()))?;
    let field = |key: &str| {
        let at = header.find(&format!("'{key}'"))? + key.len() + 2;
        header[at..].split_once(':').map(|(_, rest)| rest.trim_start())
    };
    let truncated = || bad("the header of the .npy data is not complete".into());
    let descr = field("descr").ok_or_else(truncated)?;
    let descr = descr.strip_prefix('\'').and_then(|d| d.split_once('\'')).map(|(d, _)| d);
    let Some(descr) = descr else {
        return Err(bad("holds records, not plain numbers".into()).help("save a plain float32 or integer array"));
    };
    let fortran = field("fortran_order").ok_or_else(truncated)?.starts_with("True");
    let shape = field("shape").and_then(|s| s.strip_prefix('(')?.split_once(')')).ok_or_else(truncated)?.0;
    let mut extents = Vec::new();
    for part in shape.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        extents.push(part.parse::<usize>().map_err(|_| bad(format!("the header's shape ({shape}) is not a shape")))?);
    }
    let (width, read) = decoder(descr).ok_or_else(|| {
        bad(format!("holds elements of type '{descr}', not numbers of a plain type"))
            .help("convert it first: array.astype('float32')")
    })?;
    let count = extents.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let needed = count.and_then(|n| n.checked_mul(width));
    if needed != Some(data.len()) {
        return Err(bad(format!(
            "the header promises shape {extents:?} of '{descr}', but {} bytes of data follow",
            data.len()
        ))
        .help("the file is truncated or corrupt: save it again"));
    }
    let mut values: Vec<f32> = data.chunks_exact(width).map(read).collect();
    if fortran && extents.len() > 1 {
        values = from_fortran_order(&values, &extents);
    }
    Ok(Array { name: name.to_owned(), shape: extents, values })
}

fn split_header(bytes: &[u8]) -> Result<(&str, &[u8]), &'static str> {
    const TRUNCATED: &str = "the header of the .npy data is not complete";
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("is not .npy data (it does not begin with \\x93NUMPY)")?;
    let (&[major, _minor], rest) = rest.split_first_chunk::<2>().ok_or(TRUNCATED)?;
    let (length, rest) = if major >= 2 {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(TRUNCATED)?;
        (u32::from_le_bytes(*length) as usize, rest)
    } else {
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(TRUNCATED)?;
        (usize::from(u16::from_le_bytes(*length)), rest)
    };
    let (header, data) = rest.split_at_checked(length).ok_or(TRUNCATED)?;
    Ok((std::str::from_utf8(header).map_err(|_| "the header of the .npy data is not text")?, data))
}

type Decode = fn(&[u8]) -> f32;

/// Element width and decoder of a NumPy type string.
fn decoder(descr: &str) -> Option<(usize, Decode)> {
    macro_rules! decode {
        ($t:ty, $from:ident) => {
            (size_of::<$t>(), |b: &[u8]| b.try_into().map_or(f32::NAN, |b| <$t>::$from(b) as f32))
        };
    }
    let big = descr.starts_with('>');
    Some(match descr.trim_start_matches(['<', '>', '|', '=']) {
        "f4" if big => decode!(f32, from_be_bytes),
        "f8" if big => decode!(f64, from_be_bytes),
        "i2" if big => decode!(i16, from_be_bytes),
        "i4" if big => decode!(i32, from_be_bytes),
        "i8" if big => decode!(i64, from_be_bytes),
        "f4" => decode!(f32, from_le_bytes),
        "f8" => decode!(f64, from_le_bytes),
        "i1" => decode!(i8, from_le_bytes),
        "u1" | "b1" => decode!(u8, from_le_bytes),
        "i2" => decode!(i16, from_le_bytes),
        "u2" if !big => decode!(u16, from_le_bytes),
        "i4" => decode!(i32, from_le_bytes),
        "u4" if !big => decode!(u32, from_le_bytes),
        "i8" => decode!(i64, from_le_bytes),
        "u8" if !big => decode!(u64, from_le_bytes),
        _ => return None,
    })
}

fn from_fortran_order(values: &[f32], shape: &[usize]) -> Vec<f32> {
    (0..values.len())
        .map(|mut index| {
            let (mut at, mut place) = (0, values.len());
            for &extent in shape.iter().rev() {
                place /= extent;
                at += index % extent * place;
                index /= extent;
            }
            values[at]
        })
        .collect()
}

/// Decodes all arrays of an `.npz`.
pub(super) fn read_npz(bytes: &[u8]) -> Result<Vec<Array>, Problem> {
    let broken = |e: zip::result::ZipError| Problem::new("", format!("is not an .npz (zip) archive: {e}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut arrays = Vec::new();
    for k in 0..archive.len() {
        let file = archive.by_index(k).map_err(broken)?;
        let name = file.name().trim_end_matches(".npy").to_owned();
        // Deflate expands at most about 1000 times: a larger claim is a lie, and 2 GiB is no calibration set.
        let limit = (bytes.len() as u64).saturating_mul(1100).min(1 << 31);
        let mut content = Vec::new();
        let read = file.take(limit + 1).read_to_end(&mut content);
        read.map_err(|e| Problem::new(format!("array '{name}'"), format!("cannot be decompressed: {e}")))?;
        if content.len() as u64 > limit {
            return Err(Problem::new(format!("array '{name}'"), "is larger than 2 GiB"));
        }
        arrays.push(read_npy(&content, &name)?);
    }
    if arrays.is_empty() {
        return Err(Problem::new("", "holds no array"));
    }
    Ok(arrays)
}

/// Encodes `values` as a two-dimensional `.npy` file of `columns` columns.
pub fn write_npy(columns: usize, values: &[f32]) -> Vec<u8> {
    let mut bytes = header("<f4", &[values.len() / columns.max(1), columns]);
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// Encodes `values` as a `.npy` file of unsigned 16-bit integers.
pub fn write_npy_u16(shape: &[usize], values: &[u16]) -> Vec<u8> {
    let mut bytes = header("<u2", shape);
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let shape = if shape.matches(',').count() > 1 { shape.trim_end_matches(", ") } else { shape.trim_end() };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The data starts at a multiple of 64 bytes, after a final newline.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn types_and_orders() {
        let array = read_npy(&npy("<i2", "False", "(2,)", &[1, 0, 254, 255]), "").unwrap();
        assert_eq!((array.shape, array.values), (vec![2], vec![1.0, -2.0]));
        let array = read_npy(&npy("|u1", "True", "(2, 3)", &[0, 3, 1, 4, 2, 5]), "").unwrap();
        assert_eq!(array.values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let array = read_npy(&write_npy(2, &[1.5, -2.5, 0.0, 9.0]), "").unwrap();
        assert_eq!((array.shape, array.values), (vec![2, 2], vec![1.5, -2.5, 0.0, 9.0]));
        for shape in [vec![6], vec![3, 2], vec![1, 2, 3]] {
            let array = read_npy(&write_npy_u16(&shape, &[0, 1, 2, 3, 4, 65535]), "").unwrap();
            assert_eq!((array.shape, array.values), (shape, vec![0.0, 1.0, 2.0, 3.0, 4.0, 65535.0]));
        }
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        for shape in ["(1000000000, 1000000000)", "(18446744073709551615, 2)", "(3,)"] {
            let problem = read_npy(&npy("<f4", "False", shape, &[0; 8]), "").unwrap_err();
            assert!(problem.reason.contains("8 bytes of data follow"), "{problem}");
        }
        assert!(read_npy(&npy("|O", "False", "(1,)", &[0; 8]), "").unwrap_err().reason.contains("'|O'"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..100) {
            let _ = read_npy(&bytes, "");
            let _ = read_npz(&bytes);
            let mut real = write_npy(2, &[1.0, 2.0, 3.0, 4.0]);
            let at = at.min(real.len() - 1);
            real[at] ^= bytes.pop().unwrap_or(1);
            let _ = read_npy(&real, "");
        }
    }
}
