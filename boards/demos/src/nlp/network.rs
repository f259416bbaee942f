//! The network behind the assistant.

use tinymlp::Element;
use tinymlp::text::{self, Normalize, Summary, Tokenizer};

/// Takes a text as its bytes arrive.
pub trait Encoder {
    /// Takes a byte.
    fn push(&mut self, byte: u8);
    /// Ends the text.
    fn finish(self) -> Summary;
}

/// A network for intents and slots of texts. [`text_network`](crate::text_network) makes one of a generated module.
pub trait Network {
    /// What the network's input comes from.
    type Encoder<'a>: Encoder
    where
        Self: 'a;

    /// An encoder at the beginning of a text.
    fn encoder(&mut self) -> Self::Encoder<'_>;
    /// Runs the network on the text that an encoder has finished.
    fn infer(&mut self);
    /// Logits of the intents.
    fn intent(&self) -> &[i8];
    /// What a step of these is as an exponent of two: see [`confidence::step`](super::confidence::step).
    fn step(&self) -> u32;
    /// Name of an intent.
    fn intent_name(&self, intent: usize) -> &str;
    /// Logits of the tags of the word at a position; none where the network has no such position, or no slots.
    fn slots(&self, position: usize) -> Option<&[i8]>;
    /// Name of a tag: `O`, or `B-` or `I-` before the name of a slot.
    fn tag_name(&self, tag: usize) -> &str;
}

impl<
    Z: Normalize,
    T: Tokenizer<N>,
    Y: Element,
    const PUNCTUATION: bool,
    const N: usize,
    const SPAN: usize,
    const FEATURES: usize,
    const O: usize,
> Encoder for text::Encoder<'_, Z, T, Y, PUNCTUATION, N, SPAN, FEATURES, O>
{
    fn push(&mut self, byte: u8) {
        text::Encoder::push(self, &[byte]);
    }

    fn finish(self) -> Summary {
        text::Encoder::finish(self)
    }
}

/// A type that is the [`Network`] of a generated module with the outputs `intent` and `slots`.
#[macro_export]
macro_rules! text_network {
    ($(#[$attribute:meta])* $name:ident, $module:ident) => {
        $(#[$attribute])*
        pub struct $name {
            scratch: $module::Scratch,
            output: $module::Output,
        }

        impl $name {
            /// Before the first text.
            pub const NEW: Self = Self {
                scratch: <$module::Scratch as ::tinymlp::Scratch>::NEW,
                output: $module::Output { intent: [0; _], slots: [[0; _]; _] },
            };
        }

        impl $crate::nlp::Network for $name {
            type Encoder<'a> = $module::Encoder<'a>;

            fn encoder(&mut self) -> Self::Encoder<'_> {
                $module::encoder(&mut self.scratch)
            }

            fn infer(&mut self) {
                $module::infer(&mut self.scratch, &mut self.output);
            }

            fn intent(&self) -> &[i8] {
                &self.output.intent
            }

            fn step(&self) -> u32 {
                const { $crate::nlp::confidence::step($module::OUTPUT_INTENT.scale) }
            }

            fn intent_name(&self, intent: usize) -> &str {
                $module::OUTPUT_INTENT_LABELS.get(intent).copied().unwrap_or_default()
            }

            fn slots(&self, position: usize) -> Option<&[i8]> {
                self.output.slots.get(position).map(|tags| &tags[..])
            }

            fn tag_name(&self, tag: usize) -> &str {
                $module::OUTPUT_SLOTS_LABELS.get(tag).copied().unwrap_or_default()
            }
        }
    };
}
