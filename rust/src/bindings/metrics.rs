//! `Metrics` for Python: names in, numbers out.

use std::sync::Arc;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::metrics::{Counter, Gauge, Histogram, Metrics, ModelMetrics};

/// The metrics of the process.
#[pyclass(name = "Metrics", module = "penstock._core", frozen)]
struct PyMetrics {
    inner: Metrics,
}

/// The metrics of one model, shared by its hub and Python.
#[pyclass(name = "ModelMetrics", module = "penstock._core", frozen)]
pub(super) struct PyModelMetrics {
    pub(super) inner: Arc<ModelMetrics>,
}

#[pymethods]
impl PyModelMetrics {
    #[pyo3(signature = (name, amount = 1))]
    fn add(&self, name: &str, amount: u64) -> PyResult<()> {
        self.inner.add(
            Counter::from_name(name).ok_or_else(|| unknown(name))?,
            amount,
        );
        Ok(())
    }

    fn set(&self, name: &str, value: f64) -> PyResult<()> {
        self.inner
            .set(Gauge::from_name(name).ok_or_else(|| unknown(name))?, value);
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "one number type for counters and gauges"
    )]
    fn get(&self, name: &str) -> PyResult<f64> {
        let counter = Counter::from_name(name).map(|counter| self.inner.count_of(counter) as f64);
        let gauge = || Gauge::from_name(name).map(|gauge| self.inner.value_of(gauge));
        counter.or_else(gauge).ok_or_else(|| unknown(name))
    }

    fn observe(&self, name: &str, value: f64) -> PyResult<()> {
        self.inner.observe(
            Histogram::from_name(name).ok_or_else(|| unknown(name))?,
            value,
        );
        Ok(())
    }
}

#[pymethods]
impl PyMetrics {
    #[new]
    fn new() -> Self {
        Self {
            inner: Metrics::default(),
        }
    }

    #[pyo3(signature = (name, *, max_model_len = 131_072))]
    fn model(&self, name: &str, max_model_len: u32) -> PyModelMetrics {
        PyModelMetrics {
            inner: self.inner.model(name, max_model_len),
        }
    }

    #[pyo3(signature = (handler, method, status, seconds, *, is_work = false))]
    fn count_request(&self, handler: &str, method: &str, status: u16, seconds: f64, is_work: bool) {
        self.inner
            .count_request(handler, method, status, seconds, is_work);
    }

    fn render<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, py.detach(|| self.inner.render()).as_bytes())
    }

    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let snapshot = self.inner.snapshot();
        let dict = PyDict::new(py);
        dict.set_item("total_requests", snapshot.total_requests)?;
        dict.set_item("successful_requests", snapshot.successful_requests)?;
        dict.set_item("failed_requests", snapshot.failed_requests)?;
        dict.set_item("total_tokens_generated", snapshot.total_tokens_generated)?;
        dict.set_item(
            "average_tokens_per_second",
            snapshot.average_tokens_per_second,
        )?;
        dict.set_item("uptime_seconds", snapshot.uptime_seconds)?;
        Ok(dict)
    }
}

fn unknown(name: &str) -> PyErr {
    PyKeyError::new_err(format!("no metric of this kind is named {name}"))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyMetrics>()?;
    module.add_class::<PyModelMetrics>()
}
