//! The Python module `penstock._core`: signatures, one call, one conversion each.

mod buffer;
mod columns;
mod gguf;
mod grammar;
mod http;
mod kernels;
mod metrics;
mod opening;
mod output_options;
mod page_hash;
mod streams;
mod tool_formats;
mod vocabulary;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    gguf::register(module)?;
    grammar::register(module)?;
    http::register(module)?;
    kernels::register(module)?;
    metrics::register(module)?;
    vocabulary::register(module)?;
    tool_formats::register(module)?;
    opening::register(module)?;
    page_hash::register(module)?;
    streams::register(module)
}
