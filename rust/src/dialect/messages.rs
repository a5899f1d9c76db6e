//! Anthropic's Messages API: `message_start` to `message_stop`, or one `message`.
//!
//! Source: Anthropic's API reference, "Messages" and "Streaming messages"; the shapes are those that its Python client
//! reads. Events have names, which the client needs, and a stream has no end mark beside `message_stop`.

mod blocks;

use super::escape::push_escaped;
use super::named_event::{begin, end};
use super::runs::Runs;
use super::{Details, Ending, EventWriter, Failure, Identity, Outcome, StopMatch, Usage};
use crate::delta::Delta;
use crate::error_shape::ErrorShape;
use crate::finish_reason::FinishReason;
use crate::sse;
use blocks::Blocks;

const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

#[derive(Debug)]
pub(super) struct MessagesWriter {
    /// From the brace to the content: `{"id":…,"model":…,"content":[`.
    head: Vec<u8>,
    runs: Runs,
    blocks: Blocks,
    /// Members that stand beside the usage at the end.
    told: String,
    /// Why it ended, and the stop string that it met.
    end: Option<(FinishReason, Option<String>)>,
}

impl MessagesWriter {
    pub(super) fn new(of: &Identity<'_>) -> Self {
        let mut head = b"{\"id\":\"".to_vec();
        push_escaped(of.response_id, &mut head);
        head.extend_from_slice(b"\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"");
        push_escaped(of.model, &mut head);
        head.extend_from_slice(b"\",\"content\":[");
        Self {
            head,
            runs: Runs::default(),
            blocks: Blocks::new(of.response_id),
            told: String::new(),
            end: None,
        }
    }

    fn finish(&mut self, reason: FinishReason, stop: Option<&StopMatch>, out: &mut Vec<u8>) {
        let is_whole = reason != FinishReason::Length;
        self.runs.finish(is_whole, &mut self.blocks, out);
        let sequence = match stop {
            Some(StopMatch::String(sequence)) => Some(sequence.clone()),
            _ => None,
        };
        self.end = Some((reason, sequence));
    }

    /// `"stop_reason":…,"stop_sequence":…`.
    fn push_stop(&self, out: &mut Vec<u8>) {
        let sequence = self.end.as_ref().and_then(|end| end.1.as_deref());
        let reason = self.end.as_ref().map(|end| match end.0 {
            FinishReason::ToolCalls => "tool_use",
            FinishReason::Length => "max_tokens",
            _ if sequence.is_some() => "stop_sequence",
            _ => "end_turn",
        });
        out.extend_from_slice(b"\"stop_reason\":");
        push_string_or_null(reason, out);
        out.extend_from_slice(b",\"stop_sequence\":");
        push_string_or_null(sequence, out);
    }
}

impl EventWriter for MessagesWriter {
    fn push_begin(&mut self, _: usize, usage: &Usage, out: &mut Vec<u8>) {
        begin("message_start", out);
        out.extend_from_slice(b",\"message\":");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"],");
        self.push_stop(out);
        push_usage(*usage, out);
        out.push(b'}');
        end(out);
    }

    fn push_delta(&mut self, _: usize, delta: &Delta<'_>, _: &Details<'_>, out: &mut Vec<u8>) {
        self.runs.push(delta, b"", &mut self.blocks, out);
    }

    fn push_finish(&mut self, _: usize, ending: &Ending<'_>, _: &Details<'_>, out: &mut Vec<u8>) {
        self.finish(ending.reason, ending.stop, out);
    }

    fn tell(&mut self, members: String) {
        self.told = members;
    }

    fn push_end(&mut self, usage: Usage, out: &mut Vec<u8>) {
        begin("message_delta", out);
        out.extend_from_slice(b",\"delta\":{");
        self.push_stop(out);
        out.push(b'}');
        push_usage(usage, out);
        out.extend_from_slice(self.told.as_bytes());
        end(out);
        begin("message_stop", out);
        end(out);
    }

    /// The stream's own road, unseen: so the two cannot differ.
    fn push_body(
        &mut self,
        choices: &mut dyn Iterator<Item = Outcome<'_>>,
        usage: Usage,
        out: &mut Vec<u8>,
    ) {
        let mut unseen = Vec::new();
        for outcome in choices {
            for delta in outcome.fold.deltas() {
                self.runs.push(&delta, b"", &mut self.blocks, &mut unseen);
                unseen.clear();
            }
            self.finish(outcome.reason, outcome.stop, &mut unseen);
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(self.blocks.content());
        out.extend_from_slice(b"],");
        self.push_stop(out);
        push_usage(usage, out);
        out.extend_from_slice(self.told.as_bytes());
        out.push(b'}');
    }

    fn push_error(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\ndata: ");
        self.push_error_body(failure, out);
        out.extend_from_slice(sse::END);
    }

    fn push_error_body(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        let Failure { kind, message, .. } = *failure;
        let request_id = Some(failure.request_id);
        out.extend(ErrorShape::Anthropic.body(kind, message, None, request_id, failure.timestamp));
    }

    fn ping(&self) -> &'static [u8] {
        PING
    }
}

/// `,"usage":{…}`. Anthropic counts apart what a cache had.
fn push_usage(usage: Usage, out: &mut Vec<u8>) {
    let input_tokens = usage.prompt_tokens.saturating_sub(usage.cached_tokens);
    let json = format!(
        ",\"usage\":{{\"input_tokens\":{input_tokens},\"cache_creation_input_tokens\":0,\
         \"cache_read_input_tokens\":{},\"output_tokens\":{}}}",
        usage.cached_tokens, usage.completion_tokens
    );
    out.extend_from_slice(json.as_bytes());
}

fn push_string_or_null(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => {
            out.push(b'"');
            push_escaped(text, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests;
