//! What text models need besides their network: vocabularies as automata, and texts as features.

mod automaton;
mod evaluate;
pub mod features;
mod model;
mod utterances;

pub use automaton::Vocabulary;
pub use evaluate::{Scores, TextEvaluation, evaluate};
pub use features::{FrontEnd, Split, Texts, Tokens};
pub use model::{INTENT, SLOTS, TextModel};
pub(crate) use model::{read, vocabulary_file};
pub use utterances::{Utterance, Utterances};
