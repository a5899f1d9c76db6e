//! `Hub` for Python: buffers copied in, bytes copied out, the GIL released for a step.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::buffer::read_buffer;
use super::columns::{Logprobs, PromptLogprobs};
use super::metrics::PyModelMetrics;
use super::opening::{PyOpening, PyReceipt};
use super::vocabulary::PyVocabulary;
use crate::cache_use::{CacheExit, CacheUse};
use crate::delta::Kind;
use crate::dialect::{Dialect, Record, records};
use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;
use crate::hub::{CHOICE_BITS, EngineGauges, Hub, Rows};
use crate::sse;
use crate::stream::{CallPiece, Sample};
use crate::token_table::SpelledToken;

const END_NONE: u8 = 0;
const END_STOP: u8 = 1;
const END_LENGTH: u8 = 2;
const END_ERROR: u8 = 3;

/// Between two looks at whether streams have room.
const FIRST_PAUSE: Duration = Duration::from_micros(250);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// Seconds on the clock of `time.monotonic()`, read without Python.
struct Clock {
    start: Instant,
    start_s: f64,
}

impl Clock {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let start_s = py.import("time")?.call_method0("monotonic")?.extract()?;
        Ok(Self {
            start: Instant::now(),
            start_s,
        })
    }

    fn now(&self) -> f64 {
        self.start_s + self.start.elapsed().as_secs_f64()
    }
}

/// All open streams of one engine.
#[pyclass(name = "Hub", module = "penstock._core", frozen)]
struct PyHub {
    inner: Hub,
    clock: Clock,
}

#[pymethods]
impl PyHub {
    #[new]
    #[pyo3(signature = (vocabulary, metrics, *, max_pending_bytes = 1 << 20))]
    fn new(
        py: Python<'_>,
        vocabulary: &PyVocabulary,
        metrics: &PyModelMetrics,
        max_pending_bytes: usize,
    ) -> PyResult<Self> {
        let inner = Hub::new(
            vocabulary.inner.clone(),
            metrics.inner.clone(),
            max_pending_bytes,
        );
        Ok(Self {
            inner,
            clock: Clock::new(py)?,
        })
    }

    fn open(&self, opening: &PyOpening) -> u64 {
        self.inner.open(opening.inner.clone(), self.clock.now())
    }

    #[pyo3(signature = (row_key, *, num_cached_tokens = 0, num_queried_tokens = 0, cache_exit = None))]
    fn mark_scheduled(
        &self,
        row_key: u64,
        num_cached_tokens: u32,
        num_queried_tokens: u32,
        cache_exit: Option<&str>,
    ) -> PyResult<()> {
        let found = CacheUse {
            num_cached_tokens,
            num_queried_tokens,
            exit: cache_exit.map(read_cache_exit).transpose()?,
        };
        self.inner.mark_scheduled(row_key, found, self.clock.now());
        Ok(())
    }

    fn count_preemption(&self) {
        self.inner.count_preemption();
    }

    #[pyo3(signature = (keys, output, *, num_running, num_waiting, num_pages_in_use))]
    fn push_step(
        &self,
        keys: &Bound<'_, PyAny>,
        output: &Bound<'_, PyAny>,
        num_running: u32,
        num_waiting: u32,
        num_pages_in_use: u32,
    ) -> PyResult<Vec<u64>> {
        let py = keys.py();
        let row_keys: Vec<u64> = read_buffer(keys, "keys")?;
        let ids: Vec<i32> = read_buffer(&output.getattr(intern!(py, "ids"))?, "ids")?;
        let ends = read_ends(&output.getattr(intern!(py, "ends"))?)?;
        check_rows(row_keys.len(), ids.len(), ends.len())?;
        let logprobs = Logprobs::read(output.getattr_opt(intern!(py, "logprobs"))?, ids.len())?;
        let prompts = PromptLogprobs::read_all(output.getattr_opt(intern!(py, "prompt_columns"))?)?;
        let prompt_columns: Vec<_> = prompts.iter().map(PromptLogprobs::columns).collect();
        let rows = Rows {
            row_keys: &row_keys,
            ids: &ids,
            ends: &ends,
            logprobs: logprobs.as_ref().map(Logprobs::rows),
            prompt_columns: &prompt_columns,
        };
        let gauges = EngineGauges {
            num_running,
            num_waiting,
            num_pages_in_use,
        };
        Ok(py.detach(|| self.inner.push_step(rows, gauges, self.clock.now())))
    }

    #[pyo3(signature = (row_key, text, *, num_tokens, end = 0, reasoning = String::new(), tool_calls = Vec::new(),
        logprobs = Vec::new()))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn push_text(
        &self,
        row_key: u64,
        text: String,
        num_tokens: u32,
        end: u8,
        reasoning: String,
        tool_calls: Vec<PyCallPiece>,
        logprobs: Vec<PySpelledToken>,
    ) -> PyResult<bool> {
        let sample = Sample {
            reasoning,
            text,
            calls: tool_calls.into_iter().map(call_piece).collect(),
            logprobs: logprobs.into_iter().map(spelled_token).collect(),
            num_tokens,
            end: read_end(end)?,
        };
        if sample.logprobs.len() > num_tokens as usize {
            return Err(PyValueError::new_err("more logprobs than num_tokens"));
        }
        Ok(self.inner.push_sample(row_key, &sample, self.clock.now()))
    }

    #[pyo3(signature = (stream_key, kind, message, *, param = None))]
    fn fail(
        &self,
        stream_key: u64,
        kind: &str,
        message: &str,
        param: Option<&str>,
    ) -> PyResult<bool> {
        let kind =
            ErrorKind::from_name(kind).ok_or_else(|| PyKeyError::new_err(kind.to_owned()))?;
        Ok(self
            .inner
            .fail(stream_key, kind, message, param, self.clock.now()))
    }

    fn cancel(&self, stream_key: u64) -> Option<PyReceipt> {
        let receipt = self.inner.cancel(stream_key, self.clock.now());
        receipt.map(PyReceipt::from)
    }

    fn withdraw(&self, stream_key: u64) -> bool {
        self.inner.withdraw(stream_key)
    }

    fn take<'py>(
        &self,
        py: Python<'py>,
        stream_key: u64,
    ) -> (Bound<'py, PyBytes>, u16, Option<PyReceipt>) {
        let taken = self
            .inner
            .take(stream_key, |frames| PyBytes::new(py, frames));
        (taken.read, taken.status, taken.receipt.map(PyReceipt::from))
    }

    fn take_deltas(&self, stream_key: u64) -> PyResult<(Vec<PyDelta>, u16, Option<PyStreamError>)> {
        let dialect = self.inner.dialect_of(stream_key);
        if let Some(other) = dialect.filter(|dialect| *dialect != Dialect::Deltas) {
            let message = format!("the stream speaks {:?}, not \"deltas\"", other.name());
            return Err(PyValueError::new_err(message));
        }
        let taken = self
            .inner
            .take(stream_key, |bytes| records(bytes).map(own).collect());
        let error = taken.receipt.and_then(|receipt| receipt.error);
        let error = error.map(|error| (error.kind.name(), error.message, error.param));
        Ok((taken.read, taken.status, error))
    }

    fn take_ready(&self) -> Vec<u64> {
        self.inner.take_ready()
    }

    fn ping_idle(&self, py: Python<'_>) -> bool {
        py.detach(|| self.inner.ping_idle(self.clock.now()))
    }

    #[pyo3(signature = (keys, max_pending_bytes, *, num_wanted = 0, timeout_s = 0.0))]
    fn rows_with_room<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        max_pending_bytes: usize,
        num_wanted: usize,
        timeout_s: f64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let row_keys: Vec<u64> = read_buffer(keys, "keys")?;
        let look = || self.inner.rows_with_room(&row_keys, max_pending_bytes);
        let has_room = py.detach(|| look_until(look, num_wanted, timeout_s));
        Ok(PyBytes::new(
            py,
            &has_room.into_iter().map(u8::from).collect::<Vec<_>>(),
        ))
    }

    #[getter]
    fn num_open(&self) -> usize {
        self.inner.num_open()
    }
}

/// What `look` sees once `num_wanted` are true, or `timeout_s` is over.
fn look_until(look: impl Fn() -> Vec<bool>, num_wanted: usize, timeout_s: f64) -> Vec<bool> {
    let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let seen = look();
        let is_enough = seen.iter().filter(|each| **each).count() >= num_wanted;
        if is_enough || start.elapsed().as_secs_f64() >= timeout_s {
            return seen;
        }
        std::thread::sleep(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

fn read_cache_exit(name: &str) -> PyResult<CacheExit> {
    CacheExit::from_name(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))
}

fn read_end(end: u8) -> PyResult<Option<FinishReason>> {
    match end {
        END_NONE => Ok(None),
        END_STOP => Ok(Some(FinishReason::Stop)),
        END_LENGTH => Ok(Some(FinishReason::Length)),
        END_ERROR => Ok(Some(FinishReason::Error)),
        _ => Err(PyValueError::new_err(format!(
            "end is {end}; expected END_NONE, END_STOP, END_LENGTH or END_ERROR"
        ))),
    }
}

fn read_ends(column: &Bound<'_, PyAny>) -> PyResult<Vec<Option<FinishReason>>> {
    let ends = read_buffer(column, "ends")?;
    ends.into_iter().map(read_end).collect()
}

fn check_rows(num_keys: usize, num_ids: usize, num_ends: usize) -> PyResult<()> {
    if num_ends == num_keys && num_ids.is_multiple_of(num_keys.max(1)) {
        return Ok(());
    }
    let message = format!("keys [{num_keys}], ids [{num_ids}] and ends [{num_ends}] do not fit");
    Err(PyValueError::new_err(message))
}

/// A piece of a tool call: its index, its id and name where it begins, the next piece of its arguments.
type PyCallPiece = (u32, Option<(String, String)>, String);
/// A token: its bytes, its log probability, the likeliest tokens in its place.
type PySpelledToken = (Vec<u8>, f32, Vec<(Vec<u8>, f32)>);

fn call_piece((index, begins, arguments): PyCallPiece) -> CallPiece {
    CallPiece {
        index,
        begins,
        arguments,
    }
}

fn spelled_token((bytes, logprob, top): PySpelledToken) -> SpelledToken {
    SpelledToken {
        bytes,
        logprob,
        top,
    }
}

/// A record of the dialect "deltas": index, kind, text, number of tokens, reason; of a tool call also its place and id.
type PyDelta = (
    u32,
    &'static str,
    String,
    u32,
    Option<&'static str>,
    u32,
    String,
);
/// A row of the error table, message, param.
type PyStreamError = (&'static str, String, Option<String>);

fn own(record: Record<'_>) -> PyDelta {
    let (kind, call, id) = match record.kind {
        Kind::Text => ("text", 0, ""),
        Kind::Reasoning => ("reasoning", 0, ""),
        Kind::ToolCall { index, id } => ("tool_call", index, id),
        Kind::ToolArguments { index } => ("tool_arguments", index, ""),
    };
    let reason = record.reason.map(FinishReason::name);
    let (text, id) = (record.text.to_owned(), id.to_owned());
    (
        record.index,
        kind,
        text,
        record.num_tokens,
        reason,
        call,
        id,
    )
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyHub>()?;
    module.add("PING", PyBytes::new(module.py(), sse::PING))?;
    module.add("DONE", PyBytes::new(module.py(), sse::DONE))?;
    module.add("CHOICE_BITS", CHOICE_BITS)?;
    module.add("END_NONE", END_NONE)?;
    module.add("END_STOP", END_STOP)?;
    module.add("END_LENGTH", END_LENGTH)?;
    module.add("END_ERROR", END_ERROR)
}
