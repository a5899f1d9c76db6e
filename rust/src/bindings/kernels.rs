//! The CPU's kernels, as addresses that XLA can call.

use penstock_kernels::error::Error;
use penstock_kernels::handlers;
use penstock_kernels::isa::Isa;
use penstock_kernels::matrix::Format;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[pyfunction]
fn kernel_handlers() -> Vec<(&'static str, usize)> {
    handlers::handlers()
}

#[pyfunction]
fn kernel_packer() -> usize {
    handlers::packer()
}

#[pyfunction]
fn packed_bytes(format: &str, num_in: usize, num_out: usize) -> PyResult<usize> {
    let format: Format = format
        .parse()
        .map_err(|error: Error| PyValueError::new_err(error.to_string()))?;
    Ok(format.matrix_bytes(num_in, num_out))
}

#[pyfunction]
#[pyo3(signature = (name = "auto"))]
fn kernel_isa(name: &str) -> PyResult<&'static str> {
    Isa::named(name)
        .map(Isa::name)
        .map_err(PyValueError::new_err)
}

#[pyfunction]
fn choose_kernel_isa(name: &str) -> PyResult<&'static str> {
    Isa::choose(name)
        .map(Isa::name)
        .map_err(PyValueError::new_err)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("KERNEL_ABI", handlers::ABI)?;
    module.add_function(wrap_pyfunction!(kernel_handlers, module)?)?;
    module.add_function(wrap_pyfunction!(kernel_packer, module)?)?;
    module.add_function(wrap_pyfunction!(packed_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(choose_kernel_isa, module)?)?;
    module.add_function(wrap_pyfunction!(kernel_isa, module)?)
}
