//! Numpy's arrays, and any other buffer of numbers, copied in.

use pyo3::buffer::{Element, PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A copy of a buffer, whatever its strides. An empty one may stand at any address and so be refused as unaligned.
pub(super) fn read_buffer<T: Element>(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Vec<T>> {
    match PyBuffer::<T>::get(value) {
        Ok(buffer) => buffer.to_vec(value.py()),
        Err(_) if PyUntypedBuffer::get(value).is_ok_and(|buffer| buffer.item_count() == 0) => {
            Ok(Vec::new())
        }
        Err(cause) => Err(PyValueError::new_err(format!("{name}: {cause}"))),
    }
}
