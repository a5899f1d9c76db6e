//! Why a choice ended: the same word in an engine's rows, in events, in counters and in receipts.

/// Why a choice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// By a stop token or a stop string.
    Stop,
    /// By `max_tokens` or the context.
    Length,
    /// After its tool calls.
    ToolCalls,
    /// By the client's leaving.
    Abort,
    /// By an error.
    Error,
}

impl FinishReason {
    /// As the wire and the counters spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::Abort => "abort",
            Self::Error => "error",
        }
    }
}
