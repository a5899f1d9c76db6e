//! What there is to say of a stream when it is over.

use crate::error::ErrorKind;
use crate::finish_reason::FinishReason;

/// What a stream came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Of all its prompts.
    pub prompt_tokens: u64,
    /// Those of them that a cache had.
    pub cached_tokens: u64,
    /// Of all its choices, shown or not.
    pub completion_tokens: u64,
    /// From the request's arrival to the first token of any choice, if one came.
    pub time_to_first_token_s: Option<f64>,
    /// Of the first choice.
    pub finish_reason: Option<FinishReason>,
    /// Tool calls of its choices that no client could run; they were shown as text, or as they broke off.
    pub num_malformed_calls: u32,
    /// What it failed of.
    pub error: Option<StreamError>,
    /// The answer, where it is to be kept and this is its end.
    pub record: Option<Vec<u8>>,
}

/// The error that a stream failed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The row of the error table.
    pub kind: ErrorKind,
    /// What happened, for the client.
    pub message: String,
    /// The field that is at fault.
    pub param: Option<String>,
}

/// What was taken from a stream.
#[derive(Debug)]
pub struct Taken<R> {
    /// What the reader made of the bytes that were ready.
    pub read: R,
    /// 0 while more will come, else the final HTTP status.
    pub status: u16,
    /// Once the stream is over.
    pub receipt: Option<Receipt>,
}
