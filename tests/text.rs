//! The text front end over real text: against an implementation of strings and sets, and what vocabularies cost.

use std::collections::HashSet;
use std::path::Path;

use tinymlp_codegen::text::features::{column, read};
use tinymlp_codegen::text::{FrontEnd, Split, Tokens, Vocabulary};
use tinymlp_tests::models::shared;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

const HASHES: usize = 64;
const BUCKETS: u16 = 1024;

fn texts(file: &Path, at: usize) -> Vec<String> {
    let table = read(file).expect("a table");
    column(&table, at, file).expect("a column").into_iter().map(str::to_owned).collect()
}

fn pieces(file: &Path) -> HashSet<String> {
    read(file).expect("a vocabulary").lines().filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

/// The documented formula of one hash function, in wide integers.
fn hash(text: &str, i: u64) -> u64 {
    const LOW: u64 = u32::MAX as u64;
    let mix = |x: u64| {
        let x = ((x ^ x >> 16) * 0x7FEB_352D) & LOW;
        let x = ((x ^ x >> 15) * 0x846C_A68B) & LOW;
        x ^ x >> 16
    };
    let fnv = text.chars().fold(0x811C_9DC5, |fnv, c| ((fnv ^ u64::from(c)) * 0x0100_0193) & LOW);
    (mix(fnv) + i * (mix(fnv ^ 0x9E37_79B9) | 1)) & LOW
}

/// What a word adds to its fingerprint.
fn parts(word: &str, vocabulary: Option<&HashSet<String>>) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    let trigrams = |c: &[char]| -> Vec<String> {
        if c.len() <= 3 { vec![c.iter().collect()] } else { c.windows(3).map(|t| t.iter().collect()).collect() }
    };
    let Some(vocabulary) = vocabulary else { return trigrams(&characters) };
    let mut found = Vec::new();
    let mut from = 0;
    while from < characters.len() {
        let piece = |to: usize| characters[from..to].iter().collect::<String>();
        let known = |to: usize| vocabulary.contains(&if from == 0 { piece(to) } else { format!("##{}", piece(to)) });
        let Some(to) = (from + 1..=characters.len()).rev().find(|&to| known(to)) else {
            return trigrams(&['[', 'U', 'N', 'K', ']']);
        };
        found.extend(if from == 0 { trigrams(&characters[..to]) } else { vec![piece(to)] });
        from = to;
    }
    found
}

fn folded(text: &str, cased: bool) -> String {
    let typographic = [(['’', '‘', '´'].as_slice(), "'"), (&['“', '”'], "\""), (&['–', '—'], "-")];
    let text = typographic.iter().fold(text.to_owned(), |text, (from, to)| text.replace(*from, to));
    if cased {
        text
    } else {
        text.chars().flat_map(char::to_lowercase).nfd().filter(|&c| !is_combining_mark(c)).collect()
    }
}

fn expected(text: &str, cased: bool, positions: usize, vocabulary: Option<&HashSet<String>>) -> Vec<u16> {
    let text = folded(text, cased);
    let mut words = text.split_whitespace();
    let mut buckets = Vec::new();
    for _ in 0..positions {
        match words.next().map(|word| parts(word, vocabulary)) {
            Some(parts) => {
                let least = |i| parts.iter().map(|part| hash(part, i)).min().unwrap_or(0);
                buckets.extend((0..HASHES as u64).map(|i| (least(i) % u64::from(BUCKETS)) as u16));
            }
            None => buckets.extend([BUCKETS; HASHES]),
        }
    }
    buckets
}

#[test]
fn features_of_real_utterances() {
    let Some(folder) = shared("text") else { return };
    let uncased = folder.join("vocab/bert-base-uncased.vocab.txt.gz");
    let multilingual = folder.join("vocab/bert-base-multilingual-cased.vocab.txt.gz");
    let files = [
        ("snips/train.tsv.gz", 2),
        ("mtop/en/train.tsv.gz", 2),
        ("mtop/parallel/de_valid.tsv.gz", 2),
        ("mtop/parallel/es_valid.tsv.gz", 2),
        ("mtop/parallel/fr_valid.tsv.gz", 2),
    ];
    // A position less than most utterances of these sets have words.
    let positions = 12;
    for (cased, file) in [(false, None), (true, None), (false, Some(&uncased)), (true, Some(&multilingual))] {
        let set = file.map(|f| pieces(f));
        let tokens = match file {
            Some(file) => Tokens::Pieces(Vocabulary::load(file, false).expect("a vocabulary")),
            None => Tokens::Words,
        };
        let front_end = FrontEnd { tokens, split: Split::Spaces, cased, hashes: HASHES, buckets: BUCKETS, positions };
        let (mut compared, mut unknown) = (0, 0);
        for (name, at) in files {
            let mut texts = texts(&folder.join(name), at);
            texts.truncate(3000);
            let found = front_end.features(texts.iter().map(|t| t.as_bytes())).expect("features");
            for (text, found) in texts.iter().zip(found.buckets.chunks(positions * HASHES)) {
                assert!(found == expected(text, cased, positions, set.as_ref()), "{name}: {text}");
                let is_unknown = |w: &&str| set.is_some() && parts(&folded(w, cased), set.as_ref())[0] == "[UN";
                unknown += text.split_whitespace().filter(is_unknown).count();
            }
            compared += texts.len();
        }
        println!("{compared} utterances; {unknown} words are not in the vocabulary");
        assert!(compared > 8000);
    }
}

#[test]
fn vocabularies_in_flash() {
    let Some(folder) = shared("text/vocab") else { return };
    for (name, count) in [("bert-base-uncased", 30_522), ("bert-base-multilingual-cased", 119_547)] {
        let file = folder.join(format!("{name}.vocab.txt.gz"));
        let words = pieces(&file);
        assert_eq!(words.len(), count);
        let plain = Vocabulary::load(&file, false).expect("a vocabulary");
        let numbered = Vocabulary::load(&file, true).expect("a vocabulary");
        println!("{name}: {} bytes, {} with numbers", plain.bytes(), numbered.bytes());
        // README's figure for the first: the text itself has 231,508 bytes.
        assert!(name != "bert-base-uncased" || plain.bytes() < 62_000, "{}", plain.bytes());
        let automaton = numbered.automaton();
        let mut numbers: Vec<u32> = words.iter().map(|w| automaton.index(w.as_bytes()).expect("a number")).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..count as u32));
        // Words with a letter less or more are in it only if they are words too.
        for word in &words {
            for other in [&word[..word.floor_char_boundary(word.len() - 1)], &format!("{word}e"), &format!("#{word}")] {
                assert_eq!(automaton.index(other.as_bytes()).is_some(), words.contains(other), "{other}");
            }
        }
    }
}
