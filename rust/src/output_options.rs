//! What of a generation is shown, and what is told beside it: the part of a request that only its way out reads.

use std::sync::Arc;

use crate::reasoning::ReasoningFormat;
use crate::tool_call::{ToolFormat, ToolSchemas};

/// How an answer is to look. The default is an answer of plain text.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the request"
)]
pub struct OutputOptions {
    /// Likeliest tokens that are told with each token's log probability; none: no log probabilities.
    pub logprobs: Option<u32>,
    /// Likeliest tokens that are told with the log probability of each token of the prompt, in a plain answer; none: no
    /// such field.
    pub prompt_logprobs: Option<u32>,
    /// Whether the stop string or stop token that ended a choice is part of its text.
    pub includes_stop: bool,
    /// Whether special tokens are part of the text.
    pub shows_special_tokens: bool,
    /// Whether the ids of prompt and tokens are told.
    pub returns_token_ids: bool,
    /// By which the model writes tool calls, and the tools that there are; none: no call is looked for.
    pub tools: Option<(&'static ToolFormat, Arc<ToolSchemas>)>,
    /// Whether a choice may have several calls.
    pub has_parallel_calls: bool,
    /// Whether a call is told in the older way, as a chat's `function_call`.
    pub calls_are_functions: bool,
    /// By which the model writes its thoughts, and whether the prompt has begun one; none: no thought is looked for.
    pub reasoning: Option<(&'static ReasoningFormat, bool)>,
    /// Whether reasoning is shown.
    pub includes_reasoning: bool,
    /// What reasoning is called, where an API leaves that open.
    pub reasoning_field: String,
    /// Whether every event tells the usage so far, and not only the last one; where usage is told at all.
    pub has_continuous_usage: bool,
    /// `system_fingerprint` of every event; none: not told.
    pub system_fingerprint: Option<String>,
    /// JSON that only the dialect reads.
    pub dialect_options: Option<Vec<u8>>,
    /// Of each prompt's choices, how many of the likeliest are shown; none: all.
    pub num_best: Option<u32>,
    /// Whether it is told what of the prompts a cache had, and why no more.
    pub reports_cache: bool,
}

impl Default for OutputOptions {
    fn default() -> Self {
        Self {
            logprobs: None,
            prompt_logprobs: None,
            includes_stop: false,
            shows_special_tokens: false,
            returns_token_ids: false,
            tools: None,
            has_parallel_calls: true,
            calls_are_functions: false,
            reasoning: None,
            includes_reasoning: true,
            reasoning_field: "reasoning_content".to_owned(),
            has_continuous_usage: false,
            system_fingerprint: None,
            dialect_options: None,
            num_best: None,
            reports_cache: false,
        }
    }
}

impl OutputOptions {
    /// Texts of the special tokens that must be part of a text for its calls and thoughts to be found.
    pub fn markers(&self) -> impl Iterator<Item = &'static str> {
        let of_tools = self.tools.iter().flat_map(|(format, _)| format.markers());
        let of_reasoning = self.reasoning.iter().flat_map(|it| it.0.markers());
        of_tools.chain(of_reasoning).copied()
    }

    /// Whether more than text is told of a token, so that it must be kept until then.
    #[must_use]
    pub fn tells_tokens(&self) -> bool {
        self.logprobs.is_some() || self.returns_token_ids || self.num_best.is_some()
    }
}
