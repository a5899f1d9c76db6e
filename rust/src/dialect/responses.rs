//! The Responses API: `response.…` events, or one `response`.
//!
//! Source: `OpenAI`'s API reference, "Responses" and its streaming events; the shapes are those that openai-python's
//! types read. A stream has no end mark: its last event says how the response ended.

mod events;
mod item;
mod items;
mod object;

use super::logprobs::push_tokens;
use super::runs::Runs;
use super::{Details, Ending, EventWriter, Failure, Identity, Outcome, Usage};
use crate::delta::Delta;
use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;
use events::Events;
use items::Items;
use object::{Object, Options, State};

#[derive(Debug)]
pub(super) struct ResponsesWriter {
    object: Object,
    events: Events,
    runs: Runs,
    items: Items,
    has_begun: bool,
    reason: FinishReason,
    tells_logprobs: bool,
    /// Whether the final response is to be kept, and then what it is.
    keeps: bool,
    kept: Option<Vec<u8>>,
}

impl ResponsesWriter {
    pub(super) fn new(of: &Identity<'_>) -> Self {
        let options = Options::read(of.output.dialect_options.as_deref());
        Self {
            object: Object::new(of, options.response),
            events: Events::default(),
            runs: Runs::default(),
            items: Items::new(of.response_id, options.reasoning_as_summary),
            has_begun: false,
            reason: FinishReason::Stop,
            tells_logprobs: of.output.logprobs.is_some(),
            keeps: options.keeps,
            kept: None,
        }
    }

    fn push(&mut self, delta: &Delta<'_>, details: &Details<'_>, out: &mut Vec<u8>) {
        let mut logprobs = Vec::new();
        if let Some(table) = details.tokens.filter(|_| self.tells_logprobs) {
            push_tokens(table.rows(delta.tokens.clone()), details, &mut logprobs);
        }
        let Self {
            items,
            events,
            runs,
            ..
        } = self;
        runs.push(delta, &logprobs, &mut items.with(events), out);
    }

    fn finish(&mut self, reason: FinishReason, out: &mut Vec<u8>) {
        self.reason = reason;
        let is_whole = matches!(reason, FinishReason::Stop | FinishReason::ToolCalls);
        let Self {
            items,
            events,
            runs,
            ..
        } = self;
        runs.finish(is_whole, &mut items.with(events), out);
    }

    /// The first two events, once.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        for event in ["response.created", "response.in_progress"] {
            self.events.begin(event, out);
            out.extend_from_slice(b",\"response\":");
            self.object.push(&State::IN_PROGRESS, b"", None, out);
            Events::end(out);
        }
    }

    /// The whole response, once its choice has ended.
    fn final_response(&mut self, usage: Usage) -> Vec<u8> {
        let mut response = Vec::new();
        let state = State::of(self.reason);
        let output = self.items.output();
        self.object.push(&state, output, Some(usage), &mut response);
        self.kept = self.keeps.then(|| response.clone());
        response
    }
}

impl EventWriter for ResponsesWriter {
    fn push_begin(&mut self, _: usize, _: &Usage, out: &mut Vec<u8>) {
        self.begin(out);
    }

    fn push_delta(
        &mut self,
        _: usize,
        delta: &Delta<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    ) {
        self.push(delta, details, out);
    }

    fn push_finish(&mut self, _: usize, ending: &Ending<'_>, _: &Details<'_>, out: &mut Vec<u8>) {
        self.finish(ending.reason, out);
    }

    fn tell(&mut self, members: String) {
        self.object.told = members;
    }

    fn push_end(&mut self, usage: Usage, out: &mut Vec<u8>) {
        let response = self.final_response(usage);
        self.events.begin(State::of(self.reason).event, out);
        out.extend_from_slice(b",\"response\":");
        out.extend_from_slice(&response);
        Events::end(out);
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
                self.push(&delta, &outcome.details, &mut unseen);
                unseen.clear();
            }
            self.finish(outcome.reason, &mut unseen);
        }
        out.extend(self.final_response(usage));
    }

    fn push_error(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        let code = match failure.kind {
            ErrorKind::RateLimitExceeded => "rate_limit_exceeded",
            kind if kind.status() < 500 => "invalid_prompt",
            _ => "server_error",
        };
        self.events.begin(State::FAILED.event, out);
        out.extend_from_slice(b",\"response\":");
        let state = State::failed(code, failure.message);
        self.object.push(&state, self.items.output(), None, out);
        Events::end(out);
    }

    fn take_record(&mut self) -> Option<Vec<u8>> {
        self.kept.take()
    }
}

#[cfg(test)]
mod tests;
