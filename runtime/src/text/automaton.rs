//! A set of words in flash, as a minimal acyclic automaton.

/// Labels that fit an edge's first byte.
pub const COMMON: usize = 31;

/// States whose addresses fit a byte.
pub const POPULAR: usize = 64;

/// A set of words over bytes: the minimal acyclic automaton that accepts them (Daciuk et al. 2000, "Incremental
/// Construction of Minimal Acyclic Finite-State Automata"). The code generator builds it.
///
/// A state is its edges one after the other. An edge is a byte `8 * label + kind`, the label of an uncommon one, and for
/// kinds 4 to 7 an address. `label` is an index of `common`, or 31. An address is an index of `popular` (0 to 63), or two
/// bytes, the higher first, plus 0x4000, or three bytes plus 0xE00000.
///
/// | kind | target | last edge of its state | a word ends |
/// | --- | --- | --- | --- |
/// | 0, 1 | none | 1 | yes |
/// | 2, 3 | the state that follows | yes | 3 |
/// | 4 to 7 | by address | 6, 7 | 5, 7 |
///
/// Where states are `numbered`, each begins with the number of words that it leads to, in bytes of seven bits, the lowest
/// first, with 0x80 added to all but the last.
#[derive(Clone, Copy, Debug)]
pub struct Automaton<'a> {
    /// The states.
    pub states: &'a [u8],
    /// The most common labels.
    pub common: &'a [u8; COMMON],
    /// Addresses of the states that the most edges lead to.
    pub popular: &'a [u32; POPULAR],
    /// Address of the first state.
    pub root: u32,
    /// Whether words have numbers.
    pub numbered: bool,
}

/// A way from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Whether a word ends here.
    pub last: bool,
    /// The state that it leads to, if any word goes on.
    pub target: Option<u32>,
    /// Words of its state that come before all words on this way.
    pub before: u32,
}

impl Automaton<'_> {
    /// The way out of a state for a byte. Bytes that are no automaton give any answer.
    pub fn edge(&self, state: u32, byte: u8) -> Option<Edge> {
        let mut before = 0u32;
        let mut at = state as usize;
        if self.numbered {
            (_, at) = self.number(at);
        }
        loop {
            let &head = self.states.get(at)?;
            at += 1;
            let kind = head & 7;
            let label = match self.common.get(usize::from(head >> 3)) {
                Some(&label) => label,
                None => {
                    let &label = self.states.get(at)?;
                    at += 1;
                    label
                }
            };
            let target = match kind {
                0 | 1 => None,
                2 | 3 => Some(at as u32),
                _ => {
                    let (address, behind) = self.address(at)?;
                    at = behind;
                    Some(address)
                }
            };
            let last = matches!(kind, 0 | 1 | 3 | 5 | 7);
            if label == byte {
                return Some(Edge { last, target, before });
            }
            if matches!(kind, 1 | 2 | 3 | 6 | 7) {
                return None;
            }
            if self.numbered {
                let behind = target.map_or(0, |t| self.number(t as usize).0);
                before = before.wrapping_add(behind).wrapping_add(last.into());
            }
        }
    }

    /// The number of a word among all of them, if it is one: words are numbered from 0 in the order of the automaton, which
    /// is not that of the vocabulary. `None` also where states are not numbered.
    pub fn index(&self, word: &[u8]) -> Option<u32> {
        if !self.numbered {
            return None;
        }
        let (mut state, mut index, mut ends) = (Some(self.root), 0u32, false);
        for &byte in word {
            // A word that ends on the way comes before those that go on.
            index = index.wrapping_add(ends.into());
            let edge = self.edge(state?, byte)?;
            index = index.wrapping_add(edge.before);
            (state, ends) = (edge.target, edge.last);
        }
        ends.then_some(index)
    }

    /// The address that begins at a place, and where it ends.
    fn address(&self, at: usize) -> Option<(u32, usize)> {
        let byte = |k: usize| self.states.get(at.wrapping_add(k)).copied().map(u32::from);
        let first = byte(0)?;
        if let Some(&popular) = self.popular.get(first as usize) {
            return Some((popular, at + 1));
        }
        let two = first << 8 | byte(1)?;
        if first < 0xE0 { Some((two - 0x4000, at + 2)) } else { Some(((two & 0x1FFF) << 8 | byte(2)?, at + 3)) }
    }

    /// The number that begins at a place, and where it ends.
    fn number(&self, mut at: usize) -> (u32, usize) {
        let (mut number, mut shift) = (0u32, 0u32);
        while let Some(&byte) = self.states.get(at) {
            number |= u32::from(byte & 0x7F).wrapping_shl(shift);
            (at, shift) = (at + 1, shift + 7);
            if byte < 0x80 || shift > 28 {
                break;
            }
        }
        (number, at)
    }
}
