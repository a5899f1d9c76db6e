//! Penstock's Rust edge, one room per file.
//!
//! Everything here is a synchronous value with `push` and `finish`: no I/O, no Python. Only
//! `bindings` knows Python, behind the `python` feature.

pub mod api_key;
pub mod detokenize;
pub mod error;
pub mod event;
pub mod hub;
pub mod json_shape;
pub mod metrics;
pub mod request_head;
pub mod request_id;
pub mod sse;
pub mod stop;
pub mod stream;
pub mod vocabulary;

#[cfg(feature = "python")]
mod bindings;
