//! The CPU's kernels, as addresses that XLA can call.

use penstock_kernels::handlers;
use penstock_kernels::isa::Isa;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[pyfunction]
fn kernel_handlers() -> Vec<(&'static str, usize)> {
    handlers::handlers()
}

#[pyfunction]
fn kernel_isa() -> PyResult<&'static str> {
    Isa::chosen().map(Isa::name).map_err(PyValueError::new_err)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("KERNEL_ABI", handlers::ABI)?;
    module.add_function(wrap_pyfunction!(kernel_handlers, module)?)?;
    module.add_function(wrap_pyfunction!(kernel_isa, module)?)
}
