//! Penstock's Rust edge, one room per file.
//!
//! Everything here is a synchronous value with `push` and `finish`: no I/O, no Python. Only
//! `bindings` knows Python, behind the `python` feature.

pub mod api_key;
pub mod cache_use;
pub mod delta;
pub mod detokenize;
pub mod dialect;
pub mod error;
pub mod error_shape;
pub mod finish_reason;
pub mod gguf;
pub mod grammar;
mod held;
pub mod hub;
pub mod json_shape;
pub mod metrics;
pub mod one_call;
pub mod opening;
pub mod output_options;
pub mod page_hash;
pub mod reasoning;
pub mod request_head;
pub mod request_id;
pub mod sse;
pub mod stage;
pub mod stop;
pub mod stream;
pub mod token_table;
pub mod tool_call;
pub mod vocabulary;

#[cfg(feature = "python")]
mod bindings;
