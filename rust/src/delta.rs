//! What moves inside a stream: a piece of a choice, with the tokens that it came from.

use std::ops::Range;

/// What a piece is a piece of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// The answer's text.
    Text,
    /// What the model thought before or between its text.
    Reasoning,
    /// A tool call begins; the piece is its tool's name, whole.
    ToolCall {
        /// Which call of the choice, counted from 0 in the order in which they begin.
        index: u32,
        /// The call's id, the same in a stream and in its plain twin.
        id: &'a str,
    },
    /// The next piece of a call's arguments, which all together are a JSON object.
    ToolArguments {
        /// The call.
        index: u32,
    },
}

/// A piece of a choice. It is borrowed from the stage that made it.
///
/// The deltas of a choice cover its tokens in order and without a gap: each begins at the token where the last one
/// ended. A token that gave no text by itself (the start of a character, of a stop string, the markup of a tool call)
/// is told with the next delta, and where none follows, with the choice's end. So what is kept by token, as log
/// probabilities are, can be told with the text however much of it was held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta<'a> {
    /// What the piece is a piece of.
    pub kind: Kind<'a>,
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
    /// All that the model thought.
    pub reasoning: String,
    /// Its tool calls, in order.
    pub tool_calls: Vec<FoldedCall>,
}

/// One whole tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldedCall {
    /// Its id.
    pub id: String,
    /// Its tool.
    pub name: String,
    /// Its arguments, as JSON.
    pub arguments: String,
}

impl Fold {
    /// Adds the next delta.
    pub fn add(&mut self, delta: &Delta<'_>) {
        match delta.kind {
            Kind::Text => self.text.push_str(delta.text),
            Kind::Reasoning => self.reasoning.push_str(delta.text),
            Kind::ToolCall { index, id } => {
                let call = self.call(index);
                id.clone_into(&mut call.id);
                delta.text.clone_into(&mut call.name);
            }
            Kind::ToolArguments { index } => self.call(index).arguments.push_str(delta.text),
        }
    }

    /// The call `index`, which may be the next one.
    fn call(&mut self, index: u32) -> &mut FoldedCall {
        let index = (index as usize).min(self.tool_calls.len());
        if index == self.tool_calls.len() {
            self.tool_calls.push(FoldedCall::default());
        }
        &mut self.tool_calls[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_put_together_by_their_index() {
        let mut fold = Fold::default();
        let deltas = [
            (Kind::Reasoning, "hm"),
            (Kind::Text, "a"),
            (Kind::ToolCall { index: 0, id: "x" }, "f"),
            (Kind::ToolCall { index: 1, id: "y" }, "g"),
            (Kind::ToolArguments { index: 0 }, "{}"),
            (Kind::Text, "b"),
        ];
        for (token, (kind, text)) in (0..).zip(deltas) {
            let tokens = token..token + 1;
            fold.add(&Delta { kind, text, tokens });
        }
        let call = |id: &str, name: &str, arguments: &str| FoldedCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let whole = Fold {
            text: "ab".to_owned(),
            reasoning: "hm".to_owned(),
            tool_calls: vec![call("x", "f", "{}"), call("y", "g", "")],
        };
        assert_eq!(fold, whole);
    }
}
