//! One choice of a response: its text so far and its times.

use crate::detokenize::Detokenizer;
use crate::event::FinishReason;
use crate::metrics::{FinishedReason, Histogram, Metrics, Timeline};
use crate::stop::{StopStrings, StopWatch};
use crate::vocabulary::Vocabulary;

use super::Step;
use super::frames::Frames;

#[derive(Debug)]
pub(super) struct Choice {
    index: usize,
    detokenizer: Detokenizer,
    watch: StopWatch,
    /// The whole text, of plain answers only.
    whole: String,
    pub(super) num_tokens: u32,
    pub(super) times: Timeline,
    has_begun: bool,
    outcome: Option<FinishReason>,
}

impl Choice {
    pub(super) fn new(
        index: usize,
        vocabulary: &Vocabulary,
        stops: &StopStrings,
        arrival: f64,
    ) -> Self {
        Self {
            index,
            detokenizer: Detokenizer::new(vocabulary),
            watch: StopWatch::new(stops),
            whole: String::new(),
            num_tokens: 0,
            times: Timeline {
                arrival,
                ..Timeline::default()
            },
            has_begun: false,
            outcome: None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// The whole text (of a plain answer) and why it ended.
    pub(super) fn outcome(&self) -> Option<(&str, FinishReason)> {
        self.outcome.map(|reason| (self.whole.as_str(), reason))
    }

    /// The role event, once.
    pub(super) fn begin(&mut self, frames: &mut Frames) {
        if !std::mem::replace(&mut self.has_begun, true) {
            frames.role(self.index);
        }
    }

    /// Times of `num_tokens` that came at once. The gap since the last ones is spread over them: their sum is the time
    /// that passed, and there is one observation per token, however many a dispatch gives.
    pub(super) fn observe_tokens(&mut self, num_tokens: usize, step: &Step<'_>) {
        let (Ok(times @ 1..), now) = (u32::try_from(num_tokens), step.now) else {
            return;
        };
        if let Some(last) = self.times.last_token {
            let gap_s = (now - last) / f64::from(times);
            step.metrics
                .observe_many(Histogram::InterTokenLatency, gap_s, times);
        } else {
            self.times.first_token = Some(now);
            step.metrics
                .observe(Histogram::TimeToFirstToken, now - self.times.arrival);
        }
        self.times.last_token = Some(now);
    }

    /// True if a stop string is complete.
    pub(super) fn push_id(
        &mut self,
        id: u32,
        vocabulary: &Vocabulary,
        stops: &StopStrings,
        frames: &mut Frames,
    ) -> bool {
        let mut text = std::mem::take(&mut frames.text);
        self.detokenizer.push(vocabulary, id, &mut text);
        let is_stopped = self.push_text(&text, stops, frames);
        text.clear();
        frames.text = text;
        is_stopped
    }

    /// True if a stop string is complete.
    pub(super) fn push_text(
        &mut self,
        text: &str,
        stops: &StopStrings,
        frames: &mut Frames,
    ) -> bool {
        if stops.is_empty() {
            self.show(text, frames);
            return false;
        }
        let mut shown = std::mem::take(&mut frames.shown);
        let is_stopped = self.watch.push(stops, text, &mut shown);
        self.show(&shown, frames);
        shown.clear();
        frames.shown = shown;
        is_stopped
    }

    /// Shows what was held back. True if that completed a stop string.
    pub(super) fn flush(
        &mut self,
        vocabulary: &Vocabulary,
        stops: &StopStrings,
        frames: &mut Frames,
    ) -> bool {
        let mut text = String::new();
        self.detokenizer.finish(vocabulary, &mut text);
        let mut shown = String::new();
        let is_stopped = self.watch.push(stops, &text, &mut shown);
        if !is_stopped {
            self.watch.finish(&mut shown);
        }
        self.show(&shown, frames);
        is_stopped
    }

    /// The finish event, and the counters.
    pub(super) fn end(&mut self, reason: FinishReason, step: &Step<'_>, frames: &mut Frames) {
        self.outcome = Some(reason);
        frames.finish(self.index, reason);
        let counted = match reason {
            FinishReason::Stop => FinishedReason::Stop,
            FinishReason::Length => FinishedReason::Length,
        };
        self.count_end(counted, step.metrics, step.now);
    }

    pub(super) fn count_end(&mut self, reason: FinishedReason, metrics: &Metrics, now: f64) {
        self.times.ended = now;
        metrics.finish_choice(reason, &self.times, self.num_tokens);
    }

    fn show(&mut self, text: &str, frames: &mut Frames) {
        if !text.is_empty() {
            frames.text(self.index, text, &mut self.whole);
        }
    }
}
