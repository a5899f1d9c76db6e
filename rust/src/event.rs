//! The JSON of a stream's events and of its plain twin, from parts prepared once per stream.
//!
//! Shapes are those of `OpenAI`'s `chat.completion(.chunk)` and `text_completion` objects. Knows no tokens and decides
//! no order.

mod escape;

pub use escape::push_escaped;

use crate::sse;

/// Why a choice ended, as the client reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token or a stop string.
    Stop,
    /// `max_tokens` or the context.
    Length,
}

impl FinishReason {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Stop => b"stop",
            Self::Length => b"length",
        }
    }
}

/// What a response cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of all its prompts.
    pub prompt_tokens: u64,
    /// Of all its choices.
    pub completion_tokens: u64,
}

/// What all events of a response have in common.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// `chatcmpl-…` or `cmpl-…`.
    pub response_id: &'a str,
    /// The name that the model is served under.
    pub model: &'a str,
    /// Unix seconds.
    pub created: u64,
    /// Chat events, else text completions.
    pub is_chat: bool,
    /// Events say `"usage":null`, because a usage event will come.
    pub include_usage: bool,
}

/// Writes the frames of one stream, or the body of its plain twin.
#[derive(Debug)]
pub struct EventWriter {
    is_chat: bool,
    /// From the brace to the model's name, with `object` left open: `{"id":…,"object":"`, `","created":…,"model":…`.
    identity: [Vec<u8>; 2],
    /// A frame up to `"choices":[`.
    head: Vec<u8>,
    /// A text event of choice 0, up to its text: the one that is written most.
    first_text: Vec<u8>,
    /// From the choices' closing bracket to the frame's end.
    tail: &'static [u8],
}

impl EventWriter {
    /// Prepares the parts.
    #[must_use]
    pub fn new(of: &Identity<'_>) -> Self {
        let mut writer = Self {
            is_chat: of.is_chat,
            identity: identity(of),
            head: Vec::new(),
            first_text: Vec::new(),
            tail: if of.include_usage {
                b"],\"usage\":null}\n\n"
            } else {
                b"]}\n\n"
            },
        };
        let mut head = sse::DATA.to_vec();
        writer.push_head(
            if of.is_chat {
                b"chat.completion.chunk"
            } else {
                b"text_completion"
            },
            &mut head,
        );
        writer.head = head;
        writer.first_text = writer.text_start(0);
        writer
    }

    /// The event that begins a choice of a chat; text completions have none.
    pub fn push_role(&self, index: usize, out: &mut Vec<u8>) {
        if self.is_chat {
            self.push_choice(index, out);
            out.extend_from_slice(b",\"delta\":{\"role\":\"assistant\",\"content\":\"\"}");
            out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":null}");
            out.extend_from_slice(self.tail);
        }
    }

    /// An event with a piece of a choice's text.
    pub fn push_text(&self, index: usize, text: &str, out: &mut Vec<u8>) {
        if index == 0 {
            out.extend_from_slice(&self.first_text);
        } else {
            out.extend_from_slice(&self.text_start(index));
        }
        push_escaped(text, out);
        let end: &[u8] = if self.is_chat { b"\"}" } else { b"\"" };
        out.extend_from_slice(end);
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":null}");
        out.extend_from_slice(self.tail);
    }

    /// The event that ends a choice.
    pub fn push_finish(&self, index: usize, reason: FinishReason, out: &mut Vec<u8>) {
        self.push_choice(index, out);
        let nothing: &[u8] = if self.is_chat {
            b",\"delta\":{}"
        } else {
            b",\"text\":\"\""
        };
        out.extend_from_slice(nothing);
        push_finish_reason(reason, out);
        out.extend_from_slice(self.tail);
    }

    /// The event with the usage, after all choices.
    pub fn push_usage(&self, usage: Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"],\"usage\":");
        push_usage(usage, out);
        out.push(b'}');
        out.extend_from_slice(sse::END);
    }

    /// The plain answer: every choice's whole text, and the usage.
    pub fn push_body<'a>(
        &self,
        choices: impl IntoIterator<Item = (&'a str, FinishReason)>,
        usage: Usage,
        out: &mut Vec<u8>,
    ) {
        self.push_head(
            if self.is_chat {
                b"chat.completion"
            } else {
                b"text_completion"
            },
            out,
        );
        for (index, (text, reason)) in choices.into_iter().enumerate() {
            out.extend_from_slice(if index == 0 {
                b"{\"index\":"
            } else {
                b",{\"index\":"
            });
            push_number(index, out);
            self.push_message(text, out);
            push_finish_reason(reason, out);
        }
        out.extend_from_slice(b"],\"usage\":");
        push_usage(usage, out);
        out.push(b'}');
    }

    fn push_message(&self, text: &str, out: &mut Vec<u8>) {
        let start: &[u8] = if self.is_chat {
            b",\"message\":{\"role\":\"assistant\",\"content\":\""
        } else {
            b",\"text\":\""
        };
        out.extend_from_slice(start);
        push_escaped(text, out);
        let end: &[u8] = if self.is_chat {
            b"\",\"refusal\":null}"
        } else {
            b"\""
        };
        out.extend_from_slice(end);
    }

    fn push_head(&self, object: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.identity[0]);
        out.extend_from_slice(object);
        out.extend_from_slice(&self.identity[1]);
        out.extend_from_slice(b",\"choices\":[");
    }

    /// A frame up to and with a choice's index.
    fn push_choice(&self, index: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":");
        push_number(index, out);
    }

    fn text_start(&self, index: usize) -> Vec<u8> {
        let mut start = Vec::with_capacity(self.head.len() + 48);
        self.push_choice(index, &mut start);
        start.extend_from_slice(if self.is_chat {
            b",\"delta\":{\"content\":\""
        } else {
            b",\"text\":\""
        });
        start
    }
}

fn identity(of: &Identity<'_>) -> [Vec<u8>; 2] {
    let mut before = b"{\"id\":\"".to_vec();
    push_escaped(of.response_id, &mut before);
    before.extend_from_slice(b"\",\"object\":\"");
    let mut after = format!("\",\"created\":{},\"model\":\"", of.created).into_bytes();
    push_escaped(of.model, &mut after);
    after.push(b'"');
    [before, after]
}

fn push_finish_reason(reason: FinishReason, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":\"");
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\"}");
}

fn push_usage(usage: Usage, out: &mut Vec<u8>) {
    let Usage {
        prompt_tokens,
        completion_tokens,
    } = usage;
    let total_tokens = prompt_tokens + completion_tokens;
    let json = format!(
        "{{\"prompt_tokens\":{prompt_tokens},\"completion_tokens\":{completion_tokens},\
         \"total_tokens\":{total_tokens},\"prompt_tokens_details\":{{\"cached_tokens\":0}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":0}}}}"
    );
    out.extend_from_slice(json.as_bytes());
}

fn push_number(number: usize, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => out.push(b'0' + digit),
        _ => out.extend_from_slice(number.to_string().as_bytes()),
    }
}
