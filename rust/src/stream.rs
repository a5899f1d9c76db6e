//! One response's way out: tokens → deltas, through every choice's chain of stages → the dialect's events.
//!
//! Every token that yields text is an event. Plain answers are the sum of the same deltas, written at the end. Times
//! are handed in; nothing here locks or sends, and nothing knows what an event looks like.

mod best;
mod choice;
mod columns;
mod echo;
mod ending;
mod frames;
mod receipt;
mod sample;
mod shown;
mod stages;
mod step;

use std::sync::Arc;

use crate::cache_use::CacheUse;
use crate::dialect::{Dialect, Usage};
use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;
use crate::opening::Opening;
use crate::stop::StopStrings;
use crate::vocabulary::Vocabulary;
use choice::Choice;
pub use columns::{LogprobRows, PromptColumns};
use echo::{Echo, echoes, prompt_of};
use frames::Frames;
pub use receipt::{Receipt, StreamError, Taken};
pub use sample::{CallPiece, Sample};
use stages::ShownSpecials;
pub use step::{Row, Step, count_ids};

const NOT_TEXT: &str =
    "The engine gave reasoning or a tool call, which a text completion cannot show.";

/// One HTTP response in the making.
#[derive(Debug)]
pub struct Stream {
    opening: Arc<Opening>,
    choices: Vec<Choice>,
    /// By prompt, where they stand before their answers, or their tokens are told.
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
            let echo = echoes.get(opening.prompt_index(index));
            let echo = echo.filter(|_| opening.echoes_prompts);
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
        let Row { ids, end, .. } = row;
        let num_ids = count_ids(ids);
        if !self.begin(index, num_ids, num_ids > 0 || end.is_some(), step) {
            return self.has_nobody(index);
        }
        let (choice, frames) = (&mut self.choices[index], &mut self.frames);
        let keeps_tokens = choice.keeps_tokens();
        let is_stop = end == Some(FinishReason::Stop);
        let stop_id = is_stop.then(|| last_id(ids)).flatten();
        let num_hidden = usize::from(stop_id.is_some() && !self.opening.output.includes_stop);
        let mut num_seen = 0;
        for (place, id) in ids.iter().enumerate() {
            let Ok(id) = u32::try_from(*id) else { continue };
            num_seen += 1;
            if keeps_tokens {
                choice.keep_token(id, row.logprobs_at(place));
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
        let prompt = self.opening.prompt_index(index);
        if let Some(echo) = self.echoes.get_mut(prompt) {
            echo.take(columns);
        }
    }

    /// Takes what a foreign engine gives. True if a stop string ended it or there is nobody to take it.
    pub fn push_sample(&mut self, index: usize, sample: &Sample, step: &mut Step<'_>) -> bool {
        let num_tokens = sample.num_tokens as usize;
        if !self.begin(index, num_tokens, !sample.is_empty(), step) {
            return self.has_nobody(index);
        }
        if sample.is_structured() && !self.dialect().is_structured() {
            let (kind, now) = (ErrorKind::EngineError, step.now);
            self.fail(kind, NOT_TEXT, None, step.metrics, now);
            return true;
        }
        let (choice, frames) = (&mut self.choices[index], &mut self.frames);
        let flow = choice.push_sample(sample, step.vocabulary, frames);
        if let Some(end) = flow.break_value() {
            self.end_choice(index, end, None, step);
            return true;
        }
        self.maybe_end(index, sample.end, None, step);
        false
    }

    /// A choice's prefill begins, of whose prompt a cache had some. A prompt counts once, as the first of its choices
    /// found it. False for a choice that begins again, because it was stopped: that changes nothing.
    pub fn mark_scheduled(&mut self, index: usize, found: CacheUse, now: f64) -> bool {
        let is_first_of_prompt = index.is_multiple_of(self.opening.num_choices_of_prompt());
        let choice = self.choices.get_mut(index);
        let Some(choice) = choice.filter(|choice| choice.times.scheduled.is_none()) else {
            return false;
        };
        choice.times.scheduled = Some(now);
        choice.found = found;
        if is_first_of_prompt {
            choice.shown.usage.cached_tokens = u64::from(found.num_cached_tokens);
        }
        true
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
            cached_tokens,
            completion_tokens,
            ..
        } = self.usage();
        let first_tokens = self.choices.iter().filter_map(|it| it.times.first_token);
        Receipt {
            prompt_tokens,
            cached_tokens,
            completion_tokens,
            time_to_first_token_s: first_tokens
                .reduce(f64::min)
                .map(|first| first - self.opening.arrival),
            finish_reason: self.choices.first().and_then(|choice| choice.reason),
            num_malformed_calls: self.choices.iter().map(|it| it.num_malformed_calls).sum(),
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
        if !self.choices[index].has_begun() {
            self.begin_choice(index, step.vocabulary);
        }
        self.choices[index].observe_tokens(num_ids, step);
        true
    }

    /// A choice's first events. Its prompt has been computed, so all that is known of it has come.
    fn begin_choice(&mut self, index: usize, vocabulary: &Vocabulary) {
        let prompt = self.opening.prompt_index(index);
        if let Some(echo) = self.echoes.get_mut(prompt) {
            echo.complete();
        }
        let prompt = prompt_of(index, &self.opening, &self.echoes);
        self.choices[index].begin(prompt.as_ref(), vocabulary, &mut self.frames);
    }

    fn usage(&self) -> Usage {
        let mut total = Usage {
            prompt_tokens: u64::from(self.opening.prompt_tokens),
            ..Usage::default()
        };
        for usage in self.choices.iter().map(|choice| &choice.shown.usage) {
            total.cached_tokens += usage.cached_tokens;
            total.completion_tokens += usage.completion_tokens;
            total.reasoning_tokens += usage.reasoning_tokens;
        }
        total
    }
}

fn last_id(ids: &[i32]) -> Option<u32> {
    ids.iter().rev().find_map(|id| u32::try_from(*id).ok())
}

#[cfg(test)]
mod tests;
