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

/// The tokens that a stage has taken and not told yet.
#[derive(Debug, Default)]
pub struct Untold {
    num_told: u32,
    num_taken: u32,
}

impl Untold {
    /// Those of the next delta, too.
    pub fn take(&mut self, delta: &Delta<'_>) {
        self.num_taken = delta.tokens.end;
    }

    /// All of them, for the delta that tells them; the next ones are empty until more are taken.
    pub fn tell(&mut self) -> Range<u32> {
        let told = std::mem::replace(&mut self.num_told, self.num_taken);
        told..self.num_taken
    }
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
    /// In which order these came.
    runs: Vec<Run>,
}

/// Deltas of one kind that came one after the other.
#[derive(Clone, Debug, Eq)]
struct Run {
    part: Part,
    /// Of the text or the reasoning.
    num_bytes: usize,
    tokens: Range<u32>,
}

/// What was said, whichever tokens said it: the same text may come in other tokens.
impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        (self.part, self.num_bytes) == (other.part, other.num_bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Text,
    Reasoning,
    ToolCall(u32),
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
        self.note_run(delta);
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

    /// The deltas as if all of one kind that came one after the other had been one.
    #[must_use]
    pub fn deltas(&self) -> Vec<Delta<'_>> {
        let (mut text, mut reasoning) = (self.text.as_str(), self.reasoning.as_str());
        let mut deltas = Vec::with_capacity(self.runs.len() + self.tool_calls.len());
        for run in &self.runs {
            let tokens = run.tokens.clone();
            let (kind, text) = match run.part {
                Part::Text => (Kind::Text, take(&mut text, run.num_bytes)),
                Part::Reasoning => (Kind::Reasoning, take(&mut reasoning, run.num_bytes)),
                Part::ToolCall(index) => {
                    deltas.extend(self.call_deltas(index, tokens));
                    continue;
                }
            };
            deltas.push(Delta { kind, text, tokens });
        }
        deltas
    }

    /// A call's name, then its arguments.
    fn call_deltas(&self, index: u32, tokens: Range<u32>) -> impl Iterator<Item = Delta<'_>> {
        let end = tokens.end;
        self.tool_calls
            .get(index as usize)
            .into_iter()
            .flat_map(move |call| {
                let (id, name) = (call.id.as_str(), call.name.as_str());
                let begin = Delta {
                    kind: Kind::ToolCall { index, id },
                    text: name,
                    tokens: tokens.clone(),
                };
                let arguments = Delta {
                    kind: Kind::ToolArguments { index },
                    text: &call.arguments,
                    tokens: end..end,
                };
                std::iter::once(begin).chain((!call.arguments.is_empty()).then_some(arguments))
            })
    }

    fn note_run(&mut self, delta: &Delta<'_>) {
        let part = match delta.kind {
            Kind::Text => Part::Text,
            Kind::Reasoning => Part::Reasoning,
            Kind::ToolCall { index, .. } | Kind::ToolArguments { index } => Part::ToolCall(index),
        };
        let (num_bytes, tokens) = (delta.text.len(), delta.tokens.clone());
        match self.runs.last_mut().filter(|last| last.part == part) {
            Some(last) => {
                last.num_bytes += num_bytes;
                last.tokens.end = tokens.end;
            }
            None if matches!(delta.kind, Kind::ToolArguments { .. }) => {}
            None => self.runs.push(Run {
                part,
                num_bytes,
                tokens,
            }),
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

/// The next `num_bytes` of `text`, which were added at once.
fn take<'a>(text: &mut &'a str, num_bytes: usize) -> &'a str {
    let (head, tail) = text.split_at_checked(num_bytes).unwrap_or((text, ""));
    *text = tail;
    head
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
        assert_eq!((fold.text.as_str(), fold.reasoning.as_str()), ("ab", "hm"));
        assert_eq!(fold.tool_calls, [call("x", "f", "{}"), call("y", "g", "")]);
    }

    #[test]
    fn the_order_of_what_came_is_kept() {
        let mut fold = Fold::default();
        let begin = Kind::ToolCall { index: 0, id: "x" };
        let deltas = [
            (Kind::Text, "a"),
            (Kind::Text, "b"),
            (Kind::Reasoning, "hm"),
            (begin, "f"),
            (Kind::ToolArguments { index: 0 }, "{"),
            (Kind::ToolArguments { index: 0 }, "}"),
            (Kind::Text, "c"),
        ];
        for (token, (kind, text)) in (0..).zip(deltas) {
            let tokens = token..token + 1;
            fold.add(&Delta { kind, text, tokens });
        }
        let told: Vec<_> = fold.deltas();
        let told: Vec<_> = told
            .iter()
            .map(|it| (it.kind, it.text, it.tokens.clone()))
            .collect();
        let arguments = Kind::ToolArguments { index: 0 };
        let joined = [
            (Kind::Text, "ab", 0..2),
            (Kind::Reasoning, "hm", 2..3),
            (begin, "f", 3..6),
            (arguments, "{}", 6..6),
            (Kind::Text, "c", 6..7),
        ];
        assert_eq!(told, joined);
    }
}
