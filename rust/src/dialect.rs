//! The APIs that a stream can speak. A dialect alone knows its events' names, their order and their bodies.
//!
//! A new API is a file with an [`EventWriter`] and a row of the table. Knows no stage and no clock.

mod chat;
mod choice_end;
mod completions;
mod deltas;
mod escape;
mod json;
mod logprobs;
mod messages;
mod named_event;
mod openai;
mod responses;
mod runs;
#[cfg(test)]
mod testing;

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Range;

pub use deltas::{Record, records};
pub use escape::push_escaped;

use crate::delta::{Delta, Fold};
use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;
use crate::output_options::OutputOptions;
use crate::sse;
use crate::token_table::TokenTable;
use crate::vocabulary::Vocabulary;

/// The API that a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `chat.completion` and its chunks.
    Chat,
    /// `text_completion`.
    Completions,
    /// `response` and its events.
    Responses,
    /// Anthropic's `message` and its events.
    Messages,
    /// No wire: records for a caller in this process.
    Deltas,
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
    /// Whether a usage event ends a stream.
    pub include_usage: bool,
    /// How the answer is to look.
    pub output: &'a OutputOptions,
}

/// What a response cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of all its prompts.
    pub prompt_tokens: u64,
    /// Those of them that a cache had.
    pub cached_tokens: u64,
    /// Of all its choices.
    pub completion_tokens: u64,
    /// Those of them that came with the model's thoughts.
    pub reasoning_tokens: u64,
}

/// What is known beside a delta or an end, for dialects that tell it.
#[derive(Clone, Copy, Debug)]
pub struct Details<'a> {
    /// Rows of the choice's tokens; none where the request asked for none.
    pub tokens: Option<&'a TokenTable>,
    /// How their ids are spelled.
    pub vocabulary: &'a Vocabulary,
    /// What the response has cost so far, of this choice alone.
    pub usage: &'a Usage,
}

impl<'a> Details<'a> {
    /// The bytes of a token.
    #[must_use]
    pub fn bytes(&self, id: u32) -> Cow<'a, [u8]> {
        let spelling = self.tokens.and_then(|table| table.spelling(id));
        spelling.map_or_else(|| self.vocabulary.bytes(id), Cow::Borrowed)
    }
}

/// A prompt that the answer tells of.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    /// Its tokens.
    pub ids: &'a [u32],
    /// Where it stands before the answer: its text.
    pub text: Option<&'a str>,
    /// And rows of its tokens, where the request asked for any.
    pub tokens: Option<&'a TokenTable>,
    /// Rows of its tokens for a field of their own.
    pub own_tokens: Option<&'a TokenTable>,
}

/// Which of the request's own stops ended a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopMatch {
    /// A stop string.
    String(String),
    /// A stop token.
    Id(u32),
}

/// How a choice ended.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// Why.
    pub reason: FinishReason,
    /// The tokens that came after its last delta's.
    pub tokens: Range<u32>,
    /// Whether these belong to its text: no other kind came last.
    pub is_text: bool,
    /// Which of the request's own stops it met.
    pub stop: Option<&'a StopMatch>,
}

/// One choice of a plain answer.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// Its prompt, where the answer tells of it.
    pub prompt: Option<Prompt<'a>>,
    /// All its deltas.
    pub fold: &'a Fold,
    /// Its tokens, shown or not.
    pub num_tokens: u32,
    /// Those of its tokens that came out as text, in order; none where `details` has no rows.
    pub text_tokens: &'a [Range<u32>],
    /// Rows of all its tokens, and how they are spelled.
    pub details: Details<'a>,
    /// Why it ended.
    pub reason: FinishReason,
    /// Which of the request's own stops it met.
    pub stop: Option<&'a StopMatch>,
}

/// An error that ended a stream.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The row of the error table.
    pub kind: ErrorKind,
    /// What happened, for the client.
    pub message: &'a str,
    /// The field that is at fault.
    pub param: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
    /// Unix seconds.
    pub timestamp: f64,
}

/// Writes one stream in a dialect: its events, or the one body of its plain twin.
///
/// The calls of a stream, per choice: `push_begin`, `push_prompt`, `push_delta` for every delta, `push_finish`; after the last
/// choice maybe `tell`, then `push_end`. Or at any time `push_error`, and nothing after it. Of a plain answer: maybe
/// `tell`, then `push_body` or `push_error_body`, once.
pub trait EventWriter: Debug + Send {
    /// A choice begins. `usage`: what is known of it, without tokens.
    fn push_begin(&mut self, index: usize, usage: &Usage, out: &mut Vec<u8>);

    /// The prompt of a choice that has begun, where the answer tells of it. Here: nothing.
    fn push_prompt(
        &mut self,
        _index: usize,
        _prompt: &Prompt<'_>,
        _details: &Details<'_>,
        _out: &mut Vec<u8>,
    ) {
    }

    /// A piece of a choice.
    fn push_delta(
        &mut self,
        index: usize,
        delta: &Delta<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    );

    /// A choice has ended.
    fn push_finish(
        &mut self,
        index: usize,
        ending: &Ending<'_>,
        details: &Details<'_>,
        out: &mut Vec<u8>,
    );

    /// Says what stands beside the usage at the end: members of an object, each with a comma before it. Here: nothing.
    fn tell(&mut self, _members: String) {}

    /// All choices have ended.
    fn push_end(&mut self, usage: Usage, out: &mut Vec<u8>);

    /// The plain answer.
    fn push_body(
        &mut self,
        choices: &mut dyn Iterator<Item = Outcome<'_>>,
        usage: Usage,
        out: &mut Vec<u8>,
    );

    /// The stream has failed. Here: `OpenAI`'s frame and `[DONE]`.
    fn push_error(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&failure.kind.frame(failure.message, failure.param));
        out.extend_from_slice(sse::DONE);
    }

    /// The body of a plain answer that has failed. Here: `OpenAI`'s.
    fn push_error_body(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        let (request_id, timestamp) = (Some(failure.request_id), failure.timestamp);
        out.extend(
            failure
                .kind
                .body(failure.message, failure.param, request_id, timestamp),
        );
    }

    /// The answer that was written, where the request asked to have it kept: once, at its end.
    fn take_record(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// What keeps a silent stream alive; empty where nothing does.
    fn ping(&self) -> &'static [u8] {
        sse::PING
    }
}

impl Dialect {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Messages,
        Self::Deltas,
    ];

    /// As it is named in an opening.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Deltas => "deltas",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|dialect| dialect.name() == name)
    }

    /// Whether it tells reasoning and tool calls apart from text.
    #[must_use]
    pub const fn is_structured(self) -> bool {
        !matches!(self, Self::Completions)
    }

    /// Prepares the writer of one stream.
    #[must_use]
    pub fn writer(self, of: &Identity<'_>) -> Box<dyn EventWriter> {
        match self {
            Self::Chat => Box::new(chat::ChatWriter::new(of)),
            Self::Completions => Box::new(completions::CompletionsWriter::new(of)),
            Self::Responses => Box::new(responses::ResponsesWriter::new(of)),
            Self::Messages => Box::new(messages::MessagesWriter::new(of)),
            Self::Deltas => Box::new(deltas::DeltasWriter),
        }
    }
}
