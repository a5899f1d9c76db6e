//! Anthropic's Messages API: `message_start` to `message_stop`, or one `message`.
//!
//! Source: Anthropic's API reference, "Messages" and "Streaming messages"; the shapes are those that its Python client
//! reads. Events have names, which the client needs, and a stream has no end mark beside `message_stop`.

use super::escape::push_escaped;
use super::runs::{Part, PartWriter, Runs};
use super::{Details, Ending, EventWriter, Failure, Identity, Outcome, Usage};
use crate::delta::Delta;
use crate::error_shape::ErrorShape;
use crate::finish_reason::FinishReason;
use crate::sse;

const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

#[derive(Debug)]
pub(super) struct MessagesWriter {
    /// From the brace to the content: `{"id":…,"model":…,"content":[`.
    head: Vec<u8>,
    prompt_tokens: u64,
    runs: Runs,
    blocks: Blocks,
    ending: Option<Ending>,
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
            prompt_tokens: of.prompt_tokens,
            runs: Runs::default(),
            blocks: Blocks::new(of.response_id),
            ending: None,
        }
    }

    fn finish(&mut self, ending: &Ending, out: &mut Vec<u8>) {
        let is_whole = ending.reason != FinishReason::Length;
        self.runs.finish(is_whole, &mut self.blocks, out);
        self.ending = Some(ending.clone());
    }

    /// `"stop_reason":…,"stop_sequence":…`.
    fn push_stop(&self, out: &mut Vec<u8>) {
        let reason = self.ending.as_ref().map(stop_reason);
        out.extend_from_slice(b"\"stop_reason\":");
        push_string_or_null(reason, out);
        out.extend_from_slice(b",\"stop_sequence\":");
        push_string_or_null(self.ending.as_ref().and_then(stop_sequence), out);
    }
}

impl EventWriter for MessagesWriter {
    fn push_begin(&mut self, _: usize, out: &mut Vec<u8>) {
        begin("message_start", out);
        out.extend_from_slice(b",\"message\":");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"],");
        self.push_stop(out);
        let usage = Usage {
            prompt_tokens: self.prompt_tokens,
            ..Usage::default()
        };
        push_usage(usage, out);
        out.push(b'}');
        end(out);
    }

    fn push_delta(&mut self, _: usize, delta: &Delta<'_>, _: &Details<'_>, out: &mut Vec<u8>) {
        self.runs.push(delta, b"", &mut self.blocks, out);
    }

    fn push_finish(&mut self, _: usize, ending: &Ending, _: &Details<'_>, out: &mut Vec<u8>) {
        self.finish(ending, out);
    }

    fn push_end(&mut self, usage: Usage, out: &mut Vec<u8>) {
        begin("message_delta", out);
        out.extend_from_slice(b",\"delta\":{");
        self.push_stop(out);
        out.push(b'}');
        push_usage(usage, out);
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
            self.finish(&outcome.ending(), &mut unseen);
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&self.blocks.content);
        out.extend_from_slice(b"],");
        self.push_stop(out);
        push_usage(usage, out);
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

/// The content blocks of a message.
#[derive(Debug)]
struct Blocks {
    /// What stands where Anthropic signs its thoughts: clients send a thought back only with some signature.
    signature: String,
    block: Option<Block>,
    /// Blocks that are closed, with commas between them.
    content: Vec<u8>,
    num_closed: usize,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking,
    ToolUse { id: String, name: String },
}

/// The block that grows.
#[derive(Debug)]
struct Block {
    kind: Kind,
    text: String,
}

impl Blocks {
    fn new(response_id: &str) -> Self {
        Self {
            signature: response_id.to_owned(),
            block: None,
            content: Vec::new(),
            num_closed: 0,
        }
    }

    /// An event of the block that grows, up to its own members.
    fn begin(&self, name: &str, out: &mut Vec<u8>) {
        begin(name, out);
        out.extend_from_slice(format!(",\"index\":{}", self.num_closed).as_bytes());
    }

    fn push_delta(&self, kind: &str, field: &str, text: &str, out: &mut Vec<u8>) {
        self.begin("content_block_delta", out);
        out.extend_from_slice(b",\"delta\":{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        push_text(field, text, out);
        out.push(b'}');
        end(out);
    }
}

impl PartWriter for Blocks {
    fn open(&mut self, part: Part<'_>, out: &mut Vec<u8>) {
        let kind = match part {
            Part::Text => Kind::Text,
            Part::Reasoning => Kind::Thinking,
            Part::ToolCall { id, name } => Kind::ToolUse {
                id: id.to_owned(),
                name: name.to_owned(),
            },
        };
        let text = String::new();
        let block = Block { kind, text };
        self.begin("content_block_start", out);
        out.extend_from_slice(b",\"content_block\":");
        block.push("", "", out);
        end(out);
        self.block = Some(block);
    }

    fn extend(&mut self, text: &str, _: &[u8], out: &mut Vec<u8>) {
        let Some(block) = self.block.as_mut() else {
            return;
        };
        block.text.push_str(text);
        let (kind, field) = match block.kind {
            Kind::Text => ("text_delta", "text"),
            Kind::Thinking => ("thinking_delta", "thinking"),
            Kind::ToolUse { .. } => ("input_json_delta", "partial_json"),
        };
        self.push_delta(kind, field, text, out);
    }

    fn close(&mut self, _: bool, out: &mut Vec<u8>) {
        let Some(block) = self.block.take() else {
            return;
        };
        if matches!(block.kind, Kind::Thinking) {
            self.push_delta("signature_delta", "signature", &self.signature, out);
        }
        self.begin("content_block_stop", out);
        end(out);
        if !self.content.is_empty() {
            self.content.push(b',');
        }
        block.push(&block.text, &self.signature, &mut self.content);
        self.num_closed += 1;
    }
}

impl Block {
    /// The block as an object, with `text` in it.
    fn push(&self, text: &str, signature: &str, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Text => {
                out.extend_from_slice(b"{\"type\":\"text\"");
                push_text("text", text, out);
            }
            Kind::Thinking => {
                out.extend_from_slice(b"{\"type\":\"thinking\"");
                push_text("thinking", text, out);
                push_text("signature", signature, out);
            }
            Kind::ToolUse { id, name } => {
                out.extend_from_slice(b"{\"type\":\"tool_use\"");
                push_text("id", id, out);
                push_text("name", name, out);
                out.extend_from_slice(b",\"input\":");
                out.extend_from_slice(object_of(text).as_bytes());
            }
        }
        out.push(b'}');
    }
}

/// A call's arguments as an object: those of one that was cut short, as far as they are whole.
fn object_of(arguments: &str) -> String {
    let is_object = |text: &str| {
        let value: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(text);
        value.is_ok()
    };
    if is_object(arguments) {
        return arguments.trim().to_owned();
    }
    whole_members(arguments)
        .filter(|text| is_object(text))
        .unwrap_or_else(|| "{}".to_owned())
}

/// An object that breaks off, ended behind its last whole member.
fn whole_members(text: &str) -> Option<String> {
    let (mut depth, mut in_string, mut is_escaped, mut end) = (0_u32, false, false, None);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => end = Some(at),
            _ => {}
        }
    }
    end.map(|end| format!("{}}}", &text[..end]))
}

fn stop_reason(ending: &Ending) -> &'static str {
    match ending.reason {
        FinishReason::ToolCalls => "tool_use",
        FinishReason::Length => "max_tokens",
        _ if stop_sequence(ending).is_some() => "stop_sequence",
        _ => "end_turn",
    }
}

fn stop_sequence(_: &Ending) -> Option<&str> {
    None
}

/// An event up to its own members, of which each is to begin with a comma.
fn begin(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(sse::EVENT);
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(sse::DATA);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
}

fn end(out: &mut Vec<u8>) {
    out.push(b'}');
    out.extend_from_slice(sse::END);
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

/// `,"name":"text"`.
fn push_text(name: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    push_escaped(text, out);
    out.push(b'"');
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
