//! How the integers of a value lie in memory: one after the other, or packed into words as a target's kernels read
//! them.

use tinymlp::arch::armv6m::{list_words, pair_words};

/// The arrangement of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// An array of the value's number type, nested as its shape.
    #[default]
    Plain,
    /// Rows of 32-bit words.
    Words(Packing),
    /// The pairs of two 16-bit lanes that are not both zero, and where they belong: see
    /// [`tinymlp::arch::armv7em::NonzeroBytes`]. All pairs are of this packing; the list is filled up to a multiple.
    Nonzero {
        /// What all pairs would be.
        pairs: Packing,
        /// Number of pairs to which the list is filled up.
        fill: usize,
    },
    /// Two rows in the same words: see [`tinymlp::arch::armv6m::Pairs`].
    Pairs,
    /// The bytes, integers plus 128, that are not zero, and where they belong: see [`tinymlp::arch::armv6m::List`].
    List,
}

impl Layout {
    /// Whether entries say which elements they are: only the kernel that makes such a list may write it, and the steps
    /// that read it follow at once.
    pub fn is_list(&self) -> bool {
        matches!(self, Layout::Nonzero { .. } | Layout::List)
    }

    /// Rows that share their words.
    pub fn rows(&self) -> usize {
        if *self == Layout::Pairs { 2 } else { 1 }
    }

    /// Words of a row of `elements`, none for a plain array.
    pub fn words(&self, elements: usize) -> usize {
        match *self {
            Layout::Plain => 0,
            Layout::Words(packing) => packing.words(elements),
            Layout::List => list_words(elements),
            Layout::Pairs => pair_words(elements) / 2,
            Layout::Nonzero { pairs, fill } => 1 + 2 * pairs.words(elements).next_multiple_of(fill),
        }
    }

    /// The integers of a row of `elements` in words, or of rows that share their words.
    pub fn unpack(&self, row: &[i32], elements: usize) -> Vec<i32> {
        match *self {
            Layout::Plain => Vec::new(),
            Layout::Words(packing) => packing.unpack(row, elements),
            Layout::Pairs => {
                let both = || row.as_chunks::<3>().0.iter().flat_map(|&[_, x, next]| [x, next]).take(elements);
                let first = |x: i32| i32::from(x as i16);
                both().map(first).chain(both().map(|x| x.wrapping_sub(first(x)) >> 16)).collect()
            }
            Layout::List => {
                let mut all = vec![-128; elements];
                for entry in row[2..].as_chunks::<2>().0.iter().take(row[1] as usize / 8) {
                    all[entry[0] as usize / 8] = entry[1] - 128;
                }
                all
            }
            Layout::Nonzero { pairs, .. } => {
                let mut all = vec![0; pairs.words(elements)];
                for entry in row[1..].as_chunks::<2>().0.iter().take(row[0] as usize / 8) {
                    all[entry[1] as usize / 16] |= entry[0];
                }
                pairs.unpack(&all, elements)
            }
        }
    }
}

/// The integers of a row in 32-bit words, the first in the lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packing {
    /// Bits of a lane: 8 or 16.
    pub bits: u32,
    /// Whether lanes are signed.
    pub signed: bool,
    /// What a lane holds more than the integer: 128 makes int8 unsigned.
    pub offset: i32,
    /// Rows are padded to a multiple of so many elements.
    pub multiple: usize,
    /// Words before the first element of a row.
    pub header: usize,
    /// Of every four elements, the second and third have changed places.
    pub interleaved: bool,
}

impl Packing {
    /// Words of a row of `elements`.
    pub fn words(&self, elements: usize) -> usize {
        self.header + (elements.next_multiple_of(self.multiple) * self.bits as usize).div_ceil(32)
    }

    /// Where element `k` of a row lies, counted in lanes after the header.
    pub fn position(&self, k: usize) -> usize {
        match (self.interleaved, k % 4) {
            (true, 1) => k + 1,
            (true, 2) => k - 1,
            _ => k,
        }
    }

    /// The integers of a row of `elements`.
    pub fn unpack(&self, row: &[i32], elements: usize) -> Vec<i32> {
        let lanes = 32 / self.bits as usize;
        let mask = (1i64 << self.bits) - 1;
        let lane = |k: usize| {
            let position = self.position(k);
            let word = row[self.header + position / lanes];
            let raw = (i64::from(word) >> (self.bits as usize * (position % lanes))) & mask;
            let negative = self.signed && raw >> (self.bits - 1) != 0;
            (raw - if negative { mask + 1 } else { 0 }) as i32 - self.offset
        };
        (0..elements).map(lane).collect()
    }
}
