//! Chat completions: `chat.completion.chunk` events, or one `chat.completion`.
//!
//! Source: `OpenAI`'s API reference, "Chat completions". `reasoning_content` and `reasoning`,
//! `token_ids`, `prompt_token_ids`, `prompt_logprobs` and
//! `stop_reason` are vLLM's.

use super::choice_end::{ChoiceEnd, LogprobStyle};
use super::escape::push_escaped;
use super::json::push_number;
use super::logprobs::push_list;
use super::openai::Parts;
use super::{Details, Ending, EventWriter, Identity, Outcome, Prompt, Usage};
use crate::delta::{Delta, Fold, FoldedCall, Kind};

#[derive(Debug)]
pub(super) struct ChatWriter {
    parts: Parts,
    /// A text event of choice 0, up to its text: the one that is written most.
    first_text: Vec<u8>,
    /// What reasoning is called: `reasoning_content` or `reasoning`.
    reasoning_field: Vec<u8>,
    calls_are_functions: bool,
}

impl ChatWriter {
    pub(super) fn new(of: &Identity<'_>) -> Self {
        let parts = Parts::new(of, "chat.completion.chunk", LogprobStyle::Chat);
        let mut first_text = Vec::new();
        push_text_start(&parts, 0, &mut first_text);
        let reasoning_field = of.output.reasoning_field.as_bytes().to_vec();
        Self {
            parts,
            first_text,
            reasoning_field,
            calls_are_functions: of.output.calls_are_functions,
        }
    }
}

impl EventWriter for ChatWriter {
    fn push_begin(&mut self, index: usize, _: &Usage, out: &mut Vec<u8>) {
        self.parts.push_choice(index, out);
        out.extend_from_slice(b",\"delta\":{\"role\":\"assistant\",\"content\":\"\"}");
        self.parts.push_empty_end(out);
    }

    /// A chat's prompt is told by its ids alone, once for all choices.
    fn push_prompt(
        &mut self,
        index: usize,
        prompt: &Prompt<'_>,
        _: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        if index == 0 {
            self.parts.push_prompt_event(prompt.ids, out);
        }
    }

    fn push_delta(
        &mut self,
        index: usize,
        delta: &Delta<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        let end: &[u8] = match delta.kind {
            Kind::Text if index == 0 => {
                out.extend_from_slice(&self.first_text);
                b"\"}"
            }
            Kind::Text => {
                push_text_start(&self.parts, index, out);
                b"\"}"
            }
            Kind::Reasoning => {
                self.push_reasoning_start(index, out);
                b"\"}"
            }
            Kind::ToolCall { .. } | Kind::ToolArguments { .. } if self.calls_are_functions => {
                self.push_function_start(index, delta.kind, out)
            }
            Kind::ToolCall { index: call, id } => {
                self.push_call_start(index, call, out);
                out.push(b',');
                push_call_id(id, out);
                b"\",\"arguments\":\"\"}}]}"
            }
            Kind::ToolArguments { index: call } => {
                self.push_call_start(index, call, out);
                out.extend_from_slice(b",\"function\":{\"arguments\":\"");
                b"\"}}]}"
            }
        };
        push_escaped(delta.text, out);
        out.extend_from_slice(end);
        let (tokens, is_text) = (delta.tokens.clone(), delta.kind == Kind::Text);
        self.parts.push_unfinished(tokens, is_text, details, out);
    }

    fn push_finish(
        &mut self,
        index: usize,
        ending: &Ending<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        self.parts.push_choice(index, out);
        out.extend_from_slice(b",\"delta\":{}");
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
        let mut first = None;
        let mut choices = choices.inspect(|outcome| first = first.or(Some(*outcome)));
        let push_choice = |outcome: Outcome<'_>, out: &mut Vec<u8>| {
            self.push_message(outcome.fold, out);
            self.parts.push_outcome_end(&outcome, out);
        };
        self.parts
            .push_body("chat.completion", &mut choices, push_choice, usage, out);
        if let Some((prompt, outcome)) = first.and_then(|it| Some((it.prompt?, it))) {
            self.parts.choice_end.push_prompt_ids(prompt.ids, out);
            ChoiceEnd::push_prompt_logprobs(&prompt, &outcome.details, out);
        }
        out.push(b'}');
    }
}

impl ChatWriter {
    /// A whole message. Its content is null where all that it says are calls.
    fn push_message(&self, fold: &Fold, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":");
        if fold.text.is_empty() && !fold.tool_calls.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            out.push(b'"');
            push_escaped(&fold.text, out);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"refusal\":null");
        if !fold.reasoning.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(&self.reasoning_field);
            out.extend_from_slice(b"\":\"");
            push_escaped(&fold.reasoning, out);
            out.push(b'"');
        }
        if self.calls_are_functions {
            if let Some(call) = fold.tool_calls.first() {
                out.extend_from_slice(b",\"function_call\":");
                push_function(call, out);
            }
        } else if !fold.tool_calls.is_empty() {
            out.extend_from_slice(b",\"tool_calls\":[");
            push_list(fold.tool_calls.iter(), out, push_call);
            out.push(b']');
        }
        out.push(b'}');
    }

    fn push_reasoning_start(&self, index: usize, out: &mut Vec<u8>) {
        self.parts.push_choice(index, out);
        out.extend_from_slice(b",\"delta\":{\"");
        out.extend_from_slice(&self.reasoning_field);
        out.extend_from_slice(b"\":\"");
    }

    /// An event of a call as a function, up to its text; and what stands behind that.
    fn push_function_start(
        &self,
        index: usize,
        kind: Kind<'_>,
        out: &mut Vec<u8>,
    ) -> &'static [u8] {
        self.parts.push_choice(index, out);
        out.extend_from_slice(b",\"delta\":{\"function_call\":{\"");
        if matches!(kind, Kind::ToolCall { .. }) {
            out.extend_from_slice(b"name\":\"");
            b"\",\"arguments\":\"\"}}"
        } else {
            out.extend_from_slice(b"arguments\":\"");
            b"\"}}"
        }
    }

    /// An event up to and with the index of one of its choice's calls.
    fn push_call_start(&self, index: usize, call: u32, out: &mut Vec<u8>) {
        self.parts.push_choice(index, out);
        out.extend_from_slice(b",\"delta\":{\"tool_calls\":[{\"index\":");
        push_number(call as usize, out);
    }
}

fn push_text_start(parts: &Parts, index: usize, out: &mut Vec<u8>) {
    parts.push_choice(index, out);
    out.extend_from_slice(b",\"delta\":{\"content\":\"");
}

/// From a call's id to its tool's name, with its quote open.
fn push_call_id(id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"id\":\"");
    push_escaped(id, out);
    out.extend_from_slice(b"\",\"type\":\"function\",\"function\":{\"name\":\"");
}

fn push_call(call: &FoldedCall, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    push_escaped(&call.id, out);
    out.extend_from_slice(b"\",\"type\":\"function\",\"function\":");
    push_function(call, out);
    out.push(b'}');
}

fn push_function(call: &FoldedCall, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":\"");
    push_escaped(&call.name, out);
    out.extend_from_slice(b"\",\"arguments\":\"");
    push_escaped(&call.arguments, out);
    out.extend_from_slice(b"\"}");
}
