//! What characters are, and which of them are taken as one.

/// What a character is for [`Words`](super::Words).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// White space.
    Space,
    /// Control and format characters: left out.
    Ignored,
    /// A word of its own where words are split at punctuation: punctuation, symbols of ASCII and what is taken as one of
    /// them, ideographs (whose scripts have no spaces).
    Alone,
    /// A part of a word. So is U+FFFD: what it stands for was one.
    Letter,
}

/// The class of a character.
pub const fn class(c: char) -> Class {
    match c as u32 {
        0x09..=0x0D | 0x20 | 0x85 | 0xA0 | 0x1680 | 0x2000..=0x200A | 0x2028 | 0x2029 | 0x202F | 0x205F | 0x3000 => {
            Class::Space
        }
        0x00..=0x1F | 0x7F..=0x9F | 0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F => Class::Ignored,
        0xFEFF | 0xFFF9..=0xFFFB => Class::Ignored,
        0x21..=0x2F
        | 0x3A..=0x40
        | 0x5B..=0x60
        | 0x7B..=0x7E
        | 0xA1
        | 0xA7
        | 0xAB
        | 0xB4
        | 0xB6
        | 0xB7
        | 0xBB
        | 0xBF => Class::Alone,
        0x2010..=0x2027 | 0x2030..=0x205E | 0x3001..=0x3003 | 0x3008..=0x3011 | 0x3014..=0x301F => Class::Alone,
        0xFF01..=0xFF0F | 0xFF1A..=0xFF20 | 0xFF3B..=0xFF40 | 0xFF5B..=0xFF65 => Class::Alone,
        0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2FA1F => Class::Alone,
        _ => Class::Letter,
    }
}

/// Which characters are taken as the same one.
pub trait Normalize {
    /// What a character is taken as; `None` to leave it out.
    fn normalize(c: char) -> Option<char>;
}

/// Typographic apostrophes, quotes and dashes as those of ASCII; everything else as it is.
#[derive(Clone, Copy, Debug)]
pub enum Cased {}

impl Normalize for Cased {
    #[inline(always)]
    fn normalize(c: char) -> Option<char> {
        Some(match c {
            '\u{2018}' | '\u{2019}' | '\u{B4}' => '\'',
            '\u{201C}' | '\u{201D}' => '"',
            '\u{2013}' | '\u{2014}' => '-',
            _ => c,
        })
    }
}

/// [`Cased`], and without case and accents: the first character of the canonical decomposition of the lower case, which
/// is what BERT's uncased models read. Combining accents (U+0300 to U+036F) are left out, so that both ways to write an
/// accent give the same.
///
/// It covers ASCII, U+00C0 to U+017F and U+1E00 to U+1EFF (Latin, with Vietnamese), U+0386 to U+03CE (Greek), U+0400 to
/// U+045F (Cyrillic), U+0531 to U+0556 (Armenian) and U+FF21 to U+FF3A (full width), in 620 bytes of tables. Other
/// characters stay as they are.
#[derive(Clone, Copy, Debug)]
pub enum Uncased {}

impl Normalize for Uncased {
    fn normalize(c: char) -> Option<char> {
        let code = c as u32;
        let at =
            |table: &[u8], first: u32| table.get(code.wrapping_sub(first) as usize).copied().map_or(code, u32::from);
        let folded = match code {
            0x41..=0x5A | 0xC6 | 0xD0 | 0xD8 | 0xDE | 0xFF21..=0xFF3A => code + 32,
            0x110 | 0x126 | 0x132 | 0x13F | 0x141 | 0x14A | 0x152 | 0x166 | 0x1EFA | 0x1EFC | 0x1EFE => code + 1,
            0xC0..=0x17F => base(at(LATIN, 0xC0), code),
            0x300..=0x36F => return None,
            0x387 => 0xB7,
            0x386..=0x3CE => 0x300 | at(GREEK, 0x386),
            0x400..=0x45F => 0x400 | at(CYRILLIC, 0x400),
            0x531..=0x556 => code + 48,
            0x1E9B => 0x17F,
            0x1E9E => 0xDF,
            0x1E00..=0x1EFF => base(at(LATIN_ADDITIONAL, 0x1E00), code),
            _ => return Cased::normalize(c),
        };
        char::from_u32(folded)
    }
}

/// The letter in a table, or the character itself where the table has none.
const fn base(letter: u32, code: u32) -> u32 {
    if letter == b'.' as u32 { code } else { letter }
}

/// Letters of U+00C0 to U+017F without accents.
static LATIN: &[u8] =
    b"aaaaaa.ceeeeiiii.nooooo..uuuuy..aaaaaa.ceeeeiiii.nooooo..uuuuy.yaaaaaaccccccccdd..eeeeeeeeeegggg\
      gggghh..iiiiiiiii...jjkk.llllll....nnnnnn...oooooo..rrrrrrsssssssstttt..uuuuuuuuuuuuwwyyyzzzzzz.";

/// Letters of U+1E00 to U+1EFF without accents.
static LATIN_ADDITIONAL: &[u8] =
    b"aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooopppprrrrrrrr\
      ssssssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwy......aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee\
      eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy......";

/// Low bytes of what U+0386 to U+03CE are taken as.
#[rustfmt::skip]
static GREEK: &[u8] = &[
    0xB1, 0xB7, 0xB5, 0xB7, 0xB9, 0x8B, 0xBF, 0x8D, 0xC5, 0xC9, 0xB9, 0xB1, 0xB2, 0xB3, 0xB4, 0xB5,
    0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xBB, 0xBC, 0xBD, 0xBE, 0xBF, 0xC0, 0xC1, 0xA2, 0xC3, 0xC4, 0xC5,
    0xC6, 0xC7, 0xC8, 0xC9, 0xB9, 0xC5, 0xB1, 0xB5, 0xB7, 0xB9, 0xC5, 0xB1, 0xB2, 0xB3, 0xB4, 0xB5,
    0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xBB, 0xBC, 0xBD, 0xBE, 0xBF, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5,
    0xC6, 0xC7, 0xC8, 0xC9, 0xB9, 0xC5, 0xBF, 0xC5, 0xC9,
];

/// Low bytes of what U+0400 to U+045F are taken as.
#[rustfmt::skip]
static CYRILLIC: &[u8] = &[
    0x35, 0x35, 0x52, 0x33, 0x54, 0x55, 0x56, 0x56, 0x58, 0x59, 0x5A, 0x5B, 0x3A, 0x38, 0x43, 0x5F,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x38, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F,
    0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x38, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F,
    0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F,
    0x35, 0x35, 0x52, 0x33, 0x54, 0x55, 0x56, 0x56, 0x58, 0x59, 0x5A, 0x5B, 0x3A, 0x38, 0x43, 0x5F,
];
