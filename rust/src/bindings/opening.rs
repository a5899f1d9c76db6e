//! `Opening` and `Receipt` for Python: what a stream begins with, and what it came to.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::output_options::PyOutputOptions;
use crate::dialect::Dialect;
use crate::finish_reason::FinishReason;
use crate::hub::CHOICE_BITS;
use crate::opening::{Opening, ShownPrompt};
use crate::stream::Receipt;

/// What a stream is opened with.
#[pyclass(name = "Opening", module = "penstock._core", frozen)]
pub(super) struct PyOpening {
    pub(super) inner: Arc<Opening>,
}

#[pymethods]
impl PyOpening {
    #[new]
    #[pyo3(signature = (*, dialect, response_id, model, created, is_streamed, num_choices, prompt_tokens, max_tokens,
        request_id, arrival, include_usage = false, stop = Vec::new(), stop_token_ids = Vec::new(), keep_alive_s = None,
        prompts = Vec::new(), choices_per_prompt = None, output = None))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        dialect: &str,
        response_id: String,
        model: String,
        created: u64,
        is_streamed: bool,
        num_choices: u32,
        prompt_tokens: u32,
        max_tokens: u32,
        request_id: String,
        arrival: f64,
        include_usage: bool,
        stop: Vec<String>,
        stop_token_ids: Vec<u32>,
        keep_alive_s: Option<f64>,
        prompts: Vec<(Vec<u32>, Option<String>)>,
        choices_per_prompt: Option<u32>,
        output: Option<PyOutputOptions>,
    ) -> PyResult<Self> {
        let output = output.unwrap_or_default();
        let inner = Arc::new(Opening {
            dialect: read_dialect(dialect)?,
            response_id,
            model,
            created,
            is_streamed,
            num_choices: check_num_choices(num_choices)?,
            choices_per_prompt: choices_per_prompt.unwrap_or(num_choices),
            include_usage,
            stop,
            stop_token_ids,
            prompt_tokens,
            prompts: prompts.into_iter().map(shown_prompt).collect(),
            echoes_prompts: output.echo,
            max_tokens,
            keep_alive_s: check_keep_alive(keep_alive_s)?,
            request_id,
            arrival,
            output: output.try_into()?,
        });
        Ok(Self { inner })
    }
}

fn shown_prompt((ids, text): (Vec<u32>, Option<String>)) -> ShownPrompt {
    ShownPrompt { ids, text }
}

fn read_dialect(name: &str) -> PyResult<Dialect> {
    Dialect::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Dialect::ALL.iter().map(|known| known.name()).collect();
        let known = known.join(", ");
        PyValueError::new_err(format!("dialect is {name:?}; expected one of {known}"))
    })
}

fn check_num_choices(num_choices: u32) -> PyResult<u32> {
    let most = 1 << CHOICE_BITS;
    if (1..=most).contains(&num_choices) {
        return Ok(num_choices);
    }
    let message = format!("num_choices is {num_choices}; expected 1 to {most}");
    Err(PyValueError::new_err(message))
}

fn check_keep_alive(keep_alive_s: Option<f64>) -> PyResult<Option<f64>> {
    match keep_alive_s {
        Some(seconds) if seconds.is_nan() || seconds <= 0.0 => Err(PyValueError::new_err(format!(
            "keep_alive_s is {seconds}; expected more than 0, or None"
        ))),
        given => Ok(given),
    }
}

/// What a stream came to.
#[pyclass(name = "Receipt", module = "penstock._core", frozen)]
pub(super) struct PyReceipt {
    inner: Receipt,
    /// Apart, for a receipt is kept for longer than an answer need be.
    record: Mutex<Option<Vec<u8>>>,
}

impl From<Receipt> for PyReceipt {
    fn from(mut inner: Receipt) -> Self {
        let record = Mutex::new(inner.record.take());
        Self { inner, record }
    }
}

#[pymethods]
impl PyReceipt {
    #[getter]
    fn prompt_tokens(&self) -> u64 {
        self.inner.prompt_tokens
    }

    #[getter]
    fn cached_tokens(&self) -> u64 {
        self.inner.cached_tokens
    }

    #[getter]
    fn completion_tokens(&self) -> u64 {
        self.inner.completion_tokens
    }

    #[getter]
    fn time_to_first_token_s(&self) -> Option<f64> {
        self.inner.time_to_first_token_s
    }

    #[getter]
    fn finish_reason(&self) -> Option<&'static str> {
        self.inner.finish_reason.map(FinishReason::name)
    }

    #[getter]
    fn num_malformed_calls(&self) -> u32 {
        self.inner.num_malformed_calls
    }

    fn take_record<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.take().map(|record| PyBytes::new(py, &record))
    }

    #[getter]
    fn error(&self) -> Option<&'static str> {
        self.inner.error.as_ref().map(|error| error.kind.name())
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyOpening>()?;
    module.add_class::<PyReceipt>()
}
