//! The hash of a few characters.

/// `N` hash functions of a string in two numbers: the `i`-th is the start after `i` steps (Kirsch and Mitzenmacher 2006,
/// "Less Hashing, Same Performance").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The value of the first function.
    pub first: u32,
    /// What leads from one function's value to the next one's.
    pub step: u32,
}

/// A family of hash functions. Training and device have to agree on it.
pub trait Family {
    /// The hash of the characters.
    fn hash(characters: &[char]) -> Hash;

    /// The next function's value.
    fn next(value: u32, step: u32) -> u32;
}

/// The family of this crate: multiplications and additions modulo 2^32.
///
/// `first = mix(fnv)`, `step = mix(fnv ^ 0x9E3779B9) | 1`; the next value is `value + step`. `fnv` is FNV-1a over the code
/// points, 32 bits at a time: `fnv = (fnv ^ c) * 0x01000193` from `0x811C9DC5` on. `mix` is Wellons' `lowbias32`:
/// `x ^= x >> 16; x *= 0x7FEB352D; x ^= x >> 15; x *= 0x846CA68B; x ^= x >> 16`.
///
/// | characters | `first` | `step` |
/// | --- | --- | --- |
/// | (none) | `0x74141C20` | `0x3AA95E4B` |
/// | `a` | `0x6C4E37EB` | `0xFB8E2447` |
/// | `ing` | `0xFE3EEAD8` | `0x9FC31193` |
/// | `é` | `0x299D6104` | `0x3D7D70B5` |
/// | `ไทย` | `0xCF1EFECB` | `0xEF61986B` |
#[derive(Clone, Copy, Debug)]
pub enum Mixed {}

impl Family for Mixed {
    #[inline(always)]
    fn hash(characters: &[char]) -> Hash {
        let mut fnv = 0x811C_9DC5u32;
        for &c in characters {
            fnv = (fnv ^ c as u32).wrapping_mul(0x0100_0193);
        }
        Hash { first: mix(fnv), step: mix(fnv ^ 0x9E37_79B9) | 1 }
    }

    #[inline(always)]
    fn next(value: u32, step: u32) -> u32 {
        value.wrapping_add(step)
    }
}

#[inline(always)]
const fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ x >> 16
}
