//! What an engine step brings to every stream in it.

use crate::finish_reason::FinishReason;
use crate::metrics::ModelMetrics;
use crate::vocabulary::Vocabulary;

use super::columns::LogprobRows;

/// A row of an engine step: what it brings to one choice.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Token ids `[N]`; a negative one is none.
    pub ids: &'a [i32],
    /// Why the engine ended the choice after them, if it did.
    pub end: Option<FinishReason>,
    /// The ids' log probabilities, `[N]`, where some row of the step asked for them.
    pub logprobs: Option<LogprobRows<'a>>,
}

/// One engine step, as every stream in it sees it.
#[derive(Debug)]
pub struct Step<'a> {
    /// How ids become text.
    pub vocabulary: &'a Vocabulary,
    /// What counts.
    pub metrics: &'a ModelMetrics,
    /// Seconds of a monotonic clock.
    pub now: f64,
    /// Tokens that the engine gave, wasted ones included.
    pub num_tokens: u64,
    /// Prompt tokens of the requests that got their first token in this step.
    pub num_prompt_tokens: u64,
    /// Tokens that came after their choice's end.
    pub num_wasted: u64,
    /// Room for a token's text, for all streams of the step in turn.
    pub(super) text: String,
}

impl<'a> Step<'a> {
    /// A step that begins.
    #[must_use]
    pub fn new(vocabulary: &'a Vocabulary, metrics: &'a ModelMetrics, now: f64) -> Self {
        Self {
            vocabulary,
            metrics,
            now,
            num_tokens: 0,
            num_prompt_tokens: 0,
            num_wasted: 0,
            text: String::new(),
        }
    }

    /// Counts tokens that nobody will get.
    pub fn waste(&mut self, num_tokens: usize) {
        self.num_tokens += num_tokens as u64;
        self.num_wasted += num_tokens as u64;
    }
}

/// How many of a row's ids are tokens.
#[must_use]
pub fn count_ids(ids: &[i32]) -> usize {
    ids.iter().filter(|id| **id >= 0).count()
}
