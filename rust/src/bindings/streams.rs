//! `Hub` for Python: buffers copied in, bytes copied out, the GIL released for a step.

use std::time::Instant;

use pyo3::buffer::{Element, PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::metrics::PyMetrics;
use super::vocabulary::PyVocabulary;
use crate::error::ErrorKind;
use crate::hub::{CHOICE_BITS, EngineGauges, Hub, Rows};
use crate::sse;
use crate::stream::{End, Opening};

const END_NONE: u8 = 0;
const END_STOP: u8 = 1;
const END_LENGTH: u8 = 2;

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
        metrics: &PyMetrics,
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

    #[pyo3(signature = (*, response_id, model, created, chat, streamed, num_choices, include_usage, stop, prompt_tokens,
        max_tokens, request_id, arrival))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open(
        &self,
        response_id: String,
        model: String,
        created: u64,
        chat: bool,
        streamed: bool,
        num_choices: u32,
        include_usage: bool,
        stop: Vec<String>,
        prompt_tokens: u32,
        max_tokens: u32,
        request_id: String,
        arrival: f64,
    ) -> PyResult<u64> {
        if !(1..=1 << CHOICE_BITS).contains(&num_choices) {
            let message = format!(
                "num_choices is {num_choices}; expected 1 to {}",
                1 << CHOICE_BITS
            );
            return Err(PyValueError::new_err(message));
        }
        let opening = Opening {
            response_id,
            model,
            created,
            is_chat: chat,
            is_streamed: streamed,
            num_choices,
            include_usage,
            stop,
            prompt_tokens,
            max_tokens,
            request_id,
            arrival,
        };
        Ok(self.inner.open(opening, self.clock.now()))
    }

    fn mark_scheduled(&self, row_key: u64) {
        self.inner.mark_scheduled(row_key, self.clock.now());
    }

    #[pyo3(signature = (keys, ids, ends, *, num_running, num_waiting, num_pages_in_use))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn push_step(
        &self,
        py: Python<'_>,
        keys: &Bound<'_, PyAny>,
        ids: &Bound<'_, PyAny>,
        ends: &Bound<'_, PyAny>,
        num_running: u32,
        num_waiting: u32,
        num_pages_in_use: u32,
    ) -> PyResult<Vec<u64>> {
        let keys: Vec<u64> = read_buffer(keys, "keys")?;
        let ids: Vec<i32> = read_buffer(ids, "ids")?;
        let ends: Vec<End> = read_buffer(ends, "ends")?
            .into_iter()
            .map(read_end)
            .collect::<PyResult<_>>()?;
        if ends.len() != keys.len() || !ids.len().is_multiple_of(keys.len().max(1)) {
            let message = format!(
                "keys [{}], ids [{}] and ends [{}] do not fit",
                keys.len(),
                ids.len(),
                ends.len()
            );
            return Err(PyValueError::new_err(message));
        }
        let rows = Rows {
            keys: &keys,
            ids: &ids,
            ends: &ends,
        };
        let gauges = EngineGauges {
            num_running,
            num_waiting,
            num_pages_in_use,
        };
        Ok(py.detach(|| self.inner.push_step(rows, gauges, self.clock.now())))
    }

    #[pyo3(signature = (row_key, text, *, num_tokens, end = 0))]
    fn push_text(&self, row_key: u64, text: &str, num_tokens: u32, end: u8) -> PyResult<bool> {
        Ok(self
            .inner
            .push_text(row_key, text, num_tokens, read_end(end)?, self.clock.now()))
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

    fn cancel(&self, stream_key: u64) -> bool {
        self.inner.cancel(stream_key, self.clock.now())
    }

    fn withdraw(&self, stream_key: u64) -> bool {
        self.inner.withdraw(stream_key)
    }

    fn take<'py>(&self, py: Python<'py>, stream_key: u64) -> (Bound<'py, PyBytes>, u16) {
        self.inner
            .take(stream_key, |frames| PyBytes::new(py, frames))
    }

    fn take_ready(&self) -> Vec<u64> {
        self.inner.take_ready()
    }

    fn ping_idle(&self, py: Python<'_>, idle_s: f64) -> bool {
        py.detach(|| self.inner.ping_idle(idle_s, self.clock.now()))
    }

    fn rows_with_room<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        max_pending_bytes: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let keys: Vec<u64> = read_buffer(keys, "keys")?;
        let has_room = py.detach(|| self.inner.rows_with_room(&keys, max_pending_bytes));
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

/// A copy of a buffer, whatever its strides. An empty one may stand at any address and so be refused as unaligned.
fn read_buffer<T: Element>(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Vec<T>> {
    match PyBuffer::<T>::get(value) {
        Ok(buffer) => buffer.to_vec(value.py()),
        Err(_) if PyUntypedBuffer::get(value).is_ok_and(|buffer| buffer.item_count() == 0) => {
            Ok(Vec::new())
        }
        Err(cause) => Err(PyValueError::new_err(format!("{name}: {cause}"))),
    }
}

fn read_end(end: u8) -> PyResult<End> {
    match end {
        END_NONE => Ok(End::None),
        END_STOP => Ok(End::Stop),
        END_LENGTH => Ok(End::Length),
        _ => Err(PyValueError::new_err(format!(
            "end is {end}; expected END_NONE, END_STOP or END_LENGTH"
        ))),
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyHub>()?;
    module.add("PING", PyBytes::new(module.py(), sse::PING))?;
    module.add("DONE", PyBytes::new(module.py(), sse::DONE))?;
    module.add("CHOICE_BITS", CHOICE_BITS)?;
    module.add("END_NONE", END_NONE)?;
    module.add("END_STOP", END_STOP)?;
    module.add("END_LENGTH", END_LENGTH)
}
