//! The ends of choices and of their stream: told, failed, or left by the client.

use crate::cache_use;
use crate::dialect::Failure;
use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;
use crate::metrics::{Counter, ModelMetrics, RequestSizes};
use crate::stage::End;
use crate::vocabulary::Vocabulary;

use super::echo::prompt_of;
use super::{Step, Stream, StreamError, best};

const ENGINE_FAILED: &str =
    "The engine failed on this request: the model gave values that are not numbers.";

impl Stream {
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

    /// Ends a choice if the engine did. `stop_id`: the token that stopped it.
    pub(super) fn maybe_end(
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

    pub(super) fn end_choice(
        &mut self,
        index: usize,
        end: End,
        stop_id: Option<u32>,
        step: &mut Step<'_>,
    ) {
        self.choices[index].end(end, stop_id, step, &mut self.frames);
        self.num_ended += 1;
        if self.num_ended == self.choices.len() {
            self.end(step.vocabulary, step.metrics);
        }
    }

    /// All choices have ended.
    fn end(&mut self, vocabulary: &Vocabulary, metrics: &ModelMetrics) {
        let usage = self.usage();
        if self.opening.output.reports_cache {
            let choices = self.choices.iter();
            let prompts = choices.step_by(self.opening.num_choices_of_prompt());
            let report = cache_use::report(prompts.map(|choice| choice.found));
            self.frames.write(|writer, _| writer.tell(report));
        }
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
            .map(|choice| choice.shown.num_tokens())
            .max();
        metrics.finish_request(&RequestSizes {
            prompt_tokens: self.opening.prompt_tokens,
            num_choices: self.opening.num_choices,
            max_tokens: self.opening.max_tokens,
            max_generation_tokens: longest.unwrap_or(0),
        });
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
