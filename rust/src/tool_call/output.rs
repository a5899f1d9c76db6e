//! What a push of text came to: pieces of one kind after another, neighbours of a kind as one.

use crate::delta::{Delta, Kind, Untold};
use crate::stage::{Flow, Next};

use super::json_text::push_escaped;

/// What a piece is a piece of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text,
    Reasoning,
    /// A call begins: its number and its id; the text is its name.
    Call(u32, String),
    /// Arguments of the call of that number.
    Arguments(u32),
}

/// Pieces in order. Empty ones are left out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    text: String,
    /// Each with where it ends in `text`.
    pieces: Vec<(Piece, usize)>,
    num_calls: u32,
}

impl Output {
    pub(crate) fn text(&mut self, text: &str) {
        self.push(Piece::Text, text);
    }

    pub(crate) fn reasoning(&mut self, text: &str) {
        self.push(Piece::Reasoning, text);
    }

    pub(super) fn call(&mut self, name: &str, id: String) {
        let piece = Piece::Call(self.num_calls, id);
        self.num_calls += 1;
        self.push(piece, name);
    }

    /// More of the last call's arguments.
    pub(super) fn arguments(&mut self, text: &str) {
        self.push(Piece::Arguments(self.num_calls.saturating_sub(1)), text);
    }

    /// As `arguments`, inside of a JSON string.
    pub(super) fn escaped_arguments(&mut self, text: &str) {
        let mut escaped = String::with_capacity(text.len());
        push_escaped(text, &mut escaped);
        self.arguments(&escaped);
    }

    pub(super) fn num_calls(&self) -> u32 {
        self.num_calls
    }

    /// Bytes of all that was given.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// What was given after the first `len` bytes.
    pub(super) fn since(&self, len: usize) -> &str {
        &self.text[len..]
    }

    /// All that was given, whatever it is.
    pub(super) fn take_text(&mut self) -> String {
        self.pieces.clear();
        std::mem::take(&mut self.text)
    }

    fn push(&mut self, piece: Piece, text: &str) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        let end = self.text.len();
        match self.pieces.last_mut() {
            Some((last, last_end)) if *last == piece => *last_end = end,
            _ => self.pieces.push((piece, end)),
        }
    }

    /// Sends all pieces on. The first tells the tokens, the others came from the same ones.
    pub(crate) fn give(&mut self, untold: &mut Untold, next: &mut Next<'_>) -> Flow {
        let mut start = 0;
        for (piece, end) in self.pieces.drain(..) {
            let kind = match &piece {
                Piece::Text => Kind::Text,
                Piece::Reasoning => Kind::Reasoning,
                Piece::Call(index, id) => Kind::ToolCall { index: *index, id },
                Piece::Arguments(index) => Kind::ToolArguments { index: *index },
            };
            let text = &self.text[start..end];
            start = end;
            let tokens = untold.tell();
            next.push(&Delta { kind, text, tokens })?;
        }
        self.text.clear();
        Flow::Continue(())
    }
}
