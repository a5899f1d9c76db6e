//! The names of a sequence's pages.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::buffer::read_buffer;
use crate::page_hash;

#[pyfunction]
#[pyo3(signature = (ids, page_size, *, salt = "", parent = None))]
fn page_hashes<'py>(
    ids: &Bound<'py, PyAny>,
    page_size: usize,
    salt: &str,
    parent: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = ids.py();
    let ids: Vec<i32> = read_buffer(ids, "ids")?;
    if page_size == 0 {
        return Err(PyValueError::new_err("a page of no tokens"));
    }
    let parent = match parent {
        None => page_hash::root(salt),
        Some(parent) => parent
            .try_into()
            .map_err(|_| PyValueError::new_err("parent is no name of a page"))?,
    };
    let names = py.detach(|| page_hash::page_hashes(&ids, page_size, parent));
    Ok(PyBytes::new(py, &names))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("PAGE_HASH_BYTES", page_hash::HASH_BYTES)?;
    module.add_function(wrap_pyfunction!(page_hashes, module)?)
}
