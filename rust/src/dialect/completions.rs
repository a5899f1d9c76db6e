//! Text completions: `text_completion`, as events and as one body.
//!
//! Source: `OpenAI`'s API reference, "Completions (legacy)".

use super::escape::push_escaped;
use super::openai::{Parts, UNFINISHED, push_finish_reason};
use super::{Details, Ending, EventWriter, Identity, Outcome, Usage};
use crate::delta::Delta;

const OBJECT: &str = "text_completion";

#[derive(Debug)]
pub(super) struct CompletionsWriter {
    parts: Parts,
    /// A text event of choice 0, up to its text: the one that is written most.
    first_text: Vec<u8>,
}

impl CompletionsWriter {
    pub(super) fn new(of: &Identity<'_>) -> Self {
        let parts = Parts::new(of, OBJECT);
        let mut first_text = Vec::new();
        push_text_start(&parts, 0, &mut first_text);
        Self { parts, first_text }
    }
}

impl EventWriter for CompletionsWriter {
    fn push_begin(&mut self, _: usize, _: &mut Vec<u8>) {}

    fn push_delta(&mut self, index: usize, delta: &Delta<'_>, _: &Details<'_>, out: &mut Vec<u8>) {
        if index == 0 {
            out.extend_from_slice(&self.first_text);
        } else {
            push_text_start(&self.parts, index, out);
        }
        push_escaped(delta.text, out);
        out.push(b'"');
        out.extend_from_slice(UNFINISHED);
        out.extend_from_slice(self.parts.tail);
    }

    fn push_finish(&mut self, index: usize, ending: &Ending, _: &Details<'_>, out: &mut Vec<u8>) {
        push_text_start(&self.parts, index, out);
        out.push(b'"');
        push_finish_reason(ending.reason, out);
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
        self.parts.push_body(OBJECT, choices, push_text, usage, out);
    }
}

fn push_text_start(parts: &Parts, index: usize, out: &mut Vec<u8>) {
    parts.push_choice(index, out);
    out.extend_from_slice(b",\"text\":\"");
}

fn push_text(outcome: Outcome<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"text\":\"");
    push_escaped(&outcome.fold.text, out);
    out.push(b'"');
    push_finish_reason(outcome.reason, out);
}
