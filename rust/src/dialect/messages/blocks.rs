//! The content blocks of a message, as they open, grow and close.

use super::super::json::push_text;
use super::super::runs::{Part, PartWriter};
use super::{begin, end};

/// The content blocks of a message.
#[derive(Debug)]
pub(super) struct Blocks {
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
    pub(super) fn new(response_id: &str) -> Self {
        Self {
            signature: response_id.to_owned(),
            block: None,
            content: Vec::new(),
            num_closed: 0,
        }
    }

    /// Those that are closed, with commas between them.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
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
pub(super) fn object_of(arguments: &str) -> String {
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
