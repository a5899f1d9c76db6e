//! What an engine step brings to every stream in it.

use crate::finish_reason::FinishReason;
use crate::metrics::{Histogram, ModelMetrics};
use crate::vocabulary::Vocabulary;

use super::columns::{LogprobRows, TokenLogprobs};

/// A row of an engine step: what it brings to one choice.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Token ids `[N]`; a negative one is none.
    pub ids: &'a [i32],
    /// Why the engine ended the choice after them, if it did.
    pub end: Option<FinishReason>,
    /// Log probabilities of all ids of the step, where some row of it asked for them.
    pub logprobs: Option<&'a LogprobRows<'a>>,
    /// The place of the row's first id among them.
    pub first: usize,
}

impl<'a> Row<'a> {
    /// Log probabilities of the id at `place` in the row.
    pub(super) fn logprobs_at(&self, place: usize) -> Option<TokenLogprobs<'a>> {
        self.logprobs?.get(self.first + place)
    }
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
    /// The time since a row's last tokens, and how many rows' tokens have it: most rows of a step have the same.
    gap_s: f64,
    num_gaps: u32,
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
            gap_s: 0.0,
            num_gaps: 0,
            text: String::new(),
        }
    }

    /// Counts tokens that nobody will get.
    pub fn waste(&mut self, num_tokens: usize) {
        self.num_tokens += num_tokens as u64;
        self.num_wasted += num_tokens as u64;
    }

    /// Observes the time between a row's tokens, `times` of which came at once.
    pub(super) fn observe_gap(&mut self, gap_s: f64, times: u32) {
        if gap_s.to_bits() != self.gap_s.to_bits() {
            self.tell_gaps();
            self.gap_s = gap_s;
        }
        self.num_gaps += times;
    }

    fn tell_gaps(&mut self) {
        let times = std::mem::take(&mut self.num_gaps);
        if times > 0 {
            self.metrics
                .observe_many(Histogram::InterTokenLatency, self.gap_s, times);
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.tell_gaps();
    }
}

/// How many of a row's ids are tokens.
#[must_use]
pub fn count_ids(ids: &[i32]) -> usize {
    ids.iter().filter(|id| **id >= 0).count()
}
