//! Server-sent events: framing, keep-alive and the end mark.
//!
//! Only `data` fields, names and comments: an `id` or `retry` line would make openai-python's decoder yield empty events
//! at every later comment.

/// What begins the line with an event's name, in the APIs that have some.
pub const EVENT: &[u8] = b"event: ";
/// What begins an event.
pub const DATA: &[u8] = b"data: ";
/// What ends an event.
pub const END: &[u8] = b"\n\n";
/// A comment that keeps the connection alive; clients skip it.
pub const PING: &[u8] = b": ping\n\n";
/// `OpenAI`'s mark of a stream's end. Without its blank line clients would not dispatch it.
pub const DONE: &[u8] = b"data: [DONE]\n\n";
