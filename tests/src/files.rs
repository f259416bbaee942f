//! Array files as tests need them, also such as numpy would never write.

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

/// An `.npz` of `.npy` contents by name.
///
/// # Panics
/// Never: it is written to memory.
pub fn npz(arrays: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).expect("an entry");
        archive.write_all(content).expect("its contents");
    }
    archive.finish().expect("an archive").into_inner()
}

/// An `.npy` with any element type and shape in its header, true or not, before `data`.
pub fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}
