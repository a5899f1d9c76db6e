//! What of a generation is shown, and what is told beside it: the part of a request that only its way out reads.

/// How an answer is to look. The default is an answer of plain text.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the request"
)]
pub struct OutputOptions {
    /// Likeliest tokens that are told with each token's log probability; none: no log probabilities.
    pub logprobs: Option<u32>,
    /// Whether the stop string or stop token that ended a choice is part of its text.
    pub includes_stop: bool,
    /// Whether special tokens are part of the text.
    pub shows_special_tokens: bool,
    /// Whether the ids of prompt and tokens are told.
    pub returns_token_ids: bool,
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
}

impl Default for OutputOptions {
    fn default() -> Self {
        Self {
            logprobs: None,
            includes_stop: false,
            shows_special_tokens: false,
            returns_token_ids: false,
            includes_reasoning: true,
            reasoning_field: "reasoning_content".to_owned(),
            has_continuous_usage: false,
            system_fingerprint: None,
            dialect_options: None,
            num_best: None,
        }
    }
}

impl OutputOptions {
    /// Whether more than text is told of a token, so that it must be kept until then.
    #[must_use]
    pub fn tells_tokens(&self) -> bool {
        self.logprobs.is_some() || self.returns_token_ids || self.num_best.is_some()
    }
}
