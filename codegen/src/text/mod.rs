//! What text models need besides their network: vocabularies as automata, and texts as features.

mod automaton;
pub mod features;

pub use automaton::Vocabulary;
pub use features::{FrontEnd, Split, Texts, Tokens};
