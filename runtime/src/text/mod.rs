//! From text to the first layer of a network that reads words, as pNLP-Mixer does it (arXiv 2202.04350): no embedding
//! table, and nothing that grows with the text.
//!
//! bytes -> characters ([`Decoder`]) -> normalised ([`Normalize`]) -> words ([`Words`]) -> fingerprints ([`Tokenizer`],
//! [`Fingerprint`]) -> counting Bloom filters of neighbouring words ([`Window`]) -> [`Projection`] -> rows of a network's
//! input ([`Encoder`] does all of it).
//!
//! A word's fingerprint is a MinHash: for each of `N` hash functions the least value over the word's character trigrams.
//! Its counting Bloom filter has a counter a bucket, `value mod M` being a value's bucket. As no more than `N` of the `M`
//! counters are not zero, filters are kept as lists of buckets, and the layer that reads them adds up rows of weights.
//!
//! Every input has a result. Ill-formed UTF-8 is an unknown character (U+FFFD) and counted, control characters are left
//! out, a text without words gives the rows of an empty text, and words beyond the network's positions are left out and
//! counted.

mod automaton;
mod encoder;
mod fingerprint;
mod hash;
mod normalization;
mod normalize;
mod projection;
mod tokenizer;
mod utf8;
mod whole_words;
mod window;
mod word_piece;
mod words;

pub use automaton::{Automaton, COMMON, Edge, POPULAR};
pub use encoder::{Encoder, Summary};
pub use fingerprint::Fingerprint;
pub use hash::{Family, Hash, Mixed};
pub use normalization::WordNormalization;
#[cfg(feature = "dynamic")]
pub use normalization::word_normalization;
pub use normalize::{Cased, Class, Normalize, Uncased, class};
pub use projection::Projection;
#[cfg(feature = "dynamic")]
pub use projection::projection;
pub use tokenizer::Tokenizer;
pub use utf8::Decoder;
pub use whole_words::WholeWords;
pub use window::Window;
pub use word_piece::WordPiece;
pub use words::{Part, Words};
