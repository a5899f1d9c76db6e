//! Errors, ids, keys and request heads for Python.

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::error::ErrorKind;
use crate::error_shape::ErrorShape;
use crate::json_shape::{self, ShapeLimits};
use crate::request_head::{
    Answer, Endpoint, Fresh, Header, RequestHead, RequestLine, Router, Routes,
};
use crate::{api_key, request_id};

const MAX_BODY_BYTES: u64 = 10 << 20;
const MAX_HEADERS: usize = 100;
/// A shorter body is read sooner than the lock can be given back and taken again.
const DETACHED_BODY_BYTES: usize = 32 << 10;

type PyHeader<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);
type PyAnswer<'py> = (u16, Vec<PyHeader<'py>>, Bound<'py, PyBytes>);

#[pyfunction]
fn error_kind(name: &str) -> PyResult<(u16, &'static str, Option<&'static str>)> {
    let kind = find_kind(name)?;
    Ok((kind.status(), kind.error_type(), kind.code()))
}

#[pyfunction]
fn error_status(name: &str, shape: &str) -> PyResult<u16> {
    Ok(find_shape(shape)?.status(find_kind(name)?))
}

#[pyfunction]
fn error_kinds() -> Vec<&'static str> {
    ErrorKind::ALL.iter().map(|kind| kind.name()).collect()
}

#[pyfunction]
#[pyo3(signature = (name, message, *, param = None, request_id = None, timestamp = 0.0, shape = "openai"))]
fn error_body<'py>(
    py: Python<'py>,
    name: &str,
    message: &str,
    param: Option<&str>,
    request_id: Option<&str>,
    timestamp: f64,
    shape: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let (shape, kind) = (find_shape(shape)?, find_kind(name)?);
    let body = shape.body(kind, message, param, request_id, timestamp);
    Ok(PyBytes::new(py, &body))
}

#[pyfunction]
#[pyo3(signature = (body, *, max_members, max_items))]
fn json_excess(
    py: Python<'_>,
    body: &[u8],
    max_members: usize,
    max_items: usize,
) -> Option<(&'static str, String)> {
    let limits = ShapeLimits {
        max_members,
        max_items,
    };
    let checked = if body.len() < DETACHED_BODY_BYTES {
        json_shape::check(body, limits)
    } else {
        py.detach(|| json_shape::check(body, limits))
    };
    checked
        .err()
        .map(|excess| (excess.kind().name(), excess.to_string()))
}

#[pyfunction]
fn mint_id(prefix: &str) -> String {
    request_id::mint(prefix)
}

#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over what it extracted"
)]
fn keys_equal(given: &[u8], digests: Vec<Bound<'_, PyBytes>>) -> bool {
    api_key::is_known(given, digests.iter().map(PyBytesMethods::as_bytes))
}

#[pyfunction]
fn key_digest<'py>(py: Python<'py>, key: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &api_key::digest(key))
}

fn find_kind(name: &str) -> PyResult<ErrorKind> {
    ErrorKind::from_name(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))
}

fn find_shape(name: &str) -> PyResult<ErrorShape> {
    ErrorShape::from_name(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))
}

#[pyclass(name = "Router", module = "penstock._core", frozen)]
struct PyRouter {
    inner: Router,
}

#[pymethods]
impl PyRouter {
    #[new]
    #[pyo3(signature = (endpoints, *, cors_origins = Vec::new(), max_body_bytes = MAX_BODY_BYTES, max_headers = MAX_HEADERS,
        error_shapes = Vec::new()))]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "PyO3 hands over what it extracted"
    )]
    fn new(
        endpoints: Vec<(String, Vec<String>, bool)>,
        cors_origins: Vec<String>,
        max_body_bytes: u64,
        max_headers: usize,
        error_shapes: Vec<String>,
    ) -> PyResult<Self> {
        let mut endpoints: Vec<Endpoint> = endpoints.into_iter().map(endpoint).collect();
        for (endpoint, shape) in endpoints.iter_mut().zip(&error_shapes) {
            endpoint.error_shape = find_shape(shape)?;
        }
        let routes =
            Routes::new(&endpoints).map_err(|bad| PyValueError::new_err(bad.to_string()))?;
        Ok(Self {
            inner: Router::new(routes, &cors_origins, max_body_bytes, max_headers),
        })
    }

    fn read(&self, scope: &Bound<'_, PyDict>) -> PyResult<PyRequestHead> {
        let py = scope.py();
        let method = text(scope, intern!(py, "method"))?;
        let full_path = text(scope, intern!(py, "path"))?;
        let root = text(scope, intern!(py, "root_path"))?;
        let path = full_path.strip_prefix(root.as_str()).unwrap_or(&full_path);
        let headers = headers_of(scope)?;
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let line = RequestLine {
            method: &method,
            path,
            is_http_1: text(scope, intern!(py, "http_version"))?.starts_with('1'),
        };
        Ok(PyRequestHead {
            inner: self.inner.read(line, headers, fresh()),
        })
    }
}

fn endpoint((template, methods, takes_body): (String, Vec<String>, bool)) -> Endpoint {
    Endpoint {
        template,
        methods,
        takes_body,
        error_shape: ErrorShape::default(),
    }
}

fn fresh() -> Fresh {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Fresh {
        request_id: request_id::mint("req_"),
        timestamp: since_epoch.as_secs_f64(),
    }
}

/// A scope's string, "" when absent; what is not Unicode becomes U+FFFD.
fn text(scope: &Bound<'_, PyDict>, key: &Bound<'_, PyString>) -> PyResult<String> {
    let Some(value) = scope.get_item(key)? else {
        return Ok(String::new());
    };
    Ok(value.cast::<PyString>()?.to_string_lossy().into_owned())
}

/// A scope's headers; the pairs may be tuples or lists.
fn headers_of<'py>(scope: &Bound<'py, PyDict>) -> PyResult<Vec<PyHeader<'py>>> {
    let Some(headers) = scope.get_item(intern!(scope.py(), "headers"))? else {
        return Ok(Vec::new());
    };
    headers
        .try_iter()?
        .map(|pair| {
            let pair = pair?;
            let part = |index: usize| Ok::<_, PyErr>(pair.get_item(index)?.cast_into::<PyBytes>()?);
            pair.extract().or_else(|_| Ok((part(0)?, part(1)?)))
        })
        .collect()
}

#[pyclass(name = "RequestHead", module = "penstock._core", frozen)]
struct PyRequestHead {
    inner: RequestHead,
}

#[pymethods]
impl PyRequestHead {
    #[getter]
    fn method(&self) -> &str {
        &self.inner.method
    }

    #[getter]
    fn path(&self) -> &str {
        &self.inner.path
    }

    #[getter]
    fn endpoint(&self) -> i64 {
        self.inner
            .endpoint
            .and_then(|endpoint| i64::try_from(endpoint).ok())
            .unwrap_or(-1)
    }

    #[getter]
    fn path_params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in &self.inner.path_params {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    #[getter]
    fn request_id(&self) -> &str {
        &self.inner.request_id
    }

    #[getter]
    fn api_key<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.inner
            .api_key
            .as_deref()
            .map(|key| PyBytes::new(py, key))
    }

    #[getter]
    fn content_length(&self) -> Option<u64> {
        self.inner.content_length
    }

    #[getter]
    fn closes_if_unread(&self) -> bool {
        self.inner.closes_if_unread
    }

    #[getter]
    fn accepts_json(&self) -> bool {
        self.inner.accepts_json
    }

    #[getter]
    fn timeout_s(&self) -> Option<f64> {
        self.inner.timeout_s
    }

    #[getter]
    fn read_timeout_s(&self) -> Option<f64> {
        self.inner.read_timeout_s
    }

    #[getter]
    fn traceparent(&self) -> Option<&str> {
        self.inner.traceparent.as_deref()
    }

    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, to_python(py, &self.inner.headers))
    }

    #[getter]
    fn answer<'py>(&self, py: Python<'py>) -> Option<PyAnswer<'py>> {
        let Answer {
            status,
            headers,
            body,
        } = self.inner.answer.as_ref()?;
        Some((*status, to_python(py, headers), PyBytes::new(py, body)))
    }
}

fn to_python<'py>(py: Python<'py>, headers: &[Header]) -> Vec<PyHeader<'py>> {
    let pair = |header: &Header| {
        (
            PyBytes::new(py, &header.name),
            PyBytes::new(py, &header.value),
        )
    };
    headers.iter().map(pair).collect()
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(error_kind, module)?)?;
    module.add_function(wrap_pyfunction!(error_kinds, module)?)?;
    module.add_function(wrap_pyfunction!(error_status, module)?)?;
    module.add_function(wrap_pyfunction!(error_body, module)?)?;
    module.add_function(wrap_pyfunction!(json_excess, module)?)?;
    module.add_function(wrap_pyfunction!(mint_id, module)?)?;
    module.add_function(wrap_pyfunction!(keys_equal, module)?)?;
    module.add_function(wrap_pyfunction!(key_digest, module)?)?;
    module.add_class::<PyRouter>()?;
    module.add_class::<PyRequestHead>()
}
