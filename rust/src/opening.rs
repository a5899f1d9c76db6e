//! What a response is, before its first token.

use crate::dialect::{Dialect, Identity};

/// What a stream is opened with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The API that it speaks.
    pub dialect: Dialect,
    /// `id` of every event.
    pub response_id: String,
    /// `model` of every event.
    pub model: String,
    /// Unix seconds.
    pub created: u64,
    /// Frames as the tokens come, else one body at the end.
    pub is_streamed: bool,
    /// Prompts times `n`.
    pub num_choices: u32,
    /// Whether a usage event ends the stream; plain answers always have it.
    pub include_usage: bool,
    /// Stop strings; empty ones are ignored.
    pub stop: Vec<String>,
    /// Of all prompts together.
    pub prompt_tokens: u32,
    /// Per choice, for the metrics.
    pub max_tokens: u32,
    /// A stream that was silent for so many seconds gets a comment; none: never.
    pub keep_alive_s: Option<f64>,
    /// JSON that only the dialect reads.
    pub dialect_options: Option<String>,
    /// For the body of an error.
    pub request_id: String,
    /// When the request came, in seconds of the clock that `Step::now` is read from.
    pub arrival: f64,
}

impl Opening {
    /// What its events have in common.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            response_id: &self.response_id,
            model: &self.model,
            created: self.created,
            include_usage: self.include_usage,
            reasoning_field: "reasoning_content",
            prompt_tokens: u64::from(self.prompt_tokens),
            dialect_options: self.dialect_options.as_deref(),
        }
    }
}
