//! One choice of a response: its stages, what came out of them, and its times.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::cache_use::CacheUse;
use crate::delta::{Delta, Kind};
use crate::detokenize::Detokenizer;
use crate::dialect::{Outcome, Prompt, StopMatch};
use crate::finish_reason::FinishReason;
use crate::metrics::{Counter, Histogram, ModelMetrics, Timeline};
use crate::opening::Opening;
use crate::stage::{Chain, End, Flow};
use crate::stop::StopStrings;
use crate::token_table::TokenRow;
use crate::vocabulary::Vocabulary;

use super::Step;
use super::columns::TokenLogprobs;
use super::echo::count_chars;
use super::frames::Frames;
use super::sample::Sample;
use super::shown::Shown;
use super::stages::{ShownSpecials, stages};

#[derive(Debug)]
pub(super) struct Choice {
    index: usize,
    detokenizer: Detokenizer,
    specials: ShownSpecials,
    chain: Chain,
    stops: Arc<StopStrings>,
    /// Tokens that entered the chain with a delta.
    num_tokens_in: u32,
    /// Characters that did, with those of an echoed prompt; counted only where tokens' places are told.
    num_chars: u32,
    pub(super) shown: Shown,
    pub(super) times: Timeline,
    /// What its prompt found in a cache.
    pub(super) found: CacheUse,
    has_begun: bool,
    pub(super) reason: Option<FinishReason>,
    stop: Option<StopMatch>,
    /// Of a choice that has ended.
    pub(super) num_malformed_calls: u32,
}

impl Choice {
    /// `num_prompt_chars`: of the prompt, where it stands before the choice's text.
    pub(super) fn new(
        index: usize,
        opening: &Opening,
        stops: &Arc<StopStrings>,
        specials: &ShownSpecials,
        vocabulary: &Vocabulary,
        num_prompt_chars: u32,
    ) -> Self {
        Self {
            index,
            detokenizer: Detokenizer::new(vocabulary),
            specials: specials.clone(),
            chain: Chain::new(stages(opening, stops)),
            stops: stops.clone(),
            num_tokens_in: 0,
            num_chars: num_prompt_chars,
            shown: Shown::new(index, opening),
            times: Timeline {
                arrival: opening.arrival,
                ..Timeline::default()
            },
            found: CacheUse::default(),
            has_begun: false,
            reason: None,
            stop: None,
            num_malformed_calls: 0,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.reason.is_some()
    }

    /// Whether what an engine says of its tokens is kept.
    pub(super) fn keeps_tokens(&self) -> bool {
        self.shown.table.is_some()
    }

    /// What a plain answer says of a choice that has ended.
    pub(super) fn outcome<'a>(
        &'a self,
        prompt: Option<Prompt<'a>>,
        vocabulary: &'a Vocabulary,
    ) -> Option<Outcome<'a>> {
        Some(Outcome {
            prompt,
            fold: &self.shown.fold,
            num_tokens: self.shown.num_tokens(),
            text_tokens: &self.shown.text_tokens,
            details: self.shown.details(vocabulary),
            reason: self.reason?,
            stop: self.stop.as_ref(),
        })
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The mean log probability of its tokens; minus infinity where it has none.
    pub(super) fn mean_logprob(&self) -> f64 {
        let rows = self
            .shown
            .table
            .iter()
            .flat_map(|table| table.rows(0..u32::MAX));
        let logprobs = rows.filter_map(|(row, _)| row.logprob.map(f64::from));
        let (count, sum) = logprobs.fold((0.0, 0.0), |(count, sum), it| (count + 1.0, sum + it));
        if count > 0.0 {
            sum / count
        } else {
            f64::NEG_INFINITY
        }
    }

    /// The choice's first event; and the prompt, where the answer tells of it.
    pub(super) fn begin(
        &mut self,
        prompt: Option<&Prompt<'_>>,
        vocabulary: &Vocabulary,
        frames: &mut Frames,
    ) {
        self.has_begun = true;
        let usage = &self.shown.usage;
        frames.write_event(|writer, out| writer.push_begin(self.index, usage, out));
        if let Some(prompt) = prompt {
            let details = self.shown.details(vocabulary);
            frames.write_event(|writer, out| {
                writer.push_prompt(self.index, prompt, &details, out);
            });
        }
    }

    /// Times of `num_tokens` that came at once. The gap since the last ones is spread over them: their sum is the time
    /// that passed, and there is one observation per token, however many a dispatch gives.
    pub(super) fn observe_tokens(&mut self, num_tokens: usize, step: &mut Step<'_>) {
        let (Ok(times @ 1..), now) = (u32::try_from(num_tokens), step.now) else {
            return;
        };
        if let Some(last) = self.times.last_token {
            let gap_s = (now - last) / f64::from(times);
            step.observe_gap(gap_s, times);
        } else {
            self.times.first_token = Some(now);
            step.metrics
                .observe(Histogram::TimeToFirstToken, now - self.times.arrival);
        }
        self.times.last_token = Some(now);
    }

    /// Keeps what is known of the token that comes next, where that will be told.
    pub(super) fn keep_token(&mut self, id: u32, logprobs: Option<TokenLogprobs<'_>>) {
        let Some(table) = &mut self.shown.table else {
            return;
        };
        let row = TokenRow {
            id,
            text_offset: self.num_chars,
            logprob: logprobs.map(|it| it.sampled),
        };
        table.push(row, logprobs.iter().flat_map(TokenLogprobs::top));
    }

    /// Takes a token. Breaks when it ends the choice by its text. `text` is room to write in.
    pub(super) fn push_id(
        &mut self,
        id: u32,
        vocabulary: &Vocabulary,
        text: &mut String,
        frames: &mut Frames,
    ) -> Flow {
        self.shown.usage.completion_tokens += 1;
        text.clear();
        if !vocabulary.is_special(id) || self.specials.has(id) {
            self.detokenizer.push_shown(vocabulary, id, text);
        }
        self.pass(text, vocabulary, frames)
    }

    /// Takes a token that counts and is not shown: the one that has ended the choice.
    pub(super) fn push_hidden(&mut self) {
        self.shown.usage.completion_tokens += 1;
    }

    /// Takes a foreign engine's pieces. Breaks when their text ends the choice.
    pub(super) fn push_sample(
        &mut self,
        sample: &Sample,
        vocabulary: &Vocabulary,
        frames: &mut Frames,
    ) -> Flow {
        self.keep_sample(sample);
        let num_tokens = self.shown.num_tokens().saturating_add(sample.num_tokens);
        self.shown.usage.completion_tokens = u64::from(num_tokens);
        let tokens = self.num_tokens_in..num_tokens;
        let num_tokens_in = &mut self.num_tokens_in;
        let (chain, shown) = (&mut self.chain, &mut self.shown);
        sample.push_deltas(tokens, |delta| {
            *num_tokens_in = delta.tokens.end;
            chain.push(delta, &mut |delta| shown.add(delta, vocabulary, frames))
        })
    }

    /// Keeps what a foreign engine knows of its tokens, where that will be told.
    fn keep_sample(&mut self, sample: &Sample) {
        let Some(table) = &mut self.shown.table else {
            return;
        };
        let mut text_offset = self.num_chars;
        self.num_chars = text_offset.saturating_add(count_chars(&sample.text));
        for token in &sample.logprobs {
            table.push_spelled(token, text_offset);
            let text = String::from_utf8_lossy(&token.bytes);
            text_offset = text_offset.saturating_add(count_chars(&text));
        }
        for _ in sample.logprobs.len()..sample.num_tokens as usize {
            table.push_unknown();
        }
    }

    /// Shows what was held back. Breaks when that tells a truer reason for the end than the engine's.
    pub(super) fn flush(&mut self, vocabulary: &Vocabulary, frames: &mut Frames) -> Flow {
        let mut text = String::new();
        self.detokenizer.finish(vocabulary, &mut text);
        self.pass(&text, vocabulary, frames)?;
        self.with_chain(vocabulary, frames, |chain, show| chain.finish(show))
    }

    /// The last event, and the counters. `stop_id`: the request's own stop token, if that has ended the choice.
    pub(super) fn end(
        &mut self,
        end: End,
        stop_id: Option<u32>,
        step: &Step<'_>,
        frames: &mut Frames,
    ) {
        let reason = self.shown.reason_of(end.reason);
        let stop_string = end.stop_string.and_then(|place| self.stops.get(place));
        let stop_string = stop_string.map(|text| StopMatch::String(text.to_owned()));
        self.stop = stop_string.or(stop_id.map(StopMatch::Id));
        self.shown
            .end(reason, self.stop.as_ref(), step.vocabulary, frames);
        let is_cut = end.reason == FinishReason::Length;
        self.num_malformed_calls = self.chain.num_malformed_calls(is_cut);
        let num_malformed_calls = u64::from(self.num_malformed_calls);
        step.metrics
            .add(Counter::MalformedToolCalls, num_malformed_calls);
        self.count_end(reason, step.metrics, step.now);
    }

    /// The choice ends, told or not.
    pub(super) fn count_end(&mut self, reason: FinishReason, metrics: &ModelMetrics, now: f64) {
        self.reason = Some(reason);
        self.times.ended = now;
        metrics.finish_choice(reason, &self.times, self.shown.num_tokens());
    }

    fn pass(&mut self, text: &str, vocabulary: &Vocabulary, frames: &mut Frames) -> Flow {
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        if self.keeps_tokens() {
            self.num_chars = self.num_chars.saturating_add(count_chars(text));
        }
        let tokens = self.num_tokens_in..self.shown.num_tokens();
        self.num_tokens_in = tokens.end;
        let kind = Kind::Text;
        let delta = Delta { kind, text, tokens };
        self.with_chain(vocabulary, frames, |chain, show| chain.push(&delta, show))
    }

    /// Runs the chain; what comes out is shown.
    fn with_chain(
        &mut self,
        vocabulary: &Vocabulary,
        frames: &mut Frames,
        run: impl FnOnce(&mut Chain, &mut dyn FnMut(&Delta<'_>)) -> Flow,
    ) -> Flow {
        let shown = &mut self.shown;
        run(&mut self.chain, &mut |delta| {
            shown.add(delta, vocabulary, frames);
        })
    }
}
