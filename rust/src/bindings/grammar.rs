//! Grammars for Python: compiled on whatever thread calls, masks as bytes, the GIL released for all of it.

use std::time::Duration;

use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::buffer::read_buffer;
use super::vocabulary::PyVocabulary;
use crate::grammar::{CompileLimits, Grammar, GrammarError, GrammarFactory, GrammarRows, Kind};

/// What a row's output is held to.
#[pyclass(name = "Grammar", module = "penstock._core", frozen)]
struct PyGrammar {
    inner: Grammar,
}

/// Compiles grammars for one model.
#[pyclass(name = "GrammarFactory", module = "penstock._core", frozen)]
struct PyGrammarFactory {
    inner: GrammarFactory,
}

#[pymethods]
impl PyGrammarFactory {
    #[new]
    #[pyo3(signature = (vocabulary, *, num_ids, stop_ids, max_bytes = 262_144, timeout_s = 5.0, max_running = 4))]
    fn new(
        py: Python<'_>,
        vocabulary: &PyVocabulary,
        num_ids: u32,
        stop_ids: Vec<u32>,
        max_bytes: usize,
        timeout_s: f64,
        max_running: usize,
    ) -> PyResult<Self> {
        let limits = CompileLimits {
            max_bytes,
            timeout: seconds(timeout_s)?,
            max_running,
            ..CompileLimits::default()
        };
        let inner = py
            .detach(move || GrammarFactory::new(&vocabulary.inner, num_ids, &stop_ids, limits))
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self { inner })
    }

    fn compile(&self, py: Python<'_>, kind: &str, text: &str) -> PyResult<PyGrammar> {
        let kind = Kind::from_name(kind).ok_or_else(|| PyKeyError::new_err(kind.to_owned()))?;
        let inner = py
            .detach(|| self.inner.compile(kind, text))
            .map_err(raised)?;
        Ok(PyGrammar { inner })
    }

    #[pyo3(signature = (grammar = None, *, end, begin = None, max_tokens = None))]
    fn after_thought(
        &self,
        grammar: Option<&PyGrammar>,
        end: &str,
        begin: Option<&str>,
        max_tokens: Option<u32>,
    ) -> PyResult<PyGrammar> {
        let thought = self.inner.thought(begin, end, max_tokens).map_err(raised)?;
        let before = grammar.map_or_else(|| self.inner.free(), |grammar| grammar.inner.clone());
        Ok(PyGrammar {
            inner: before.after_thought(thought),
        })
    }
}

/// A busy factory is not the caller's fault.
fn raised(error: GrammarError) -> PyErr {
    match error {
        GrammarError::Invalid(reason) => PyValueError::new_err(reason),
        GrammarError::Busy => PyRuntimeError::new_err(error.to_string()),
    }
}

/// Rows by key and places, their masks, and those that ended.
type PyTaken<'py> = (
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Vec<u64>,
    Vec<(u64, String)>,
);

/// All rows under a grammar.
#[pyclass(name = "GrammarRows", module = "penstock._core", frozen)]
struct PyGrammarRows {
    inner: GrammarRows,
}

#[pymethods]
impl PyGrammarRows {
    #[new]
    #[pyo3(signature = (*, num_threads = 2))]
    fn new(num_threads: usize) -> Self {
        Self {
            inner: GrammarRows::new(num_threads),
        }
    }

    fn join(&self, py: Python<'_>, row_key: u64, grammar: &PyGrammar) {
        py.detach(|| self.inner.join(row_key, grammar.inner.clone()));
    }

    fn advance(
        &self,
        row_keys: &Bound<'_, PyAny>,
        ids: &Bound<'_, PyAny>,
        ends: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = row_keys.py();
        let row_keys: Vec<u64> = read_buffer(row_keys, "row_keys")?;
        let ids: Vec<i32> = read_buffer(ids, "ids")?;
        let ends: Vec<u8> = read_buffer(ends, "ends")?;
        if ids.len() != row_keys.len() || ends.len() != row_keys.len() {
            let (keys, ids, ends) = (row_keys.len(), ids.len(), ends.len());
            let message = format!("row_keys [{keys}], ids [{ids}] and ends [{ends}] do not fit");
            return Err(PyValueError::new_err(message));
        }
        let has_ended: Vec<bool> = ends.iter().map(|end| *end != 0).collect();
        py.detach(|| self.inner.advance(&row_keys, &ids, &has_ended));
        Ok(())
    }

    #[pyo3(signature = (row_keys, *, wait_s = 0.0))]
    fn take_ready<'py>(&self, row_keys: &Bound<'py, PyAny>, wait_s: f64) -> PyResult<PyTaken<'py>> {
        let py = row_keys.py();
        let row_keys: Vec<u64> = read_buffer(row_keys, "row_keys")?;
        let wait = seconds(wait_s)?;
        let taken = py.detach(|| self.inner.take_ready(&row_keys, wait));
        let indices = words_as_bytes(py, taken.indices.iter().map(|each| each.to_ne_bytes()))?;
        let masks = words_as_bytes(py, taken.masks.iter().map(|each| each.to_ne_bytes()))?;
        Ok((indices, masks, taken.complete, taken.failed))
    }

    fn leave(&self, py: Python<'_>, row_key: u64) {
        py.detach(|| self.inner.leave(row_key));
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }
}

/// Written where Python will read them: masks are kilobytes for each row.
fn words_as_bytes(
    py: Python<'_>,
    words: impl ExactSizeIterator<Item = [u8; 4]>,
) -> PyResult<Bound<'_, PyBytes>> {
    PyBytes::new_with(py, words.len() * 4, |bytes| {
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word);
        }
        Ok(())
    })
}

fn seconds(value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|error| PyValueError::new_err(error.to_string()))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyGrammar>()?;
    module.add_class::<PyGrammarFactory>()?;
    module.add_class::<PyGrammarRows>()?;
    let kinds: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
    module.add("GRAMMAR_KINDS", kinds)
}
