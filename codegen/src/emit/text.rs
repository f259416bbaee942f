//! What a text model's module has besides its network: the encoder that writes the network's input.

use super::literal::{Literal, item};
use super::{Emitter, MAYBE_UNUSED, Place};
use crate::text::features::MAX_CHARACTERS;
use crate::text::{Split, TextModel, Tokens, Vocabulary};
use std::fmt::Write;

/// Characters of a line, as rustfmt counts them.
const WIDTH: usize = 100;

impl Emitter<'_> {
    /// The type of the input as [`tinymlp::Model`] takes it; gives its name.
    pub(super) fn text_type(&mut self) -> String {
        let ty = "&'static str";
        let _ = write!(
            self.text,
            "/// A text, for [`Model`] and golden vectors. Others go to an [`Encoder`].\n{MAYBE_UNUSED}pub type Input = {ty};\n\n"
        );
        ty.to_owned()
    }

    /// The encoder's type, and the function that gives one. `projection` is the constant of the first step.
    pub(super) fn encoder(&mut self, model: &TextModel, projection: &str) {
        let front_end = &model.front_end;
        let hashes = front_end.hashes;
        let step = &self.plan.steps[0];
        let (value, constant) = (&self.plan.values[step.output], step.kernel.constant());
        let rows = super::nested(value.element(), &step.kernel.views()[1]);
        // `Projection<i8, 1024, 64>`
        let sizes = constant.ty.trim_start_matches("Projection<").trim_end_matches('>');
        let (element, sizes) = sizes.split_once(", ").unwrap_or_default();
        let (tokenizer, new) = match &front_end.tokens {
            Tokens::Words => (format!("text::WholeWords<text::Mixed, {hashes}>"), "text::WholeWords::new()".to_owned()),
            Tokens::Pieces(vocabulary) => {
                let ty = format!("text::WordPiece<'static, text::Mixed, {hashes}, {MAX_CHARACTERS}>");
                (ty, format!("text::WordPiece::new({})", self.vocabulary(vocabulary)))
            }
        };
        let normalize = if front_end.cased { "Cased" } else { "Uncased" };
        let punctuation = front_end.split == Split::Punctuation;
        let (positions, span) = (front_end.positions, model.span);
        let _ = write!(
            self.text,
            "/// Words that the network has a place for.\n{MAYBE_UNUSED}pub const POSITIONS: usize = {positions};\n\n\
             /// What turns words into fingerprints.\n{MAYBE_UNUSED}pub type Tokenizer = {tokenizer};\n\n"
        );
        let ty = format!(
            "text::Encoder<'a, text::{normalize}, Tokenizer, {element}, {punctuation}, {hashes}, {span}, {sizes}>"
        );
        let head = "pub type Encoder<'a> =";
        let gap = if head.len() + ty.len() + 2 > WIDTH { "\n    " } else { " " };
        let _ = write!(
            self.text,
            "/// Takes a text, in pieces of any size, and writes the rows that [`infer`] reads.\n\
             {MAYBE_UNUSED}{head}{gap}{ty};\n\n"
        );
        let Place::Arena(at) = value.place else { return };
        let arguments = [&format!("&{projection}"), &new, &format!("scratch.update::<{at}, {rows}>()")];
        let call = Literal::Call(
            "text::Encoder::new".into(),
            arguments.map(|argument| Literal::Atom(argument.clone())).into(),
        );
        let _ = write!(
            self.text,
            "/// An encoder at the beginning of a text. [`infer`] overwrites what it wrote: every inference needs its own.\n\
             {MAYBE_UNUSED}pub fn encoder(scratch: &mut Scratch) -> Encoder<'_> {{\n    // {}\n    {}\n}}\n\n",
            super::comment(self.plan, step),
            call.layout(4, 4, 0)
        );
    }

    /// The constant of an automaton; gives its name.
    fn vocabulary(&mut self, vocabulary: &Vocabulary) -> String {
        let automaton = vocabulary.automaton();
        let name = self.names.constant("vocabulary");
        let file = format!("{}.{}.states.bin", self.name, name.to_lowercase());
        self.files.push((file.clone(), automaton.states.to_vec()));
        let mut array = |field: &str, ty: &str, items: Vec<String>| {
            let head = format!("static {name}_{field}: [{ty}; {}]", items.len());
            let items = Literal::Array(items.into_iter().map(Literal::Atom).collect());
            let _ = writeln!(self.text, "{}", item(&head, &items));
        };
        array("COMMON", "u8", automaton.common.iter().map(u8::to_string).collect());
        array("POPULAR", "u32", automaton.popular.iter().map(u32::to_string).collect());
        let fields = vec![
            ("states".to_owned(), Literal::Atom(format!("include_bytes!(\"{file}\")"))),
            ("common".to_owned(), Literal::Atom(format!("&{name}_COMMON"))),
            ("popular".to_owned(), Literal::Atom(format!("&{name}_POPULAR"))),
            ("root".to_owned(), Literal::Atom(automaton.root.to_string())),
            ("numbered".to_owned(), Literal::Atom(automaton.numbered.to_string())),
        ];
        let value = Literal::Struct("text::Automaton".into(), fields);
        let _ = writeln!(
            self.text,
            "/// The pieces that words are made of: {} bytes.\n{}",
            vocabulary.bytes(),
            item(&format!("static {name}: text::Automaton<'static>"), &value)
        );
        name
    }
}
