//! What `OpenAI`'s two completion APIs have in common, prepared once per stream.

use super::escape::push_escaped;
use super::{Identity, Usage};
use crate::finish_reason::FinishReason;
use crate::sse;

/// No log probabilities are computed yet, and no event tells a reason but a choice's last.
pub(super) const UNFINISHED: &[u8] = b",\"logprobs\":null,\"finish_reason\":null}";

/// The parts that every event of a response is made of.
#[derive(Debug)]
pub(super) struct Parts {
    /// From the brace to the model's name, with `object` left open: `{"id":…,"object":"`, `","created":…,"model":…`.
    identity: [Vec<u8>; 2],
    /// A frame up to `"choices":[`.
    head: Vec<u8>,
    /// From the choices' closing bracket to the frame's end.
    pub(super) tail: &'static [u8],
    include_usage: bool,
}

impl Parts {
    /// `event_object`: what the events of a stream call themselves.
    pub(super) fn new(of: &Identity<'_>, event_object: &str) -> Self {
        let mut parts = Self {
            identity: identity(of),
            head: Vec::new(),
            tail: if of.include_usage {
                b"],\"usage\":null}\n\n"
            } else {
                b"]}\n\n"
            },
            include_usage: of.include_usage,
        };
        let mut head = sse::DATA.to_vec();
        parts.push_start(event_object, &mut head);
        parts.head = head;
        parts
    }

    /// An event up to and with a choice's index.
    pub(super) fn push_choice(&self, index: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":");
        push_number(index, out);
    }

    /// The usage event, if it was asked for, and the end mark.
    pub(super) fn push_end(&self, usage: Usage, out: &mut Vec<u8>) {
        if self.include_usage {
            out.extend_from_slice(&self.head);
            push_usage(usage, out);
            out.extend_from_slice(sse::END);
        }
        out.extend_from_slice(sse::DONE);
    }

    /// A body: `push_choice` writes what of a choice stands behind its index.
    pub(super) fn push_body<T>(
        &self,
        object: &str,
        choices: impl Iterator<Item = T>,
        push_choice: impl Fn(T, &mut Vec<u8>),
        usage: Usage,
        out: &mut Vec<u8>,
    ) {
        self.push_start(object, out);
        for (index, choice) in choices.enumerate() {
            let start: &[u8] = if index == 0 {
                b"{\"index\":"
            } else {
                b",{\"index\":"
            };
            out.extend_from_slice(start);
            push_number(index, out);
            push_choice(choice, out);
        }
        push_usage(usage, out);
    }

    fn push_start(&self, object: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.identity[0]);
        out.extend_from_slice(object.as_bytes());
        out.extend_from_slice(&self.identity[1]);
        out.extend_from_slice(b",\"choices\":[");
    }
}

/// The end of a choice.
pub(super) fn push_finish_reason(reason: FinishReason, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":\"");
    out.extend_from_slice(reason.name().as_bytes());
    out.extend_from_slice(b"\"}");
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

/// From the choices' closing bracket to the last brace.
fn push_usage(usage: Usage, out: &mut Vec<u8>) {
    let Usage {
        prompt_tokens,
        cached_tokens,
        completion_tokens,
        reasoning_tokens,
    } = usage;
    let total_tokens = prompt_tokens + completion_tokens;
    let json = format!(
        "],\"usage\":{{\"prompt_tokens\":{prompt_tokens},\"completion_tokens\":{completion_tokens},\
         \"total_tokens\":{total_tokens},\"prompt_tokens_details\":{{\"cached_tokens\":{cached_tokens}}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning_tokens}}}}}}}"
    );
    out.extend_from_slice(json.as_bytes());
}

pub(super) fn push_number(number: usize, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => out.push(b'0' + digit),
        _ => out.extend_from_slice(number.to_string().as_bytes()),
    }
}
