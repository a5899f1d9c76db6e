//! One response's way out: tokens → deltas, through every choice's chain of stages → the dialect's events.
//!
//! Every token that yields text is an event. Plain answers are the sum of the same deltas, written at the end. Times
//! are handed in; nothing here locks or sends, and nothing knows what an event looks like.

mod best;
mod choice;
mod columns;
mod echo;
mod frames;
mod receipt;
mod shown;
mod step;

use std::sync::Arc;

use crate::dialect::{Dialect, Failure, Prompt, Usage};
use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;
use crate::metrics::{Counter, ModelMetrics, RequestSizes};
use crate::opening::Opening;
use crate::stage::End;
use crate::stop::StopStrings;
use crate::vocabulary::Vocabulary;
use choice::{Choice, ShownSpecials};
pub use columns::{LogprobRows, PromptColumns};
use echo::Echo;
use frames::Frames;
pub use receipt::{Receipt, StreamError, Taken};
pub use step::{Row, Step, count_ids};

const ENGINE_FAILED: &str =
    "The engine failed on this request: the model gave values that are not numbers.";

/// One HTTP response in the making.
#[derive(Debug)]
pub struct Stream {
    opening: Arc<Opening>,
    choices: Vec<Choice>,
    /// By prompt, where they stand before their answers.
    echoes: Vec<Echo>,
    num_ended: usize,
    /// Whether the engine gave any: its prefill is done.
    has_tokens: bool,
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
        let echoes = echoes(&opening, vocabulary);
        let specials = ShownSpecials::new(&opening, vocabulary);
        let choice = |index| {
            let echo = echoes.get(index / opening.choices_per_prompt());
            let num_prompt_chars = echo.map_or(0, |echo: &Echo| echo.num_chars);
            Choice::new(
                index,
                &opening,
                &stops,
                &specials,
                vocabulary,
                num_prompt_chars,
            )
        };
        let choices = (0..opening.num_choices as usize).map(choice).collect();
        Self {
            opening,
            choices,
            echoes,
            num_ended: 0,
            has_tokens: false,
            frames,
            last_written: now,
            opened: now,
            status: None,
            error: None,
        }
    }

    /// Takes one row of an engine step. A stop token is the row's last id: it counts and, unless the request wants it,
    /// is not shown. True if the engine must free the row because a stop string ended it, or because there is nobody to
    /// take it.
    pub fn push(&mut self, index: usize, row: Row<'_>, step: &mut Step<'_>) -> bool {
        let Row { ids, end, logprobs } = row;
        let num_ids = count_ids(ids);
        if !self.begin(index, num_ids, num_ids > 0 || end.is_some(), step) {
            return self.has_nobody(index);
        }
        let (choice, frames) = (&mut self.choices[index], &mut self.frames);
        let keeps_tokens = choice.keeps_tokens();
        let stop_id = ids.iter().rev().find_map(|id| u32::try_from(*id).ok());
        let stop_id = stop_id.filter(|_| end == Some(FinishReason::Stop));
        let num_hidden = usize::from(stop_id.is_some() && !self.opening.output.includes_stop);
        let mut num_seen = 0;
        for (place, id) in ids.iter().enumerate() {
            let Ok(id) = u32::try_from(*id) else { continue };
            num_seen += 1;
            if keeps_tokens {
                choice.keep_token(id, logprobs.and_then(|rows| rows.get(place)));
            }
            if num_seen + num_hidden > num_ids {
                choice.push_hidden();
                continue;
            }
            let flow = choice.push_id(id, step.vocabulary, &mut step.text, frames);
            if let Some(end) = flow.break_value() {
                step.num_wasted += (num_ids - num_seen) as u64;
                self.end_choice(index, end, None, step);
                return true;
            }
        }
        self.maybe_end(index, end, stop_id, step);
        false
    }

    /// Takes the log probabilities of a prompt's tokens, where the answer tells them.
    pub fn take_prompt_columns(&mut self, index: usize, columns: &PromptColumns<'_>) {
        let prompt = index / self.opening.choices_per_prompt();
        if let Some(echo) = self.echoes.get_mut(prompt) {
            echo.take(columns);
        }
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
        if let Some(end) = flow.break_value() {
            self.end_choice(index, end, None, step);
            return true;
        }
        self.maybe_end(index, end, None, step);
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
        choice.shown.num_cached_tokens = num_cached_tokens;
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
            receipt: self.status.map(|_| self.receipt()),
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
        if !self.choices[index].has_begun() {
            self.begin_choice(index, step.vocabulary);
        }
        self.choices[index].observe_tokens(num_ids, step);
        true
    }

    /// A choice's first events. Its prompt has been computed, so all that is known of it has come.
    fn begin_choice(&mut self, index: usize, vocabulary: &Vocabulary) {
        let prompt = index / self.opening.choices_per_prompt();
        if let Some(echo) = self.echoes.get_mut(prompt) {
            echo.complete();
        }
        let prompt = prompt_of(index, &self.opening, &self.echoes);
        self.choices[index].begin(prompt.as_ref(), vocabulary, &mut self.frames);
    }

    /// Ends a choice if the engine did. `stop_id`: the token that stopped it.
    fn maybe_end(
        &mut self,
        index: usize,
        end: Option<FinishReason>,
        stop_id: Option<u32>,
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
        let flow = self.choices[index].flush(step.vocabulary, &mut self.frames);
        let end = flow.break_value().unwrap_or(end.into());
        let stop_id = stop_id.filter(|id| self.opening.stop_token_ids.contains(id));
        self.end_choice(index, end, stop_id, step);
    }

    fn end_choice(&mut self, index: usize, end: End, stop_id: Option<u32>, step: &mut Step<'_>) {
        self.choices[index].end(end, stop_id, step, &mut self.frames);
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
            let outcome = |choice: &usize| {
                let prompt = prompt_of(*choice, &self.opening, &self.echoes);
                self.choices[*choice].outcome(prompt, vocabulary)
            };
            let shown = best::shown(&self.choices, &self.opening);
            let mut outcomes = shown.iter().filter_map(outcome);
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
        let longest = self
            .choices
            .iter()
            .map(|choice| choice.shown.num_tokens)
            .max();
        metrics.finish_request(&RequestSizes {
            prompt_tokens: self.opening.prompt_tokens,
            num_choices: self.opening.num_choices,
            max_tokens: self.opening.max_tokens,
            max_generation_tokens: longest.unwrap_or(0),
        });
    }

    fn usage(&self) -> Usage {
        let mut total = Usage {
            prompt_tokens: u64::from(self.opening.prompt_tokens),
            ..Usage::default()
        };
        for usage in self.choices.iter().map(|choice| choice.shown.usage()) {
            total.cached_tokens += usage.cached_tokens;
            total.completion_tokens += usage.completion_tokens;
            total.reasoning_tokens += usage.reasoning_tokens;
        }
        total
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

/// The prompts that stand before their answers.
fn echoes(opening: &Opening, vocabulary: &Vocabulary) -> Vec<Echo> {
    let num_top = opening.output.logprobs;
    let prompts = opening.prompts.iter().filter(|_| opening.echoes_prompts);
    prompts
        .map(|prompt| Echo::new(prompt, num_top, vocabulary))
        .collect()
}

/// What the answer tells of the prompt that a choice continues.
fn prompt_of<'a>(index: usize, opening: &'a Opening, echoes: &'a [Echo]) -> Option<Prompt<'a>> {
    let echo = echoes.get(index / opening.choices_per_prompt());
    opening.prompt_of(index).map(|prompt| Prompt {
        ids: &prompt.ids,
        text: echo.map(|echo| echo.text.as_str()),
        tokens: echo.and_then(|echo| echo.table.as_ref()),
    })
}

#[cfg(test)]
mod tests;
