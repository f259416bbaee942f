//! Vocabularies as minimal acyclic automata, in the bytes that [`tinymlp::text::Automaton`] reads.

use crate::error::{Error, Problem, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use tinymlp::text::{Automaton, COMMON, POPULAR};

/// A vocabulary for [`tinymlp::text::WordPiece`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    states: Vec<u8>,
    common: [u8; COMMON],
    popular: Box<[u32; POPULAR]>,
    root: u32,
    numbered: bool,
}

/// A state while the automaton is built: its edges in the order of their labels, to states by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    edges: Vec<Edge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Edge {
    label: u8,
    /// A word ends here.
    last: bool,
    /// The state behind; `None` where no word goes on.
    target: Option<usize>,
}

impl Vocabulary {
    /// The automaton of the words, which may come in any order and more than once. `numbered` automata give every word a
    /// number, and are larger by a byte or two a state.
    ///
    /// # Errors
    /// No words, or so many that addresses do not suffice (about 2 MB).
    pub fn new<'w>(words: impl IntoIterator<Item = &'w str>, numbered: bool) -> Result<Self> {
        let words: BTreeSet<&[u8]> = words.into_iter().map(str::as_bytes).filter(|w| !w.is_empty()).collect();
        if words.is_empty() {
            return Err(Problem::new("vocabulary", "has no words").help("give a file with a piece a line").into());
        }
        Self::write(&minimal(&words), numbered)
    }

    /// Reads a vocabulary: a piece a line, continuations with `##` before them. Files that end in `.gz` are unpacked.
    ///
    /// # Errors
    /// A file that cannot be read, is no UTF-8, or has no words.
    pub fn load(path: &Path, numbered: bool) -> Result<Self> {
        let text = super::features::read(path)?;
        Self::new(text.lines(), numbered).map_err(|e| e.in_file(path))
    }

    /// The automaton as the runtime reads it.
    pub fn automaton(&self) -> Automaton<'_> {
        Automaton {
            states: &self.states,
            common: &self.common,
            popular: &self.popular,
            root: self.root,
            numbered: self.numbered,
        }
    }

    /// Bytes that it takes in flash.
    pub fn bytes(&self) -> usize {
        self.states.len() + COMMON + 4 * POPULAR
    }

    /// Lays states out: behind a state one of its targets, wherever that can be, as it needs no address then; the states that
    /// many edges lead to by address first, as low addresses are short. Addresses are chosen again until none of them needs
    /// more bytes than it has.
    fn write(states: &[State], numbered: bool) -> Result<Self> {
        let mut labels = [0usize; 256];
        states.iter().flat_map(|s| &s.edges).for_each(|e| labels[usize::from(e.label)] += 1);
        let mut by_count: Vec<u8> = (0..=255).collect();
        by_count.sort_by_key(|&label| std::cmp::Reverse(labels[usize::from(label)]));
        let common: [u8; COMMON] = std::array::from_fn(|k| by_count[k]);

        let next = followers(states);
        let mut addressed = vec![0usize; states.len()];
        for (state, next) in states.iter().zip(&next) {
            let by_address = state.edges.iter().enumerate().filter(|&(k, _)| *next != Some(k));
            by_address.filter_map(|(_, e)| e.target).for_each(|t| addressed[t] += 1);
        }
        let order = order(states, &next, &addressed);
        let mut popular: Vec<usize> = (0..states.len()).collect();
        popular.sort_by_key(|&s| std::cmp::Reverse(addressed[s]));
        popular.truncate(POPULAR);
        let mut forms = vec![Form::Short; states.len()];
        popular.iter().enumerate().for_each(|(k, &s)| forms[s] = Form::Popular(k as u8));

        let counts = if numbered { words_behind(states) } else { vec![] };
        loop {
            let (bytes, addresses) = encode(states, &order, &next, &common, &counts, &forms);
            if bytes.len() > MOST_BYTES {
                let reason =
                    format!("needs {} bytes, more than the {MOST_BYTES} that its addresses reach", bytes.len());
                return Err(Error::from(Problem::new("vocabulary", reason)));
            }
            let mut grown = false;
            for (form, &address) in forms.iter_mut().zip(&addresses) {
                if *form == Form::Short && address >= SHORT {
                    (*form, grown) = (Form::Long, true);
                }
            }
            if !grown {
                // The root is the last state of all.
                let root = addresses.last().map_or(0, |&a| a as u32);
                let popular = Box::new(std::array::from_fn(|k| popular.get(k).map_or(0, |&s| addresses[s] as u32)));
                return Ok(Self { states: bytes, common, popular, root, numbered });
            }
        }
    }
}

/// Addresses below this take two bytes, and those below the other one three.
const SHORT: usize = 0xA000;
const MOST_BYTES: usize = 1 << 21;

/// How a state's address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Popular(u8),
    Short,
    Long,
}

/// The minimal automaton of sorted words (Daciuk et al. 2000, algorithm 1). Every state's targets come before it.
fn minimal(words: &BTreeSet<&[u8]>) -> Vec<State> {
    let mut states: Vec<State> = Vec::new();
    let mut known: HashMap<State, usize> = HashMap::new();
    // The states on the way of the word before, which may still get edges.
    let mut open = vec![State::default()];
    let mut close = |open: &mut Vec<State>, depth: usize| {
        while open.len() > depth + 1 {
            let Some(state) = open.pop() else { return };
            let target = (!state.edges.is_empty()).then(|| {
                *known.entry(state).or_insert_with_key(|state| {
                    states.push(state.clone());
                    states.len() - 1
                })
            });
            if let Some(edge) = open.last_mut().and_then(|s| s.edges.last_mut()) {
                edge.target = target;
            }
        }
    };
    let mut before: &[u8] = &[];
    for &word in words {
        let common = word.iter().zip(before).take_while(|(a, b)| a == b).count();
        close(&mut open, common);
        for (k, &label) in word.iter().enumerate().skip(common) {
            if let Some(state) = open.last_mut() {
                state.edges.push(Edge { label, last: k + 1 == word.len(), target: None });
            }
            open.push(State::default());
        }
        before = word;
    }
    close(&mut open, 0);
    let root = open.swap_remove(0);
    states.push(root);
    states
}

/// For every state the edge whose target follows it: of the targets that follow no other state, one that the fewest edges
/// lead to. States with few edges choose first.
fn followers(states: &[State]) -> Vec<Option<usize>> {
    let mut edges_to = vec![0usize; states.len()];
    states.iter().flat_map(|s| &s.edges).filter_map(|e| e.target).for_each(|t| edges_to[t] += 1);
    let mut order: Vec<usize> = (0..states.len()).collect();
    order.sort_by_key(|&s| states[s].edges.len());
    let mut follows = vec![false; states.len()];
    let mut next = vec![None; states.len()];
    for state in order {
        let targets = states[state].edges.iter().enumerate().filter_map(|(k, e)| Some((k, e.target?)));
        if let Some((k, target)) = targets.filter(|&(_, t)| !follows[t]).min_by_key(|&(_, t)| edges_to[t]) {
            follows[target] = true;
            next[state] = Some(k);
        }
    }
    next
}

/// The order of the states: runs of states that follow each other, those first that have the most addresses a byte.
fn order(states: &[State], next: &[Option<usize>], addressed: &[usize]) -> Vec<usize> {
    let target = |s: usize| next[s].and_then(|k| states[s].edges[k].target);
    let mut head = vec![true; states.len()];
    (0..states.len()).filter_map(target).for_each(|t| head[t] = false);
    let heads = (0..states.len()).filter(|&s| head[s]);
    let mut runs: Vec<Vec<usize>> = heads.map(|s| std::iter::successors(Some(s), |&s| target(s)).collect()).collect();
    let share = |run: &Vec<usize>| {
        let bytes: usize = run.iter().map(|&s| states[s].edges.len()).sum();
        run.iter().map(|&s| addressed[s]).sum::<usize>() as f64 / bytes.max(1) as f64
    };
    runs.sort_by(|a, b| share(b).total_cmp(&share(a)));
    runs.concat()
}

/// Words that each state leads to.
fn words_behind(states: &[State]) -> Vec<u32> {
    let mut counts: Vec<u32> = Vec::with_capacity(states.len());
    for state in states {
        counts.push(state.edges.iter().map(|e| u32::from(e.last) + e.target.map_or(0, |t| counts[t])).sum());
    }
    counts
}

/// The bytes, and the address of every state.
fn encode(
    states: &[State],
    order: &[usize],
    next: &[Option<usize>],
    common: &[u8; COMMON],
    counts: &[u32],
    forms: &[Form],
) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut addresses = vec![0; states.len()];
    // Where an address belongs, and of which state.
    let mut open = Vec::new();
    for &id in order {
        addresses[id] = bytes.len();
        if let Some(&count) = counts.get(id) {
            let mut rest = count;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        let edges = &states[id].edges;
        let last = next[id].unwrap_or(edges.len().saturating_sub(1));
        for k in (0..edges.len()).filter(|&k| k != last).chain([last]) {
            let edge = &edges[k];
            let end = k == last;
            let kind = match edge.target {
                None => u8::from(end),
                Some(_) if next[id] == Some(k) => 2 + u8::from(edge.last),
                Some(_) => 4 + 2 * u8::from(end) + u8::from(edge.last),
            };
            let label = common.iter().position(|&c| c == edge.label).unwrap_or(COMMON);
            bytes.push((label as u8) << 3 | kind);
            if label == COMMON {
                bytes.push(edge.label);
            }
            if let (4.., Some(target)) = (kind, edge.target) {
                match forms[target] {
                    Form::Popular(k) => bytes.push(k),
                    form => {
                        open.push((bytes.len(), target));
                        bytes.extend(std::iter::repeat_n(0, if form == Form::Long { 3 } else { 2 }));
                    }
                }
            }
        }
    }
    for (at, target) in open {
        let address = addresses[target] as u32;
        if forms[target] == Form::Long {
            bytes[at..at + 3].copy_from_slice(&(address | 0xE0_0000).to_be_bytes()[1..]);
        } else {
            // What does not fit grows, and is written again.
            bytes[at..at + 2].copy_from_slice(&((address as u16).wrapping_add(0x4000)).to_be_bytes());
        }
    }
    (bytes, addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contains(vocabulary: &Vocabulary, word: &[u8]) -> bool {
        let automaton = vocabulary.automaton();
        let (mut state, mut ends) = (Some(automaton.root), false);
        for &byte in word {
            let Some(edge) = state.and_then(|s| automaton.edge(s, byte)) else { return false };
            (state, ends) = (edge.target, edge.last);
        }
        ends
    }

    proptest! {
        #[test]
        fn exactly_the_words_are_in_it_and_each_has_a_number(
            words in prop::collection::btree_set("[a-c]{1,5}|[a-zé-ÿ]{1,3}", 1..120),
            others in prop::collection::vec("[a-c]{0,6}|[a-zé-ÿ]{0,3}", 40),
            numbered: bool,
        ) {
            let vocabulary = Vocabulary::new(words.iter().map(String::as_str), numbered).unwrap();
            for word in words.iter().chain(&others) {
                prop_assert_eq!(contains(&vocabulary, word.as_bytes()), words.contains(word), "{}", word);
            }
            let mut numbers: Vec<_> = words.iter().map(|w| vocabulary.automaton().index(w.as_bytes())).collect();
            if numbered {
                numbers.sort_unstable();
                prop_assert!(numbers.into_iter().eq((0..words.len() as u32).map(Some)));
                prop_assert!(others.iter().all(|w| words.contains(w) || vocabulary.automaton().index(w.as_bytes()).is_none()));
            } else {
                prop_assert!(numbers.into_iter().all(|n| n.is_none()));
            }
        }

        #[test]
        fn bytes_that_are_no_automaton_give_some_answer(
            states in prop::collection::vec(any::<u8>(), 0..60), root in 0u32..80, numbered: bool, word in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let automaton = Automaton { states: &states, common: &[7; COMMON], popular: &[3; POPULAR], root, numbered };
            let _ = automaton.index(&word);
            let _ = automaton.edge(root, 7);
        }
    }

    /// States of a vocabulary whose suffixes differ, so that addresses need three bytes.
    #[test]
    fn addresses_of_three_bytes() {
        let words: Vec<String> = (0..40_000u32).map(|k| format!("{:08x}", k.wrapping_mul(2_654_435_761))).collect();
        let vocabulary = Vocabulary::new(words.iter().map(String::as_str), true).unwrap();
        assert!(vocabulary.states.len() > SHORT, "{}", vocabulary.states.len());
        let mut numbers: Vec<u32> = words.iter().map(|w| vocabulary.automaton().index(w.as_bytes()).unwrap()).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..40_000));
        assert!(!contains(&vocabulary, b"00000001"));
    }

    #[test]
    fn nothing_is_no_vocabulary() {
        assert!(Vocabulary::new(["", ""], false).unwrap_err().to_string().contains("has no words"));
    }
}
