//! Rows of activations: int8, or unsigned bytes in words.

mod sealed {
    pub trait Sealed {}
    impl<const K: usize> Sealed for [i8; K] {}
    impl<const W: usize> Sealed for [i32; W] {}
}

/// A row of activations of a layer. The assembly trusts its length: there are no other implementations.
pub trait Row: sealed::Sealed {
    /// Whether its bytes are unsigned, each 128 larger than the integer.
    const UNSIGNED: bool;
    /// Most activations it holds.
    const LEN: usize;

    /// Byte `k`.
    fn get(&self, k: usize) -> i32;

    /// Sets byte `k` to the nearest it can be.
    fn set(&mut self, k: usize, value: i32);
}

impl<const K: usize> Row for [i8; K] {
    const UNSIGNED: bool = false;
    const LEN: usize = K;

    fn get(&self, k: usize) -> i32 {
        self.as_slice().get(k).map_or(0, |&x| x.into())
    }

    fn set(&mut self, k: usize, value: i32) {
        if let Some(y) = self.get_mut(k) {
            *y = value.clamp(-128, 127) as i8;
        }
    }
}

impl<const W: usize> Row for [i32; W] {
    const UNSIGNED: bool = true;
    const LEN: usize = 4 * W;

    fn get(&self, k: usize) -> i32 {
        byte(self, k)
    }

    fn set(&mut self, k: usize, value: i32) {
        set_byte(self, k, value);
    }
}

/// Byte `k` of words.
pub fn byte(words: &[i32], k: usize) -> i32 {
    words.get(k / 4).map_or(0, |word| (word >> (k % 4 * 8)) & 255)
}

/// Sets byte `k` of words to the nearest it can be.
pub fn set_byte(words: &mut [i32], k: usize, value: i32) {
    if let Some(word) = words.get_mut(k / 4) {
        let shift = k % 4 * 8;
        *word = *word & !(255 << shift) | value.clamp(0, 255) << shift;
    }
}
