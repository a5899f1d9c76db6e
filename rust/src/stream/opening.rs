//! What a response is, before its first token.

/// What a stream is opened with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// `id` of every event.
    pub response_id: String,
    /// `model` of every event.
    pub model: String,
    /// Unix seconds.
    pub created: u64,
    /// Chat events, else text completions.
    pub is_chat: bool,
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
    /// For the body of an error.
    pub request_id: String,
    /// When the request came, in seconds of the clock that `Step::now` is read from.
    pub arrival: f64,
}
