//! `penstock.output_options.OutputOptions`, read field by field.

use pyo3::prelude::*;

use crate::output_options::OutputOptions;

/// The fields of Python's dataclass, under their names there.
#[derive(FromPyObject)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the request"
)]
pub(super) struct PyOutputOptions {
    logprobs: Option<u32>,
    pub(super) echo: bool,
    include_stop_str: bool,
    skip_special_tokens: bool,
    return_token_ids: bool,
    include_reasoning: bool,
    reasoning_field: String,
    continuous_usage: bool,
    system_fingerprint: Option<String>,
    dialect_options: Option<Vec<u8>>,
    num_best: Option<u32>,
}

impl Default for PyOutputOptions {
    fn default() -> Self {
        let neutral = OutputOptions::default();
        Self {
            logprobs: neutral.logprobs,
            echo: false,
            include_stop_str: neutral.includes_stop,
            skip_special_tokens: !neutral.shows_special_tokens,
            return_token_ids: neutral.returns_token_ids,
            include_reasoning: neutral.includes_reasoning,
            reasoning_field: neutral.reasoning_field,
            continuous_usage: neutral.has_continuous_usage,
            system_fingerprint: neutral.system_fingerprint,
            dialect_options: neutral.dialect_options,
            num_best: neutral.num_best,
        }
    }
}

impl From<PyOutputOptions> for OutputOptions {
    fn from(given: PyOutputOptions) -> Self {
        Self {
            logprobs: given.logprobs,
            includes_stop: given.include_stop_str,
            shows_special_tokens: !given.skip_special_tokens,
            returns_token_ids: given.return_token_ids,
            includes_reasoning: given.include_reasoning,
            reasoning_field: given.reasoning_field,
            has_continuous_usage: given.continuous_usage,
            system_fingerprint: given.system_fingerprint,
            dialect_options: given.dialect_options,
            num_best: given.num_best,
        }
    }
}
