//! What a response is, before its first token.

use crate::dialect::{Dialect, Identity};
use crate::output_options::OutputOptions;

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
    /// Of all prompts together.
    pub num_choices: u32,
    /// Of each prompt.
    pub choices_per_prompt: u32,
    /// Whether a usage event ends the stream; plain answers always have it.
    pub include_usage: bool,
    /// Stop strings; empty ones are ignored.
    pub stop: Vec<String>,
    /// Stop tokens beside the model's own.
    pub stop_token_ids: Vec<u32>,
    /// Of all prompts together.
    pub prompt_tokens: u32,
    /// The prompts themselves, where the answer tells of them; else empty.
    pub prompts: Vec<ShownPrompt>,
    /// Whether each prompt stands before its answers.
    pub echoes_prompts: bool,
    /// Per choice, for the metrics.
    pub max_tokens: u32,
    /// A stream that was silent for so many seconds gets a comment; none: never.
    pub keep_alive_s: Option<f64>,
    /// For the body of an error.
    pub request_id: String,
    /// When the request came, in seconds of the clock that `Step::now` is read from.
    pub arrival: f64,
    /// How the answer is to look.
    pub output: OutputOptions,
}

/// A prompt that the answer tells of.
#[derive(Clone, Debug)]
pub struct ShownPrompt {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// As the client wrote it; none: what its tokens say.
    pub text: Option<String>,
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
            output: &self.output,
        }
    }

    /// The prompt that a choice continues, where the answer tells of it.
    #[must_use]
    pub fn prompt_of(&self, choice: usize) -> Option<&ShownPrompt> {
        self.prompts.get(self.prompt_index(choice))
    }

    /// Which prompt a choice continues.
    #[must_use]
    pub fn prompt_index(&self, choice: usize) -> usize {
        choice / self.num_choices_of_prompt()
    }

    /// Choices of each prompt, at least one.
    #[must_use]
    pub fn num_choices_of_prompt(&self) -> usize {
        self.choices_per_prompt.max(1) as usize
    }
}
