//! The columns of an engine step that hold log probabilities, copied out of numpy's arrays.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::buffer::read_buffer;
use crate::stream::{LogprobRows, PromptColumns};

/// `LogprobColumns` of Python.
pub(super) struct Logprobs {
    sampled: Vec<f32>,
    top_ids: Vec<i32>,
    top: Vec<f32>,
}

/// `PromptColumns` of Python.
pub(super) struct PromptLogprobs {
    row_key: u64,
    start: u32,
    logprobs: Logprobs,
}

impl Logprobs {
    /// None where there is no such column. `num_ids`: how many tokens there must be.
    pub(super) fn read(
        columns: Option<Bound<'_, PyAny>>,
        num_ids: usize,
    ) -> PyResult<Option<Self>> {
        let Some(columns) = columns.filter(|columns| !columns.is_none()) else {
            return Ok(None);
        };
        let read = Self::read_columns(&columns)?;
        if read.sampled.len() == num_ids {
            return Ok(Some(read));
        }
        let message = format!(
            "logprobs [{}] do not fit ids [{num_ids}]",
            read.sampled.len()
        );
        Err(PyValueError::new_err(message))
    }

    pub(super) fn rows(&self) -> LogprobRows<'_> {
        LogprobRows {
            sampled: &self.sampled,
            top_ids: &self.top_ids,
            top: &self.top,
        }
    }

    fn read_columns(columns: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = columns.py();
        let read = Self {
            sampled: read_buffer(&columns.getattr(intern!(py, "sampled"))?, "sampled")?,
            top_ids: read_buffer(&columns.getattr(intern!(py, "top_ids"))?, "top_ids")?,
            top: read_buffer(&columns.getattr(intern!(py, "top"))?, "top")?,
        };
        let num_rows = read.sampled.len().max(1);
        if read.top.len() == read.top_ids.len() && read.top.len().is_multiple_of(num_rows) {
            return Ok(read);
        }
        Err(PyValueError::new_err(
            "sampled, top_ids and top do not fit each other",
        ))
    }
}

impl PromptLogprobs {
    /// Those of a tuple; none where there is none.
    pub(super) fn read_all(prompts: Option<Bound<'_, PyAny>>) -> PyResult<Vec<Self>> {
        let Some(prompts) = prompts.filter(|prompts| !prompts.is_none()) else {
            return Ok(Vec::new());
        };
        prompts
            .try_iter()?
            .map(|columns| Self::read(&columns?))
            .collect()
    }

    pub(super) fn columns(&self) -> PromptColumns<'_> {
        PromptColumns {
            row_key: self.row_key,
            start: self.start,
            rows: self.logprobs.rows(),
        }
    }

    fn read(columns: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = columns.py();
        Ok(Self {
            row_key: columns.getattr(intern!(py, "row_key"))?.extract()?,
            start: columns.getattr(intern!(py, "start"))?.extract()?,
            logprobs: Logprobs::read_columns(columns)?,
        })
    }
}
