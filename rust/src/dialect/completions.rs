//! Text completions: `text_completion`, as events and as one body.
//!
//! Source: `OpenAI`'s API reference, "Completions (legacy)"; `token_ids`, `prompt_token_ids`,
//! `prompt_logprobs` and `stop_reason` are vLLM's.

use super::choice_end::LogprobStyle;
use super::escape::push_escaped;
use super::openai::Parts;
use super::{Details, Ending, EventWriter, Identity, Outcome, Prompt, Usage};
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
        let parts = Parts::new(of, OBJECT, LogprobStyle::Completions);
        let mut first_text = Vec::new();
        push_text_start(&parts, 0, &mut first_text);
        Self { parts, first_text }
    }
}

impl EventWriter for CompletionsWriter {
    fn push_begin(&mut self, _: usize, _: &Usage, _: &mut Vec<u8>) {}

    fn push_prompt(
        &mut self,
        index: usize,
        prompt: &Prompt<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        push_text_start(&self.parts, index, out);
        push_escaped(prompt.text.unwrap_or_default(), out);
        out.push(b'"');
        self.parts.push_prompt_end(prompt, details, out);
    }

    /// Text alone comes here: a completion has no field for anything else.
    fn push_delta(
        &mut self,
        index: usize,
        delta: &Delta<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        if index == 0 {
            out.extend_from_slice(&self.first_text);
        } else {
            push_text_start(&self.parts, index, out);
        }
        push_escaped(delta.text, out);
        out.push(b'"');
        let tokens = delta.tokens.clone();
        self.parts.push_unfinished(tokens, true, details, out);
    }

    fn push_finish(
        &mut self,
        index: usize,
        ending: &Ending<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        push_text_start(&self.parts, index, out);
        out.push(b'"');
        self.parts.push_finished(ending, details, out);
    }

    fn tell(&mut self, members: String) {
        self.parts.told = members;
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
        let push_choice = |outcome: Outcome<'_>, out: &mut Vec<u8>| {
            out.extend_from_slice(b",\"text\":\"");
            let prompt = outcome.prompt.and_then(|prompt| prompt.text);
            push_escaped(prompt.unwrap_or_default(), out);
            push_escaped(&outcome.fold.text, out);
            out.push(b'"');
            self.parts.push_outcome_end(&outcome, out);
        };
        self.parts
            .push_body(OBJECT, choices, push_choice, usage, out);
        out.push(b'}');
    }
}

fn push_text_start(parts: &Parts, index: usize, out: &mut Vec<u8>) {
    parts.push_choice(index, out);
    out.extend_from_slice(b",\"text\":\"");
}
