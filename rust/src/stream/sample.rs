//! What a foreign engine gives of one choice at a time: text, thoughts and calls, read by it already.

use std::ops::{ControlFlow, Range};

use crate::delta::{Delta, Kind};
use crate::finish_reason::FinishReason;
use crate::stage::Flow;
use crate::token_table::SpelledToken;

/// New pieces of a choice, and the tokens that they came from.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// New reasoning.
    pub reasoning: String,
    /// New text, after the reasoning.
    pub text: String,
    /// New pieces of tool calls, after the text.
    pub calls: Vec<CallPiece>,
    /// Log probabilities of its tokens, where the engine tells them; at most `num_tokens`.
    pub logprobs: Vec<SpelledToken>,
    /// How many tokens it came from.
    pub num_tokens: u32,
    /// Why the choice ended after it, if it did.
    pub end: Option<FinishReason>,
}

/// A piece of a tool call.
#[derive(Clone, Debug)]
pub struct CallPiece {
    /// Which call of the choice.
    pub index: u32,
    /// Its id and its tool's name, where it begins.
    pub begins: Option<(String, String)>,
    /// The next piece of its arguments.
    pub arguments: String,
}

impl Sample {
    /// Whether there is anything in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.num_tokens == 0 && self.end.is_none() && self.text.is_empty() && !self.is_structured()
    }

    /// Whether it has more than text.
    #[must_use]
    pub fn is_structured(&self) -> bool {
        !self.reasoning.is_empty() || !self.calls.is_empty()
    }

    /// Its deltas in order. `tokens` are told with the text, and where there is none, with the first delta.
    ///
    /// # Errors
    /// Breaks when `push` does.
    pub(super) fn push_deltas(
        &self,
        tokens: Range<u32>,
        mut push: impl FnMut(&Delta<'_>) -> Flow,
    ) -> Flow {
        let is_told_with_text = !self.text.is_empty();
        let mut at = tokens.start;
        let mut push = |kind: Kind<'_>, text: &str| {
            if text.is_empty() {
                return ControlFlow::Continue(());
            }
            let takes = kind == Kind::Text || !is_told_with_text;
            let start = at;
            at = if takes { tokens.end } else { start };
            let tokens = start..at;
            push(&Delta { kind, text, tokens })
        };
        push(Kind::Reasoning, &self.reasoning)?;
        push(Kind::Text, &self.text)?;
        for piece in &self.calls {
            let index = piece.index;
            if let Some((id, name)) = &piece.begins {
                push(Kind::ToolCall { index, id }, name)?;
            }
            push(Kind::ToolArguments { index }, &piece.arguments)?;
        }
        ControlFlow::Continue(())
    }
}
