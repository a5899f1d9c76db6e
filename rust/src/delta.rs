//! What moves inside a stream: a piece of a choice, with the tokens that it came from.

use std::ops::Range;

/// What a piece is a piece of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer's text.
    Text,
}

/// A piece of a choice. It is borrowed from the stage that made it.
///
/// The deltas of a choice cover its tokens in order and without a gap: each begins at the token where the last one
/// ended. A token that gave no text by itself (the start of a character, of a stop string) is told with the next
/// delta, and where none follows, with the choice's end. So what is kept by token, as log probabilities are, can be
/// told with the text however much of it was held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta<'a> {
    /// What the piece is a piece of.
    pub kind: Kind,
    /// New text, never empty.
    pub text: &'a str,
    /// The tokens, counted from the choice's first. Empty when an earlier delta has told them all.
    pub tokens: Range<u32>,
}

/// All deltas of a choice, added up: what a plain answer says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// The whole text.
    pub text: String,
}

impl Fold {
    /// Adds the next delta.
    pub fn add(&mut self, delta: &Delta<'_>) {
        match delta.kind {
            Kind::Text => self.text.push_str(delta.text),
        }
    }
}
