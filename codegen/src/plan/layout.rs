//! How the integers of a value lie in memory: one after the other, or packed into words as a target's kernels read
//! them.

/// The arrangement of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// An array of the value's number type, nested as its shape.
    #[default]
    Plain,
    /// Rows of 32-bit words.
    Words(Packing),
}

/// The integers of a row in 32-bit words, the first in the lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
