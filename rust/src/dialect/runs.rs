//! Cuts a choice's deltas into runs of one part each: for APIs whose answers are a list of parts.
//!
//! White space alone makes no part: it is held back until something follows it in the same part, and dropped where
//! nothing does. An answer that has no part at all has one of text.

use crate::delta::{Delta, Kind};

/// What a run is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text,
    Reasoning,
    ToolCall { id: &'a str, name: &'a str },
}

/// Writes what a run becomes. The calls of a run: `open`, `extend` any number of times, `close`.
pub(super) trait PartWriter {
    fn open(&mut self, part: Part<'_>, out: &mut Vec<u8>);

    /// `logprobs`: of the text's tokens, as JSON objects with commas between them.
    fn extend(&mut self, text: &str, logprobs: &[u8], out: &mut Vec<u8>);

    /// `is_whole`: the model was not cut short in it.
    fn close(&mut self, is_whole: bool, out: &mut Vec<u8>);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Reasoning,
    ToolCall,
}

/// White space that may come to nothing.
#[derive(Debug)]
struct Held {
    of: Open,
    text: String,
    logprobs: Vec<u8>,
}

/// Where a choice stands between its parts.
#[derive(Debug, Default)]
pub(super) struct Runs {
    open: Option<Open>,
    held: Option<Held>,
    has_parts: bool,
}

impl Runs {
    /// Takes the next delta. `logprobs` as of [`PartWriter::extend`].
    pub(super) fn push(
        &mut self,
        delta: &Delta<'_>,
        logprobs: &[u8],
        writer: &mut impl PartWriter,
        out: &mut Vec<u8>,
    ) {
        let text = delta.text;
        match delta.kind {
            Kind::Text => self.push_text(Open::Text, text, logprobs, writer, out),
            Kind::Reasoning => self.push_text(Open::Reasoning, text, logprobs, writer, out),
            Kind::ToolCall { id, .. } => {
                self.held = None;
                let part = Part::ToolCall { id, name: text };
                self.turn_to(Open::ToolCall, part, writer, out);
            }
            Kind::ToolArguments { .. } if self.open == Some(Open::ToolCall) => {
                writer.extend(text, logprobs, out);
            }
            Kind::ToolArguments { .. } => debug_assert!(false, "arguments follow their call"),
        }
    }

    /// Closes what is open, once nothing more comes.
    pub(super) fn finish(
        &mut self,
        is_whole: bool,
        writer: &mut impl PartWriter,
        out: &mut Vec<u8>,
    ) {
        if !self.has_parts {
            let held = self.held.take().filter(|held| held.of == Open::Text);
            self.turn_to(Open::Text, Part::Text, writer, out);
            if let Some(held) = held {
                writer.extend(&held.text, &held.logprobs, out);
            }
        }
        if self.open.take().is_some() {
            writer.close(is_whole, out);
        }
    }

    fn push_text(
        &mut self,
        of: Open,
        text: &str,
        logprobs: &[u8],
        writer: &mut impl PartWriter,
        out: &mut Vec<u8>,
    ) {
        if self.open == Some(of) {
            self.held = None;
            return writer.extend(text, logprobs, out);
        }
        let mut held = self.held.take().filter(|held| held.of == of);
        if text.trim().is_empty() {
            let held = held.get_or_insert_with(|| Held::new(of));
            held.add(text, logprobs);
        } else {
            let part = match of {
                Open::Reasoning => Part::Reasoning,
                _ => Part::Text,
            };
            self.turn_to(of, part, writer, out);
            match held.take() {
                Some(mut held) => {
                    held.add(text, logprobs);
                    writer.extend(&held.text, &held.logprobs, out);
                }
                None => writer.extend(text, logprobs, out),
            }
        }
        self.held = held;
    }

    fn turn_to(
        &mut self,
        open: Open,
        part: Part<'_>,
        writer: &mut impl PartWriter,
        out: &mut Vec<u8>,
    ) {
        if self.open.replace(open).is_some() {
            writer.close(true, out);
        }
        self.has_parts = true;
        writer.open(part, out);
    }
}

impl Held {
    fn new(of: Open) -> Self {
        Self {
            of,
            text: String::new(),
            logprobs: Vec::new(),
        }
    }

    fn add(&mut self, text: &str, logprobs: &[u8]) {
        self.text.push_str(text);
        if !self.logprobs.is_empty() && !logprobs.is_empty() {
            self.logprobs.push(b',');
        }
        self.logprobs.extend_from_slice(logprobs);
    }
}
