//! What `OpenAI`'s two completion APIs have in common, prepared once per stream.

use std::ops::Range;

use super::choice_end::{ChoiceEnd, LogprobStyle, Rest};
use super::escape::push_escaped;
use super::json::{push_number, push_string};
use super::logprobs::push_list;
use super::{Details, Ending, Identity, Outcome, Prompt, Usage};
use crate::sse;

/// The end of a choice in most events: no log probabilities were asked for, and only its last event tells a reason.
const UNFINISHED: &[u8] = b",\"logprobs\":null,\"finish_reason\":null}";

/// Which events tell usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsageEvents {
    None,
    Last,
    All,
}

/// The parts that every event of a response is made of.
#[derive(Debug)]
pub(super) struct Parts {
    /// From the brace to the last field before the choices, with `object` left open: `{"id":…,"object":"`,
    /// `","created":…,"model":…`.
    identity: [Vec<u8>; 2],
    /// A frame up to `"choices":[`.
    head: Vec<u8>,
    /// From the choices' closing bracket to the frame's end.
    tail: &'static [u8],
    /// From the end of a text to the frame's end, where no event tells tokens or usage of its own.
    unfinished: Option<Vec<u8>>,
    usage: UsageEvents,
    /// Members that stand beside the usage at the end.
    pub(super) told: String,
    pub(super) choice_end: ChoiceEnd,
}

impl Parts {
    /// `event_object`: what the events of a stream call themselves.
    pub(super) fn new(of: &Identity<'_>, event_object: &str, style: LogprobStyle) -> Self {
        let mut parts = Self {
            identity: identity(of),
            head: Vec::new(),
            tail: if of.include_usage {
                b"],\"usage\":null}\n\n"
            } else {
                b"]}\n\n"
            },
            usage: match of.include_usage {
                false => UsageEvents::None,
                true if of.output.has_continuous_usage => UsageEvents::All,
                true => UsageEvents::Last,
            },
            unfinished: None,
            told: String::new(),
            choice_end: ChoiceEnd::new(of, style),
        };
        if parts.usage != UsageEvents::All && !of.output.tells_tokens() {
            parts.unfinished = Some([UNFINISHED, parts.tail].concat());
        }
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

    /// The end of an event that has no tokens.
    pub(super) fn push_empty_end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(UNFINISHED);
        out.extend_from_slice(self.tail);
    }

    /// An event that tells a prompt's ids alone, where they were asked for.
    pub(super) fn push_prompt_event(&self, ids: &[u32], out: &mut Vec<u8>) {
        if self.choice_end.tells_token_ids {
            out.extend_from_slice(&self.head);
            out.push(b']');
            self.choice_end.push_prompt_ids(ids, out);
            out.push(b'}');
            out.extend_from_slice(sse::END);
        }
    }

    /// From the end of a text to the end of its event. `has_logprobs`: whether those of `tokens` are told with it.
    pub(super) fn push_unfinished(
        &self,
        tokens: Range<u32>,
        has_logprobs: bool,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        if let Some(unfinished) = &self.unfinished {
            return out.extend_from_slice(unfinished);
        }
        let ranges = std::slice::from_ref(&tokens);
        let rest = Rest {
            prompt: None,
            ranges: if has_logprobs { ranges } else { &[] },
            tokens: tokens.clone(),
            details,
            reason: None,
            stop: None,
        };
        self.choice_end.push(&rest, false, out);
        self.push_tail(details.usage, out);
    }

    /// The same of a choice's last event.
    pub(super) fn push_finished(
        &self,
        ending: &Ending<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        let ranges = std::slice::from_ref(&ending.tokens);
        let rest = Rest {
            prompt: None,
            ranges: if ending.is_text { ranges } else { &[] },
            tokens: ending.tokens.clone(),
            details,
            reason: Some(ending.reason),
            stop: ending.stop,
        };
        self.choice_end.push(&rest, false, out);
        self.push_tail(details.usage, out);
    }

    /// The same of the event that tells a prompt.
    pub(super) fn push_prompt_end(
        &self,
        prompt: &Prompt<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        let rest = Rest {
            prompt: Some(prompt),
            ranges: &[],
            tokens: 0..0,
            details,
            reason: None,
            stop: None,
        };
        self.choice_end.push(&rest, false, out);
        self.push_tail(details.usage, out);
    }

    /// From the end of a text to the end of its choice, in a body.
    pub(super) fn push_outcome_end(&self, outcome: &Outcome<'_>, out: &mut Vec<u8>) {
        let rest = Rest {
            prompt: outcome.prompt.as_ref(),
            ranges: outcome.text_tokens,
            tokens: 0..outcome.num_tokens,
            details: &outcome.details,
            reason: Some(outcome.reason),
            stop: outcome.stop,
        };
        self.choice_end.push(&rest, true, out);
    }

    /// The usage event, if it or what stands beside it was asked for, and the end mark.
    pub(super) fn push_end(&self, usage: Usage, out: &mut Vec<u8>) {
        if self.usage != UsageEvents::None || !self.told.is_empty() {
            out.extend_from_slice(&self.head);
            if self.usage == UsageEvents::None {
                out.push(b']');
            } else {
                push_usage(usage, out);
            }
            out.extend_from_slice(self.told.as_bytes());
            out.push(b'}');
            out.extend_from_slice(sse::END);
        }
        out.extend_from_slice(sse::DONE);
    }

    /// A body, left open: `push_choice` writes what of a choice stands behind its index.
    pub(super) fn push_body<T>(
        &self,
        object: &str,
        choices: impl Iterator<Item = T>,
        push_choice: impl Fn(T, &mut Vec<u8>),
        usage: Usage,
        out: &mut Vec<u8>,
    ) {
        self.push_start(object, out);
        push_list(choices.enumerate(), out, |(index, choice), out| {
            out.extend_from_slice(b"{\"index\":");
            push_number(index, out);
            push_choice(choice, out);
        });
        push_usage(usage, out);
        out.extend_from_slice(self.told.as_bytes());
    }

    /// From the choices' closing bracket to the frame's end.
    pub(super) fn push_tail(&self, usage: &Usage, out: &mut Vec<u8>) {
        if self.usage == UsageEvents::All {
            push_usage(*usage, out);
            out.push(b'}');
            out.extend_from_slice(sse::END);
        } else {
            out.extend_from_slice(self.tail);
        }
    }

    fn push_start(&self, object: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.identity[0]);
        out.extend_from_slice(object.as_bytes());
        out.extend_from_slice(&self.identity[1]);
        out.extend_from_slice(b",\"choices\":[");
    }
}

fn identity(of: &Identity<'_>) -> [Vec<u8>; 2] {
    let mut before = b"{\"id\":\"".to_vec();
    push_escaped(of.response_id, &mut before);
    before.extend_from_slice(b"\",\"object\":\"");
    let mut after = format!("\",\"created\":{},\"model\":", of.created).into_bytes();
    push_string(of.model, &mut after);
    if let Some(fingerprint) = &of.output.system_fingerprint {
        after.extend_from_slice(b",\"system_fingerprint\":");
        push_string(fingerprint, &mut after);
    }
    [before, after]
}

/// From the choices' closing bracket to the end of usage.
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
         \"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning_tokens}}}}}"
    );
    out.extend_from_slice(json.as_bytes());
}
