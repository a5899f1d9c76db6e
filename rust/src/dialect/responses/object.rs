//! The response object: what the request said, how it stands, what came out.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::escape::push_escaped;
use super::super::{Identity, Usage};
use crate::finish_reason::FinishReason;

/// What only this dialect is told of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Options<'a> {
    /// An object whose members every response object repeats.
    #[serde(borrow)]
    pub(super) response: Option<&'a RawValue>,
    /// Reasoning is told as a summary, not as text.
    pub(super) reasoning_as_summary: bool,
    /// The final response is handed over to be kept.
    pub(super) keeps: bool,
}

impl<'a> Options<'a> {
    /// Those of an opening; what is not theirs counts as none.
    pub(super) fn read(json: Option<&'a [u8]>) -> Self {
        json.and_then(|json| serde_json::from_slice(json).ok())
            .unwrap_or_default()
    }
}

/// How a response stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    status: &'static str,
    /// The event that ends a stream so.
    pub(super) event: &'static str,
    incomplete_reason: Option<&'static str>,
    /// Code and message.
    error: Option<(&'static str, &'a str)>,
}

impl<'a> State<'a> {
    pub(super) const IN_PROGRESS: Self = Self::plain("in_progress", "response.in_progress");
    pub(super) const FAILED: Self = Self::plain("failed", "response.failed");
    const COMPLETED: Self = Self::plain("completed", "response.completed");
    const INCOMPLETE: Self = Self::plain("incomplete", "response.incomplete");

    const fn plain(status: &'static str, event: &'static str) -> Self {
        Self {
            status,
            event,
            incomplete_reason: None,
            error: None,
        }
    }

    /// Of a choice that has ended.
    pub(super) fn of(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Length => Self {
                incomplete_reason: Some("max_output_tokens"),
                ..Self::INCOMPLETE
            },
            _ => Self::COMPLETED,
        }
    }

    pub(super) fn failed(code: &'static str, message: &'a str) -> Self {
        Self {
            error: Some((code, message)),
            ..Self::FAILED
        }
    }
}

/// What all response objects of a stream have in common.
#[derive(Debug)]
pub(super) struct Object {
    /// From the brace to what changes: `{"id":…,"model":…,…`.
    head: Vec<u8>,
    /// Members that stand beside the usage, once that is known.
    pub(super) told: String,
}

impl Object {
    pub(super) fn new(of: &Identity<'_>, repeated: Option<&RawValue>) -> Self {
        let mut head = b"{\"id\":\"".to_vec();
        push_escaped(of.response_id, &mut head);
        head.extend_from_slice(b"\",\"object\":\"response\",\"created_at\":");
        head.extend_from_slice(of.created.to_string().as_bytes());
        head.extend_from_slice(b",\"model\":\"");
        push_escaped(of.model, &mut head);
        head.push(b'"');
        let members = repeated.and_then(|object| {
            let inside = object.get().trim().strip_prefix('{')?.strip_suffix('}')?;
            Some(inside.trim()).filter(|inside| !inside.is_empty())
        });
        if let Some(members) = members {
            head.push(b',');
            head.extend_from_slice(members.as_bytes());
        }
        Self {
            head,
            told: String::new(),
        }
    }

    /// `output`: its items, with commas between them.
    pub(super) fn push(
        &self,
        state: &State<'_>,
        output: &[u8],
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"status\":\"");
        out.extend_from_slice(state.status.as_bytes());
        push_error(state.error, out);
        match state.incomplete_reason {
            Some(reason) => {
                out.extend_from_slice(b",\"incomplete_details\":{\"reason\":\"");
                out.extend_from_slice(reason.as_bytes());
                out.extend_from_slice(b"\"}");
            }
            None => out.extend_from_slice(b",\"incomplete_details\":null"),
        }
        out.extend_from_slice(b",\"output\":[");
        out.extend_from_slice(output);
        out.extend_from_slice(b"],\"usage\":");
        match usage {
            Some(usage) => {
                push_usage(usage, out);
                out.extend_from_slice(self.told.as_bytes());
            }
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}

fn push_error(error: Option<(&str, &str)>, out: &mut Vec<u8>) {
    let Some((code, message)) = error else {
        return out.extend_from_slice(b"\",\"error\":null");
    };
    out.extend_from_slice(b"\",\"error\":{\"code\":\"");
    out.extend_from_slice(code.as_bytes());
    out.extend_from_slice(b"\",\"message\":\"");
    push_escaped(message, out);
    out.extend_from_slice(b"\"}");
}

fn push_usage(usage: Usage, out: &mut Vec<u8>) {
    let Usage {
        prompt_tokens,
        cached_tokens,
        completion_tokens,
        reasoning_tokens,
    } = usage;
    let total_tokens = prompt_tokens + completion_tokens;
    let json = format!(
        "{{\"input_tokens\":{prompt_tokens},\"input_tokens_details\":{{\"cached_tokens\":{cached_tokens},\
         \"cache_write_tokens\":0}},\"output_tokens\":{completion_tokens},\
         \"output_tokens_details\":{{\"reasoning_tokens\":{reasoning_tokens}}},\"total_tokens\":{total_tokens}}}"
    );
    out.extend_from_slice(json.as_bytes());
}
