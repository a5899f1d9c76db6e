//! GGUF files for Python: a header's plain values, a tokenizer.json, and blocks as floats.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use penstock_kernels::gguf_blocks::{Layout, TensorType, format_of};
use penstock_kernels::handlers::blocks_packer;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::buffer::read_buffer;
use crate::gguf::tokenizer::{self, Tokenizer};
use crate::gguf::{Array, Gguf, Tensor, Value};

/// Arrays of more items stay here: those of the vocabulary.
const MAX_ARRAY: usize = 4096;
const READ_BYTES: usize = 1 << 20;

/// A file's header.
#[pyclass(name = "GgufFile", module = "penstock._core", frozen)]
struct PyGgufFile {
    inner: Gguf,
}

/// name, type, shape, start, bytes.
type TensorRow<'a> = (&'a str, &'static str, &'a [u64], u64, u64);
/// tokenizer.json, special tokens by name.
type TokenizerParts<'py> = (Bound<'py, PyBytes>, Bound<'py, PyDict>);

#[pymethods]
impl PyGgufFile {
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let inner = py.detach(|| {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            Ok(Gguf::read(BufReader::with_capacity(READ_BYTES, file), size))
        });
        match inner {
            Ok(Ok(inner)) => Ok(Self { inner }),
            Ok(Err(error)) => Err(PyValueError::new_err(error.to_string())),
            Err(error) => Err(std::io::Error::into(error)),
        }
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let pairs = PyDict::new(py);
        for (key, value) in self.inner.metadata.iter() {
            if let Some(value) = small(py, value)? {
                pairs.set_item(key, value)?;
            }
        }
        Ok(pairs)
    }

    #[getter]
    fn tensors(&self) -> Vec<TensorRow<'_>> {
        self.inner.tensors.iter().map(tensor_row).collect()
    }

    fn tokenizer<'py>(&self, py: Python<'py>) -> PyResult<TokenizerParts<'py>> {
        let tokenizer = py
            .detach(|| Tokenizer::read(&self.inner.metadata))
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let specials = PyDict::new(py);
        for (name, text) in tokenizer.specials {
            specials.set_item(name, text)?;
        }
        let json = PyBytes::new(py, tokenizer.json.as_bytes());
        Ok((json, specials))
    }

    #[getter]
    fn end_ids(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        py.detach(|| tokenizer::end_ids(&self.inner.metadata))
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

fn tensor_row(tensor: &Tensor) -> TensorRow<'_> {
    let (name, kind) = (tensor.name.as_str(), tensor.kind.name());
    (name, kind, &tensor.shape, tensor.start, tensor.num_bytes)
}

fn small<'py>(py: Python<'py>, value: &Value) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(Some(match value {
        Value::Int(value) => value.into_bound_py_any(py)?,
        Value::Float(value) => value.into_bound_py_any(py)?,
        Value::Bool(value) => value.into_bound_py_any(py)?,
        Value::Text(value) => value.into_bound_py_any(py)?,
        Value::Array(array) if array.len() > MAX_ARRAY => return Ok(None),
        Value::Array(Array::Ints(items)) => items.into_bound_py_any(py)?,
        Value::Array(Array::Floats(items)) => items.into_bound_py_any(py)?,
        Value::Array(Array::Bools(items)) => items.into_bound_py_any(py)?,
        Value::Array(Array::Texts(items)) => items.into_bound_py_any(py)?,
    }))
}

#[pyfunction]
fn dequantize<'py>(kind: &str, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = data.py();
    let layout = TensorType::named(kind).and_then(Layout::of);
    let layout = layout.ok_or_else(|| PyValueError::new_err(format!("{kind} has no blocks")))?;
    let bytes: Vec<u8> = read_buffer(data, "data")?;
    if !bytes.len().is_multiple_of(layout.block_bytes) {
        return Err(PyValueError::new_err("data are no whole blocks"));
    }
    let floats = py.detach(|| {
        let mut numbers = Vec::with_capacity(bytes.len() / layout.block_bytes * layout.block);
        layout.dequantize(&bytes, &mut numbers);
        numbers
            .into_iter()
            .flat_map(f32::to_ne_bytes)
            .collect::<Vec<u8>>()
    });
    Ok(PyBytes::new(py, &floats))
}

#[pyfunction]
fn blocks_format(kinds: Vec<String>) -> Option<String> {
    let named = |kind: String| TensorType::named(&kind);
    let kinds: Option<Vec<TensorType>> = kinds.into_iter().map(named).collect();
    format_of(&kinds?).map(|format| format.to_string())
}

#[pyfunction]
fn kernel_blocks_packer() -> usize {
    blocks_packer()
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let blocks = TensorType::all().filter(|kind| Layout::of(*kind).is_some());
    let numbers: BTreeMap<&str, u32> = blocks.map(|kind| (kind.name(), kind.number())).collect();
    module.add("BLOCK_TYPES", numbers)?;
    module.add_function(wrap_pyfunction!(blocks_format, module)?)?;
    module.add_function(wrap_pyfunction!(kernel_blocks_packer, module)?)?;
    module.add_class::<PyGgufFile>()?;
    module.add_function(wrap_pyfunction!(dequantize, module)?)
}
