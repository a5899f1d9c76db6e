//! The formats of tool calls and thoughts for Python: their names, what marks them, and a reading of whole outputs.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::delta::{Delta, Fold, Kind};
use crate::reasoning::{self, ReasoningFormat};
use crate::stage::Chain;
use crate::tool_call::{self, ToolChoice, ToolFormat, ToolSchemas};

use super::vocabulary::PyVocabulary;

/// A format of tool calls.
#[pyclass(name = "ToolFormat", module = "penstock._core", frozen)]
struct PyToolFormat(&'static ToolFormat);

/// A format of thoughts.
#[pyclass(name = "ReasoningFormat", module = "penstock._core", frozen)]
struct PyReasoningFormat(&'static ReasoningFormat);

#[pymethods]
impl PyToolFormat {
    #[new]
    fn new(name: &str) -> PyResult<Self> {
        tool_format(name).map(Self)
    }

    #[getter]
    fn name(&self) -> &'static str {
        self.0.name
    }

    #[getter]
    fn markers(&self) -> Vec<&'static str> {
        self.0.markers().to_vec()
    }
}

#[pymethods]
impl PyReasoningFormat {
    #[new]
    fn new(name: &str) -> PyResult<Self> {
        reasoning_format(name).map(Self)
    }

    #[getter]
    fn name(&self) -> &'static str {
        self.0.name
    }

    #[getter]
    fn markers(&self) -> Vec<&'static str> {
        self.0.markers().to_vec()
    }

    #[getter]
    fn begin(&self) -> &'static str {
        self.0.begins[0]
    }

    #[getter]
    fn end(&self) -> &'static str {
        self.0.ends[0]
    }

    #[getter]
    fn is_implicit(&self) -> bool {
        self.0.is_implicit
    }

    fn begins_inside(&self, prompt: &str) -> bool {
        self.0.begins_inside(prompt)
    }
}

pub(super) fn tool_format(name: &str) -> PyResult<&'static ToolFormat> {
    ToolFormat::from_name(name).ok_or_else(|| unknown(name, ToolFormat::names()))
}

pub(super) fn reasoning_format(name: &str) -> PyResult<&'static ReasoningFormat> {
    ReasoningFormat::from_name(name).ok_or_else(|| unknown(name, ReasoningFormat::names()))
}

fn unknown(name: &str, known: impl Iterator<Item = &'static str>) -> PyErr {
    let known: Vec<_> = known.collect();
    PyValueError::new_err(format!(
        "format is {name:?}; expected one of {}",
        known.join(", ")
    ))
}

fn schemas(tools: &[u8]) -> PyResult<ToolSchemas> {
    ToolSchemas::parse(tools)
        .map_err(|e| PyValueError::new_err(format!("tools should be a JSON array: {e}")))
}

type Call = (String, String, String);

/// Text, reasoning and calls (id, name, arguments) of an output that comes in these pieces.
#[pyfunction]
#[pyo3(signature = (pieces, *, tools = None, tool_format = None, reasoning_format = None, begins_inside = false))]
#[allow(clippy::needless_pass_by_value)] // as pyo3 hands lists over
fn parse_output(
    pieces: Vec<String>,
    tools: Option<&[u8]>,
    tool_format: Option<&str>,
    reasoning_format: Option<&str>,
    begins_inside: bool,
) -> PyResult<(String, String, Vec<Call>)> {
    let reasoning = reasoning_format.map(self::reasoning_format).transpose()?;
    let tools = match (tool_format, tools) {
        (Some(name), Some(tools)) => Some((self::tool_format(name)?, Arc::new(schemas(tools)?))),
        _ => None,
    };
    let reasoning = reasoning.map(|format| (format, begins_inside));
    let mut chain = Chain::new(reasoning::stages(reasoning, tools));
    let mut fold = Fold::default();
    let mut show = |delta: &Delta<'_>| fold.add(delta);
    let pieces = pieces.iter().filter(|piece| !piece.is_empty());
    for (token, text) in (0..).zip(pieces) {
        let (kind, tokens) = (Kind::Text, token..token + 1);
        let _ = chain.push(&Delta { kind, text, tokens }, &mut show);
    }
    let _ = chain.finish(&mut show);
    let calls = fold.tool_calls.into_iter();
    let calls = calls.map(|call| (call.id, call.name, call.arguments));
    Ok((fold.text, fold.reasoning, calls.collect()))
}

/// The Lark grammar of an answer that calls these tools.
#[pyfunction]
#[pyo3(signature = (format, tools, *, vocabulary, required = false, name = None, parallel = true))]
fn tool_grammar(
    py: Python<'_>,
    format: &str,
    tools: &[u8],
    vocabulary: &PyVocabulary,
    required: bool,
    name: Option<&str>,
    parallel: bool,
) -> PyResult<String> {
    let (format, tools) = (tool_format(format)?, schemas(tools)?);
    let choice = match name {
        Some(name) => ToolChoice::Named(name),
        None if required => ToolChoice::Required,
        None => ToolChoice::Auto,
    };
    let special = |text: &str| vocabulary.inner.special_id(text);
    py.detach(|| tool_call::grammar(format, &tools, choice, parallel, &special))
        .map_err(|refusal| PyValueError::new_err(refusal.to_string()))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("TOOL_FORMATS", ToolFormat::names().collect::<Vec<_>>())?;
    module.add(
        "REASONING_FORMATS",
        ReasoningFormat::names().collect::<Vec<_>>(),
    )?;
    module.add_class::<PyToolFormat>()?;
    module.add_class::<PyReasoningFormat>()?;
    module.add_function(wrap_pyfunction!(parse_output, module)?)?;
    module.add_function(wrap_pyfunction!(tool_grammar, module)?)
}
