//! The text front end: its parts against definitions computed another way, the reference implementation's published
//! fingerprints, and text of every bad kind.

#![cfg(feature = "text")]

use proptest::prelude::*;
use sha2::{Digest, Sha224, Sha256};
use tinymlp::Clamp;
use tinymlp::kernels::LayerNormalization;
use tinymlp::text::{
    Automaton, COMMON, Cased, Class, Decoder, Encoder, Family, Fingerprint, Hash, Mixed, Normalize, POPULAR, Part,
    Projection, Summary, Tokenizer, Uncased, WholeWords, Window, WordNormalization, WordPiece, Words, class,
};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The words that come of a text given byte by byte.
fn words<Z: Normalize, const PUNCTUATION: bool>(text: &[u8]) -> (Vec<String>, u32) {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut take = |part| match part {
        Part::Character(c) => word.push(c),
        Part::End => words.push(std::mem::take(&mut word)),
    };
    let mut splitter = Words::<Z, PUNCTUATION>::new();
    text.iter().for_each(|&byte| splitter.push(byte, &mut take));
    splitter.finish(&mut take);
    (words, splitter.invalid())
}

fn fingerprint<const N: usize>(mut tokenizer: impl Tokenizer<N>, word: &str) -> Fingerprint<N> {
    word.chars().for_each(|c| tokenizer.push(c));
    tokenizer.finish()
}

/// What is hostile to a tokenizer, between ordinary words.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-zA-Z]{1,9}".prop_map(String::into_bytes),
        "\\PC{0,6}".prop_map(String::into_bytes),
        "[ \t\r\n.,'!?#-]{1,3}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..6),
        Just("ไม่มีช่องว่าง 無空格 ಕನ್ನಡ".as_bytes().to_vec()),
        Just(vec![0xE2, 0x80]),
        Just("\u{0}\u{7}\u{200B}\u{FEFF}e\u{301}".as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// Any bytes that someone may send: the above; characters of every script, and of none; long words, with and without an end.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let characters = prop::collection::vec(any::<char>(), 0..40);
    let piece = prop_oneof![
        text(),
        prop::collection::vec(any::<u8>(), 0..200),
        characters.clone().prop_map(|c| c.into_iter().collect::<String>().into_bytes()),
        // Characters cut anywhere.
        (characters, any::<prop::sample::Index>()).prop_map(|(c, at)| {
            let mut bytes = c.into_iter().collect::<String>().into_bytes();
            bytes.truncate(at.index(bytes.len() + 1));
            bytes
        }),
        prop::collection::vec(prop_oneof![0..0x20u8, Just(0x7F)], 0..20),
        ("\\PC{1,3}", 1usize..200).prop_map(|(part, times)| part.repeat(times).into_bytes()),
    ];
    let pieces = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    // Now and then ten kilobytes without a space.
    prop_oneof![
        9 => pieces,
        1 => "[a-zé漢]{1,9}".prop_map(|part| part.repeat(10_240 / part.len() + 1).into_bytes()),
    ]
}

/// The rows and the summary of a text that comes in pieces of these lengths, over and over.
fn encoded<Z: Normalize, const PUNCTUATION: bool>(
    tokenizer: impl Tokenizer<8>,
    text: &[u8],
    pieces: &[usize],
) -> ([[i8; 3]; 4], Summary) {
    let weight = std::array::from_fn(|f: usize| std::array::from_fn(|o| (f * 37 + o * 11) as i8));
    let output = Clamp { zero_point: -1i8, min: -128, max: 127 };
    let projection: Projection<i8, 96, 3> =
        Projection { weight, bias: [5, -9, 0], multiplier: [1 << 28; 3], shift: 0, output, empty: [4, 5, 6] };
    let mut rows = [[99; 3]; 4];
    let mut encoder: Encoder<'_, Z, _, _, PUNCTUATION, 8, 3, 96, 3> = Encoder::new(&projection, tokenizer, &mut rows);
    let mut rest = text;
    for &length in pieces.iter().cycle() {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        encoder.push(piece);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    let summary = encoder.finish();
    (rows, summary)
}

#[test]
fn hashes_are_those_of_the_documentation() {
    // Computed from the formula by another implementation.
    let hashed = [
        ("", 0x7414_1C20, 0x3AA9_5E4B),
        ("a", 0x6C4E_37EB, 0xFB8E_2447),
        ("ing", 0xFE3E_EAD8, 0x9FC3_1193),
        ("é", 0x299D_6104, 0x3D7D_70B5),
        ("ไทย", 0xCF1E_FECB, 0xEF61_986B),
    ];
    for (text, first, step) in hashed {
        let characters: Vec<char> = text.chars().collect();
        assert_eq!(Mixed::hash(&characters), Hash { first, step }, "{text}");
    }
    assert_eq!(Mixed::next(u32::MAX, 3), 2);
}

/// The reference implementation's family: `(H1 + i * H2) mod (2^31 - 1)` of SHA-256 and SHA-224 as little-endian numbers.
enum Reference {}

const MERSENNE: u64 = (1 << 31) - 1;

impl Family for Reference {
    fn hash(characters: &[char]) -> Hash {
        let text: String = characters.iter().collect();
        let modulo =
            |digest: &[u8]| digest.iter().rev().fold(0u64, |n, &byte| (n << 8 | u64::from(byte)) % MERSENNE) as u32;
        Hash { first: modulo(&Sha256::digest(&text)), step: modulo(&Sha224::digest(&text)) }
    }

    fn next(value: u32, step: u32) -> u32 {
        ((u64::from(value) + u64::from(step)) % MERSENNE) as u32
    }
}

#[test]
fn the_reference_implementations_fingerprints() {
    let bri = Reference::hash(&['B', 'r', 'i']);
    assert_eq!(bri, Hash { first: 388_032_013, step: 112_426_659 });
    let ing = Reference::hash(&['i', 'n', 'g']);
    assert_eq!(ing, Hash { first: 470_804_523, step: 1_835_522_540 });
    let sum = |f: &Fingerprint<64>| f.least.iter().map(|&v| u64::from(v)).sum::<u64>();

    // The word "Bring" as one piece, and as a word.
    let bring = fingerprint(WholeWords::<Reference, 64>::new(), "Bring");
    assert_eq!(bring.least[..4], [21_262_830, 158_843_416, 612_885_331, 725_311_990]);
    assert_eq!((bring.least[63], sum(&bring)), (144_607_605, 30_838_730_955));
    // The continuation "##ing".
    let mut continuation = Fingerprint::<64>::EMPTY;
    continuation.add::<Reference>(ing);
    assert_eq!(continuation.least[..4], [470_804_523, 158_843_416, 1_994_365_956, 1_682_404_849]);
    assert_eq!(sum(&continuation), 66_937_828_330);
    // "Bringing" in pieces of a vocabulary.
    let bringing = fingerprint(WordPiece::<Reference, 64, 20>::new(vocabulary(&STATES)), "Bringing");
    assert_eq!(bringing.least[..4], bring.least[..4]);
    let buckets = bringing.buckets(1024);
    assert_eq!(buckets[..4], [494, 536, 851, 502]);
    let mut distinct = buckets.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 62);
}

/// The vocabulary `Bring`, `##ing`, written by hand: no label is common, and states lie one behind the other.
#[rustfmt::skip]
const STATES: [u8; 22] = [
    // From the root, '#' by address 12, and 'B' to what follows.
    31 << 3 | 4, b'#', 0x40, 12, 31 << 3 | 2, b'B',
    31 << 3 | 2, b'r', 31 << 3 | 6, b'i', 0x40, 18,
    // After '#': "#ing".
    31 << 3 | 2, b'#', 31 << 3 | 6, b'i', 0x40, 18,
    // After 'i': "ng", where the word ends.
    31 << 3 | 2, b'n', 31 << 3 | 1, b'g',
];

fn vocabulary(states: &[u8]) -> Automaton<'_> {
    Automaton { states, common: &[0; COMMON], popular: &[0; POPULAR], root: 0, numbered: false }
}

proptest! {
    #[test]
    fn decoding_is_that_of_the_standard_library(text in text()) {
        let mut decoded = String::new();
        let mut decoder = Decoder::new();
        text.iter().for_each(|&byte| decoder.push(byte, |c| decoded.push(c)));
        decoder.finish(|c| decoded.push(c));
        prop_assert_eq!(decoded, String::from_utf8_lossy(&text));
    }

    #[test]
    fn decoding_of_random_bytes(text in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..=0xC2u8, 0xE0..=0xF5u8], 0..40)) {
        let mut decoded = String::new();
        let mut decoder = Decoder::new();
        text.iter().for_each(|&byte| decoder.push(byte, |c| decoded.push(c)));
        decoder.finish(|c| decoded.push(c));
        prop_assert_eq!(decoded, String::from_utf8_lossy(&text));
    }

    /// Splitting the whole text at once, with the standard library.
    #[test]
    fn words_are_what_lies_between_spaces(text in text()) {
        let decoded = String::from_utf8_lossy(&text);
        let kept = |w: &str| w.chars().filter(|&c| class(c) != Class::Ignored).filter_map(Cased::normalize).collect::<String>();
        let spaced: Vec<String> = decoded.split(|c| class(c) == Class::Space).map(kept).filter(|w| !w.is_empty()).collect();
        let (found, invalid) = words::<Cased, false>(&text);
        prop_assert_eq!(&found, &spaced);
        prop_assert_eq!(invalid as usize, decoded.matches(char::REPLACEMENT_CHARACTER).count());
        // With punctuation the same characters come in more words, each either one character that is alone, or without any.
        let (split, _) = words::<Cased, true>(&text);
        prop_assert_eq!(split.concat(), spaced.concat());
        let alone = |c| class(c) == Class::Alone;
        prop_assert!(split.iter().all(|w| w.chars().count() == 1 || !w.contains(alone)));
    }

    /// The definition: the least over all trigrams, function by function.
    #[test]
    fn a_fingerprint_is_the_least_of_each_function(word in "\\PC{1,12}", buckets in 1u16..) {
        let characters: Vec<char> = word.chars().collect();
        let of = |s: &[char], i: u32| {
            let hash = Mixed::hash(s);
            hash.first.wrapping_add(hash.step.wrapping_mul(i))
        };
        let whole = fingerprint(WholeWords::<Mixed, 64>::new(), &word);
        for i in 0..64u32 {
            let least = if characters.len() < 4 {
                of(&characters, i)
            } else {
                characters.windows(3).map(|t| of(t, i)).min().unwrap()
            };
            prop_assert_eq!(whole.least[i as usize], least);
            prop_assert_eq!(u32::from(whole.buckets(buckets)[i as usize]), least % u32::from(buckets));
        }
    }

    /// Dense counting Bloom filters in a dense layer.
    #[test]
    fn encoder_equals_dense_counts(text in text(), pieces in 1usize..7, seed: u64) {
        const M: usize = 40;
        const S: usize = 5;
        let mut state = seed;
        let mut random = || { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407); (state >> 33) as i32 };
        let mut weight = [[0i8; 6]; 3 * M];
        weight.as_flattened_mut().iter_mut().for_each(|w| *w = random() as i8);
        let mut projection = Projection {
            weight,
            bias: std::array::from_fn(|_| random() % 1000),
            multiplier: std::array::from_fn(|_| random() % 100_000_000),
            shift: 1,
            output: Clamp { zero_point: 3i8, min: -128, max: 127 },
            empty: [0; 6],
        };
        let mut empty = [0; 6];
        projection.run(&Window::<16, 3>::new(), &mut empty);
        projection.empty = empty;
        let mut rows = [[0; 6]; S];
        let mut encoder: Encoder<'_, Uncased, _, _, true, 16, 3, { 3 * M }, 6> =
            Encoder::new(&projection, WholeWords::<Mixed, 16>::new(), &mut rows);
        text.chunks(pieces).for_each(|piece| encoder.push(piece));
        let summary = encoder.finish();

        let (found, invalid) = words::<Uncased, true>(&text);
        let kept = found.len().min(S);
        let expected = Summary { words: kept as u32, cut: (found.len() - kept) as u32, invalid };
        prop_assert_eq!(summary, expected);
        let counts: Vec<[i64; M]> = found[..kept].iter().map(|w| {
            let mut counts = [0; M];
            fingerprint(WholeWords::<Mixed, 16>::new(), w).buckets(M as u16).iter().for_each(|&b| counts[usize::from(b)] += 1);
            counts
        }).collect();
        for (t, row) in rows.iter().enumerate() {
            for o in 0..6 {
                let mut acc = i64::from(projection.bias[o]);
                for k in 0..3 {
                    // Padding has no neighbours: rows after the last word are all alike.
                    let Some(word) = (t + k).checked_sub(1).and_then(|at| counts.get(at)).filter(|_| t < kept) else { continue };
                    acc += (0..M).map(|b| word[b] * i64::from(weight[k * M + b][o])).sum::<i64>();
                }
                let scaled = (acc * 2 * i64::from(projection.multiplier[o]) + (1 << 31)).div_euclid(1 << 32);
                prop_assert_eq!(i64::from(row[o]), (scaled + 3).clamp(-128, 127), "row {} output {}", t, o);
            }
        }
    }

    /// Rows without a word get the constant, all others what the kernel of any rows makes of them.
    #[test]
    fn normalization_knows_the_row_without_a_word(
        rows: [[i8; 5]; 4], empty: [i8; 5], result: [i16; 5], multiplier: [i32; 5], bias in prop::array::uniform5(-100_000i32..100_000),
        without: [bool; 4],
    ) {
        let rows: [[i8; 5]; 4] = std::array::from_fn(|t| if without[t] { empty } else { rows[t] });
        let output = Clamp { zero_point: 0i16, min: -500, max: 700 };
        let general = LayerNormalization { epsilon: 3, multiplier, bias, shift: 4, output };
        let known = WordNormalization { epsilon: 3, multiplier, bias, shift: 4, output, empty, result };
        let (mut expected, mut found) = ([[0; 5]; 4], [[1; 5]; 4]);
        general.run(&rows, &mut expected);
        known.run(&rows, &mut found);
        for (row, expected) in rows.iter().zip(&mut expected).filter(|(row, _)| **row == empty) {
            prop_assert_eq!(*row, empty);
            *expected = result;
        }
        prop_assert_eq!(found, expected);
    }

    /// Whatever comes, and however it is cut: every text has one result, with both tokenizers.
    #[test]
    fn a_text_in_pieces_is_the_text(text in anything(), mut pieces in prop::collection::vec(0usize..30, 1..9)) {
        pieces.push(1);
        let vocabulary = || WordPiece::<Mixed, 8, 12>::new(vocabulary(&STATES));
        let all = [text.len()];
        let whole = encoded::<Uncased, true>(WholeWords::<Mixed, 8>::new(), &text, &all);
        prop_assert_eq!(encoded::<Uncased, true>(WholeWords::<Mixed, 8>::new(), &text, &pieces), whole);
        prop_assert_eq!(encoded::<Uncased, true>(WholeWords::<Mixed, 8>::new(), &text, &[1]), whole);
        let parts = encoded::<Uncased, true>(vocabulary(), &text, &all);
        prop_assert_eq!(encoded::<Uncased, true>(vocabulary(), &text, &pieces), parts);
        // Words are the same, whatever is made of them.
        prop_assert_eq!(parts.1, whole.1);
        let cased = encoded::<Cased, false>(vocabulary(), &text, &all);
        prop_assert_eq!(encoded::<Cased, false>(vocabulary(), &text, &pieces), cased);
        for ((rows, summary), found) in [(whole, words::<Uncased, true>(&text)), (cased, words::<Cased, false>(&text))] {
            let (found, invalid) = (found.0.len() as u32, found.1);
            prop_assert_eq!((summary.words, summary.cut, summary.invalid), (found.min(4), found.saturating_sub(4), invalid));
            prop_assert!(rows[summary.words as usize..].iter().all(|row| *row == [4, 5, 6]));
        }
    }

    #[test]
    fn no_text_panics_in_pieces_of_any_vocabulary(text in anything(), states in prop::collection::vec(any::<u8>(), 0..90), common: [u8; COMMON]) {
        let projection = Projection {
            weight: [[1; 2]; 8], bias: [0; 2], multiplier: [1 << 30; 2], shift: 0,
            output: Clamp { zero_point: 0i8, min: -128, max: 127 },
            empty: [0; 2],
        };
        let vocabulary = Automaton { states: &states, common: &common, popular: &[9; POPULAR], root: 0, numbered: false };
        let mut rows = [[0; 2]; 4];
        let mut encoder: Encoder<'_, Cased, _, _, false, 8, 1, 8, 2> =
            Encoder::new(&projection, WordPiece::<Mixed, 8, 5>::new(vocabulary), &mut rows);
        encoder.push(&text);
        encoder.finish();
    }
}

/// The canonical decomposition of the lower case without marks, where that is one character.
#[test]
fn folding_is_lower_case_without_accents() {
    let blocks =
        [0..=0x17Fu32, 0x386..=0x386, 0x388..=0x3CE, 0x400..=0x45F, 0x531..=0x556, 0x1E00..=0x1EFF, 0xFF21..=0xFF3A];
    for c in blocks.into_iter().flatten().filter_map(char::from_u32) {
        let folded: Vec<char> = c.to_lowercase().nfd().filter(|&c| !is_combining_mark(c)).collect();
        let expected = if c == '\u{B4}' { vec!['\''] } else { folded };
        assert_eq!(Uncased::normalize(c).into_iter().collect::<Vec<_>>(), expected, "U+{:04X}", c as u32);
    }
    assert!(('\u{300}'..='\u{36F}').all(|c| Uncased::normalize(c).is_none()));
    let same =
        |a: &str, b: &str| assert_eq!(words::<Uncased, false>(a.as_bytes()).0, words::<Uncased, false>(b.as_bytes()).0);
    same("Café ΆΡΗΣ Ёлка Việt", "cafe\u{301} αρησ елка viet");
    same("don’t “go”", "DON'T \"GO\"");
    // What is not covered stays: scripts without case, and those outside the blocks.
    same("ไทย 한국 Ꭰ", "ไทย 한국 Ꭰ");
}

#[test]
fn spaces_are_those_of_unicode() {
    for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
        assert_eq!(class(c) == Class::Space, c.is_whitespace(), "U+{:04X}", c as u32);
        assert!(!c.is_control() || matches!(class(c), Class::Ignored | Class::Space), "U+{:04X}", c as u32);
        let taken_as = Cased::normalize(c).unwrap_or(c);
        assert!(!taken_as.is_ascii_punctuation() || class(c) == Class::Alone, "{c}");
        assert!(!c.is_alphanumeric() || matches!(class(c), Class::Letter | Class::Alone), "{c}");
    }
}

#[test]
fn ten_kilobytes_without_a_space_are_one_word() {
    let text: String = "abcdefghij".repeat(1000) + "xyz";
    let projection = Projection {
        weight: [[1i8; 1]; 64],
        bias: [0],
        multiplier: [1 << 30],
        shift: 2,
        output: Clamp { zero_point: 0i8, min: -128, max: 127 },
        empty: [7],
    };
    let mut rows = [[0; 1]; 2];
    let mut encoder: Encoder<'_, Uncased, _, _, true, 64, 1, 64, 1> =
        Encoder::new(&projection, WholeWords::<Mixed, 64>::new(), &mut rows);
    encoder.push(text.as_bytes());
    assert_eq!(encoder.finish(), Summary { words: 1, cut: 0, invalid: 0 });
    // A weight of 1 for each of 64 hashes, and the constant in the row without a word.
    assert_eq!(rows, [[64], [7]]);
    let unknown = fingerprint(WholeWords::<Mixed, 64>::new(), "[UNK]");
    assert_eq!(fingerprint(WordPiece::<Mixed, 64, 100>::new(vocabulary(&[])), &text), unknown);
}

#[test]
fn a_text_without_words_is_padding() {
    for text in ["", " \t\n", "\u{0}\u{1}\u{200B}\u{FEFF}", "\u{301}"] {
        assert_eq!(words::<Uncased, true>(text.as_bytes()).0, [""; 0], "{text:?}");
    }
    let mut window = Window::<4, 3>::new();
    window.push(None);
    assert!(!window.has_word());
    assert_eq!(window.features(9).count(), 0);
}
