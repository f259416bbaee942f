//! Arrays that numpy saved, as far as the fixtures of this crate use the format.

use std::io::Read;
use std::path::Path;

/// One array.
#[derive(Clone, Debug)]
pub struct Array {
    /// Name within an `.npz`; empty for an `.npy`.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements.
    pub values: Values,
}

/// The elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// `float32` and `float64`.
    Floats(Vec<f32>),
    /// Integers and truth values.
    Integers(Vec<i64>),
    /// Text.
    Strings(Vec<String>),
}

/// Reads an `.npy` or `.npz` of this crate.
///
/// # Panics
/// If the file is anything else.
pub fn load(path: &Path) -> Vec<Array> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if path.extension().is_some_and(|e| e == "npy") {
        return vec![parse(&bytes, "")];
    }
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("an .npz");
    (0..archive.len())
        .map(|k| {
            let mut file = archive.by_index(k).expect("an entry");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("its contents");
            parse(&bytes, file.name().trim_end_matches(".npy"))
        })
        .collect()
}

fn parse(bytes: &[u8], name: &str) -> Array {
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (header, data) = bytes[10..].split_at(length);
    let header = String::from_utf8_lossy(header);
    let field = |key: &str, end: char| {
        let rest = header.split_once(&format!("'{key}': ")).expect("a field").1;
        rest[1..].split(end).next().expect("its value").to_owned()
    };
    assert!(header.contains("'fortran_order': False"), "{name}: {header}");
    let shape = field("shape", ')').split(',').filter_map(|e| e.trim().parse().ok()).collect();
    let descr = field("descr", '\'');
    let size: usize = descr[2..].parse().expect("a size");
    let values = match &descr[..2] {
        "<f" if size == 4 => Values::Floats(each(data, f32::from_le_bytes)),
        "<f" => Values::Floats(each(data, |b| f64::from_le_bytes(b) as f32)),
        "<i" if size == 4 => Values::Integers(each(data, |b| i32::from_le_bytes(b).into())),
        "<i" => Values::Integers(each(data, i64::from_le_bytes)),
        "|b" => Values::Integers(each(data, |b: [u8; 1]| b[0].into())),
        "<U" => {
            let text = |word: &[u8]| each(word, |b| char::from_u32(u32::from_le_bytes(b)).unwrap_or('?'));
            let word = |word: &[u8]| text(word).into_iter().filter(|&c: &char| c != '\0').collect();
            Values::Strings(data.chunks_exact(4 * size).map(word).collect())
        }
        other => panic!("{name}: type {other}"),
    };
    Array { name: name.to_owned(), shape, values }
}

fn each<const N: usize, T>(data: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|bytes| convert(*bytes)).collect()
}
