//! One choice of a response: its stages, its sum where it is plain, and its times.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::delta::{Delta, Fold, Kind};
use crate::detokenize::Detokenizer;
use crate::dialect::{Details, Ending, Outcome, Usage};
use crate::finish_reason::FinishReason;
use crate::metrics::{Histogram, ModelMetrics, Timeline};
use crate::stage::{Chain, Flow, Stage};
use crate::stop::{StopStage, StopStrings};
use crate::token_table::TokenTable;
use crate::vocabulary::Vocabulary;

use super::Step;
use super::frames::Frames;

#[derive(Debug)]
pub(super) struct Choice {
    index: usize,
    detokenizer: Detokenizer,
    chain: Chain,
    /// Of plain answers only.
    fold: Fold,
    /// Where the request asked for more than text.
    table: Option<TokenTable>,
    /// Given by the engine, shown or not.
    pub(super) num_tokens: u32,
    /// Of these, those that entered the chain with a delta, and those that came out of it.
    num_tokens_in: u32,
    num_tokens_out: u32,
    /// Of these, those that came out with reasoning.
    pub(super) num_reasoning_tokens: u32,
    /// Whether a tool call was shown.
    has_called: bool,
    /// Whether what was shown last is text, or nothing was.
    is_in_text: bool,
    pub(super) times: Timeline,
    has_begun: bool,
    pub(super) reason: Option<FinishReason>,
}

/// The stages between a choice's text and its events, in order.
fn stages(stops: &Arc<StopStrings>) -> Vec<Box<dyn Stage>> {
    let mut stages: Vec<Box<dyn Stage>> = Vec::new();
    if !stops.is_empty() {
        stages.push(Box::new(StopStage::new(stops.clone())));
    }
    stages
}

impl Choice {
    pub(super) fn new(
        index: usize,
        vocabulary: &Vocabulary,
        stops: &Arc<StopStrings>,
        arrival: f64,
    ) -> Self {
        Self {
            index,
            detokenizer: Detokenizer::new(vocabulary),
            chain: Chain::new(stages(stops)),
            fold: Fold::default(),
            table: None,
            num_tokens: 0,
            num_tokens_in: 0,
            num_tokens_out: 0,
            num_reasoning_tokens: 0,
            has_called: false,
            is_in_text: true,
            times: Timeline {
                arrival,
                ..Timeline::default()
            },
            has_begun: false,
            reason: None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.reason.is_some()
    }

    /// What a plain answer says of a choice that has ended.
    pub(super) fn outcome<'a>(&'a self, vocabulary: &'a Vocabulary) -> Option<Outcome<'a>> {
        Some(Outcome {
            fold: &self.fold,
            num_tokens: self.num_tokens,
            details: self.details(vocabulary),
            reason: self.reason?,
        })
    }

    /// The choice's first event, once.
    pub(super) fn begin(&mut self, frames: &mut Frames) {
        if !std::mem::replace(&mut self.has_begun, true) {
            frames.write_event(|writer, out| writer.push_begin(self.index, out));
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

    /// Takes a token. Breaks when it ends the choice by its text. `text` is room to write in.
    pub(super) fn push_id(
        &mut self,
        id: u32,
        vocabulary: &Vocabulary,
        text: &mut String,
        frames: &mut Frames,
    ) -> Flow {
        self.num_tokens += 1;
        text.clear();
        self.detokenizer.push(vocabulary, id, text);
        self.pass(text, vocabulary, frames)
    }

    /// Takes text that came with `num_tokens`. Breaks when it ends the choice.
    pub(super) fn push_text(
        &mut self,
        text: &str,
        num_tokens: u32,
        vocabulary: &Vocabulary,
        frames: &mut Frames,
    ) -> Flow {
        self.num_tokens = self.num_tokens.saturating_add(num_tokens);
        self.pass(text, vocabulary, frames)
    }

    /// Shows what was held back. Breaks when that tells a truer reason for the end than the engine's.
    pub(super) fn flush(&mut self, vocabulary: &Vocabulary, frames: &mut Frames) -> Flow {
        let mut text = String::new();
        self.detokenizer.finish(vocabulary, &mut text);
        self.pass(&text, vocabulary, frames)?;
        self.with_chain(vocabulary, frames, |chain, show| chain.finish(show))
    }

    /// The last event, with the tokens that no delta told, and the counters. A choice that stops after it has called
    /// a tool ends for that.
    pub(super) fn end(&mut self, reason: FinishReason, step: &Step<'_>, frames: &mut Frames) {
        let reason = match reason {
            FinishReason::Stop if self.has_called => FinishReason::ToolCalls,
            other => other,
        };
        let ending = Ending {
            reason,
            tokens: self.num_tokens_out..self.num_tokens,
            is_text: self.is_in_text,
        };
        let details = self.details(step.vocabulary);
        frames.write_event(|writer, out| writer.push_finish(self.index, &ending, &details, out));
        self.count_end(reason, step.metrics, step.now);
    }

    /// The choice ends, told or not.
    pub(super) fn count_end(&mut self, reason: FinishReason, metrics: &ModelMetrics, now: f64) {
        self.reason = Some(reason);
        self.times.ended = now;
        metrics.finish_choice(reason, &self.times, self.num_tokens);
    }

    fn details<'a>(&'a self, vocabulary: &'a Vocabulary) -> Details<'a> {
        Details {
            tokens: self.table.as_ref(),
            vocabulary,
            usage: self.usage(),
        }
    }

    /// What the choice cost so far.
    fn usage(&self) -> Usage {
        Usage {
            completion_tokens: u64::from(self.num_tokens),
            reasoning_tokens: u64::from(self.num_reasoning_tokens),
            ..Usage::default()
        }
    }

    fn pass(&mut self, text: &str, vocabulary: &Vocabulary, frames: &mut Frames) -> Flow {
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        let tokens = self.num_tokens_in..self.num_tokens;
        self.num_tokens_in = tokens.end;
        let kind = Kind::Text;
        let delta = Delta { kind, text, tokens };
        self.with_chain(vocabulary, frames, |chain, show| chain.push(&delta, show))
    }

    /// Runs the chain; what comes out is an event, or a plain answer grows.
    fn with_chain(
        &mut self,
        vocabulary: &Vocabulary,
        frames: &mut Frames,
        run: impl FnOnce(&mut Chain, &mut dyn FnMut(&Delta<'_>)) -> Flow,
    ) -> Flow {
        let mut usage = self.usage();
        let (index, fold, num_out) = (self.index, &mut self.fold, &mut self.num_tokens_out);
        let (num_reasoning, has_called) = (&mut self.num_reasoning_tokens, &mut self.has_called);
        let (tokens, is_in_text) = (self.table.as_ref(), &mut self.is_in_text);
        let flow = run(&mut self.chain, &mut |delta| {
            debug_assert_eq!(delta.tokens.start, *num_out, "deltas leave no token out");
            *num_out = delta.tokens.end;
            *is_in_text = delta.kind == Kind::Text;
            match delta.kind {
                Kind::Reasoning => *num_reasoning += delta.tokens.end - delta.tokens.start,
                Kind::ToolCall { .. } => *has_called = true,
                Kind::Text | Kind::ToolArguments { .. } => {}
            }
            if frames.is_streamed {
                usage.reasoning_tokens = u64::from(*num_reasoning);
                let details = Details {
                    tokens,
                    vocabulary,
                    usage,
                };
                frames.write(|writer, out| writer.push_delta(index, delta, &details, out));
            } else {
                fold.add(delta);
            }
        });
        if let Some(table) = self.table.as_mut().filter(|_| frames.is_streamed) {
            table.forget_before(self.num_tokens_out);
        }
        flow
    }
}
