//! `penstock.output_options.OutputOptions`, read field by field.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::tool_formats::{reasoning_format, tool_format};
use crate::output_options::OutputOptions;
use crate::tool_call::ToolSchemas;

/// The fields of Python's dataclass, under their names there.
#[derive(FromPyObject)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the request"
)]
pub(super) struct PyOutputOptions {
    logprobs: Option<u32>,
    prompt_logprobs: Option<u32>,
    pub(super) echo: bool,
    include_stop_str: bool,
    skip_special_tokens: bool,
    return_token_ids: bool,
    tool_format: Option<String>,
    tools: Option<Vec<u8>>,
    parallel_tool_calls: bool,
    old_function_call: bool,
    reasoning_format: Option<String>,
    begins_in_reasoning: bool,
    include_reasoning: bool,
    reasoning_field: String,
    continuous_usage: bool,
    system_fingerprint: Option<String>,
    dialect_options: Option<Vec<u8>>,
    num_best: Option<u32>,
    cache_report: bool,
}

impl Default for PyOutputOptions {
    fn default() -> Self {
        let neutral = OutputOptions::default();
        Self {
            logprobs: neutral.logprobs,
            prompt_logprobs: neutral.prompt_logprobs,
            echo: false,
            include_stop_str: neutral.includes_stop,
            skip_special_tokens: !neutral.shows_special_tokens,
            return_token_ids: neutral.returns_token_ids,
            tool_format: None,
            tools: None,
            parallel_tool_calls: neutral.has_parallel_calls,
            old_function_call: neutral.calls_are_functions,
            reasoning_format: None,
            begins_in_reasoning: false,
            include_reasoning: neutral.includes_reasoning,
            reasoning_field: neutral.reasoning_field,
            continuous_usage: neutral.has_continuous_usage,
            system_fingerprint: neutral.system_fingerprint,
            dialect_options: neutral.dialect_options,
            num_best: neutral.num_best,
            cache_report: neutral.reports_cache,
        }
    }
}

impl TryFrom<PyOutputOptions> for OutputOptions {
    type Error = PyErr;

    fn try_from(given: PyOutputOptions) -> PyResult<Self> {
        let tools = match (&given.tool_format, &given.tools) {
            (Some(name), Some(tools)) => Some((tool_format(name)?, read_tools(tools)?)),
            _ => None,
        };
        let reasoning = match &given.reasoning_format {
            Some(name) => Some((reasoning_format(name)?, given.begins_in_reasoning)),
            None => None,
        };
        Ok(Self {
            logprobs: given.logprobs,
            prompt_logprobs: given.prompt_logprobs,
            includes_stop: given.include_stop_str,
            shows_special_tokens: !given.skip_special_tokens,
            returns_token_ids: given.return_token_ids,
            tools,
            has_parallel_calls: given.parallel_tool_calls,
            calls_are_functions: given.old_function_call,
            reasoning,
            includes_reasoning: given.include_reasoning,
            reasoning_field: given.reasoning_field,
            has_continuous_usage: given.continuous_usage,
            system_fingerprint: given.system_fingerprint,
            dialect_options: given.dialect_options,
            num_best: given.num_best,
            reports_cache: given.cache_report,
        })
    }
}

fn read_tools(tools: &[u8]) -> PyResult<Arc<ToolSchemas>> {
    let read = ToolSchemas::parse(tools).map(Arc::new);
    read.map_err(|cause| PyValueError::new_err(format!("tools: {cause}")))
}
