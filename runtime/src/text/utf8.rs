//! UTF-8, a byte at a time.

/// Decodes UTF-8.
///
/// What is ill-formed becomes U+FFFD, one for every maximal part of a character that could have been one, as in
/// `String::from_utf8_lossy` and in the WHATWG's Encoding Standard.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// The bits so far.
    character: u32,
    /// Continuation bytes to come.
    missing: u8,
    /// What the next of them must be, at least and at most.
    range: (u8, u8),
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the beginning of a text.
    pub const fn new() -> Self {
        Self { character: 0, missing: 0, range: (0x80, 0xBF) }
    }

    /// Takes a byte; gives the characters that it completes: none, one, or the replacement of what came before and one.
    #[inline]
    pub fn push(&mut self, byte: u8, mut give: impl FnMut(char)) {
        if self.missing > 0 {
            if self.range.0 <= byte && byte <= self.range.1 {
                self.character = self.character << 6 | u32::from(byte & 0x3F);
                self.missing -= 1;
                self.range = (0x80, 0xBF);
                if self.missing == 0 {
                    give(char::from_u32(self.character).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                return;
            }
            *self = Self::new();
            give(char::REPLACEMENT_CHARACTER);
        }
        // The second byte's range keeps out overlong forms, surrogates, and what is beyond U+10FFFF.
        let (missing, bits, range) = match byte {
            0..=0x7F => return give(char::from(byte)),
            0xC2..=0xDF => (1, 0x1F, (0x80, 0xBF)),
            0xE0 => (2, 0x0F, (0xA0, 0xBF)),
            0xED => (2, 0x0F, (0x80, 0x9F)),
            0xE1..=0xEF => (2, 0x0F, (0x80, 0xBF)),
            0xF0 => (3, 0x07, (0x90, 0xBF)),
            0xF1..=0xF3 => (3, 0x07, (0x80, 0xBF)),
            0xF4 => (3, 0x07, (0x80, 0x8F)),
            _ => return give(char::REPLACEMENT_CHARACTER),
        };
        *self = Self { character: u32::from(byte & bits), missing, range };
    }

    /// Ends the text: gives U+FFFD if it ends within a character.
    pub fn finish(&mut self, mut give: impl FnMut(char)) {
        if self.missing > 0 {
            *self = Self::new();
            give(char::REPLACEMENT_CHARACTER);
        }
    }
}
