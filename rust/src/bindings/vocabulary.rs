//! `Vocabulary` for Python: bytes in, whole texts out.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::detokenize::Detokenizer;
use crate::vocabulary::Vocabulary;

/// Token id → text.
#[pyclass(name = "Vocabulary", module = "penstock._core", frozen)]
pub(super) struct PyVocabulary {
    pub(super) inner: Arc<Vocabulary>,
}

#[pymethods]
impl PyVocabulary {
    #[staticmethod]
    fn from_json(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let vocabulary = py
            .detach(|| Vocabulary::from_json(data))
            .map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok(Self {
            inner: Arc::new(vocabulary),
        })
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    #[pyo3(signature = (ids, *, skip_special = true))]
    fn decode(&self, ids: Vec<i64>, skip_special: bool) -> PyResult<String> {
        let vocabulary = &*self.inner;
        let mut detokenizer = Detokenizer::new(vocabulary);
        let mut text = String::new();
        for id in ids {
            match u32::try_from(id)
                .ok()
                .filter(|id| (*id as usize) < vocabulary.len())
            {
                None => {
                    let message = format!(
                        "token id {id} is not in the vocabulary of {}",
                        vocabulary.len()
                    );
                    return Err(PyValueError::new_err(message));
                }
                Some(id) if skip_special => detokenizer.push(vocabulary, id, &mut text),
                Some(id) => detokenizer.push_shown(vocabulary, id, &mut text),
            }
        }
        detokenizer.finish(vocabulary, &mut text);
        Ok(text)
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyVocabulary>()
}
