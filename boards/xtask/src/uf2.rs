//! UF2, the format that the boot loaders of the Raspberry Pi Pico take: 256 bytes of flash in every block of 512.

use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of flash in a block.
const PAYLOAD: usize = 256;
/// The block says which chip it is for.
const HAS_FAMILY: u32 = 0x2000;
/// A file on the drive that every such boot loader shows.
const MARK: &str = "INFO_UF2.TXT";

/// The number that a chip's blocks carry: program for the Arm cores, from the first address of flash.
pub fn family(chip: &str) -> Option<u32> {
    match chip {
        "RP2040" => Some(0xe48b_ff56),
        // Arm, secure.
        "RP235x" => Some(0xe48b_ff59),
        _ => None,
    }
}

/// The file for an image that starts at `origin`.
pub fn blocks(image: &[u8], origin: u32, family: u32) -> Vec<u8> {
    let count = image.len().div_ceil(PAYLOAD);
    let mut file = Vec::with_capacity(512 * count);
    for (k, chunk) in image.chunks(PAYLOAD).enumerate() {
        let address = origin + (k * PAYLOAD) as u32;
        let head = [0x0a32_4655, 0x9e5d_5157, HAS_FAMILY, address, PAYLOAD as u32, k as u32, count as u32, family];
        file.extend(head.iter().flat_map(|word| word.to_le_bytes()));
        file.extend(chunk);
        file.resize(512 * k + 508, 0);
        file.extend(0x0ab1_6f30_u32.to_le_bytes());
    }
    file
}

/// The drive of a board that waits for a program, among what is mounted.
pub fn drive() -> Result<PathBuf> {
    let folders = ["/media", "/run/media", "/Volumes", "/mnt"].map(PathBuf::from);
    // Drives lie directly in them, or in a folder of the user's.
    let below = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
    };
    let first: Vec<PathBuf> = folders.iter().flat_map(|folder| below(folder)).collect();
    let second: Vec<PathBuf> = first.iter().flat_map(|folder| below(folder)).collect();
    let none = || {
        Error::new(
            "no board waits for a program: hold its button BOOTSEL while you connect it by USB, so that its drive appears \
             (and is mounted)",
        )
    };
    first.into_iter().chain(second).find(|folder| folder.join(MARK).is_file()).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_says_where_it_goes() {
        let image: Vec<u8> = (0..600).map(|k| k as u8).collect();
        let file = blocks(&image, 0x1000_0000, family("RP2040").unwrap());
        assert_eq!(file.len(), 3 * 512);
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        for k in 0..3 {
            let block = 512 * k;
            assert_eq!((word(block), word(block + 4), word(block + 508)), (0x0a32_4655, 0x9e5d_5157, 0x0ab1_6f30));
            assert_eq!(
                (word(block + 12), word(block + 20), word(block + 24)),
                (0x1000_0000 + 256 * k as u32, k as u32, 3)
            );
            assert_eq!(word(block + 28), 0xe48b_ff56);
        }
        assert_eq!(file[32..32 + 256], image[..256]);
        // What the image does not fill is zero.
        assert_eq!(file[1024 + 32..1024 + 32 + 88], image[512..]);
        assert!(file[1024 + 32 + 88..1024 + 508].iter().all(|&byte| byte == 0));
    }
}
