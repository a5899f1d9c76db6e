//! One response's way out: tokens → deltas, through every choice's chain of stages → the dialect's events.
//!
//! Every token that yields text is an event. Plain answers are the sum of the same deltas, written at the end. Times
//! are handed in; nothing here locks or sends, and nothing knows what an event looks like.

mod choice;
mod frames;
mod receipt;
mod step;

use std::sync::Arc;

use crate::dialect::{Dialect, Failure, Usage};
use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;
use crate::metrics::{Counter, ModelMetrics, RequestSizes};
use crate::opening::Opening;
use crate::stop::StopStrings;
use crate::vocabulary::Vocabulary;
use choice::Choice;
use frames::Frames;
pub use receipt::{Receipt, StreamError, Taken};
pub use step::{Step, count_ids};

const ENGINE_FAILED: &str =
    "The engine failed on this request: the model gave values that are not numbers.";

/// One HTTP response in the making.
#[derive(Debug)]
pub struct Stream {
    opening: Arc<Opening>,
    choices: Vec<Choice>,
    num_ended: usize,
    /// Whether the engine gave any: its prefill is done.
    has_tokens: bool,
    /// Tokens of its prompts that a cache had.
    num_cached_tokens: u64,
    frames: Frames,
    /// When something was last written, or the stream opened.
    last_written: f64,
    opened: f64,
    /// The final HTTP status; none while more will come.
    status: Option<u16>,
    /// What it failed of.
    error: Option<StreamError>,
}

impl Stream {
    /// Opens a stream at `now`.
    #[must_use]
    pub fn open(opening: Arc<Opening>, vocabulary: &Vocabulary, now: f64) -> Self {
        let stops = Arc::new(StopStrings::new(&opening.stop));
        let frames = Frames::new(&opening);
        let choice = |index| Choice::new(index, vocabulary, &stops, opening.arrival);
        let choices = (0..opening.num_choices as usize).map(choice).collect();
        Self {
            opening,
            choices,
            num_ended: 0,
            has_tokens: false,
            num_cached_tokens: 0,
            frames,
            last_written: now,
            opened: now,
            status: None,
            error: None,
        }
    }

    /// Takes one row of an engine step: ids (negative ones are none), then why the engine ended it, if it did. A stop
    /// token is the row's last id: counted, not shown. True if the engine must free the row because a stop string
    /// ended it, or because there is nobody to take it.
    pub fn push(
        &mut self,
        index: usize,
        ids: &[i32],
        end: Option<FinishReason>,
        step: &mut Step<'_>,
    ) -> bool {
        let num_ids = count_ids(ids);
        if !self.begin(index, num_ids, num_ids > 0 || end.is_some(), step) {
            return self.has_nobody(index);
        }
        let has_hidden = end == Some(FinishReason::Stop) && num_ids > 0;
        let shown = ids.iter().filter_map(|id| u32::try_from(*id).ok());
        let (choice, frames) = (&mut self.choices[index], &mut self.frames);
        for (num_seen, id) in (1..).zip(shown.take(num_ids - usize::from(has_hidden))) {
            let flow = choice.push_id(id, step.vocabulary, &mut step.text, frames);
            if let Some(reason) = flow.break_value() {
                step.num_wasted += (num_ids - num_seen) as u64;
                self.end_choice(index, reason, step);
                return true;
            }
        }
        self.maybe_end(index, end, has_hidden, step);
        false
    }

    /// Takes text of a foreign engine. True if a stop string ended it or there is nobody to take it.
    pub fn push_text(
        &mut self,
        index: usize,
        text: &str,
        num_tokens: u32,
        end: Option<FinishReason>,
        step: &mut Step<'_>,
    ) -> bool {
        let has_something = num_tokens > 0 || !text.is_empty() || end.is_some();
        if !self.begin(index, num_tokens as usize, has_something, step) {
            return self.has_nobody(index);
        }
        let flow =
            self.choices[index].push_text(text, num_tokens, step.vocabulary, &mut self.frames);
        if let Some(reason) = flow.break_value() {
            self.end_choice(index, reason, step);
            return true;
        }
        self.maybe_end(index, end, false, step);
        false
    }

    /// A choice's prefill begins, which `num_cached_tokens` of its prompt need no more. One that begins again, because
    /// it was stopped, changes nothing.
    pub fn mark_scheduled(&mut self, index: usize, num_cached_tokens: u32, now: f64) {
        let choice = self.choices.get_mut(index);
        let Some(choice) = choice.filter(|choice| choice.times.scheduled.is_none()) else {
            return;
        };
        choice.times.scheduled = Some(now);
        self.num_cached_tokens += u64::from(num_cached_tokens);
    }

    /// Ends the stream with an error. False if it had ended.
    pub fn fail(
        &mut self,
        kind: ErrorKind,
        message: &str,
        param: Option<&str>,
        metrics: &ModelMetrics,
        now: f64,
    ) -> bool {
        if self.status.is_some() {
            return false;
        }
        self.abandon(FinishReason::Error, metrics, now);
        let failure = Failure {
            kind,
            message,
            param,
            request_id: &self.opening.request_id,
            timestamp: self.unix_time(now),
        };
        if self.opening.is_streamed {
            self.frames
                .write(|writer, out| writer.push_error(&failure, out));
        } else {
            self.frames
                .write(|writer, out| writer.push_error_body(&failure, out));
        }
        self.error = Some(StreamError {
            kind,
            message: message.to_owned(),
            param: param.map(str::to_owned),
        });
        self.close(kind.status(), metrics);
        true
    }

    /// The client is gone. False if the stream had ended.
    pub fn cancel(&mut self, metrics: &ModelMetrics, now: f64) -> bool {
        if self.status.is_some() {
            return false;
        }
        self.abandon(FinishReason::Abort, metrics, now);
        metrics.add(Counter::CancelledRequests, 1);
        metrics.add(Counter::TokensWasted, self.usage().completion_tokens);
        self.close(ErrorKind::ClientClosed.status(), metrics);
        true
    }

    /// Ends the stream if its reader left more than `max_bytes` unread. True if it did.
    pub fn end_if_unread(&mut self, max_bytes: usize, metrics: &ModelMetrics, now: f64) -> bool {
        let num_unread = self.num_unread();
        num_unread > max_bytes && self.frames.is_streamed && {
            let message =
                format!("The client left {num_unread} bytes unread; the limit is {max_bytes}.");
            self.fail(ErrorKind::SlowReader, &message, None, metrics, now)
        }
    }

    /// Appends a sign of life if nothing was written for the opening's `keep_alive_s`, and all that was is taken. True
    /// if it did.
    pub fn ping_if_idle(&mut self, now: f64) -> bool {
        let has_silence = |keep_alive_s| now - self.last_written >= keep_alive_s;
        let is_idle = self.is_open()
            && self.opening.is_streamed
            && self.num_unread() == 0
            && self.opening.keep_alive_s.is_some_and(has_silence);
        if is_idle && self.frames.ping() {
            self.last_written = now;
            return true;
        }
        false
    }

    /// Hands what is ready to `read`.
    pub fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Taken<R> {
        let read = read(&self.frames.pending);
        self.frames.clear();
        Taken {
            read,
            status: self.status.unwrap_or(0),
            receipt: self.status.map(|_| Receipt {
                record: self.frames.take_record(),
                ..self.receipt()
            }),
        }
    }

    /// What it has come to.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        let Usage {
            prompt_tokens,
            completion_tokens,
            ..
        } = self.usage();
        let first_tokens = self.choices.iter().filter_map(|it| it.times.first_token);
        Receipt {
            prompt_tokens,
            completion_tokens,
            time_to_first_token_s: first_tokens
                .reduce(f64::min)
                .map(|first| first - self.opening.arrival),
            finish_reason: self.choices.first().and_then(|choice| choice.reason),
            error: self.error.clone(),
            record: None,
        }
    }

    /// The API that it speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.opening.dialect
    }

    /// Whether more can be pushed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.status.is_none()
    }

    /// Bytes that are ready and not taken.
    #[must_use]
    pub fn num_unread(&self) -> usize {
        self.frames.pending.len()
    }

    /// Whether a choice takes nothing any more.
    fn is_closed(&self, index: usize) -> bool {
        self.status.is_some() || self.choices.get(index).is_none_or(Choice::has_ended)
    }

    /// Whether the engine must hear that a choice's row, which gave nothing to do, has nobody to take it.
    fn has_nobody(&self, index: usize) -> bool {
        self.status.is_some() || index >= self.choices.len()
    }

    /// Opens a row of a step: first events and times. False if there is nothing to do for it.
    fn begin(
        &mut self,
        index: usize,
        num_ids: usize,
        has_something: bool,
        step: &mut Step<'_>,
    ) -> bool {
        if self.is_closed(index) {
            step.waste(num_ids);
            return false;
        }
        if !has_something {
            return false;
        }
        self.last_written = step.now;
        step.num_tokens += num_ids as u64;
        if num_ids > 0 && !std::mem::replace(&mut self.has_tokens, true) {
            step.num_prompt_tokens += u64::from(self.opening.prompt_tokens);
        }
        let choice = &mut self.choices[index];
        choice.begin(&mut self.frames);
        choice.observe_tokens(num_ids, step);
        true
    }

    /// Ends a choice if the engine did. `has_hidden`: with a token that counts and is not shown.
    fn maybe_end(
        &mut self,
        index: usize,
        end: Option<FinishReason>,
        has_hidden: bool,
        step: &mut Step<'_>,
    ) {
        let Some(end) = end else { return };
        if end == FinishReason::Error {
            self.fail(
                ErrorKind::EngineError,
                ENGINE_FAILED,
                None,
                step.metrics,
                step.now,
            );
            return;
        }
        let choice = &mut self.choices[index];
        let flow = choice.flush(step.vocabulary, &mut self.frames);
        choice.num_tokens += u32::from(has_hidden);
        self.end_choice(index, flow.break_value().unwrap_or(end), step);
    }

    fn end_choice(&mut self, index: usize, reason: FinishReason, step: &mut Step<'_>) {
        self.choices[index].end(reason, step, &mut self.frames);
        self.num_ended += 1;
        if self.num_ended == self.choices.len() {
            self.end(step.vocabulary, step.metrics);
        }
    }

    /// All choices have ended.
    fn end(&mut self, vocabulary: &Vocabulary, metrics: &ModelMetrics) {
        let usage = self.usage();
        if self.opening.is_streamed {
            self.frames.write(|writer, out| writer.push_end(usage, out));
        } else {
            let mut outcomes = self
                .choices
                .iter()
                .filter_map(|choice| choice.outcome(vocabulary));
            self.frames
                .write(|writer, out| writer.push_body(&mut outcomes, usage, out));
        }
        self.close(200, metrics);
    }

    /// Counts the choices that will not get to their end.
    fn abandon(&mut self, reason: FinishReason, metrics: &ModelMetrics, now: f64) {
        for choice in self.choices.iter_mut().filter(|choice| !choice.has_ended()) {
            choice.count_end(reason, metrics, now);
        }
    }

    fn close(&mut self, status: u16, metrics: &ModelMetrics) {
        self.status = Some(status);
        let longest = self.choices.iter().map(|choice| choice.num_tokens).max();
        metrics.finish_request(&RequestSizes {
            prompt_tokens: self.opening.prompt_tokens,
            num_choices: self.opening.num_choices,
            max_tokens: self.opening.max_tokens,
            max_generation_tokens: longest.unwrap_or(0),
        });
    }

    fn usage(&self) -> Usage {
        let num_tokens = |choice: &Choice| u64::from(choice.num_tokens);
        Usage {
            prompt_tokens: u64::from(self.opening.prompt_tokens),
            cached_tokens: self.num_cached_tokens,
            completion_tokens: self.choices.iter().map(num_tokens).sum(),
            reasoning_tokens: self
                .choices
                .iter()
                .map(|choice| u64::from(choice.num_reasoning_tokens))
                .sum(),
        }
    }

    /// Unix seconds at `now`, from the stream's own birth: no second clock.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Unix seconds are exact in an f64"
    )]
    fn unix_time(&self, now: f64) -> f64 {
        self.opening.created as f64 + (now - self.opened)
    }
}

#[cfg(test)]
mod tests;
