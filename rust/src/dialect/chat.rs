//! Chat completions: `chat.completion.chunk` events, or one `chat.completion`.
//!
//! Source: `OpenAI`'s API reference, "Chat completions".

use std::ops::Range;

use super::escape::push_escaped;
use super::openai::{Parts, UNFINISHED, push_finish_reason};
use super::{EventWriter, Identity, Outcome, Usage};
use crate::delta::{Delta, Kind};
use crate::finish_reason::FinishReason;

#[derive(Debug)]
pub(super) struct ChatWriter {
    parts: Parts,
    /// A text event of choice 0, up to its text: the one that is written most.
    first_text: Vec<u8>,
}

impl ChatWriter {
    pub(super) fn new(of: &Identity<'_>) -> Self {
        let parts = Parts::new(of, "chat.completion.chunk");
        let mut first_text = Vec::new();
        push_text_start(&parts, 0, &mut first_text);
        Self { parts, first_text }
    }
}

impl EventWriter for ChatWriter {
    fn push_begin(&mut self, index: usize, out: &mut Vec<u8>) {
        self.parts.push_choice(index, out);
        out.extend_from_slice(b",\"delta\":{\"role\":\"assistant\",\"content\":\"\"}");
        out.extend_from_slice(UNFINISHED);
        out.extend_from_slice(self.parts.tail);
    }

    fn push_delta(&mut self, index: usize, delta: &Delta<'_>, out: &mut Vec<u8>) {
        match delta.kind {
            Kind::Text if index == 0 => out.extend_from_slice(&self.first_text),
            Kind::Text => push_text_start(&self.parts, index, out),
        }
        push_escaped(delta.text, out);
        out.extend_from_slice(b"\"}");
        out.extend_from_slice(UNFINISHED);
        out.extend_from_slice(self.parts.tail);
    }

    fn push_finish(
        &mut self,
        index: usize,
        reason: FinishReason,
        _: Range<u32>,
        out: &mut Vec<u8>,
    ) {
        self.parts.push_choice(index, out);
        out.extend_from_slice(b",\"delta\":{}");
        push_finish_reason(reason, out);
        out.extend_from_slice(self.parts.tail);
    }

    fn push_end(&mut self, usage: Usage, out: &mut Vec<u8>) {
        self.parts.push_end(usage, out);
    }

    fn push_body(
        &mut self,
        choices: &mut dyn Iterator<Item = Outcome<'_>>,
        usage: Usage,
        out: &mut Vec<u8>,
    ) {
        self.parts
            .push_body("chat.completion", choices, push_message, usage, out);
    }
}

fn push_text_start(parts: &Parts, index: usize, out: &mut Vec<u8>) {
    parts.push_choice(index, out);
    out.extend_from_slice(b",\"delta\":{\"content\":\"");
}

fn push_message(outcome: Outcome<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":\"");
    push_escaped(&outcome.fold.text, out);
    out.extend_from_slice(b"\",\"refusal\":null}");
    push_finish_reason(outcome.reason, out);
}
