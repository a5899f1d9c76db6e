//! One response's way out: ids → text → stop strings → events → frames; and its one-body twin.
//!
//! The order of events is decided here. Per choice: role, one event per token that yields text, what was held back,
//! finish. After the last choice: usage if asked, `[DONE]`. Plain answers take the same way and are written at its
//! end. Times are handed in; nothing here locks or sends.

mod choice;
mod frames;
mod opening;
mod step;

use crate::error::ErrorKind;
use crate::event::{FinishReason, Usage};
use crate::metrics::{Counter, FinishedReason, Metrics, RequestSizes};
use crate::sse;
use crate::stop::StopStrings;
use crate::vocabulary::Vocabulary;
use choice::Choice;
use frames::Frames;
pub use opening::Opening;
pub use step::{End, Step, count_ids};

/// One HTTP response in the making.
#[derive(Debug)]
pub struct Stream {
    opening: Opening,
    stops: StopStrings,
    choices: Vec<Choice>,
    num_ended: usize,
    /// Whether the engine gave any: its prefill is done.
    has_tokens: bool,
    frames: Frames,
    /// When something was last written, or the stream opened.
    last_written: f64,
    opened: f64,
    /// The final HTTP status; none while more will come.
    status: Option<u16>,
}

impl Stream {
    /// Opens a stream at `now`.
    #[must_use]
    pub fn open(opening: Opening, vocabulary: &Vocabulary, now: f64) -> Self {
        let stops = StopStrings::new(&opening.stop);
        let frames = Frames::new(&opening);
        let choice = |index| Choice::new(index, vocabulary, &stops, opening.arrival);
        let choices = (0..opening.num_choices as usize).map(choice).collect();
        Self {
            opening,
            stops,
            choices,
            num_ended: 0,
            has_tokens: false,
            frames,
            last_written: now,
            opened: now,
            status: None,
        }
    }

    /// Takes one row of an engine step: ids (negative ones are none), then its end. True if the engine must free the
    /// row because a stop string ended it, or because there is nobody to take it.
    pub fn push(&mut self, index: usize, ids: &[i32], end: End, step: &mut Step<'_>) -> bool {
        let num_ids = count_ids(ids);
        if !self.begin(index, num_ids, num_ids > 0 || end != End::None, step) {
            return self.status.is_some() || index >= self.choices.len();
        }
        let choice = &mut self.choices[index];
        let num_shown = num_ids - usize::from(end == End::Stop && num_ids > 0);
        let ids = ids.iter().filter_map(|id| u32::try_from(*id).ok());
        for (num_seen, id) in (1..).zip(ids) {
            choice.num_tokens += 1;
            if num_seen <= num_shown
                && choice.push_id(id, step.vocabulary, &self.stops, &mut self.frames)
            {
                step.num_wasted += (num_ids - num_seen) as u64;
                self.end_choice(index, FinishReason::Stop, step);
                return true;
            }
        }
        self.maybe_end(index, end, step);
        false
    }

    /// Takes text of a foreign engine. True if a stop string ended it or there is nobody to take it.
    pub fn push_text(
        &mut self,
        index: usize,
        text: &str,
        num_tokens: u32,
        end: End,
        step: &mut Step<'_>,
    ) -> bool {
        let has_something = num_tokens > 0 || !text.is_empty() || end != End::None;
        if !self.begin(index, num_tokens as usize, has_something, step) {
            return self.status.is_some() || index >= self.choices.len();
        }
        let choice = &mut self.choices[index];
        choice.num_tokens = choice.num_tokens.saturating_add(num_tokens);
        if choice.push_text(text, &self.stops, &mut self.frames) {
            self.end_choice(index, FinishReason::Stop, step);
            return true;
        }
        self.maybe_end(index, end, step);
        false
    }

    /// A choice's prefill begins.
    pub fn mark_scheduled(&mut self, index: usize, now: f64) {
        if let Some(choice) = self.choices.get_mut(index) {
            choice.times.scheduled.get_or_insert(now);
        }
    }

    /// Ends the stream with an error. False if it had ended.
    pub fn fail(
        &mut self,
        kind: ErrorKind,
        message: &str,
        param: Option<&str>,
        metrics: &Metrics,
        now: f64,
    ) -> bool {
        if self.status.is_some() {
            return false;
        }
        self.abandon(FinishedReason::Error, metrics, now);
        if self.opening.is_streamed {
            self.frames
                .pending
                .extend_from_slice(&kind.frame(message, param));
            self.frames.pending.extend_from_slice(sse::DONE);
        } else {
            let (request_id, timestamp) =
                (Some(self.opening.request_id.as_str()), self.unix_time(now));
            self.frames.pending = kind.body(message, param, request_id, timestamp);
        }
        self.close(kind.status(), metrics);
        true
    }

    /// The client is gone. False if the stream had ended.
    pub fn cancel(&mut self, metrics: &Metrics, now: f64) -> bool {
        if self.status.is_some() {
            return false;
        }
        self.abandon(FinishedReason::Abort, metrics, now);
        metrics.add(Counter::CancelledRequests, 1);
        metrics.add(Counter::TokensWasted, self.usage().completion_tokens);
        self.close(ErrorKind::ClientClosed.status(), metrics);
        true
    }

    /// Ends the stream if its reader left more than `max_bytes` unread. True if it did.
    pub fn end_if_unread(&mut self, max_bytes: usize, metrics: &Metrics, now: f64) -> bool {
        let num_unread = self.num_unread();
        self.opening.is_streamed && num_unread > max_bytes && {
            let message =
                format!("The client left {num_unread} bytes unread; the limit is {max_bytes}.");
            self.fail(ErrorKind::SlowReader, &message, None, metrics, now)
        }
    }

    /// Appends a keep-alive comment if nothing was written for `idle_s`, and all that was is taken. True if it did.
    pub fn ping_if_idle(&mut self, idle_s: f64, now: f64) -> bool {
        let is_idle = self.is_open() && self.num_unread() == 0 && now - self.last_written >= idle_s;
        if self.opening.is_streamed && is_idle {
            self.frames.pending.extend_from_slice(sse::PING);
            self.last_written = now;
            return true;
        }
        false
    }

    /// Hands what is ready to `read`. The second value is 0 while more will come, else the final status.
    pub fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> (R, u16) {
        let taken = read(&self.frames.pending);
        self.frames.clear();
        (taken, self.status.unwrap_or(0))
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

    fn maybe_end(&mut self, index: usize, end: End, step: &mut Step<'_>) {
        let reason = match end {
            End::None => return,
            End::Stop => FinishReason::Stop,
            End::Length => FinishReason::Length,
        };
        let choice = &mut self.choices[index];
        let was_stopped = choice.flush(step.vocabulary, &self.stops, &mut self.frames);
        let reason = if was_stopped {
            FinishReason::Stop
        } else {
            reason
        };
        self.end_choice(index, reason, step);
    }

    fn end_choice(&mut self, index: usize, reason: FinishReason, step: &mut Step<'_>) {
        self.choices[index].end(reason, step, &mut self.frames);
        self.num_ended += 1;
        if self.num_ended == self.choices.len() {
            let usage = self.usage();
            let texts = self.choices.iter().filter_map(Choice::outcome);
            self.frames.end(texts, usage, self.opening.include_usage);
            self.close(200, step.metrics);
        }
    }

    /// Counts the choices that will not get to their end.
    fn abandon(&mut self, reason: FinishedReason, metrics: &Metrics, now: f64) {
        for choice in self.choices.iter_mut().filter(|choice| !choice.has_ended()) {
            choice.count_end(reason, metrics, now);
        }
    }

    fn close(&mut self, status: u16, metrics: &Metrics) {
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
            completion_tokens: self.choices.iter().map(num_tokens).sum(),
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
